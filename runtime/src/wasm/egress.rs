//! Requests of connectors to the outside: the one choke point behind `wasi:http`.
//!
//! The order is the protection. A request is first judged as the guest wrote it; its URL is rebuilt from its parts and
//! matched against the grant; only then are the credentials put on it. Addresses are judged by the resolver that
//! connects. Redirects are handed to the guest as they are. What comes back is scrubbed of the credentials.

mod address;
mod denial;
mod exemption;
mod failure;
mod guarded;
mod hooks;
mod pool;
mod renewal;
mod request;
mod resolver;
mod response;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http_body::Body;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use crate::domain::grant::Grant;
use failure::Failure;
use pool::Pools;
use resolver::{Lookup, Reach};
use response::Receiving;

pub use address::AddressClass;
pub use denial::{Denial, Denials, Reason};
pub use exemption::{Exemption, ExemptionError};
pub use guarded::{GuardedClient, GuardedError};
pub use hooks::EgressHooks;
pub use renewal::Renewal;
pub use request::is_forbidden_header;
pub use settings::EgressSettings;

/// What [`wasmtime_wasi_http::WasiHttpHooks::send_request`] returns: the answer, and a future for what fails after it.
pub type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), WasiError>> + Send>;

/// What may fail after an answer's head; here nothing, as its body reports that itself.
pub type Done = Box<dyn Future<Output = Result<(), WasiError>> + Send>;

/// The server cannot send requests at all.
#[derive(Debug, Error)]
#[error("the HTTP client for outgoing requests cannot be made; are the system's CA certificates installed?")]
pub struct EgressError {
    #[source]
    source: reqwest::Error,
}

/// Sends the requests of connectors, within their grants.
#[derive(Debug)]
pub struct Egress {
    settings: EgressSettings,
    pools: Pools,
}

impl Egress {
    /// Checks that requests can be sent at all. Must be called once, at the start of the server.
    pub fn new(settings: EgressSettings) -> Result<Arc<Self>, EgressError> {
        Self::with_lookup(settings, resolver::system())
    }

    fn with_lookup(settings: EgressSettings, lookup: Lookup) -> Result<Arc<Self>, EgressError> {
        let pools = Pools::new(&settings, lookup).map_err(|source| EgressError { source })?;
        Ok(Arc::new(Self { settings, pools }))
    }

    /// Sends a guest's request under a grant.
    ///
    /// A refused request ends in `HTTP-request-denied`, an entry in `denials` and one line of the log. The answer's
    /// body is bounded and scrubbed while it is read; trailers are dropped in both directions.
    pub fn send(
        self: &Arc<Self>,
        grant: &Arc<Grant>,
        denials: &Denials,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Sending {
        let (egress, grant, denials) = (self.clone(), grant.clone(), denials.clone());
        Box::new(async move {
            match egress.perform(&grant, request, options.unwrap_or_default()).await {
                Ok(response) => Ok((response, Box::new(async { Ok(()) }) as Done)),
                Err(Failure::Denied(denial)) => {
                    denials.record(&grant, *denial);
                    Err(WasiError::HttpRequestDenied)
                }
                Err(Failure::Error(error)) => Err(error),
            }
        })
    }

    async fn perform(
        &self,
        grant: &Grant,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let settings = &self.settings;
        let began = Instant::now();
        let deadline = began + settings.total_timeout;
        let (parts, body) = request.into_parts();
        let (url, headers) = request::vet(grant, &parts, settings)?;
        let reach = self.reach(&url)?;
        let client = self.pools.client(&grant.group, reach).map_err(|error| failure::internal(&error))?;
        let connect = settings.connect_timeout.min(options.connect_timeout.unwrap_or(settings.connect_timeout));
        let permit = client.permit(&url, (began + connect).min(deadline)).await?;

        let mut outgoing = reqwest::Request::new(parts.method, url.clone());
        *outgoing.headers_mut() = headers;
        if body.is_end_stream() {
            // The app would take the next request on this connection, credentials and all, for the missing body.
            if request::content_length(outgoing.headers())?.is_some_and(|length| length > 0) {
                return Err(WasiError::HttpRequestBodySize(Some(0)).into());
            }
        } else {
            *outgoing.body_mut() = Some(request::bounded(body, settings.max_request_body));
        }
        let first = settings.first_byte_timeout.min(options.first_byte_timeout.unwrap_or(settings.first_byte_timeout));
        let answer = timeout_at((Instant::now() + connect + first).min(deadline), client.http.execute(outgoing))
            .await
            .map_err(|_| WasiError::HttpResponseTimeout)?
            .map_err(|error| failure::of_exchange(error, &url))?;

        let between =
            settings.between_bytes_timeout.min(options.between_bytes_timeout.unwrap_or(settings.between_bytes_timeout));
        Receiving { grant, settings, between, deadline, permit }.receive(answer)
    }

    /// How far the request may reach. An address in the URL is judged here, as no resolver will see it.
    fn reach(&self, url: &Url) -> Result<Reach, Failure> {
        let exempted = url
            .host_str()
            .zip(url.port_or_known_default())
            .is_some_and(|(host, port)| self.settings.exempts(host, port));
        let reach = if exempted { Reach::Exempted } else { Reach::Public };
        let address = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.into(),
            Some(url::Host::Ipv6(ip)) => ip.into(),
            _ => return Ok(reach),
        };
        match reach.admits(address, &self.settings.allow_private) {
            Ok(()) => Ok(reach),
            Err(class) => Err(Denial::address(url, class).into()),
        }
    }
}
