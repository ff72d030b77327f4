//! A deal was updated: its stage becomes the lead status of its contact.

use headgate_sdk::prelude::*;
use hubspot::{Contact, SearchContacts, UpdateContact};

const STATUS: &str = "hs_lead_status";

/// What the CRM's webhook sends when a deal was updated.
#[derive(Deserialize)]
struct DealUpdate {
    deal: Deal,
    contact: Lead,
}

#[derive(Deserialize)]
struct Deal {
    id: String,
    /// The stage's internal name, such as `closedwon`.
    stage: String,
}

#[derive(Deserialize)]
struct Lead {
    email: String,
}

/// What was done.
#[derive(Serialize)]
struct Answer {
    summary: String,
    contact_id: String,
    status_before: Option<String>,
    status: &'static str,
    changed: bool,
}

#[headgate_sdk::flow]
fn update_lead_status(event: Event<DealUpdate>) -> Result<Answer> {
    let DealUpdate { deal, contact: Lead { email } } = event.data;
    let crm = hubspot::Client::open("crm")?;
    let lead = find(&crm, &email)?;
    let status = lead_status(&deal.stage);
    let status_before = lead.property(STATUS).map(str::to_owned);
    let changed = status_before.as_deref() != Some(status);
    if changed {
        crm.update_contact(UpdateContact::by_id(&lead.id).set(STATUS, status))?;
    }
    let verb = if changed { "is now" } else { "already was" };
    let summary = format!("Deal {} is at {}: {email} {verb} {status}.", deal.id, deal.stage);
    log::info!("{summary}");
    Ok(Answer { summary, contact_id: lead.id, status_before, status, changed })
}

fn find(crm: &hubspot::Client, email: &str) -> Result<Contact> {
    let found = crm.search_contacts(SearchContacts::equal("email", email).with(["email", STATUS]).limit(1))?;
    found
        .results
        .into_iter()
        .next()
        .ok_or_else(|| Error::new("not_found", format!("The CRM has no contact with the address {email}.")))
}

fn lead_status(stage: &str) -> &'static str {
    match stage {
        "closedwon" => "CONNECTED",
        "closedlost" => "UNQUALIFIED",
        _ => "OPEN_DEAL",
    }
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, fire};
    use hubspot::SearchResult;
    use serde_json::{Value, json};

    use super::*;

    const EVENT: &str = r#"{"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}}"#;

    fn host_with(contacts: Vec<Value>) -> Host {
        let host = Host::new();
        let page = json!({"total": contacts.len(), "results": contacts});
        host.slot("crm")
            .on("search_contacts", move |_: SearchContacts| Ok(serde_json::from_value::<SearchResult>(page.clone())?))
            .on("update_contact", |input: UpdateContact| {
                Ok(Contact { id: input.id.unwrap_or_default(), properties: input.properties, ..Contact::default() })
            });
        host
    }

    #[test]
    fn updates_the_lead() {
        let host = host_with(vec![json!({"id": "51", "properties": {"hs_lead_status": "NEW"}})]);
        let answer = fire(update_lead_status, Event::post(EVENT)).unwrap();
        assert_eq!(
            answer.body.json::<Value>().unwrap(),
            json!({
                "summary": "Deal 9001 is at closedwon: ada@example.com is now CONNECTED.",
                "contact_id": "51",
                "status_before": "NEW",
                "status": "CONNECTED",
                "changed": true
            })
        );
        let calls = host.calls();
        assert_eq!(calls[0].input["filterGroups"][0]["filters"][0]["value"], "ada@example.com");
        assert_eq!(calls[1].method, "update_contact");
        assert_eq!(calls[1].input, json!({"id": "51", "properties": {"hs_lead_status": "CONNECTED"}}));
    }

    #[test]
    fn leaves_alone_what_is_right() {
        let host = host_with(vec![json!({"id": "51", "properties": {"hs_lead_status": "CONNECTED"}})]);
        let answer = fire(update_lead_status, Event::post(EVENT)).unwrap();
        assert_eq!(answer.body.json::<Value>().unwrap()["changed"], false);
        assert_eq!(host.calls().len(), 1);
    }

    #[test]
    fn an_unknown_lead_is_not_found() {
        let _host = host_with(vec![]);
        let error = fire(update_lead_status, Event::post(EVENT)).unwrap_err();
        assert_eq!(error.code, "not_found");
        assert!(error.message.contains("ada@example.com"), "{error}");
    }

    #[test]
    fn an_event_of_another_shape_is_the_senders_fault() {
        let host = host_with(vec![]);
        let event = Event::post(r#"{"deal": {"id": 9001, "stage": "closedwon"}}"#);
        let answer = fire(update_lead_status, event).unwrap();
        assert_eq!(answer.status, 400);
        let problem: Value = answer.body.json().unwrap();
        assert_eq!((&problem["code"], &problem["path"]), (&json!("invalid_event"), &json!("$.deal.id")));
        assert!(host.calls().is_empty());
    }
}
