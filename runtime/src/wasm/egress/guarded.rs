//! Requests of the server itself to URLs that somebody else wrote: alert endpoints, token endpoints of apps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::failure::{self, Failure};
use super::resolver::Reach;
use super::{Egress, EgressError};

/// Sends requests to public addresses, and to private ones that the operator exempted (`egress.allow_private`).
///
/// It follows no redirects: they are answers. It uses no proxy and keeps no cookies.
#[derive(Clone)]
pub struct GuardedClient {
    egress: Arc<Egress>,
    public: reqwest::Client,
    exempted: reqwest::Client,
}

/// Why there is no answer. The texts hold no path and no query of the URL.
#[derive(Debug, Error)]
pub enum GuardedError {
    /// The request was not let out.
    #[error("{0}")]
    Denied(String),
    /// The URL is none that requests can be sent to.
    #[error("the URL has to begin with http:// or https:// and must hold no user name or password")]
    Url,
    /// The host could not be reached, or broke the exchange off.
    #[error("the host could not be reached or broke off: {0}")]
    Failed(String),
    /// The whole exchange took too long.
    #[error("there was no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer's body is larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Egress {
    /// A client for URLs that somebody else wrote. Its connections are not shared with those of connectors.
    pub fn guarded_client(self: &Arc<Self>) -> Result<GuardedClient, EgressError> {
        let build = |reach| self.pools.build(reach).map(|client| client.http).map_err(|source| EgressError { source });
        Ok(GuardedClient { egress: self.clone(), public: build(Reach::Public)?, exempted: build(Reach::Exempted)? })
    }
}

impl GuardedClient {
    /// Sends a request; its whole answer has to arrive within a time, and its body within a number of bytes.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
        within: Duration,
        max_body: usize,
    ) -> Result<http::Response<Bytes>, GuardedError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).ok().filter(is_usable).ok_or(GuardedError::Url)?;
        let client = match self.egress.reach(&url).map_err(told)? {
            Reach::Public => &self.public,
            Reach::Exempted => &self.exempted,
        };
        let mut outgoing = reqwest::Request::new(parts.method, url.clone());
        *outgoing.headers_mut() = parts.headers;
        *outgoing.body_mut() = Some(body.into());
        let deadline = Instant::now() + within;
        let late = |_| GuardedError::Timeout(within);
        let answer = timeout_at(deadline, client.execute(outgoing)).await.map_err(late)?;
        let answer = answer.map_err(|error| told(failure::of_exchange(error, &url)))?;
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = timeout_at(deadline, read(answer, max_body)).await.map_err(late)??;
        Ok(response)
    }
}

fn is_usable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
}

async fn read(answer: reqwest::Response, max_body: usize) -> Result<Bytes, GuardedError> {
    let mut body = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| GuardedError::Failed(failure::of_body(&error).to_string()))?;
        if body.len() + chunk.len() > max_body {
            return Err(GuardedError::TooLarge(max_body));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn told(failure: Failure) -> GuardedError {
    match failure {
        Failure::Denied(denial) => GuardedError::Denied(denial.to_string()),
        Failure::Error(error) => GuardedError::Failed(error.to_string()),
    }
}
