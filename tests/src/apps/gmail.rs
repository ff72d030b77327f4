//! A stand-in for Gmail: answers in the shapes of the Gmail API, version 1.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::oauth::{Grant, Oauth};
use super::{Fake, answer, later, query};
use crate::crm::Received;

const SCOPES: &str = "https://www.googleapis.com/auth/";
const MESSAGES: &str = "/gmail/v1/users/me/messages";

/// How Google gives tokens.
pub fn oauth() -> Oauth {
    Oauth::new("/o/oauth2/v2/auth", "/token")
}

/// Starts it, with three messages in the mailbox. Mail to `busy@example.com` comes too fast.
pub async fn start(oauth: Oauth) -> Fake {
    Fake::start(oauth, respond).await
}

/// The settings and the name of a connection to it.
pub fn connection(fake: &Fake, name: &str) -> Value {
    let url = fake.app.url();
    json!({
        "name": name,
        "connector": "gmail",
        "auth": "oauth",
        "config": {
            "api_url": fake.at("/gmail/v1"),
            "upload_url": fake.at("/upload/gmail/v1"),
            "consent_url": url,
            "oauth_url": url
        }
    })
}

/// The messages that were sent, as they travelled.
pub fn sent(fake: &Fake) -> Vec<String> {
    let bodies = fake.bodies(&format!("{MESSAGES}/send"));
    let decode = |body: &Value| String::from_utf8(URL_SAFE.decode(body["raw"].as_str()?).ok()?).ok();
    bodies.iter().filter_map(decode).collect()
}

fn respond(request: &Received, grant: Option<Grant>) -> Response {
    let Some(grant) = grant else {
        return fault(401, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials.");
    };
    let sends = ["gmail.send", "gmail.compose", "gmail.modify"].map(|name| format!("{SCOPES}{name}"));
    let reads = ["gmail.readonly", "gmail.modify"].map(|name| format!("{SCOPES}{name}"));
    let may = |scopes: &[String]| grant.has(&scopes.iter().map(String::as_str).collect::<Vec<_>>());
    let path = request.uri.path();
    let allowed = if path.ends_with("/messages/send") { may(&sends) } else { may(&reads) };
    if !allowed {
        let message = "Request had insufficient authentication scopes.";
        return fault(403, "PERMISSION_DENIED", "insufficientPermissions", message);
    }
    match (request.method.as_str(), path) {
        ("GET", "/gmail/v1/users/me/profile") => {
            answer(200, json!({"emailAddress": "sales@example.com", "messagesTotal": 3, "historyId": "1"}))
        }
        ("POST", "/gmail/v1/users/me/messages/send") => send(request),
        ("GET", MESSAGES) => list(request),
        ("GET", "/gmail/v1/users/me/messages/18c1") if query(request)["format"] == "full" => answer(200, message()),
        ("GET", "/gmail/v1/users/me/messages/18c1/attachments/ANGjdJ8") => {
            answer(200, json!({"size": 3, "data": "YSxi"}))
        }
        _ => fault(404, "NOT_FOUND", "notFound", "Requested entity was not found."),
    }
}

fn send(request: &Received) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let raw = URL_SAFE.decode(body["raw"].as_str().unwrap_or_default()).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw).into_owned();
    let headers = raw.split("\r\n\r\n").next().unwrap_or_default();
    if !headers.contains("To: ") {
        return fault(400, "INVALID_ARGUMENT", "invalidArgument", "Recipient address required");
    }
    if headers.contains("busy@example.com") {
        let body = error(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "User-rate limit exceeded.");
        return later(30, 429, body);
    }
    answer(200, json!({"id": "18c9", "threadId": body["threadId"].as_str().unwrap_or("18c9"), "labelIds": ["SENT"]}))
}

/// One message a page, whatever is asked for.
fn list(request: &Received) -> Response {
    let found = |id: &str| json!([{"id": id, "threadId": id}]);
    let page = match query(request).get("pageToken").map(String::as_str) {
        None => json!({"messages": found("18c1"), "nextPageToken": "t2", "resultSizeEstimate": 2}),
        Some("t2") => json!({"messages": found("18c2"), "resultSizeEstimate": 2}),
        Some(_) => return fault(400, "INVALID_ARGUMENT", "invalidArgument", "Invalid pageToken"),
    };
    answer(200, page)
}

fn message() -> Value {
    json!({
        "id": "18c1",
        "threadId": "18c1",
        "labelIds": ["INBOX", "UNREAD"],
        "snippet": "Grüße",
        "sizeEstimate": 2041,
        "historyId": "1",
        "internalDate": "1767322800000",
        "payload": {
            "partId": "",
            "mimeType": "multipart/mixed",
            "filename": "",
            "headers": [
                {"name": "From", "value": "Ada <ada@example.com>"},
                {"name": "Subject", "value": "Hello"},
                {"name": "Message-ID", "value": "<a1@mail.example.com>"}
            ],
            "body": {"size": 0},
            "parts": [
                {"partId": "0", "mimeType": "text/plain", "filename": "", "body": {"size": 7, "data": "R3LDvMOfZQ=="}},
                {
                    "partId": "1",
                    "mimeType": "text/csv",
                    "filename": "a.csv",
                    "body": {"attachmentId": "ANGjdJ8", "size": 3}
                }
            ]
        }
    })
}

fn fault(status: u16, name: &str, reason: &str, message: &str) -> Response {
    answer(status, error(status, name, reason, message))
}

/// Google's errors.
pub(super) fn error(status: u16, name: &str, reason: &str, message: &str) -> Value {
    json!({"error": {
        "code": status,
        "message": message,
        "status": name,
        "errors": [{"message": message, "domain": "global", "reason": reason}]
    }})
}
