//! A stand-in for Mailchimp Transactional, which takes its key in the body of each request.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::crm::{Received, StandIn};

/// The API key it takes.
pub const KEY: &str = "md-canary-0123456789";

/// Starts it with the template `order-confirmation`; its API is at `/api/1.0`.
pub async fn start() -> StandIn {
    StandIn::start(answer).await
}

fn answer(request: &Received) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if body["key"] != KEY {
        return fault(-1, "Invalid_Key", "Invalid API key");
    }
    let message = &body["message"];
    match request.uri.path() {
        "/api/1.0/users/ping2" => Json(json!({"PING": "PONG!"})).into_response(),
        "/api/1.0/messages/send" => send(message),
        "/api/1.0/messages/send-template" if body["template_name"] == "order-confirmation" => send(message),
        "/api/1.0/messages/send-template" => fault(5, "Unknown_Template", "No such template"),
        _ => (StatusCode::NOT_FOUND, "not found").into_response(),
    }
}

fn send(message: &Value) -> Response {
    let Some(to) = message["to"].as_array().filter(|to| !to.is_empty()) else {
        return fault(-2, "ValidationError", "Validation error: {\"message\":{\"to\":\"Please enter an array\"}}");
    };
    let outcome = |(at, recipient): (usize, &Value)| match recipient["email"].as_str().unwrap() {
        gone if gone.starts_with("gone@") => {
            json!({"email": gone, "status": "rejected", "_id": format!("m{at}"), "reject_reason": "hard-bounce"})
        }
        email => {
            json!({"email": email, "status": "sent", "_id": format!("m{at}"), "reject_reason": null, "queued_reason": null})
        }
    };
    Json(to.iter().enumerate().map(outcome).collect::<Value>()).into_response()
}

/// Nearly all errors have the status 500.
fn fault(code: i64, name: &str, message: &str) -> Response {
    let body = json!({"status": "error", "code": code, "name": name, "message": message});
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}
