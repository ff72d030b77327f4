//! A stand-in for OpenAI: models that repeat what they are told, and some that cannot.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::crm::{Received, StandIn};

/// The API key it takes.
pub const KEY: &str = "sk-proj-canary-0123456789";

/// Starts it; its API is at `/v1`.
pub async fn start() -> StandIn {
    let bearer = format!("Bearer {KEY}");
    StandIn::start(move |request| match request.headers.get("authorization").is_some_and(|v| v == bearer.as_str()) {
        true => answer(request),
        false => fault(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided"),
    })
    .await
}

fn answer(request: &Received) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    if request.uri.path() == "/v1/models" {
        return Json(json!({"object": "list", "data": [{"id": "gpt-5-mini", "object": "model"}]})).into_response();
    }
    match model {
        "busy" => {
            return ([("retry-after", "20")], fault(429, "requests", "rate_limit_exceeded", "Rate limit reached"))
                .into_response();
        }
        "broke" => return fault(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
        "gpt-5-mini" | "text-embedding-3-small" => {}
        _ => return fault(404, "invalid_request_error", "model_not_found", "The model does not exist"),
    }
    match request.uri.path() {
        "/v1/responses" => {
            let text =
                json!({"type": "output_text", "text": format!("You said: {}", body["input"]), "annotations": []});
            let message = json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]});
            let usage = json!({"input_tokens": 3, "output_tokens": 5, "total_tokens": 8});
            let response = json!({
                "id": "resp_1", "object": "response", "created_at": 1_741_476_542, "status": "completed", "error": null,
                "incomplete_details": null, "model": model, "output": [message], "usage": usage,
            });
            Json(response).into_response()
        }
        "/v1/chat/completions" => {
            let said = &body["messages"].as_array().unwrap().last().unwrap()["content"];
            let reply = json!({"role": "assistant", "content": format!("You said: {said}"), "refusal": null, "annotations": []});
            let choice = json!({"index": 0, "message": reply, "logprobs": null, "finish_reason": "stop"});
            let usage = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8});
            let completion = json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_741_569_952, "model": model,
                "choices": [choice], "usage": usage,
            });
            Json(completion).into_response()
        }
        "/v1/embeddings" => {
            let texts = body["input"].as_array().unwrap();
            let vector = |(at, text): (usize, &Value)| json!({"object": "embedding", "index": at, "embedding": [text.as_str().unwrap().len(), 0.5]});
            let data: Vec<_> = texts.iter().enumerate().map(vector).collect();
            let usage = json!({"prompt_tokens": 8, "total_tokens": 8});
            Json(json!({"object": "list", "data": data, "model": model, "usage": usage})).into_response()
        }
        _ => fault(404, "invalid_request_error", "unknown_url", "Invalid URL"),
    }
}

fn fault(status: u16, kind: &str, code: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
