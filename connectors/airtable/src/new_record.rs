//! The trigger `new_record`: a list by the time of creation.

use headgate_sdk::polling::{Found, Window, millis, now, rfc3339};
use headgate_sdk::prelude::*;

use crate::types::{ListRecords, Page, Record, Watch};
use crate::{answer, body, table};

/// How many records one poll asks for: half of what Airtable gives, as fields may be long texts; and fewer where a page
/// is too large.
const PAGES: [u32; 3] = [50, 10, 1];
/// The largest page, in bytes, that is told as a whole. The server takes 2 MiB, with the cursor.
const LARGEST_PAGE: usize = 3 << 19;
/// How long before the newest record another may show up, in milliseconds.
const LOOK_BACK: i64 = 60 * 1_000;
/// What Airtable calls a page that it does not know any more.
const OFFSET_GONE: &str = "LIST_RECORDS_ITERATOR_NOT_AVAILABLE";

/// Begins now. Airtable cannot be asked for its newest record; that the table can be read is seen all the same.
pub(crate) fn begin(input: &Watch) -> Result<Polled<Record, Window>> {
    let begin = now();
    list(input, ListRecords { page_size: Some(1), ..since(input, begin) })?;
    Ok(Polled::new(Window::starting_at(begin - begin % 1_000, [""; 0])))
}

/// Asks for one page of what was created since.
pub(crate) fn poll(input: &Watch, window: Window) -> Result<Polled<Record, Window>> {
    let page = since(input, window.from());
    let (answer, window) =
        match list_some(input, ListRecords { offset: window.page().map(str::to_owned), ..page.clone() }) {
            Err(error)
                if window.page().is_some()
                    && error.details.as_ref().is_some_and(|facts| facts["type"] == OFFSET_GONE) =>
            {
                (list_some(input, page)?, window.restart())
            }
            answer => (answer?, window),
        };
    let unknown = window.newest();
    let found = answer.records.into_iter().map(|record| Found {
        id: record.id.clone(),
        millis: record.created_time.as_deref().and_then(millis).unwrap_or(unknown),
        data: record,
    });
    Ok(window.take(found, answer.offset, LOOK_BACK))
}

/// All that was created from a time on.
fn since(input: &Watch, from: i64) -> ListRecords {
    let created = format!("NOT(IS_BEFORE(CREATED_TIME(), '{}'))", rfc3339(from));
    let formula = match &input.filter_by_formula {
        Some(formula) => format!("AND({created}, {formula})"),
        None => created,
    };
    ListRecords {
        fields: input.fields.clone(),
        view: input.view.clone(),
        ..ListRecords::of(&input.base_id, &input.table).formula(formula)
    }
}

/// As many records as are told at once. The next page begins after them, however many there are.
fn list_some(input: &Watch, page: ListRecords) -> Result<Page> {
    let [most, fewer @ ..] = PAGES;
    let mut answer = ask(input, ListRecords { page_size: Some(most), ..page.clone() })?;
    for size in fewer {
        if answer.bytes.len() <= LARGEST_PAGE {
            break;
        }
        answer = ask(input, ListRecords { page_size: Some(size), ..page.clone() })?;
    }
    answer::read(answer)
}

fn list(input: &Watch, page: ListRecords) -> Result<Page> {
    answer::read(ask(input, page)?)
}

fn ask(input: &Watch, page: ListRecords) -> Result<http::Response> {
    let url = table(&input.base_id, &input.table)? + "/listRecords";
    http::post(url).json(&body(&page)?).send()
}

#[cfg(test)]
mod tests {
    use headgate_sdk::polling::{Window, millis, now};
    use headgate_sdk::testing::{Host, poll};
    use serde_json::{Value, json};

    use crate::Airtable;

    const LIST: &str = "https://api.airtable.com/v0/appLkNDICXNqxSDhG/Tasks/listRecords";

    fn record(id: &str, second: u32) -> Value {
        json!({"id": id, "createdTime": format!("2026-01-02T03:04:{second:02}.000Z"), "fields": {"Name": id}})
    }

    fn input() -> Value {
        json!({"baseId": "appLkNDICXNqxSDhG", "table": "Tasks", "fields": ["Name"], "filterByFormula": "{Open}"})
    }

    fn at(second: u32) -> Value {
        let begin = millis(&format!("2026-01-02T03:04:{second:02}Z")).unwrap();
        serde_json::to_value(Window::starting_at(begin, [""; 0])).unwrap()
    }

    fn ask(host: &Host, cursor: &Value, answer: Value) -> (Vec<String>, Value, bool) {
        host.http("POST", LIST).answer(200, &answer);
        let polled = poll::<Airtable>("new_record", &input(), Some(cursor)).unwrap();
        (polled.records.into_iter().map(|record| record.id).collect(), polled.cursor, polled.more)
    }

    #[test]
    fn begins_now() {
        let host = Host::of::<Airtable>();
        host.http("POST", LIST).answer(200, &json!({"records": []}));
        let polled = poll::<Airtable>("new_record", &input(), None).unwrap();
        assert_eq!(polled.records, []);
        let window: Window = serde_json::from_value(polled.cursor).unwrap();
        assert!((now() - window.from()) < 60_000 && window.from() <= now());
    }

    #[test]
    fn tells_each_record_once_and_sorts_a_page() {
        let host = Host::of::<Airtable>();
        let page =
            json!({"records": [record("recB", 7), record("recA", 6), record("recOld", 4)], "offset": "itr1/recB"});
        let (told, cursor, more) = ask(&host, &at(5), page);
        assert_eq!((told, more), (vec!["recA".to_owned(), "recB".into()], true));
        let request = host.requests()[0].json();
        let formula = "AND(NOT(IS_BEFORE(CREATED_TIME(), '2026-01-02T03:04:05.000Z')), {Open})";
        assert_eq!((&request["filterByFormula"], &request["fields"]), (&json!(formula), &json!(["Name"])));

        let (told, cursor, more) = ask(&host, &cursor, json!({"records": [record("recC", 7)]}));
        assert_eq!((told, more), (vec!["recC".to_owned()], false));
        assert_eq!(host.requests()[1].json()["offset"], "itr1/recB");
        let all = [record("recC", 7), record("recA", 6), record("recB", 7), record("recD", 7)];
        assert_eq!(ask(&host, &cursor, json!({"records": all})).0, ["recD"]);
    }

    #[test]
    fn a_page_that_airtable_forgot_is_begun_again() {
        let host = Host::of::<Airtable>();
        let (_, cursor, _) = ask(&host, &at(5), json!({"records": [record("recA", 6)], "offset": "itr1/recA"}));
        let gone = json!({"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "message": "Try again."}});
        host.http("POST", LIST).answer(422, &gone);
        let (told, _, more) = ask(&host, &cursor, json!({"records": [record("recA", 6), record("recB", 6)]}));
        assert_eq!((told, more), (vec!["recB".to_owned()], false));
        assert_eq!(host.requests()[2].json().get("offset"), None);
    }

    #[test]
    fn a_page_that_is_too_large_is_asked_for_in_parts() {
        let host = Host::of::<Airtable>();
        let long = |id: &str, length: usize| {
            let mut record = record(id, 6);
            record["fields"]["Notes"] = "x".repeat(length).into();
            record
        };
        host.http("POST", LIST).answer(200, &json!({"records": [long("recA", 900_000), long("recB", 900_000)]}));
        let (told, cursor, more) =
            ask(&host, &at(5), json!({"records": [long("recA", 900_000)], "offset": "itr1/recA"}));
        assert_eq!((told, more), (vec!["recA".to_owned()], true));
        let (told, _, _) = ask(&host, &cursor, json!({"records": [long("recB", 900_000)]}));
        assert_eq!(told, ["recB"]);
        let sizes: Vec<_> = host.requests().iter().map(|request| request.json()["pageSize"].clone()).collect();
        assert_eq!(sizes, [50, 10, 50]);

        // One alone is told, however large it is: the server says then what it does not take.
        for records in [[long("recC", 1_600_000), long("recD", 0)], [long("recC", 1_600_000), long("recD", 0)]] {
            host.http("POST", LIST).answer(200, &json!({"records": records}));
        }
        assert_eq!(ask(&host, &at(5), json!({"records": [long("recC", 1_600_000)], "offset": "i"})).0, ["recC"]);
        assert_eq!(host.requests()[5].json()["pageSize"], 1);
    }

    #[test]
    fn a_limit_and_a_wrong_table_are_said() {
        let host = Host::of::<Airtable>();
        host.http("POST", LIST)
            .answer(429, &json!({"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit."}]}));
        let error = poll::<Airtable>("new_record", &input(), Some(&at(5))).unwrap_err();
        assert_eq!((error.retryable, &error.details.unwrap()["retry_after_seconds"]), (true, &json!(30)));
        host.http("POST", LIST).answer(403, &json!({"error": {"type": "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"}}));
        assert_eq!(poll::<Airtable>("new_record", &input(), None).unwrap_err().code, "forbidden");
    }
}
