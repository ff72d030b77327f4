//! Polling a connector's trigger in the sandbox, as the server does, without the rest of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use headgate::domain::grant::{Grant, UrlPrefix};
use headgate::domain::scrub::Scrubber;
use headgate::wasm::egress::{Egress, EgressSettings};
use headgate::wasm::{
    CallError, Connections, ConnectorModule, GuestError, ModuleCache, Poll, RunInfo, RunScope, SlotHandle, WasmHost,
    WasmSettings,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::compiler;
use crate::crm::StandIn;

/// A connector, and a grant to reach a stand-in.
pub struct Poller {
    host: Arc<WasmHost>,
    module: Arc<ConnectorModule>,
    grant: Arc<Grant>,
    _cache: TempDir,
}

/// What a poll came to.
#[derive(Debug)]
pub struct Told {
    /// The records' ids.
    pub ids: Vec<String>,
    /// Their data.
    pub data: Vec<Value>,
    /// From where the next poll goes on.
    pub cursor: Value,
    /// Whether there are more already.
    pub more: bool,
}

/// A connector calls no connector.
struct Alone;

impl Connections for Alone {
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError> {
        Err(GuestError::lasting("slot_unbound", format!("no slot {slot}")))
    }

    fn call<'a>(
        &'a self,
        _run: &'a Arc<RunScope>,
        _slot: SlotHandle,
        method: &'a str,
        _input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        Box::pin(async move { Err(GuestError::lasting("method_not_found", method.to_owned())) })
    }
}

impl Poller {
    /// A connector that may reach a stand-in, below `path`; `api_url` is set to that.
    pub async fn start(component: &[u8], app: &StandIn, path: &str) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let compile = crate::javascript::COMPILE;
        let settings = WasmSettings { flow_instances: 2, connector_instances: 2, compile, ..WasmSettings::default() };
        let exempt = app.address.to_string().parse().unwrap();
        let egress = EgressSettings { allow_private: vec![exempt], ..EgressSettings::default() };
        let opened = ModuleCache::open(cache.path(), [7; 32]).unwrap();
        let host = WasmHost::new(settings, opened, compiler::shared(), Egress::new(egress).unwrap()).unwrap();
        let module = host.load_connector(component).await.unwrap_or_else(|error| panic!("{error}"));
        let base = format!("{}{path}", app.url());
        let grant = Arc::new(Grant {
            group: "acme".parse().unwrap(),
            connection: "con_abcdefghij0123456789".parse().unwrap(),
            connection_name: "polled".into(),
            connector: "polled".into(),
            allow: vec![UrlPrefix::from_template(&base, &BTreeMap::new()).unwrap()],
            credentials: Vec::new(),
            config: BTreeMap::from([("api_url".to_owned(), base)]),
            scrub: Scrubber::default(),
            generation: 0,
        });
        Self { host, module, grant, _cache: cache }
    }

    /// What the connector says of itself.
    pub async fn manifest(&self) -> Value {
        serde_json::to_value(self.host.describe(&self.module).await.unwrap()).unwrap()
    }

    /// Polls a trigger.
    pub async fn try_poll(&self, trigger: &str, input: &Value, cursor: Option<&Value>) -> Result<Told, CallError> {
        let poll = Poll { trigger: trigger.into(), input: input.to_string(), cursor: cursor.map(Value::to_string) };
        let scope = self.host.scope(RunInfo::nobody(), None, Arc::new(Alone));
        let polled = self.host.poll(&self.module, &poll, Arc::clone(&self.grant), None, &scope).await?;
        let (ids, data) = polled.records.into_iter().map(|record| (record.id, record.data)).unzip();
        Ok(Told { ids, data, cursor: polled.cursor, more: polled.more })
    }

    /// Polls a trigger, which must succeed.
    pub async fn poll(&self, trigger: &str, input: &Value, cursor: Option<&Value>) -> Told {
        self.try_poll(trigger, input, cursor).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The code of an error that a poll ends with.
    pub async fn refused(&self, trigger: &str, input: &Value, cursor: Option<&Value>) -> String {
        match self.try_poll(trigger, input, cursor).await {
            Ok(told) => panic!("it succeeded: {told:?}"),
            Err(error) => error.for_flow().code,
        }
    }
}
