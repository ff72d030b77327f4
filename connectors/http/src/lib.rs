//! Any REST API: one method, `request`.
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use http_connector::Request;
//!
//! # fn example() -> Result<()> {
//! let shop = http_connector::Client::open("shop")?;
//! let order = shop.request(Request::get("/orders/7").query("expand", "lines"))?.success()?;
//! let total = order.json.and_then(|order| order["total"].as_f64());
//! # let _ = total; Ok(())
//! # }
//! ```

mod samples;
mod types;

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use headgate_sdk::prelude::*;

pub use types::{Answer, Request, Verb};

/// How large a text an answer may hold inline, in bytes; larger ones become a blob.
const INLINE_TEXT: usize = 1024 * 1024;

/// The connector.
#[derive(Debug)]
pub struct Http;

#[headgate_sdk::connector]
impl Http {
    fn manifest() -> Manifest {
        let secret = |title: &str| SecretField::new("key", title).description("As the API's provider gave it to you.");
        Manifest::new("http", "HTTP")
            .description("Any REST API, below one base URL.")
            .config(
                ConfigField::new("base_url", "Base URL")
                    .description("Every request goes below it, e.g. https://api.example.com/v1.")
                    .required(),
            )
            .config(
                ConfigField::new("header_name", "Header")
                    .description("For the authentication by header: its name.")
                    .default_value("X-API-Key"),
            )
            .config(
                ConfigField::new("query_name", "Query parameter")
                    .description("For the authentication by query: the parameter's name.")
                    .default_value("api_key"),
            )
            .base_url("${config.base_url}")
            .auth(Auth::bearer("bearer", "Bearer token", secret("Token")))
            .auth(Auth::header("header", "Key in a header", "${config.header_name}", secret("Key")))
            .auth(Auth::basic(
                "basic",
                "User name and password",
                SecretField::new("username", "User name"),
                SecretField::new("password", "Password"),
            ))
            .auth(Auth::query("query", "Key in the query", "${config.query_name}", secret("Key")))
            .auth(Auth::none())
            .verification("GET", "/")
    }

    /// Sends a request below the base URL and answers its status, headers and body, whatever the status is.
    ///
    /// The body of the answer comes as `json` when it is JSON, as `text` when it is text, otherwise as a `blob`.
    #[method(sample = samples::answer)]
    fn request(input: Request) -> Result<Answer> {
        let base = config("base_url")
            .ok_or_else(|| Error::new("invalid_config", "The connection's setting base_url is missing."))?;
        let path = input.path.trim_start_matches('/');
        let mut request = http::Request::new(input.method.name(), format!("{}/{path}", base.trim_end_matches('/')));
        for (name, value) in &input.query {
            request = request.query(name, value);
        }
        for (name, value) in &input.headers {
            request = request.header(name, value);
        }
        answer(with_body(request, input)?.send()?)
    }
}

/// Puts on the body, which is one of four kinds or none.
fn with_body(request: http::Request, input: Request) -> Result<http::Request> {
    match (input.json, input.text, input.base64, input.blob) {
        (None, None, None, None) => Ok(request),
        (Some(json), None, None, None) => Ok(request.json(&json)),
        (None, Some(text), None, None) => Ok(request.bytes("text/plain; charset=utf-8", text)),
        (None, None, Some(base64), None) => {
            let bytes = BASE64.decode(base64).map_err(|error| {
                Error::new("invalid_input", format!("The body base64 is not base64 (RFC 4648): {error}."))
                    .details(serde_json::json!({"path": "$.base64"}))
            })?;
            Ok(request.bytes("application/octet-stream", bytes))
        }
        (None, None, None, Some(blob)) => Ok(request.blob(blob)),
        _ => Err(Error::new("invalid_input", "Give one body: json, text, base64 or blob.")),
    }
}

fn answer(response: http::Response) -> Result<Answer> {
    let http::Response { status, headers, bytes } = response;
    let content_type = headers.get("content-type").unwrap_or("application/octet-stream").to_ascii_lowercase();
    let mut answer = Answer {
        status,
        headers: headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..Answer::default()
    };
    if bytes.is_empty() {
        return Ok(answer);
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type == "application/json" || media_type.ends_with("+json") {
        answer.json = serde_json::from_slice(&bytes).ok();
    }
    if answer.json.is_none() {
        let is_text = media_type.starts_with("text/") || media_type.ends_with("json") || media_type.ends_with("xml");
        match String::from_utf8(bytes) {
            Ok(text) if is_text && text.len() <= INLINE_TEXT => answer.text = Some(text),
            Ok(text) => answer.blob = Some(Blob::from_bytes(&content_type, text.as_bytes())?),
            Err(error) => answer.blob = Some(Blob::from_bytes(&content_type, error.as_bytes())?),
        }
    }
    Ok(answer)
}
