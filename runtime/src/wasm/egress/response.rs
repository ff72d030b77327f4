use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::denial::shown;
use super::failure::{self, Failure};
use super::request::{header_bytes, is_forbidden_header};
use super::settings::EgressSettings;
use crate::domain::grant::Grant;
use crate::domain::scrub::{ScrubStream, Scrubber};

/// What is needed to hand an answer to the guest.
pub(super) struct Receiving<'a> {
    pub(super) grant: &'a Grant,
    pub(super) settings: &'a EgressSettings,
    pub(super) between: Duration,
    pub(super) deadline: Instant,
    /// Given back when the body has ended or is dropped.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Receiving<'_> {
    /// Checks the head of an answer and scrubs it; the body follows as it is read.
    pub(super) fn receive(self, answer: reqwest::Response) -> Result<http::Response<WasiBody>, Failure> {
        if header_bytes(answer.headers()) > self.settings.max_header_bytes {
            return Err(WasiError::HttpResponseHeaderSectionSize(None).into());
        }
        let bodiless = answer.content_length() == Some(0);
        if !bodiless {
            refuse_encoded(answer.headers(), &self.grant.scrub)?;
        }
        if let Some(length) = answer.content_length().filter(|length| *length > self.settings.max_response_body) {
            return Err(WasiError::HttpResponseBodySize(Some(length)).into());
        }
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = self.headers(answer.headers(), bodiless);
        let body = Body {
            answer: Some(answer),
            scrub: Some(self.grant.scrub.stream()),
            left: self.settings.max_response_body,
            max: self.settings.max_response_body,
            between: self.between,
            deadline: self.deadline,
            _permit: self.permit,
        };
        Ok(response.map(|()| body.into_wasi()))
    }

    /// The headers the guest may see: without the connection's own, without cookies (the guest could not send them,
    /// and a session's cookie is a credential), without the body's length if scrubbing may change it.
    fn headers(&self, headers: &HeaderMap, bodiless: bool) -> HeaderMap {
        let scrub = &self.grant.scrub;
        let listed: Vec<&[u8]> =
            headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).collect();
        let hidden = |name: &HeaderName| {
            is_forbidden_header(self.grant, name)
                || matches!(name.as_str(), "set-cookie" | "set-cookie2")
                || (name == CONTENT_LENGTH && !bodiless && !scrub.is_empty())
                || listed.iter().any(|listed| listed.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
                || scrub.scrub_str(name.as_str()) != name.as_str()
        };
        let shown = headers.iter().filter(|(name, _)| !hidden(name));
        shown
            .filter_map(|(name, value)| {
                Some((name.clone(), HeaderValue::from_bytes(&scrub.scrub_bytes(value.as_bytes())).ok()?))
            })
            .collect()
    }
}

/// Something reflected could hide in an encoded answer, and the host asked for none.
fn refuse_encoded(headers: &HeaderMap, scrub: &Scrubber) -> Result<(), WasiError> {
    let coded = |name, plain: &str| {
        headers
            .get_all(name)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .map(|coding| scrub.scrub_str(&String::from_utf8_lossy(coding.trim_ascii())).to_ascii_lowercase())
            .find(|coding| !coding.is_empty() && coding != plain)
            .map(|coding| shown(&coding))
    };
    if let Some(coding) = coded(CONTENT_ENCODING, "identity") {
        return Err(WasiError::HttpResponseContentCoding(Some(coding)));
    }
    match coded(TRANSFER_ENCODING, "chunked") {
        Some(coding) => Err(WasiError::HttpResponseTransferCoding(Some(coding))),
        None => Ok(()),
    }
}

struct Body {
    /// Gone when the body has ended.
    answer: Option<reqwest::Response>,
    /// Gone when what it held back was given out.
    scrub: Option<ScrubStream>,
    left: u64,
    max: u64,
    between: Duration,
    deadline: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Body {
    fn into_wasi(self) -> WasiBody {
        let chunks = futures::stream::try_unfold(self, |mut body| async move {
            Ok(body.next().await?.map(|chunk| (Frame::data(chunk), body)))
        });
        StreamBody::new(chunks).boxed_unsync()
    }

    /// The next scrubbed bytes, never empty; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, WasiError> {
        while let Some(answer) = &mut self.answer {
            let pause = Instant::now() + self.between;
            let chunk = timeout_at(pause.min(self.deadline), answer.chunk())
                .await
                .map_err(|_| {
                    if pause < self.deadline {
                        WasiError::ConnectionReadTimeout
                    } else {
                        WasiError::HttpResponseTimeout
                    }
                })?
                .map_err(|error| failure::of_body(&error))?;
            let Some(chunk) = chunk else {
                self.answer = None;
                break;
            };
            self.left =
                self.left.checked_sub(chunk.len() as u64).ok_or(WasiError::HttpResponseBodySize(Some(self.max)))?;
            let clean = self.scrub.as_mut().map_or(Bytes::new(), |scrub| scrub.push(chunk));
            if !clean.is_empty() {
                return Ok(Some(clean));
            }
        }
        Ok(self.scrub.take().map(ScrubStream::finish).filter(|rest| !rest.is_empty()))
    }
}
