//! The trigger `new_contact`: a search by the time of creation.

use headgate_sdk::polling::{Found, Window, millis};
use headgate_sdk::prelude::*;

use crate::types::{Contact, Direction, Filter, FilterGroup, NewContact, Operator, SearchContacts, SearchResult, Sort};
use crate::{answer, contacts};

const CREATED: &str = "createdate";
/// How many contacts one poll asks for.
const PAGE: u32 = 100;
/// How many contacts of one page are on the next one, too: pages are counted, and when a contact vanishes from those
/// before, all behind it move up.
const OVERLAP: u32 = 20;
/// HubSpot pages through so many results of one search.
const MOST_RESULTS: u32 = 10_000;
/// How long HubSpot's search may lag behind its writes, in milliseconds. It says a few seconds.
const LAG: i64 = 5 * 60 * 1_000;

/// Begins after the newest contact that there is.
pub(crate) fn begin() -> Result<Polled<Contact, Window>> {
    let SearchResult { results, .. } = search(SearchContacts {
        sorts: vec![Sort { property_name: CREATED.into(), direction: Direction::Descending }],
        limit: Some(PAGE),
        ..SearchContacts::default()
    })?;
    let newest = results.iter().filter_map(created).max().unwrap_or_default();
    let there = results.into_iter().filter(|contact| created(contact) == Some(newest)).map(|contact| contact.id);
    Ok(Polled::new(Window::starting_at(newest, there)))
}

/// Asks for one page of what was created since.
pub(crate) fn poll(input: &NewContact, window: Window) -> Result<Polled<Contact, Window>> {
    let since = Filter {
        property_name: CREATED.into(),
        operator: Operator::Gte,
        value: Some(window.from().to_string()),
        high_value: None,
        values: Vec::new(),
    };
    let filters = std::iter::once(since).chain(input.filters.iter().cloned()).collect();
    let SearchResult { results, paging, .. } = search(SearchContacts {
        filter_groups: vec![FilterGroup { filters }],
        sorts: vec![Sort { property_name: CREATED.into(), direction: Direction::Ascending }],
        properties: input.properties.clone(),
        limit: Some(PAGE),
        after: window.page().map(str::to_owned),
        ..SearchContacts::default()
    })?;
    let next = paging.and_then(|paging| paging.next).and_then(|next| next_page(window.page(), &next.after));
    let unknown = window.newest();
    let found = results.into_iter().map(|contact| Found {
        id: contact.id.clone(),
        millis: created(&contact).unwrap_or(unknown),
        data: contact,
    });
    Ok(window.take(found, next, LAG))
}

/// Where the next page begins; nowhere where HubSpot would page no further: the search begins anew then, from the newest
/// contact on.
fn next_page(page: Option<&str>, after: &str) -> Option<String> {
    let here = page.and_then(|page| page.parse::<u32>().ok()).unwrap_or_default();
    let after = after.parse::<u32>().ok().filter(|after| *after > here)?;
    // Each page begins behind the one before, so that they come to an end.
    let next = Some(after.saturating_sub(OVERLAP)).filter(|next| *next > here).unwrap_or(after);
    (next <= MOST_RESULTS - PAGE).then(|| next.to_string())
}

fn search(search: SearchContacts) -> Result<SearchResult> {
    answer::read(http::post(contacts(None)? + "/search").json(&search).send()?)
}

fn created(contact: &Contact) -> Option<i64> {
    millis(contact.created_at.as_deref()?)
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, poll};
    use serde_json::{Value, json};

    use crate::Hubspot;

    const SEARCH: &str = "https://api.hubapi.com/crm/v3/objects/contacts/search";

    fn contact(id: &str, second: u32) -> Value {
        let time = format!("2026-01-02T03:04:{second:02}.678Z");
        json!({"id": id, "properties": {"email": null}, "createdAt": time, "updatedAt": time, "archived": false})
    }

    fn ask(host: &Host, cursor: Option<&Value>, answer: Value) -> (Vec<String>, Value, bool) {
        host.http("POST", SEARCH).answer(200, &answer);
        let polled = poll::<Hubspot>("new_contact", &json!({"properties": ["email"]}), cursor).unwrap();
        (polled.records.into_iter().map(|record| record.id).collect(), polled.cursor, polled.more)
    }

    #[test]
    fn begins_from_now_and_tells_each_contact_once() {
        let host = Host::of::<Hubspot>();
        let there = json!({"total": 3, "results": [contact("3", 5), contact("2", 5), contact("1", 4)]});
        let (told, cursor, more) = ask(&host, None, there);
        assert_eq!((told, more), (vec![], false));
        assert_eq!(host.requests()[0].json()["sorts"][0]["direction"], "DESCENDING");

        // One more of the same millisecond, and a page with a next one.
        let page = json!({
            "total": 5,
            "results": [contact("2", 5), contact("3", 5), contact("4", 5), contact("5", 6)],
            "paging": {"next": {"after": "100"}}
        });
        let (told, cursor, more) = ask(&host, Some(&cursor), page);
        assert_eq!((told, more), (vec!["4".to_owned(), "5".into()], true));
        let request = host.requests()[1].json();
        let since = json!([{"propertyName": "createdate", "operator": "GTE", "value": "1767323045678"}]);
        assert_eq!(request["filterGroups"][0]["filters"], since);
        assert_eq!((&request["properties"], request.get("after")), (&json!(["email"]), None));

        let last = json!({"total": 5, "results": [contact("6", 7)]});
        let (told, cursor, more) = ask(&host, Some(&cursor), last);
        assert_eq!((told, more), (vec!["6".to_owned()], false));
        assert_eq!(host.requests()[2].json()["after"], "80");

        // HubSpot shows it late, after a newer one.
        let late = [contact("4", 5), contact("5", 6), contact("late", 6), contact("6", 7)];
        assert_eq!(ask(&host, Some(&cursor), json!({"total": 4, "results": late})).0, ["late"]);
    }

    #[test]
    fn a_contact_that_vanishes_hides_none_behind_it() {
        let host = Host::of::<Hubspot>();
        let all: Vec<_> = (1..=150).map(|number| contact(&format!("c{number}"), number / 3)).collect();
        let (_, cursor, _) = ask(&host, None, json!({"total": 0, "results": []}));
        let page = json!({"total": 150, "results": all[..100], "paging": {"next": {"after": "100"}}});
        let (mut told, cursor, more) = ask(&host, Some(&cursor), page);
        assert_eq!((told.len(), more), (100, true));

        // Ten of the first page are gone: what was at 90 is at 80.
        let (rest, _, more) = ask(&host, Some(&cursor), json!({"total": 140, "results": all[90..]}));
        told.extend(rest);
        assert_eq!((told.len(), more), (150, false));
        assert_eq!(told.last().map(String::as_str), Some("c150"));
    }

    #[test]
    fn each_page_begins_behind_the_one_before() {
        for (page, after, next) in [
            (None, "100", Some("80")),
            (Some("80"), "180", Some("160")),
            (None, "20", Some("20")),
            (Some("80"), "95", Some("95")),
            (Some("80"), "80", None),
            (Some("80"), "7", None),
            (Some("9820"), "9920", Some("9900")),
            (Some("9840"), "9940", None),
            (None, "a name", None),
        ] {
            assert_eq!(super::next_page(page, after).as_deref(), next, "{page:?} {after}");
        }
    }

    #[test]
    fn pages_end_where_hubspot_pages_no_further() {
        let host = Host::of::<Hubspot>();
        let (_, cursor, _) = ask(&host, None, json!({"total": 0, "results": []}));
        let page = json!({"total": 20_000, "results": [contact("1", 1)], "paging": {"next": {"after": "10000"}}});
        let (told, cursor, more) = ask(&host, Some(&cursor), page);
        assert_eq!((told.len(), more), (1, false));
        ask(&host, Some(&cursor), json!({"total": 0, "results": []}));
        assert_ne!(host.requests()[2].json()["filterGroups"][0]["filters"][0]["value"], "0");
    }

    #[test]
    fn a_limit_says_when_to_ask_again() {
        let host = Host::of::<Hubspot>();
        let body =
            json!({"status": "error", "message": "You have reached your secondly limit.", "category": "RATE_LIMITS"});
        let headers = [("retry-after", "10"), ("content-type", "application/json")].into_iter().collect();
        let bytes = body.to_string().into_bytes();
        host.http("POST", SEARCH).answer_with(headgate_sdk::http::Response { status: 429, headers, bytes });
        let error = poll::<Hubspot>("new_contact", &json!({}), None).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("rate_limited", true));
        assert_eq!(error.details.unwrap()["retry_after_seconds"], 10);
    }
}
