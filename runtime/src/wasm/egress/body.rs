//! The body of a request: bounded, held back where it may be sent again, with the credentials that belong into it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use thiserror::Error;
use url::Url;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};
use zeroize::Zeroizing;

use super::denial::Denial;
use super::failure::Failure;
use super::insertion::insert;
use super::request::content_length;
use crate::domain::grant::{Credential, Grant};

/// The largest body that is held in memory so that the request can be sent again, in bytes. Larger ones are uploads,
/// which connectors repeat themselves.
pub(super) const MAX_REPEATED: u64 = 1 << 20;
/// The largest body that credentials are put into, in bytes: it is in memory twice while that is done. Requests that
/// wait for a place at their host (64 for each group, `max_connections_per_host`) hold nothing yet.
pub(super) const MAX_PLACED: u64 = 8 << 20;

/// A request's body went over its bound. Travels through the HTTP client to [`super::failure`].
#[derive(Debug, Error)]
#[error("the body of the request is larger than {0} bytes")]
pub(super) struct BodyTooLarge(pub(super) u64);

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A guest's body on its way out.
pub(super) enum Outgoing {
    /// There is none.
    Empty,
    /// All of it is here, and can be sent any number of times.
    Held(Bytes),
    /// It can be sent once: what was read of it, and what is still to come.
    Once(Option<(VecDeque<Bytes>, WasiBody)>),
}

/// The rest of the request that a body belongs to.
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a mut HeaderMap,
}

/// How much of a body is read before it is sent.
#[derive(Clone, Copy)]
pub(super) enum Hold {
    /// Nothing.
    None,
    /// All of it if it is no larger than [`MAX_REPEATED`].
    ToRepeat,
    /// All of it, and it must not be larger than [`MAX_PLACED`].
    ToPlace,
}

impl Hold {
    /// What sending under this grant needs.
    pub(super) fn for_grant(grant: &Grant, renewable: bool) -> Self {
        match grant.credentials.iter().any(|credential| matches!(credential, Credential::Body { .. })) {
            true => Self::ToPlace,
            false if renewable => Self::ToRepeat,
            false => Self::None,
        }
    }
}

impl Outgoing {
    /// Takes a guest's body, reading as much of it as is to be held.
    pub(super) async fn take(mut body: WasiBody, hold: Hold, headers: &HeaderMap) -> Result<Self, Failure> {
        let announced = content_length(headers)?;
        if body.is_end_stream() {
            // The app would take the next request on this connection, credentials and all, for the missing body.
            return match announced.is_some_and(|length| length > 0) {
                true => Err(WasiError::HttpRequestBodySize(Some(0)).into()),
                false => Ok(Self::Empty),
            };
        }
        let max = match hold {
            Hold::None => return Ok(Self::Once(Some((VecDeque::new(), body)))),
            Hold::ToRepeat => MAX_REPEATED,
            Hold::ToPlace => MAX_PLACED,
        };
        let mut read = VecDeque::new();
        let mut length = 0_u64;
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            length = length.saturating_add(chunk.len() as u64);
            read.push_back(chunk);
            if length > max {
                return match hold {
                    Hold::ToPlace => Err(WasiError::HttpRequestBodySize(Some(max)).into()),
                    _ => Ok(Self::Once(Some((read, body)))),
                };
            }
        }
        if announced.is_some_and(|announced| announced != length) {
            return Err(WasiError::HttpRequestBodySize(Some(length)).into());
        }
        Ok(match read.len() {
            0 | 1 => read.pop_front().map_or(Self::Empty, Self::Held),
            _ => Self::Held(read.iter().fold(BytesMut::with_capacity(length as usize), joined).freeze()),
        })
    }

    /// Whether the request can be sent (again).
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Once(None))
    }

    /// The body as the HTTP client wants it, with the grant's credentials and never more than `max` bytes; nothing for none.
    pub(super) fn send(&mut self, grant: &Grant, head: Head<'_>, max: u64) -> Result<Option<reqwest::Body>, Failure> {
        if let Some(placed) = place(grant, head, self)? {
            if placed.len() as u64 > max {
                return Err(WasiError::HttpRequestBodySize(Some(max)).into());
            }
            return Ok(Some(placed.into()));
        }
        match self {
            Self::Empty => Ok(None),
            Self::Held(bytes) if bytes.len() as u64 > max => Err(WasiError::HttpRequestBodySize(Some(max)).into()),
            Self::Held(bytes) => Ok(Some(bytes.clone().into())),
            Self::Once(body) => {
                let (read, rest) = body.take().ok_or(WasiError::InternalError(None))?;
                Ok(Some(bounded(read, rest, max)))
            }
        }
    }
}

fn joined(mut all: BytesMut, chunk: &Bytes) -> BytesMut {
    all.extend_from_slice(chunk);
    all
}

/// A stream of what was read and what is to come. Trailers are dropped.
fn bounded(read: VecDeque<Bytes>, rest: WasiBody, max: u64) -> reqwest::Body {
    let mut sent = 0_u64;
    let chunks = futures::stream::iter(read.into_iter().map(Ok)).chain(rest.into_data_stream());
    reqwest::Body::wrap_stream(chunks.map(move |chunk| -> Result<Bytes, BodyError> {
        let chunk = chunk?;
        sent = sent.saturating_add(chunk.len() as u64);
        if sent > max { Err(BodyTooLarge(max).into()) } else { Ok(chunk) }
    }))
}

/// The body with the credentials that belong into it; nothing where none does.
///
/// It has to be a JSON object. A request that usually has a body and comes without one is sent with these alone; any
/// other without a body is refused, as it could not be authenticated.
fn place(grant: &Grant, head: Head<'_>, body: &Outgoing) -> Result<Option<Bytes>, Failure> {
    let Head { method, url, headers } = head;
    let placed: Vec<_> = grant
        .credentials
        .iter()
        .filter_map(|credential| match credential {
            Credential::Body { pointer, value } => Some((pointer.as_str(), value)),
            Credential::Header { .. } | Credential::Query { .. } => None,
        })
        .collect();
    if placed.is_empty() {
        return Ok(None);
    }
    let refuse = |why: String| Failure::from(Denial::body(url, grant, why));
    let mut json = match body {
        Outgoing::Held(bytes) => {
            if !is_json(headers) {
                return Err(refuse("its content type is not application/json".to_owned()));
            }
            Zeroizing::new(bytes.to_vec())
        }
        Outgoing::Empty if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Zeroizing::new(b"{}".to_vec())
        }
        Outgoing::Empty => return Err(refuse(format!("a {method} without one cannot be authenticated"))),
        Outgoing::Once(_) => return Err(WasiError::InternalError(None).into()),
    };
    for (pointer, value) in placed {
        json = insert(&json, pointer, value.expose_secret()).map_err(|error| refuse(error.to_string()))?;
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    Ok(Some(Bytes::from_owner(json)))
}

/// Whether the one content type is JSON's (RFC 8259), or one that is built on it (RFC 6839).
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
