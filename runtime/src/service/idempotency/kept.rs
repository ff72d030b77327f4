//! What is kept of a request with an idempotency key: which run it made, and what that was answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::domain::id::{ApiKeyId, GroupId, TriggerId};
use crate::domain::idempotency::{KeySource, fingerprint};
use crate::domain::run::Failure;
use crate::domain::secret::hex;
use crate::service::error::ServiceError;
use crate::service::hooks::Answer;
use crate::service::idempotency::IdempotencyError;
use crate::wasm::{Event, Response};

/// The largest body that is kept for another answer, in bytes. Answers to webhooks are small; of a larger one the status
/// is kept.
const MAX_KEPT: usize = 256 << 10;
/// Where claims lie by the time they end.
pub(super) const ENDS: &str = "idempotency-end/";

/// Where a claim lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: GroupId,
    trigger: TriggerId,
    /// SHA-256 of the API key's id and the idempotency key, in hexadecimal digits.
    hash: String,
}

/// That a request's key was used.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The run it made.
    pub(super) run: Uuid,
    /// What the request was, in hexadecimal digits.
    pub(super) fingerprint: String,
    /// When it is forgotten.
    pub(super) ends: Timestamp,
    /// What it was answered; nothing while the run goes on, or when the server ended in the middle of it.
    pub(super) answer: Option<Kept>,
}

/// An answer that is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    /// 202: the run was queued.
    Accepted,
    /// The flow's response. Values of headers and the body as base64.
    Response { status: u16, headers: Vec<(String, String)>, body: String },
    /// What is left of a response that is too large to be kept.
    Large { status: u16, size: u64 },
    /// The flow's failure.
    Failure { failure: Failure, timed_out: bool, refused: bool },
}

impl Place {
    pub(super) fn of(group: &GroupId, trigger: &TriggerId, key: &ApiKeyId, text: &str) -> Self {
        let hash = hex(&fingerprint([key.to_string().as_bytes(), text.as_bytes()]));
        Self { group: group.clone(), trigger: trigger.clone(), hash }
    }

    /// The place that a claim's key in the store ends with.
    pub(super) fn at(group: &GroupId, trigger: &TriggerId, hash: &str) -> Self {
        Self { group: group.clone(), trigger: trigger.clone(), hash: hash.to_owned() }
    }

    /// Where the claims of a trigger lie.
    pub(super) fn prefix(group: &GroupId, trigger: &TriggerId) -> String {
        format!("idempotency/{group}/{trigger}/")
    }

    /// The claim's key in the store.
    pub(super) fn key(&self) -> String {
        format!("{}{}", Self::prefix(&self.group, &self.trigger), self.hash)
    }

    /// The key of the record by which it is found when it ends. That record holds the claim's size.
    pub(super) fn end_key(&self, ends: Timestamp) -> String {
        format!("{ENDS}{:012}/{}/{}/{}", ends.as_second().max(0), self.group, self.trigger, self.hash)
    }

    /// Reads such a key: when the claim ends, in seconds, and where it lies.
    pub(super) fn of_end_key(key: &str) -> Option<(i64, Self)> {
        let mut parts = key.strip_prefix(ENDS)?.split('/');
        let (ends, group, trigger, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let place = Self { group: group.parse().ok()?, trigger: trigger.parse().ok()?, hash: hash.to_owned() };
        Some((ends.parse().ok()?, place))
    }
}

/// What a request is, as far as another one under the same key has to be the same. A key in a header is the sender's word
/// for its whole request. One in the body is an event's id, beside which senders count their attempts.
pub(super) fn print(source: &KeySource, event: &Event) -> String {
    if matches!(source, KeySource::Pointer(_)) {
        return hex(&fingerprint([event.method.as_bytes(), event.path.as_bytes()]));
    }
    let query = event.query.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    hex(&fingerprint([event.method.as_bytes(), event.path.as_bytes(), &event.body[..]].into_iter().chain(query)))
}

impl Claim {
    pub(super) fn new(run: Uuid, fingerprint: String, ends: Timestamp) -> Self {
        Self { run, fingerprint, ends, answer: None }
    }

    /// The answer to another request of the same key.
    pub(super) fn replay(self, fingerprint: &str) -> Result<Result<Answer, ServiceError>, IdempotencyError> {
        if self.fingerprint != fingerprint {
            return Err(IdempotencyError::OtherRequest);
        }
        let run = self.run;
        let response = |response| Ok(Ok(Answer::Response { run, response }));
        match self.answer {
            None => Err(IdempotencyError::Unknown { run }),
            Some(Kept::Accepted) => Ok(Ok(Answer::Accepted { run })),
            Some(Kept::Failure { failure, timed_out, refused }) => {
                Ok(Err(ServiceError::Flow { run, failure, timed_out, refused }))
            }
            Some(Kept::Response { status, headers, body }) => response(Response {
                status: status_of(status),
                headers: headers.iter().filter_map(|(name, value)| header_of(name, value)).collect(),
                body: Bytes::from(BASE64.decode(body).unwrap_or_default()),
            }),
            Some(Kept::Large { status, size }) => {
                let message = format!(
                    "This request was answered before, with {size} bytes. Only answers of up to {MAX_KEPT} bytes are kept to be given again, as far as the group has room for them; of this one the status is"
                );
                let body = json!({"message": message, "run": run, "status": status}).to_string();
                let json = HeaderValue::from_static("application/json");
                let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
                response(Response { status: status_of(status), headers, body: Bytes::from(body) })
            }
        }
    }
}

impl Kept {
    /// What is kept of a run's end; nothing where the server failed: what became of the run cannot be told again.
    pub(super) fn of(outcome: &Result<Response, ServiceError>) -> Option<Self> {
        match outcome {
            Ok(response) if response.body.len() > MAX_KEPT => Some(Self::large(response)),
            Ok(response) => {
                let headers = response.headers.iter();
                Some(Self::Response {
                    status: response.status.as_u16(),
                    headers: headers.map(|(name, value)| (name.to_string(), BASE64.encode(value))).collect(),
                    body: BASE64.encode(&response.body),
                })
            }
            Err(ServiceError::Flow { failure, timed_out, refused, .. }) => {
                Some(Self::Failure { failure: failure.clone(), timed_out: *timed_out, refused: *refused })
            }
            Err(_) => None,
        }
    }

    /// What is kept of a response that there is no room for.
    pub(super) fn large(response: &Response) -> Self {
        Self::Large { status: response.status.as_u16(), size: response.body.len() as u64 }
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}

fn header_of(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_bytes(&BASE64.decode(value).ok()?).ok()?;
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &[u8]) -> Response {
        let mut headers = HeaderMap::new();
        headers.append("x-tea", HeaderValue::from_static("green"));
        headers.append("x-tea", HeaderValue::from_bytes(b"\xfcber").unwrap());
        Response { status: StatusCode::IM_A_TEAPOT, headers, body: Bytes::copy_from_slice(body) }
    }

    fn kept(outcome: &Result<Response, ServiceError>) -> Claim {
        let mut claim = Claim::new(Uuid::now_v7(), "print".to_owned(), Timestamp::UNIX_EPOCH);
        claim.answer = Kept::of(outcome);
        serde_json::from_slice(&serde_json::to_vec(&claim).unwrap()).unwrap()
    }

    #[test]
    fn an_answer_is_given_again_as_it_was() {
        let claim = kept(&Ok(response(b"\x00\xff")));
        let run = claim.run;
        let Ok(Ok(Answer::Response { run: again, response: got })) = claim.replay("print") else {
            panic!("no response")
        };
        let wanted = response(b"\x00\xff");
        assert_eq!((again, got.status, got.headers, got.body), (run, wanted.status, wanted.headers, wanted.body));
    }

    #[test]
    fn of_a_large_answer_the_status_is_kept() {
        let claim = kept(&Ok(response(&vec![b'x'; MAX_KEPT + 1])));
        let Ok(Ok(Answer::Response { response, .. })) = claim.replay("print") else { panic!("no response") };
        assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert!(body["message"].as_str().unwrap().contains("262145 bytes"), "{body}");
    }

    #[test]
    fn another_request_and_an_end_that_nobody_saw_are_told() {
        let other = kept(&Ok(response(b""))).replay("another");
        assert!(matches!(other, Err(IdempotencyError::OtherRequest)));
        let unseen = kept(&Err(ServiceError::internal("running")("why")));
        let run = unseen.run;
        let Err(IdempotencyError::Unknown { run: told }) = unseen.replay("print") else { panic!("an answer") };
        assert_eq!(told, run);
    }

    #[test]
    fn attempts_that_are_counted_in_the_body_are_one_request_where_the_key_stands_there() {
        let event = |path: &str, body: &'static [u8]| Event {
            trigger: "trg_triggertriggertrigge".to_owned(),
            method: "POST".to_owned(),
            path: path.to_owned(),
            params: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::from_static(body),
        };
        let (first, again) = (event("/", br#"{"id": 7, "attempt": 0}"#), event("/", br#"{"id": 7, "attempt": 1}"#));
        let in_body = KeySource::Pointer("/id".to_owned());
        assert_eq!(print(&in_body, &first), print(&in_body, &again));
        assert_ne!(print(&in_body, &first), print(&in_body, &event("/other", b"{}")));
        let in_header = KeySource::Header("idempotency-key".to_owned());
        assert_ne!(print(&in_header, &first), print(&in_header, &again));
        assert_eq!(print(&in_header, &first), print(&in_header, &first.clone()));
    }

    #[test]
    fn a_place_is_found_by_its_end() {
        let trigger = TriggerId::from_random("triggertriggertrigge").unwrap();
        let key = crate::domain::api_key::PlainApiKey::generate(&"test".parse().unwrap(), |bytes| bytes.fill(3));
        let place = Place::of(&"acme".parse().unwrap(), &trigger, key.id(), "k/../../x");
        let ends = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(Place::of_end_key(&place.end_key(ends)), Some((1_800_000_000, place.clone())));
        assert!(place.key().starts_with("idempotency/acme/trg_triggertriggertrigge/"));
        assert_ne!(place, Place::of(&"acme".parse().unwrap(), &trigger, key.id(), "other"));
    }
}
