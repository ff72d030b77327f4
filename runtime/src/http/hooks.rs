//! Webhooks: everything that is not management. Credentials are taken out of a request before anything else sees it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use uuid::Uuid;

use crate::http::client_address::client_address;
use crate::http::extract::{API_KEY, BODY_TIMEOUT, read_body};
use crate::http::limits;
use crate::http::problem::{Problem, RUN_ID};
use crate::http::{ApiState, usage};
use crate::service::access::{KeyPlace, Presented};
use crate::service::hooks::{Admitted, Answer, Call, Request as HookRequest, Target};

/// The answer to an asynchronous webhook.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The run's id.
    pub run: Uuid,
    /// Where it stands: `queued`.
    pub status: String,
}

/// What a URL says, without the credentials that were in it.
struct Address {
    target: Target,
    query: Vec<(String, String)>,
    profile: Option<String>,
}

/// What the flow is to be told, and the body that is still to be read.
struct Event<'a> {
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The headers as they were sent, for the body's length.
    sent: &'a HeaderMap,
    body: Body,
}

/// Receives a webhook.
pub async fn receive(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut presented = Presented::default();
    let mut headers = take_headers(&parts.headers, &mut presented);
    let mut address = take_address(&parts.uri, &mut presented);
    presented.keep_back(&mut headers);
    presented.keep_back(&mut address.query);
    let call = Call {
        target: &address.target,
        presented: &presented,
        method: parts.method.as_str(),
        profile: address.profile.as_deref(),
        address: client_address(&parts.extensions),
        seen: &usage::seen(&parts.extensions),
    };
    let admitted = api.service.admit(&call).await;
    let mut admitted = admitted.inspect_err(|error| api.service.note_refused(error, presented.id(), call.address))?;
    let event = Event { headers, query: address.query, sent: &parts.headers, body };
    let answer = answer(&api, &mut admitted, &call, event).await;
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if let Some(standing) = admitted.standing() {
        limits::write(response.headers_mut(), &standing);
    }
    Ok(response)
}

/// Reads the body and runs the flow.
async fn answer(
    api: &ApiState,
    admitted: &mut Admitted,
    call: &Call<'_>,
    event: Event<'_>,
) -> Result<Response, Problem> {
    let body = read_body(event.sent, event.body, admitted.max_body(&api.service), BODY_TIMEOUT).await?;
    call.seen.received(body.len() as u64);
    api.service.confirm(admitted, call)?;
    let (query, headers) = (event.query, event.headers);
    let request = HookRequest { method: call.method.to_owned(), path: "/".to_owned(), query, headers, body };
    Ok(match api.service.fire(admitted, request).await? {
        Answer::Response { run, response } => {
            let mut answer = (response.status, response.headers, response.body).into_response();
            answer.headers_mut().insert(RUN_ID, run_header(run));
            answer
        }
        Answer::Accepted { run } => {
            let body = axum::Json(Accepted { run, status: "queued".to_owned() });
            (StatusCode::ACCEPTED, [(RUN_ID, run_header(run))], body).into_response()
        }
    })
}

fn run_header(run: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(run.hyphenated().encode_lower(&mut text)).expect("a UUID is a header value")
}

/// Headers for the flow. Keys are taken out, and so is whatever else authenticates the sender to somebody.
fn take_headers(headers: &HeaderMap, presented: &mut Presented) -> Vec<(String, String)> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let kept_back = match name.as_str() {
            "authorization" => {
                presented.add_header(&text);
                true
            }
            API_KEY => presented.add_key_header(&text),
            "cookie" | "proxy-authorization" => true,
            _ => false,
        };
        if !kept_back {
            kept.push((name.as_str().to_owned(), text.into_owned()));
        }
    }
    kept
}

fn take_address(uri: &Uri, presented: &mut Presented) -> Address {
    let mut profile = None;
    let mut query = Vec::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "api_key" | "auth-key" if presented.add(&value, KeyPlace::Query) => {}
            "_profile" => profile = Some(value.into_owned()),
            _ => query.push((name.into_owned(), value.into_owned())),
        }
    }
    let mut segments = uri.path().split('/').skip(1);
    let segments = [segments.next(), segments.next(), segments.next(), segments.next()];
    let target = match segments {
        [Some("hooks"), Some(routing_key), None, _] => Target::Hook(routing_key.parse().ok()),
        [Some("hooks"), Some(routing_key), Some(key), None] if presented.add(key, KeyPlace::Path) => {
            Target::Hook(routing_key.parse().ok())
        }
        [Some("flows"), Some(flow), Some("execute"), None] => Target::Execute(flow.parse().ok()),
        _ => Target::Nothing,
    };
    Address { target, query, profile }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "hg_test_";

    #[test]
    fn credentials_go_no_further() {
        let mut presented = Presented::default();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Basic c2VuZGVyOnNlY3JldA=="));
        headers.insert("x-api-key", HeaderValue::from_static("hg_test_mistyped"));
        headers.insert("cookie", HeaderValue::from_static("session=1"));
        headers.insert("x-github-event", HeaderValue::from_static("push"));
        let kept = take_headers(&headers, &mut presented);
        assert_eq!(kept, [("x-github-event".to_owned(), "push".to_owned())]);

        let uri = format!("/hooks/abc?api_key={KEY}mistyped&a=1&_profile=test&b=%20x").parse().unwrap();
        let address = take_address(&uri, &mut presented);
        assert_eq!(address.query, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), " x".to_owned())]);
        assert_eq!(address.profile.as_deref(), Some("test"));
    }

    #[test]
    fn paths_and_their_targets() {
        let routing_key = "a".repeat(24);
        let target = |path: &str| take_address(&path.parse().unwrap(), &mut Presented::default()).target;
        for path in [format!("/hooks/{routing_key}"), format!("/hooks/{routing_key}/{KEY}mistyped")] {
            assert!(matches!(target(&path), Target::Hook(Some(_))), "{path}");
        }
        assert!(matches!(target("/hooks/short"), Target::Hook(None)));
        assert!(matches!(target("/flows/flw_abcdefghij0123456789/execute"), Target::Execute(Some(_))));
        assert!(matches!(target("/flows/other/execute"), Target::Execute(None)));
        let below = format!("/hooks/{routing_key}/no-key");
        for path in ["/", "/hooks", &below, "/hooks/a/b/c", "/flows/a", "/flows/a/execute/b", "/else"] {
            assert!(matches!(target(path), Target::Nothing), "{path}");
        }
    }
}
