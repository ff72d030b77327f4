//! How failures of the HTTP client are told to the guest. Their texts stay here: they hold URLs.

use std::error::Error as StdError;
use std::io;

use url::Url;
use wasmtime_wasi_http::Error as WasiError;

use super::body::BodyTooLarge;
use super::denial::Denial;
use super::resolver::Blocked;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request was not let out.
    Denied(Box<Denial>),
    /// Something failed.
    Error(WasiError),
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denied(Box::new(denial))
    }
}

impl From<WasiError> for Failure {
    fn from(error: WasiError) -> Self {
        Self::Error(error)
    }
}

/// No client could be made for the group.
pub(super) fn internal(error: &reqwest::Error) -> WasiError {
    tracing::error!(error = %chain(error), "the HTTP client for outgoing requests cannot be made");
    WasiError::InternalError(None)
}

/// The request could not be sent, or its answer's head not be read.
pub(super) fn of_exchange(error: reqwest::Error, url: &Url) -> Failure {
    if let Some(Blocked(class)) = find(&error) {
        return Denial::address(url, *class).into();
    }
    if let Some(BodyTooLarge(max)) = find(&error) {
        return WasiError::HttpRequestBodySize(Some(*max)).into();
    }
    let host = url.host_str().unwrap_or_default();
    tracing::debug!(host, error = %chain(&error), "a connector's request failed");
    let kind = find(&error).map(io::Error::kind);
    let told = if error.is_dns() {
        WasiError::DnsError { rcode: None, info_code: None }
    } else if error.is_timeout() {
        WasiError::ConnectionTimeout
    } else if error.is_connect() {
        match kind {
            Some(io::ErrorKind::InvalidData) => WasiError::TlsCertificateError,
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                WasiError::DestinationUnavailable
            }
            _ => WasiError::ConnectionRefused,
        }
    } else if kind.is_some() {
        WasiError::ConnectionTerminated
    } else {
        WasiError::HttpProtocolError
    };
    told.into()
}

/// The answer's body broke off.
pub(super) fn of_body(error: &reqwest::Error) -> WasiError {
    tracing::debug!(error = %chain(error), "the answer to a connector's request broke off");
    WasiError::HttpResponseIncomplete
}

fn find<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(<dyn StdError + 'static>::downcast_ref)
}

/// The texts of what lies behind an error of the HTTP client; its own would hold the URL.
fn chain(error: &reqwest::Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| StdError::source(*cause))
}
