//! Requests of the server's own under a connection's grant, such as the one that tells whether the connection works.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use thiserror::Error;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use super::failure::Failure;
use super::{Authority, Denial, Egress, Renewal};
use crate::domain::grant::Grant;

/// Why there is no answer. The texts hold no path, no query and no secret.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The request was not let out.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// The app could not be reached, or broke the exchange off.
    #[error("the app could not be reached or broke off: {0}")]
    Failed(WasiError),
    /// The whole exchange took too long.
    #[error("there was no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer's body is larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl From<Failure> for ProbeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(denial) => Self::Denied(denial),
            Failure::Error(error) => Self::Failed(error),
        }
    }
}

impl Egress {
    /// Sends a request as a connector under this grant would: the same checks, credentials, renewal and scrubbing.
    /// The URL is absolute. The whole answer has to arrive within a time, and its body within a number of bytes.
    pub async fn probe(
        &self,
        grant: &Arc<Grant>,
        renewal: Option<Arc<dyn Renewal>>,
        request: http::Request<Bytes>,
        within: Duration,
        max_body: usize,
    ) -> Result<http::Response<Bytes>, ProbeError> {
        let authority = Authority::new(Arc::clone(grant), renewal);
        let request = request.map(|body| Full::new(body).map_err(Into::into).boxed_unsync());
        let exchange = async {
            let response = self.perform(&authority, request, RequestOptions::default()).await?;
            let (parts, body) = response.into_parts();
            Ok(http::Response::from_parts(parts, read(body, max_body).await?))
        };
        timeout(within, exchange).await.unwrap_or(Err(ProbeError::Timeout(within)))
    }
}

async fn read(mut body: WasiBody, max: usize) -> Result<Bytes, ProbeError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(ProbeError::Failed)?.into_data() else { continue };
        if all.len() + chunk.len() > max {
            return Err(ProbeError::TooLarge(max));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}
