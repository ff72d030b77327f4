//! A new HubSpot lead gets a confirmation mail through Gmail.

use std::collections::BTreeSet;

use gmail::Send;
use headgate_sdk::prelude::*;
use hubspot::{Contact, GetContact};

/// One of the events that HubSpot sends at a time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    /// What happened: `contact.creation`, or for newer apps `object.creation`.
    subscription_type: String,
    /// Of newer apps: what it happened to; `0-1` is a contact.
    object_type_id: Option<String>,
    /// The contact's id. Events about several things, such as associations, have none.
    object_id: Option<u64>,
}

impl Notification {
    fn is_new_contact(&self) -> bool {
        match self.subscription_type.as_str() {
            "contact.creation" => true,
            "object.creation" => self.object_type_id.as_deref() == Some("0-1"),
            _ => false,
        }
    }
}

/// What was done, by the contacts' ids.
#[derive(Default, Serialize)]
struct Answer {
    /// Who got a mail.
    confirmed: Vec<String>,
    /// Who has no address, or was deleted meanwhile.
    skipped: Vec<String>,
    /// For whom something went wrong, and what. Nothing is repeated by itself: this is for a person to read.
    failed: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    contact: String,
    error: String,
    /// Whether the mail may have been sent all the same.
    perhaps_sent: bool,
}

impl Failure {
    fn new(contact: impl Into<String>, error: &Error, perhaps_sent: bool) -> Self {
        let failure = Self { contact: contact.into(), error: error.to_string(), perhaps_sent };
        log::error!("contact {} got no mail, as far as is known: {error}", failure.contact);
        failure
    }
}

/// Whether a mail may have been sent although the call failed: who got no answer, or a half one, does not know. Only a
/// refusal is certain.
fn may_have_sent(error: &Error) -> bool {
    let refusals = [
        "rate_limited",
        "quota_exceeded",
        "unauthorized",
        "forbidden",
        "not_found",
        "invalid_request",
        "invalid_input",
        "message_too_large",
    ];
    !refusals.contains(&error.code.as_str())
}

#[headgate_sdk::flow(slots(crm: hubspot::Client(get_contact), mail: gmail::Client(send)))]
fn confirm_lead(event: Event<Vec<Notification>>) -> Result<Answer> {
    let new = event.data.iter().filter(|notification| notification.is_new_contact());
    // HubSpot may say the same twice in one request.
    let ids: BTreeSet<u64> = new.filter_map(|notification| notification.object_id).collect();
    let (crm, mail) = (hubspot::Client::open("crm")?, gmail::Client::open("mail")?);
    let calls =
        ids.iter().map(|id| crm.calls().get_contact(GetContact::by_id(id.to_string()).with(["email", "firstname"])));
    let contacts = call_all(calls.collect::<Vec<_>>());
    let mut answer = Answer::default();
    let mut leads = Vec::new();
    for (id, contact) in ids.iter().zip(contacts) {
        match contact {
            Ok(contact) => match contact.property("email") {
                Some(email) => leads.push((contact.id.clone(), confirmation(email, &contact))),
                None => answer.skipped.push(contact.id),
            },
            Err(error) if error.code == "not_found" => answer.skipped.push(id.to_string()),
            Err(error) => answer.failed.push(Failure::new(id.to_string(), &error, false)),
        }
    }
    for (contact, message) in leads {
        match mail.send(message) {
            Ok(_) => answer.confirmed.push(contact),
            Err(error) => answer.failed.push(Failure::new(contact, &error, may_have_sent(&error))),
        }
    }
    log::info!(
        "{} confirmed, {} skipped, {} failed",
        answer.confirmed.len(),
        answer.skipped.len(),
        answer.failed.len()
    );
    Ok(answer)
}

fn confirmation(email: &str, contact: &Contact) -> Send {
    let greeting = match contact.property("firstname") {
        Some(name) => format!("Dear {name},"),
        None => "Hello,".to_owned(),
    };
    Send::to(email).subject("We got your message").text(format!(
        "{greeting}\n\nthank you for your interest. One of us will answer you within one working day.\n\nYours,\nAcme\n"
    ))
}

#[cfg(test)]
mod tests {
    use gmail::Sent;
    use headgate_sdk::testing::{Host, fire};
    use serde_json::{Value, json};

    use super::*;

    fn notification(kind: &str, id: u64) -> Value {
        json!({
            "eventId": 3816279340_u64,
            "subscriptionId": 25,
            "portalId": 33,
            "appId": 1160452,
            "occurredAt": 1462216307945_u64,
            "subscriptionType": kind,
            "attemptNumber": 0,
            "objectId": id,
            "changeFlag": "CREATED",
            "changeSource": "CRM"
        })
    }

    /// Contact 51 is Ada, 52 has no address, 53 cannot be written to, 54 cannot be read, of the mail to 55 nothing is
    /// heard; there are no others.
    fn host() -> Host {
        let host = Host::new();
        host.slot("crm").on("get_contact", |input: GetContact| {
            let properties = match input.id.as_deref() {
                Some("51") => json!({"email": "ada@example.com", "firstname": "Ada"}),
                Some("52") => json!({"email": null}),
                Some("53") => json!({"email": "full@example.com"}),
                Some("55") => json!({"email": "slow@example.com"}),
                Some("54") => return Err(Error::new("rate_limited", "Slowly.").retryable()),
                _ => return Err(Error::new("not_found", "resource not found")),
            };
            Ok(serde_json::from_value::<Contact>(json!({"id": input.id, "properties": properties}))?)
        });
        host.slot("mail").on("send", |message: Send| {
            if message.to == ["full@example.com"] {
                return Err(Error::new("rate_limited", "Slowly.").retryable());
            }
            if message.to == ["slow@example.com"] {
                return Err(Error::new("timeout", "No answer.").retryable());
            }
            Ok(Sent { id: "18c1".into(), ..Sent::default() })
        });
        host
    }

    fn answer(events: &[Value]) -> Result<Value> {
        fire(confirm_lead, Event::post(json!(events).to_string()))?.body.json()
    }

    #[test]
    fn a_new_lead_gets_a_mail() {
        let host = host();
        let events = [notification("contact.creation", 51), notification("contact.propertyChange", 53)];
        let done = answer(&events).unwrap();
        assert_eq!(done, json!({"confirmed": ["51"], "skipped": [], "failed": []}));
        let sent = &host.slot("mail").calls()[0].input;
        assert_eq!((&sent["to"], &sent["subject"]), (&json!(["ada@example.com"]), &json!("We got your message")));
        assert!(sent["text"].as_str().unwrap().starts_with("Dear Ada,\n"));
    }

    #[test]
    fn newer_apps_say_it_otherwise_and_twice() {
        let host = host();
        let mut event = notification("object.creation", 51);
        event["objectTypeId"] = "0-1".into();
        let mut company = notification("object.creation", 53);
        company["objectTypeId"] = "0-2".into();
        assert_eq!(answer(&[event.clone(), event, company]).unwrap()["confirmed"], json!(["51"]));
        assert_eq!(host.slot("mail").calls().len(), 1);
    }

    #[test]
    fn who_cannot_be_written_to_is_skipped() {
        let host = host();
        let events = [notification("contact.creation", 52), notification("contact.creation", 99)];
        assert_eq!(answer(&events).unwrap()["skipped"], json!(["52", "99"]));
        assert!(host.slot("mail").calls().is_empty());
    }

    #[test]
    fn one_contacts_failure_is_not_the_others() {
        let host = host();
        let done = answer(&[53, 54, 55, 51].map(|id| notification("contact.creation", id))).unwrap();
        assert_eq!(done["confirmed"], json!(["51"]));
        let failed = done["failed"].as_array().unwrap().iter().map(|one| (&one["contact"], &one["perhaps_sent"]));
        let (no, perhaps) = (json!(false), json!(true));
        assert_eq!(
            failed.collect::<Vec<_>>(),
            [(&json!("54"), &no), (&json!("53"), &no), (&json!("55"), &perhaps)],
            "only who did not answer may have sent the mail"
        );
        assert_eq!(host.slot("mail").calls().len(), 3);
    }

    #[test]
    fn an_event_about_two_things_is_left_alone() {
        let _host = host();
        let association = json!({
            "subscriptionType": "contact.associationChange",
            "associationType": "CONTACT_TO_COMPANY",
            "fromObjectId": 51,
            "toObjectId": 7
        });
        assert_eq!(answer(&[association, notification("contact.creation", 51)]).unwrap()["confirmed"], json!(["51"]));
    }

    #[test]
    fn an_event_of_another_shape_is_the_senders_fault() {
        let _host = host();
        let answer = fire(confirm_lead, Event::post(r#"[{"objectId": 51}]"#)).unwrap();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body.json::<Value>().unwrap()["path"], "$[0]");
    }
}
