//! A stand-in for HubSpot: contacts behind the paths of its CRM API, version 3, and its OAuth API of 2026-03.

use axum::response::Response;
use serde_json::{Value, json};

use super::oauth::{Grant, Oauth};
use super::{Fake, answer};
use crate::crm::Received;

/// The access token of a private app.
pub const TOKEN: &str = "pat-na1-canary-9876543210";

const CONTACTS: &str = "/crm/v3/objects/contacts";

/// How HubSpot gives tokens: it answers the scopes as a list.
pub fn oauth() -> Oauth {
    Oauth::new("/oauth/authorize", "/oauth/2026-03/token").token(TOKEN).shape(|mut body| {
        if !body["error"].is_null() {
            return (400, json!({"status": "BAD_AUTH_CODE", "message": "missing or unknown auth code"}));
        }
        let scope = body["scope"].take();
        body["scopes"] = scope.as_str().unwrap_or_default().split(' ').collect::<Vec<_>>().into();
        body["hub_id"] = 33.into();
        (200, body)
    })
}

/// Starts it, with the contacts 51 (Ada), 52 (who has no address) and 53 (whose mailbox is busy).
pub async fn start(oauth: Oauth) -> Fake {
    Fake::start(oauth, respond).await
}

/// The settings and the name of a connection to it.
pub fn connection(fake: &Fake, name: &str) -> Value {
    json!({
        "name": name,
        "connector": "hubspot",
        "config": {"api_url": fake.app.url(), "consent_url": fake.app.url()}
    })
}

/// What HubSpot sends when a contact was made.
pub fn created(contact: u64) -> Value {
    json!({
        "eventId": contact * 100,
        "subscriptionId": 25,
        "portalId": 33,
        "appId": 1160452,
        "occurredAt": 1462216307945_u64,
        "subscriptionType": "contact.creation",
        "attemptNumber": 0,
        "objectId": contact,
        "changeFlag": "CREATED",
        "changeSource": "CRM"
    })
}

fn respond(request: &Received, grant: Option<Grant>) -> Response {
    let Some(grant) = grant else {
        let message = "Authentication credentials not found.";
        return answer(401, error("INVALID_AUTHENTICATION", message));
    };
    if !grant.has(&["crm.objects.contacts.read"]) {
        let message = "This app hasn't been granted all required scopes to make this call.";
        return answer(403, error("MISSING_SCOPES", message));
    }
    let properties = match request.uri.path().strip_prefix(CONTACTS) {
        Some("") => return answer(200, json!({"results": []})),
        Some("/51") => json!({"email": "ada@example.com", "firstname": "Ada"}),
        Some("/52") => json!({"email": null, "firstname": "Bob"}),
        Some("/53") => json!({"email": "busy@example.com", "firstname": "Eve"}),
        _ => return answer(404, error("OBJECT_NOT_FOUND", "resource not found")),
    };
    let id = request.uri.path().rsplit('/').next().unwrap_or_default();
    let time = "2026-01-02T03:04:05.000Z";
    let contact = json!({"id": id, "properties": properties, "createdAt": time, "updatedAt": time, "archived": false});
    answer(200, contact)
}

fn error(category: &str, message: &str) -> Value {
    json!({"status": "error", "category": category, "message": message, "correlationId": "aeb5f871"})
}
