//! The trigger `new_record`: a list by the time of creation.

use headgate_sdk::polling::{Found, Window, millis, now, rfc3339};
use headgate_sdk::prelude::*;

use crate::types::{ListRecords, Page, Record, Watch};
use crate::{answer, body, table};

/// How many records one poll asks for: half of what Airtable gives, as its fields may be long texts.
const PAGE: u32 = 50;
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
    let page = ListRecords { page_size: Some(PAGE), ..since(input, window.from()) };
    let (answer, window) = match list(input, ListRecords { offset: window.page().map(str::to_owned), ..page.clone() }) {
        Err(error)
            if window.page().is_some() && error.details.as_ref().is_some_and(|facts| facts["type"] == OFFSET_GONE) =>
        {
            (list(input, page)?, window.restart())
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

fn list(input: &Watch, page: ListRecords) -> Result<Page> {
    let url = table(&input.base_id, &input.table)? + "/listRecords";
    answer::read(http::post(url).json(&body(&page)?).send()?)
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
