use std::sync::Arc;

use http::HeaderName;
use wasmtime_wasi_http::{Error as WasiError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::request::is_forbidden_header;
use super::{Authority, Denials, Egress, Sending};

/// `wasi:http` of one call: what a connector sends goes through [`Egress`], under the call's authority.
#[derive(Clone)]
pub struct EgressHooks {
    egress: Arc<Egress>,
    authority: Authority,
    denials: Denials,
}

impl EgressHooks {
    /// For one call, which reads the denials when it has ended.
    pub fn new(egress: Arc<Egress>, authority: Authority, denials: Denials) -> Self {
        Self { egress, authority, denials }
    }
}

impl WasiHttpHooks for EgressHooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden_header(&self.authority.grant(), name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let grant = self.authority.grant();
        Arc::new(move |name| is_forbidden_header(&grant, name))
    }

    /// The HTTP client writes `Host` from the rebuilt URL; one that arrives here is the guest's, and refused.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ) -> Sending {
        self.egress.send(&self.authority, &self.denials, request, options)
    }
}
