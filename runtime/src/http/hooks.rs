//! Webhooks: everything that is not management. Credentials are taken out of a request before anything else sees it.

mod address;
mod cors;

use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::challenge::{Handshake, Subscription};
use crate::domain::cors::Cors;
use crate::http::client_address::client_address;
use crate::http::extract::{BODY_TIMEOUT, read_body};
use crate::http::hooks::address::{Address, take_address, take_headers};
use crate::http::limits;
use crate::http::problem::{Problem, RUN_ID};
use crate::http::server::AsSent;
use crate::http::{ApiState, usage};
use crate::service::access::Presented;
use crate::service::hooks::{Admitted, Answer, Call, Fired, Request as HookRequest, Target};

/// The header that marks the answer to an earlier request of the same idempotency key.
const REPLAYED: &str = "idempotency-replayed";

/// The answer to an asynchronous webhook.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The run's id.
    pub run: Uuid,
    /// Where it stands: `queued`.
    pub status: String,
}

/// What the flow is to be told, and the body that is still to be read.
struct Event<'a> {
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// The request as it was sent, for the body's length and for signatures of its URL.
    sent: &'a Parts,
    body: Body,
}

/// Receives a webhook. What a browser asks beforehand is answered alike for every path.
pub async fn receive(State(api): State<ApiState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(answer) = cors::preflight(&parts) {
        return answer;
    }
    let crossing = OnceLock::new();
    let mut response = let_in(&api, &parts, body, &crossing).await.unwrap_or_else(IntoResponse::into_response);
    if let Some(rule) = crossing.get() {
        cors::write(response.headers_mut(), rule, parts.headers.get(header::ORIGIN));
    }
    response
}

/// Has a request decided, and answered where it may fire its trigger.
async fn let_in(api: &ApiState, parts: &Parts, body: Body, crossing: &OnceLock<Cors>) -> Result<Response, Problem> {
    let mut presented = Presented::default();
    let mut headers = take_headers(&parts.headers, &mut presented);
    let Address { target, mut query, profile } =
        take_address(&parts.uri, &mut presented, || api.service.group_at(address::host(parts)?));
    presented.keep_back(&mut headers);
    presented.keep_back(&mut query);
    // The answer to HEAD is the one to GET without its body, which the connection leaves out.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    let call = Call {
        target: &target,
        presented: &presented,
        method: method.as_str(),
        profile: profile.as_deref(),
        address: client_address(&parts.extensions),
        origin: parts.headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()),
        crossing,
        subscribes: Subscription::of(method.as_str(), &query).is_some(),
        seen: &usage::seen(&parts.extensions),
    };
    let admitted = api.service.admit(&call).await;
    let mut admitted = admitted.inspect_err(|error| api.service.note_refused(error, presented.id(), call.address))?;
    let event = Event { headers, query, sent: parts, body };
    let answer = answer(api, &mut admitted, &call, event).await;
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
    let body = read_body(&event.sent.headers, event.body, admitted.max_body(&api.service), BODY_TIMEOUT).await?;
    call.seen.received(body.len() as u64);
    api.service.confirm(admitted, call)?;
    let (query, headers) = (event.query, event.headers);
    let url = admitted.signs_url().then(|| called(api, event.sent));
    // Below a routing key there is nothing; below a group's root there is the whole template.
    let path = match call.target {
        Target::Path { path, .. } => path.clone(),
        _ => "/".to_owned(),
    };
    let request = HookRequest { method: call.method.to_owned(), path, query, headers, body, url };
    let Fired { outcome, replayed } = api.service.fire(admitted, request).await?;
    let mut response = match outcome {
        Ok(Answer::Response { run, response }) => {
            let mut answer = (response.status, response.headers, response.body).into_response();
            answer.headers_mut().insert(RUN_ID, run_header(run));
            answer
        }
        Ok(Answer::Handshake(Handshake { content_type, body })) => {
            // The body repeats what was sent: no browser is to find anything else in it.
            ([(CONTENT_TYPE, content_type), (X_CONTENT_TYPE_OPTIONS, "nosniff")], body).into_response()
        }
        Ok(Answer::Accepted { run }) => {
            let body = axum::Json(Accepted { run, status: "queued".to_owned() });
            (StatusCode::ACCEPTED, [(RUN_ID, run_header(run))], body).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    };
    // What the flow may have said of it counts no more than in other headers of the server's own.
    response.headers_mut().remove(REPLAYED);
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The URL as its caller wrote it, keys and all: below the server's own, or at a group's host name.
fn called(api: &ApiState, sent: &Parts) -> SecretString {
    let uri = sent.extensions.get::<AsSent>().map_or(&sent.uri, |AsSent(uri)| uri);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let group = address::host(sent).and_then(|host| api.service.group_at(host));
    match group {
        Some(group) => SecretString::from(format!("{}{target}", api.service.root_of(&group))),
        None => SecretString::from(format!("{}{target}", api.public_url)),
    }
}

fn run_header(run: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(run.hyphenated().encode_lower(&mut text)).expect("a UUID is a header value")
}
