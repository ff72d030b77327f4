//! Requests of connectors to the outside: the one choke point behind `wasi:http`.
//!
//! The order is the protection. A request is first judged as the guest wrote it; its URL is rebuilt from its parts and
//! matched against the grant; only then are the credentials put on it. Addresses are judged by the resolver that
//! connects. Redirects are handed to the guest as they are. What comes back is scrubbed of the credentials.

mod address;
mod authority;
mod body;
mod denial;
mod exemption;
mod failure;
mod guarded;
mod hooks;
mod insertion;
mod pool;
mod probe;
mod renewal;
mod request;
mod resolver;
mod response;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use url::Url;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use crate::domain::grant::Grant;
use body::{Head, Hold, Outgoing};
use failure::Failure;
use pool::{Client, Pools};
use resolver::{Lookup, Reach};
use response::Receiving;

pub use address::AddressClass;
pub use authority::Authority;
pub use denial::{Denial, Denials, Reason};
pub use exemption::{Exemption, ExemptionError};
pub use guarded::{GuardedClient, GuardedError};
pub use hooks::EgressHooks;
pub use probe::ProbeError;
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

/// What came back, and the right to its connection.
struct Exchange {
    answer: reqwest::Response,
    permit: OwnedSemaphorePermit,
}

/// How long the parts of a request may take. A guest can only shorten them.
struct Times {
    connect: Duration,
    first: Duration,
    between: Duration,
    deadline: Instant,
}

impl Times {
    /// From now on.
    fn new(settings: &EgressSettings, options: RequestOptions) -> Self {
        let shorter = |most: Duration, wanted: Option<Duration>| most.min(wanted.unwrap_or(most));
        Self {
            connect: shorter(settings.connect_timeout, options.connect_timeout),
            first: shorter(settings.first_byte_timeout, options.first_byte_timeout),
            between: shorter(settings.between_bytes_timeout, options.between_bytes_timeout),
            deadline: Instant::now() + settings.total_timeout,
        }
    }

    /// When a connection has to be free that is waited for from now on.
    fn connected(&self) -> Instant {
        (Instant::now() + self.connect).min(self.deadline)
    }

    /// When the head of an answer has to be there that is waited for from now on.
    fn head(&self) -> Instant {
        (Instant::now() + self.connect + self.first).min(self.deadline)
    }
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

    /// Sends a guest's request under its call's authority.
    ///
    /// A refused request ends in `HTTP-request-denied`, an entry in `denials` and one line of the log. The answer's
    /// body is bounded and scrubbed while it is read; trailers are dropped in both directions. Where the app refuses
    /// the credentials (401), newer ones are asked for once, and the request is sent again with them if its body was
    /// held; see `body::MAX_REPEATED`.
    pub fn send(
        self: &Arc<Self>,
        authority: &Authority,
        denials: &Denials,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Sending {
        let (egress, authority, denials) = (self.clone(), authority.clone(), denials.clone());
        Box::new(async move {
            match egress.perform(&authority, request, options.unwrap_or_default()).await {
                Ok(response) => Ok((response, Box::new(async { Ok(()) }) as Done)),
                Err(Failure::Denied(denial)) => {
                    denials.record(&authority.grant(), *denial);
                    Err(WasiError::HttpRequestDenied)
                }
                Err(Failure::Error(error)) => Err(error),
            }
        })
    }

    async fn perform(
        &self,
        authority: &Authority,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let times = Times::new(&self.settings, options);
        let (parts, body) = request.into_parts();
        let grant = authority.grant();
        let vetted = request::vet(&grant, &parts, &self.settings)?;
        // Before anything of the body is held: the places at a host bound how many bodies are in memory.
        let client = self.client(&grant, &vetted.0)?;
        let permit = client.permit(&vetted.0, times.connected()).await?;
        let hold = Hold::for_grant(&grant, authority.is_renewable());
        let body = timeout_at(times.head(), Outgoing::take(body, hold, &parts.headers));
        let mut body = body.await.map_err(|_| WasiError::ConnectionWriteTimeout)??;

        let mut exchange = self.exchange(&grant, &parts.method, vetted, &mut body, &times, permit).await?;
        let mut grant = grant;
        if exchange.answer.status() == StatusCode::UNAUTHORIZED {
            // Without an answer in time the guest gets the one there is.
            let newer = timeout_at(times.deadline, authority.renew(&grant)).await.ok().flatten();
            if let Some(newer) = newer {
                if body.is_there() {
                    let vetted = request::vet(&newer, &parts, &self.settings)?;
                    // The place at the host is kept: whoever waits for a second one while holding a first blocks others.
                    let Exchange { answer, permit } = exchange;
                    drop(answer);
                    exchange = self.exchange(&newer, &parts.method, vetted, &mut body, &times, permit).await?;
                }
                grant = newer;
            }
        }
        let Exchange { answer, permit } = exchange;
        let Times { between, deadline, .. } = times;
        Receiving { grant: &grant, settings: &self.settings, between, deadline, permit }.receive(answer)
    }

    /// Sends a request that was judged; answers the head of what comes back.
    async fn exchange(
        &self,
        grant: &Grant,
        method: &Method,
        (url, mut headers): (Url, HeaderMap),
        body: &mut Outgoing,
        times: &Times,
        permit: OwnedSemaphorePermit,
    ) -> Result<Exchange, Failure> {
        let client = self.client(grant, &url)?;
        let head = Head { method, url: &url, headers: &mut headers };
        let body = body.send(grant, head, self.settings.max_request_body)?;
        let mut outgoing = reqwest::Request::new(method.clone(), url.clone());
        *outgoing.headers_mut() = headers;
        *outgoing.body_mut() = body;
        let answer = timeout_at(times.head(), client.http.execute(outgoing)).await;
        let answer = answer.map_err(|_| WasiError::HttpResponseTimeout)?;
        Ok(Exchange { answer: answer.map_err(|error| failure::of_exchange(error, &url))?, permit })
    }

    /// The client that requests of the grant's group to this URL are sent with.
    fn client(&self, grant: &Grant, url: &Url) -> Result<Arc<Client>, Failure> {
        let reach = self.reach(url)?;
        self.pools.client(&grant.group, reach).map_err(|error| failure::internal(&error).into())
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
