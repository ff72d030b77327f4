//! Running a flow.

use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::FlowManifest;
use wasmtime::Store;

use crate::wasm::bindings::flow::exports::headgate::runtime::handler;
use crate::wasm::call::{Failed, guest_error};
use crate::wasm::error::{CallError, FaultCode};
use crate::wasm::event::{Event, Response};
use crate::wasm::guest::{FlowPart, Guest};
use crate::wasm::host::WasmHost;
use crate::wasm::module::FlowModule;
use crate::wasm::run::{NoConnections, RunInfo, RunScope};

impl WasmHost {
    /// Makes an instance of a flow, and drops it.
    pub(super) async fn start_flow(&self, module: &FlowModule) -> Result<(), CallError> {
        let run = self.scope(RunInfo::nobody(), None, Arc::new(NoConnections));
        let _permit = self.flows.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), &run, FlowPart);
        self.call(&mut store, async |store| {
            module.pre.instantiate_async(store).await.map(drop).map_err(Failed::Instantiating)
        })
        .await
    }

    /// Asks a flow what it says about itself. It can call nothing meanwhile.
    pub async fn describe_flow(&self, module: &FlowModule) -> Result<FlowManifest, CallError> {
        let run = self.scope(RunInfo::nobody(), None, Arc::new(NoConnections));
        let _permit = self.flows.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), &run, FlowPart);
        let manifest = self
            .call(&mut store, async |store| {
                let flow = module.pre.instantiate_async(&mut *store).await.map_err(Failed::Instantiating)?;
                flow.headgate_runtime_handler().call_describe(store).await.map_err(Failed::Running)
            })
            .await?;
        let limit = self.settings.output_bytes;
        if manifest.len() > limit {
            let message = format!("the flow's description has {} bytes; {limit} are allowed", manifest.len());
            return Err(CallError::fault(FaultCode::OutputTooLarge, message));
        }
        serde_json::from_str(&manifest).map_err(|error| {
            let message = format!("the flow's description is not as headgate_manifest says: {error}");
            CallError::fault(FaultCode::InvalidOutput, message)
        })
    }

    /// Runs a flow on an event, in a fresh instance that is gone when this returns.
    pub async fn run_flow(
        &self,
        module: &FlowModule,
        event: Event,
        run: &Arc<RunScope>,
    ) -> Result<Response, CallError> {
        let _permit = self.flows.acquire(run.deadline()).await?;
        let mut store = self.store(module.pre.engine(), run, FlowPart);
        let event = self.wit_event(&mut store, event)?;
        let answer = self
            .call(&mut store, async |store| {
                let flow = module.pre.instantiate_async(&mut *store).await.map_err(Failed::Instantiating)?;
                flow.headgate_runtime_handler().call_handle(store, &event).await.map_err(Failed::Running)
            })
            .await?
            .map_err(guest_error)?;
        let body = self.answered_body(&mut store, answer.body)?;
        Response::check(answer.status, &answer.headers, self.settings.response_header_bytes, body)
    }

    fn wit_event(&self, store: &mut Store<Guest<FlowPart>>, event: Event) -> Result<handler::Event, CallError> {
        let Event { trigger, method, path, params, query, headers, body } = event;
        let body = if body.len() <= self.settings.inline_body_bytes {
            handler::Body::Inline(body.into())
        } else {
            let content_type = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.clone());
            let guest = store.data_mut();
            let blob = guest.run.blobs().create(content_type.unwrap_or_default())?;
            blob.write(&body)?;
            handler::Body::Blob(guest.push_blob(blob).map_err(|error| CallError::Host(format!("{error:#}")))?)
        };
        Ok(handler::Event { trigger, method, path, params, query, headers, body })
    }

    fn answered_body(&self, store: &mut Store<Guest<FlowPart>>, body: handler::Body) -> Result<Bytes, CallError> {
        let bytes = match body {
            handler::Body::Inline(bytes) => bytes.into(),
            handler::Body::Blob(blob) => {
                let blob = store.data_mut().take_blob(blob);
                blob.map_err(|error| CallError::Host(format!("{error:#}")))?.to_bytes()
            }
        };
        let limit = self.settings.response_bytes;
        if bytes.len() > limit {
            let message = format!("the flow answered with {} bytes; {limit} are allowed", bytes.len());
            return Err(CallError::fault(FaultCode::OutputTooLarge, message));
        }
        Ok(bytes)
    }
}
