//! The trigger `page_changed`: a query by the time of the last change.

use headgate_sdk::polling::{Found, Window, millis, rfc3339};
use headgate_sdk::prelude::*;
use serde_json::json;

use crate::types::{self, Page, Pages, QueryDatabase, Watch};
use crate::{answer, url};

/// How many pages one poll asks for: half of what Notion gives, as their properties may be long.
const PAGE: u32 = 50;
const MINUTE: i64 = 60 * 1_000;
/// Notion rounds the time of a change down to the minute. A page whose minute is not over could change once more and
/// have the same time then; so it is told when the minute is over for sure, some seconds later.
const SETTLED: i64 = MINUTE + 10 * 1_000;
/// How long before the newest change another may show up, in milliseconds.
const LOOK_BACK: i64 = 2 * MINUTE;

/// Begins with this minute. That the database can be read is seen by a query.
pub(crate) fn begin(input: &Watch, now: i64) -> Result<Polled<Page, Window>> {
    let begin = now - now.rem_euclid(MINUTE);
    query(input, QueryDatabase { page_size: Some(1), ..since(input, begin) })?;
    Ok(Polled::new(Window::starting_at(begin, [""; 0])))
}

/// Asks for one page of what was changed since, up to the last minute that is over.
pub(crate) fn poll(input: &Watch, window: Window, now: i64) -> Result<Polled<Page, Window>> {
    let first = QueryDatabase { page_size: Some(PAGE), ..since(input, window.from()) };
    let asked = query(input, QueryDatabase { start_cursor: window.page().map(str::to_owned), ..first.clone() });
    let (pages, window) = match asked {
        // Notion does not know the page any more.
        Err(error) if error.code == "invalid_request" && window.page().is_some() => {
            (query(input, first)?, window.restart())
        }
        asked => (asked?, window),
    };
    let Pages { results, has_more, next_cursor } = pages;
    let count = results.len();
    let settled: Vec<Found<Page>> = results
        .into_iter()
        .filter_map(|page| {
            let time = page.last_edited_time.clone()?;
            let millis = millis(&time)?;
            (millis + SETTLED <= now).then(|| Found { id: format!("{}@{time}", page.id), millis, data: page })
        })
        .collect();
    // They are in the order of their times: behind one that is not settled yet there is none that is.
    let next = next_cursor.filter(|_| has_more && settled.len() == count);
    Ok(window.take(settled, next, LOOK_BACK))
}

/// The pages changed from a time on, oldest first.
fn since(input: &Watch, from: i64) -> QueryDatabase {
    let changed = json!({"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": rfc3339(from)}});
    let filter = match &input.filter {
        Some(filter) => json!({ "and": [changed, filter] }),
        None => changed,
    };
    let sort = json!({"timestamp": "last_edited_time", "direction": "ascending"});
    QueryDatabase { sorts: vec![sort], ..QueryDatabase::of(&input.database_id).filter(filter) }
}

fn query(input: &Watch, query: QueryDatabase) -> Result<Pages> {
    let id = types::id("database_id", &input.database_id)?;
    let mut request = http::post(url(&format!("databases/{id}/query"))?);
    for property in &input.filter_properties {
        request = request.query("filter_properties", property);
    }
    answer::read(request.json(&query.body()).send()?)
}

#[cfg(test)]
mod tests {
    use headgate_sdk::polling::{Window, millis, now, rfc3339};
    use headgate_sdk::testing::{Host, poll};
    use serde_json::{Value, json};

    use crate::Notion;

    const DATABASE: &str = "668d797c76fa49349b05ad288df2d136";

    fn page(id: &str, time: &str) -> Value {
        json!({"id": id, "last_edited_time": time, "properties": {}})
    }

    fn expect(host: &Host, status: u16, answer: &Value) {
        host.http("POST", &format!("https://api.notion.com/v1/databases/{DATABASE}/query")).answer(status, answer);
    }

    fn ask(host: &Host, cursor: Option<&Value>, answer: Value) -> (Vec<String>, Value, bool) {
        expect(host, 200, &answer);
        let input = json!({"database_id": DATABASE, "filter": {"property": "Open", "checkbox": {"equals": true}}});
        let polled = poll::<Notion>("page_changed", &input, cursor).unwrap();
        (polled.records.into_iter().map(|record| record.id).collect(), polled.cursor, polled.more)
    }

    fn at(time: &str) -> Value {
        serde_json::to_value(Window::starting_at(millis(time).unwrap(), [""; 0])).unwrap()
    }

    #[test]
    fn begins_with_this_minute() {
        let host = Host::of::<Notion>();
        let (told, cursor, more) = ask(&host, None, json!({"results": [page("a", "2026-01-02T03:04:00.000Z")]}));
        assert_eq!((told, more), (vec![], false));
        let window: Window = serde_json::from_value(cursor).unwrap();
        assert!(now() - window.from() < 2 * 60_000 && window.from() % 60_000 == 0);
    }

    #[test]
    fn tells_each_change_once() {
        let host = Host::of::<Notion>();
        let (four, five) = ("2026-01-02T03:04:00.000Z", "2026-01-02T03:05:00.000Z");
        let first = json!({"results": [page("a", four), page("b", four)], "has_more": true, "next_cursor": "n1"});
        let (told, cursor, more) = ask(&host, Some(&at(four)), first);
        assert_eq!((told, more), (vec![format!("a@{four}"), format!("b@{four}")], true));
        let request = host.requests()[0].json();
        assert_eq!(request["filter"]["and"][0]["last_edited_time"]["on_or_after"], four);
        assert_eq!(request["filter"]["and"][1]["property"], "Open");
        assert_eq!(request["sorts"], json!([{"timestamp": "last_edited_time", "direction": "ascending"}]));

        // Ties on the next page, and a page that changed meanwhile.
        let second = json!({"results": [page("c", four), page("a", five)], "has_more": false, "next_cursor": null});
        let (told, cursor, more) = ask(&host, Some(&cursor), second);
        assert_eq!((told, more), (vec![format!("c@{four}"), format!("a@{five}")], false));
        assert_eq!(host.requests()[1].json()["start_cursor"], "n1");
        let again = json!({"results": [page("b", four), page("c", four), page("a", five)], "has_more": false});
        assert_eq!(ask(&host, Some(&cursor), again).0, [""; 0]);
    }

    #[test]
    fn a_page_waits_until_its_minute_is_over() {
        let host = Host::of::<Notion>();
        let (old, fresh) = ("2026-01-02T03:04:00.000Z", rfc3339(now() - now() % 60_000));
        let answer = json!({"results": [page("a", old), page("b", &fresh)], "has_more": true, "next_cursor": "n1"});
        let (told, cursor, more) = ask(&host, Some(&at(old)), answer);
        assert_eq!((told, more), (vec![format!("a@{old}")], false));
        // It changed again within the same minute, and the minute is over then.
        let input = crate::Watch { database_id: DATABASE.into(), ..Default::default() };
        expect(&host, 200, &json!({"results": [page("a", old), page("b", &fresh)]}));
        let later = super::poll(&input, serde_json::from_value(cursor).unwrap(), now() + 130_000).unwrap();
        assert_eq!(later.records.iter().map(|record| record.id.clone()).collect::<Vec<_>>(), [format!("b@{fresh}")]);
    }

    #[test]
    fn a_page_that_notion_forgot_is_begun_again() {
        let host = Host::of::<Notion>();
        let four = "2026-01-02T03:04:00.000Z";
        let first = json!({"results": [page("a", four)], "has_more": true, "next_cursor": "n1"});
        let (_, cursor, _) = ask(&host, Some(&at(four)), first);
        expect(&host, 400, &json!({"code": "validation_error", "message": "The start_cursor provided is invalid: n1"}));
        assert_eq!(
            ask(&host, Some(&cursor), json!({"results": [page("a", four), page("b", four)]})).0,
            [format!("b@{four}")]
        );
    }

    #[test]
    fn a_wrong_database_is_said() {
        let _host = Host::of::<Notion>();
        let error = poll::<Notion>("page_changed", &json!({"database_id": "../users"}), None).unwrap_err();
        assert_eq!(error.code, "invalid_input");
    }
}
