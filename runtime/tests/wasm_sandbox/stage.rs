//! A sandbox on a temporary folder, and runs in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use headgate::wasm::egress::{Egress, EgressSettings};
use headgate::wasm::{
    CallError, Compiled, Compiler, Connections, Event, FlowModule, GuestError, ModuleCache, Response, RunInfo,
    RunScope, SlotHandle, WasmHost, WasmSettings,
};
use tempfile::TempDir;
use uuid::Uuid;

/// The server's key for compiled modules.
pub(crate) const KEY: [u8; 32] = [7; 32];

pub(crate) struct Stage {
    pub(crate) host: Arc<WasmHost>,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A sandbox with few places, as address space is short where many tests run, and the settings of the test.
    pub(crate) fn with(change: impl FnOnce(&mut WasmSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = host(&folder, change);
        Self { host, folder }
    }

    pub(crate) async fn flow(&self, bytes: &[u8]) -> Arc<FlowModule> {
        self.host.load_flow(bytes).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn scope(&self) -> Arc<RunScope> {
        self.scope_with(None, Arc::new(Slots::default()))
    }

    pub(crate) fn scope_with(&self, timeout: Option<Duration>, connections: Arc<dyn Connections>) -> Arc<RunScope> {
        let info = RunInfo {
            id: Uuid::nil(),
            attempt: 1,
            environment: "test".into(),
            flow: "tested".into(),
            caller: "Key: tests".into(),
        };
        self.host.scope(info, timeout, connections)
    }

    pub(crate) async fn run(&self, flow: &FlowModule, body: &[u8]) -> Result<Response, CallError> {
        self.host.run_flow(flow, event(body), &self.scope()).await
    }

    /// The body of a run that succeeds.
    pub(crate) async fn answer(&self, flow: &FlowModule, body: &[u8]) -> Bytes {
        self.run(flow, body).await.unwrap_or_else(|error| panic!("{error}")).body
    }

    /// The code and the message of a run that fails by the guest's fault.
    pub(crate) async fn fault(&self, flow: &FlowModule, body: &[u8]) -> (&'static str, String) {
        fault(self.run(flow, body).await)
    }
}

pub(crate) fn host(folder: &TempDir, change: impl FnOnce(&mut WasmSettings)) -> Arc<WasmHost> {
    let mut settings = WasmSettings { flow_instances: 16, connector_instances: 16, ..WasmSettings::default() };
    change(&mut settings);
    let cache = ModuleCache::open(folder.path(), KEY).unwrap();
    WasmHost::new(
        settings,
        cache,
        Compiler::InProcess(Compiled::default()),
        Egress::new(EgressSettings::default()).unwrap(),
    )
    .unwrap()
}

pub(crate) fn fault<T>(result: Result<T, CallError>) -> (&'static str, String) {
    match result {
        Err(CallError::Fault { code, message }) => (code.as_str(), message),
        Err(other) => panic!("not the guest's fault: {other:?}"),
        Ok(_) => panic!("the call succeeded"),
    }
}

pub(crate) fn event(body: &[u8]) -> Event {
    Event {
        trigger: "trg_test".into(),
        method: "POST".into(),
        path: "/".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::copy_from_slice(body),
        ..Event::default()
    }
}

type Method = dyn Fn(String, String) -> BoxFuture<'static, Result<String, GuestError>> + Send + Sync;

/// Connections that answer what a test says.
#[derive(Default)]
pub(crate) struct Slots {
    names: Vec<String>,
    methods: HashMap<usize, Box<Method>>,
}

impl Slots {
    pub(crate) fn bind(
        mut self,
        slot: &str,
        call: impl Fn(String, String) -> BoxFuture<'static, Result<String, GuestError>> + Send + Sync + 'static,
    ) -> Self {
        self.methods.insert(self.names.len(), Box::new(call));
        self.names.push(slot.to_owned());
        self
    }
}

impl Connections for Slots {
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError> {
        let at = self.names.iter().position(|name| name == slot);
        at.map(SlotHandle).ok_or_else(|| GuestError::lasting("slot_unbound", format!("no slot {slot}")))
    }

    fn call<'a>(
        &'a self,
        _run: &'a Arc<RunScope>,
        slot: SlotHandle,
        method: &'a str,
        input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        self.methods[&slot.0](method.to_owned(), input)
    }
}
