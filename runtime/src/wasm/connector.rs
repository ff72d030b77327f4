//! Connectors: what they may import, and calling them.

use std::sync::Arc;

use headgate_manifest::{Manifest, Polled};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_http::{
    Error as WasiHttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::domain::grant::Grant;
use crate::wasm::bindings::{self, blobs, connection, run, types};
use crate::wasm::call::{Failed, guest_error};
use crate::wasm::egress::{Authority, Denials, EgressHooks, Renewal, Sending};
use crate::wasm::error::{CallError, FaultCode};
use crate::wasm::guest::{Guest, WorldPart};
use crate::wasm::host::WasmHost;
use crate::wasm::log::LogSource;
use crate::wasm::module::ConnectorModule;
use crate::wasm::run::{NoConnections, RunInfo, RunScope};

/// What a connector has that a flow has not: a connection, and requests within it.
pub(super) struct ConnectorPart {
    grant: Option<Arc<Grant>>,
    hooks: Box<dyn WasiHttpHooks>,
    http: WasiHttpCtx,
}

impl WorldPart for ConnectorPart {
    const SOURCE: LogSource = LogSource::Connector;
    const NAME: &str = "connector";
}

/// Links what every connector may import.
pub(super) fn link(linker: &mut Linker<Guest<ConnectorPart>>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    blobs::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    run::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    connection::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl WasiHttpView for Guest<ConnectorPart> {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let ConnectorPart { hooks, http, .. } = &mut self.world;
        WasiHttpCtxView { hooks: hooks.as_mut(), table: &mut self.table, ctx: http }
    }
}

impl connection::Host for Guest<ConnectorPart> {
    fn config(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.world.grant.as_ref().and_then(|grant| grant.config.get(&name).cloned()))
    }
}

/// `wasi:http` of a connector that only describes itself: nothing was granted.
struct NoRequests;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), WasiHttpError>> + Send>,
    ) -> Sending {
        Box::new(async { Err(WasiHttpError::HttpRequestDenied) })
    }
}

/// What to ask a connector for.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Which of its triggers.
    pub trigger: String,
    /// The trigger's input, as JSON.
    pub input: String,
    /// Where the poll before it ended, as JSON; none for the first.
    pub cursor: Option<String>,
}

impl WasmHost {
    /// Makes an instance of a connector, and drops it.
    pub(super) async fn start_connector(&self, module: &ConnectorModule) -> Result<(), CallError> {
        let run = self.scope(RunInfo::nobody(), None, Arc::new(NoConnections));
        let part = ConnectorPart { grant: None, hooks: Box::new(NoRequests), http: WasiHttpCtx::new() };
        let _permit = self.connectors.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), &run, part);
        self.call(&mut store, async |store| {
            module.pre.instantiate_async(store).await.map(drop).map_err(Failed::Instantiating)
        })
        .await
    }

    /// Asks a connector for its manifest. It can send no requests meanwhile.
    pub async fn describe(&self, module: &ConnectorModule) -> Result<Manifest, CallError> {
        let run = self.scope(RunInfo::nobody(), None, Arc::new(NoConnections));
        let part = ConnectorPart { grant: None, hooks: Box::new(NoRequests), http: WasiHttpCtx::new() };
        let _permit = self.connectors.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), &run, part);
        let manifest = self
            .call(&mut store, async |store| {
                let guest = module.pre.instantiate_async(&mut *store).await.map_err(Failed::Instantiating)?;
                guest.headgate_runtime_methods().call_describe(store).await.map_err(Failed::Running)
            })
            .await?;
        self.check_size("manifest", &manifest)?;
        serde_json::from_str(&manifest).map_err(|error| {
            let message = format!("the connector's manifest is not as headgate_manifest says: {error}");
            CallError::fault(FaultCode::InvalidOutput, message)
        })
    }

    /// Calls a method of a connector under a grant, in a fresh instance that is gone when this returns.
    /// `input` and the output are JSON. `renewal` is asked for newer credentials when the app refuses those of the grant.
    pub async fn invoke(
        &self,
        module: &ConnectorModule,
        method: &str,
        input: String,
        grant: Arc<Grant>,
        renewal: Option<Arc<dyn Renewal>>,
        run: &Arc<RunScope>,
    ) -> Result<String, CallError> {
        let output = self
            .under_grant(module, grant, renewal, run, async |guest, store| {
                guest.headgate_runtime_methods().call_invoke(store, method, &input).await
            })
            .await?;
        serde_json::from_str::<serde::de::IgnoredAny>(&output).map_err(|error| {
            CallError::fault(FaultCode::InvalidOutput, format!("the connector's output is not JSON: {error}"))
        })?;
        Ok(output)
    }

    /// Asks a connector for records that are new since a cursor, under a grant like [`invoke`](Self::invoke).
    /// `input` and the cursor are JSON.
    pub async fn poll(
        &self,
        module: &ConnectorModule,
        poll: &Poll,
        grant: Arc<Grant>,
        renewal: Option<Arc<dyn Renewal>>,
        run: &Arc<RunScope>,
    ) -> Result<Polled, CallError> {
        let output = self
            .under_grant(module, grant, renewal, run, async |guest, store| {
                guest
                    .headgate_runtime_methods()
                    .call_poll(store, &poll.trigger, &poll.input, poll.cursor.as_ref())
                    .await
            })
            .await?;
        serde_json::from_str(&output).map_err(|error| {
            let message = format!("what the connector polled is not as headgate_manifest says: {error}");
            CallError::fault(FaultCode::InvalidOutput, message)
        })
    }

    /// Calls one export of a connector under a grant; answers its output, which is bounded and not read yet.
    async fn under_grant(
        &self,
        module: &ConnectorModule,
        grant: Arc<Grant>,
        renewal: Option<Arc<dyn Renewal>>,
        run: &Arc<RunScope>,
        export: impl AsyncFnOnce(
            &bindings::connector::Connector,
            &mut Store<Guest<ConnectorPart>>,
        ) -> wasmtime::Result<Result<String, types::Error>>,
    ) -> Result<String, CallError> {
        let denials = Denials::default();
        let authority = Authority::new(Arc::clone(&grant), renewal);
        let hooks = EgressHooks::new(Arc::clone(&self.egress), authority, denials.clone());
        let part = ConnectorPart { grant: Some(grant), hooks: Box::new(hooks), http: WasiHttpCtx::new() };
        let _permit = self.connectors.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), run, part);
        let called = self.call(&mut store, async |store| {
            let guest = module.pre.instantiate_async(&mut *store).await.map_err(Failed::Instantiating)?;
            export(&guest, store).await.map_err(Failed::Running)
        });
        let output = called.await.and_then(|output| output.map_err(guest_error)).and_then(|output| {
            self.check_size("output", &output)?;
            Ok(output)
        });
        output.map_err(|error| match (denials.list(), error) {
            (denials, cause @ (CallError::Guest(_) | CallError::Fault { .. })) if !denials.is_empty() => {
                CallError::EgressDenied { denials, cause: Box::new(cause) }
            }
            (_, error) => error,
        })
    }

    fn check_size(&self, what: &str, text: &str) -> Result<(), CallError> {
        let limit = self.settings.output_bytes;
        if text.len() <= limit {
            return Ok(());
        }
        let message = format!("the connector's {what} has {} bytes; {limit} are allowed", text.len());
        Err(CallError::fault(FaultCode::OutputTooLarge, message))
    }
}
