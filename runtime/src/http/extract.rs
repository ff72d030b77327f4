//! What handlers take from a request. Whoever calls is told first who they are not.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::http::client_address::client_address;
use crate::http::limits::StandingNote;
use crate::http::problem::Problem;
use crate::http::{ApiState, usage};
use crate::service::access::{Actor, Presented, Who};
use crate::service::error::ServiceError;

/// The header for an API key alone.
pub const API_KEY: &str = "x-api-key";

/// How long a sender may take over its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a sender may take over a component: 64 MiB at 2 Mbit/s.
const MODULE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl FromRequestParts<ApiState> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let address = client_address(&parts.extensions);
        let presented = presented(&parts.headers);
        let found = api.service.authenticate_actor(&presented, address).await;
        let (actor, standing) = found.inspect_err(|error| api.service.note_refused(error, presented.id(), address))?;
        if let Who::Key(key) = actor.who() {
            usage::seen(&parts.extensions).key(key);
        }
        if let (Some(note), Some(standing)) = (parts.extensions.get::<StandingNote>(), standing) {
            note.leave(standing);
        }
        Ok(actor)
    }
}

fn presented(headers: &HeaderMap) -> Presented {
    let mut presented = Presented::default();
    for value in headers.get_all(header::AUTHORIZATION) {
        presented.add_header(&String::from_utf8_lossy(value.as_bytes()));
    }
    for value in headers.get_all(API_KEY) {
        presented.add_key_header(&String::from_utf8_lossy(value.as_bytes()));
    }
    presented
}

/// Parts of the path. A part that cannot be a name or an id names nothing: 404.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let path: Result<Path<T>, PathRejection> =
            <Path<T> as FromRequestParts<ApiState>>::from_request_parts(parts, api).await;
        path.map(|Path(value)| Self(value)).map_err(|_| ServiceError::NotFound { what: "Page" }.into())
    }
}

/// Query parameters.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, api).await;
        query.map(|Query(value)| Self(value)).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                format!("The query cannot be read: {}", error.body_text()),
            )
        })
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let reading = timeout(BODY_TIMEOUT, Json::from_request(request, api));
        let body: Result<Json<T>, JsonRejection> = reading.await.map_err(|_| late())?;
        body.map(|Json(value)| Self(value)).map_err(|error| match &error {
            JsonRejection::MissingJsonContentType(_) => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body must be JSON. Send it with: Content-Type: application/json",
            ),
            JsonRejection::BytesRejection(_) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(error.status(), "body_too_large", "The body is larger than the 2 MiB allowed here")
            }
            JsonRejection::BytesRejection(_) => incomplete(),
            _ => Problem::new(StatusCode::BAD_REQUEST, "invalid_request", error.body_text()),
        })
    }
}

/// A JSON body, or none at all.
pub struct MaybeBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<ApiState> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let nothing = !request.headers().contains_key(header::CONTENT_TYPE) && request.body().is_end_stream();
        if nothing {
            Ok(Self(T::default()))
        } else {
            Body::from_request(request, api).await.map(|Body(body)| Self(body))
        }
    }
}

/// A component's bytes, within the server's bound.
pub struct Module(pub Bytes);

impl FromRequest<ApiState> for Module {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
        if content_type.is_some_and(|value| value != b"application/wasm" && value != b"application/octet-stream") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body must be a component. Send it with: Content-Type: application/wasm",
            ));
        }
        let limit = api.service.settings().max_module;
        let (parts, body) = request.into_parts();
        Ok(Self(read_body(&parts.headers, body, limit, MODULE_TIMEOUT).await?))
    }
}

/// Reads a body of at most `limit` bytes, that has to arrive within a time.
pub async fn read_body(
    headers: &HeaderMap,
    body: axum::body::Body,
    limit: u64,
    within: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::from(ServiceError::TooLarge { limit });
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit) {
        return Err(too_large());
    }
    let bound = usize::try_from(limit).unwrap_or(usize::MAX);
    let collecting = http_body_util::BodyExt::collect(http_body_util::Limited::new(body, bound));
    let collected = timeout(within, collecting).await.map_err(|_| late())?;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| if error.is::<http_body_util::LengthLimitError>() { too_large() } else { incomplete() })
}

fn late() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body took too long to arrive. Send it again")
}

fn incomplete() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", "The body ended early. Send it again")
}

/// Answers what management does not know, after it is known who asks.
pub async fn unknown_operation(_actor: Actor, State(_api): State<ApiState>) -> Problem {
    ServiceError::NotFound { what: "Operation" }.into()
}

/// Answers a method that an operation does not take; axum adds the header `Allow`.
pub async fn method_not_allowed(_actor: Actor, State(_api): State<ApiState>) -> Problem {
    let message = "This URL does not take this method. The header Allow lists those it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
