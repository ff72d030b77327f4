//! The sandbox as the rest of the server sees it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::domain::grant::Grant;
use crate::wasm::cache::{CacheState, ModuleCache};
use crate::wasm::compiler::Compiler;
use crate::wasm::connector::{self, ConnectorPart};
use crate::wasm::cpu::CpuMeter;
use crate::wasm::egress::{Egress, EgressError, GuardedClient, ProbeError, Renewal};
use crate::wasm::engine;
use crate::wasm::error::WasmError;
use crate::wasm::guest::{FlowPart, Guest, link_flow};
use crate::wasm::limits::{Limiter, TotalMemory};
use crate::wasm::permits::{Occupancy, Permits};
use crate::wasm::run::{Connections, RunInfo, RunScope};
use crate::wasm::settings::WasmSettings;

/// Components compiled at the same time; each takes up to half of the cores, and its own memory.
const COMPILERS: usize = 2;
/// Compiled components read from the cache at the same time. Each is in memory twice for a moment, and the allocator
/// keeps some of that for every thread that ever read one.
const READERS: usize = 4;

/// The sandbox. There is one per process: modules belong to the host that loaded them.
pub struct WasmHost {
    pub(super) settings: Arc<WasmSettings>,
    pub(super) engine: Engine,
    pub(super) compatibility: u64,
    pub(super) flow_linker: Linker<Guest<FlowPart>>,
    pub(super) connector_linker: Linker<Guest<ConnectorPart>>,
    pub(super) egress: Arc<Egress>,
    pub(super) cache: ModuleCache,
    pub(super) compiler: Compiler,
    pub(super) compilers: Arc<Semaphore>,
    pub(super) compilations: AtomicU64,
    pub(super) readers: Semaphore,
    pub(super) flows: Permits,
    pub(super) connectors: Permits,
    total_memory: Arc<TotalMemory>,
    turns: Arc<Semaphore>,
}

impl WasmHost {
    /// Sets the sandbox up: reserves address space for every instance there may be, and starts the clock.
    pub fn new(
        settings: WasmSettings,
        cache: ModuleCache,
        compiler: Compiler,
        egress: Arc<Egress>,
    ) -> Result<Arc<Self>, WasmError> {
        settings.validate()?;
        let engine = engine::start(&settings)?;
        let failed = |error: wasmtime::Error| WasmError::Engine { reason: format!("{error:#}") };
        let mut flow_linker = Linker::new(&engine);
        link_flow(&mut flow_linker).map_err(failed)?;
        let mut connector_linker = Linker::new(&engine);
        connector::link(&mut connector_linker).map_err(failed)?;
        let places = |count| Permits::new(count, settings.queue_length, settings.queue_wait);
        Ok(Arc::new(Self {
            compatibility: engine::compatibility(&engine),
            flow_linker,
            connector_linker,
            egress,
            cache,
            compiler,
            compilers: Arc::new(Semaphore::new(COMPILERS)),
            compilations: AtomicU64::new(0),
            readers: Semaphore::new(READERS),
            flows: places(settings.flow_instances),
            connectors: places(settings.connector_instances),
            total_memory: Arc::default(),
            turns: Arc::new(Semaphore::new(turns(settings.busy_guests))),
            settings: Arc::new(settings),
            engine,
        }))
    }

    /// A new run's scope. Its time starts now: `timeout`, or the default, and never more than the most.
    pub fn scope(&self, info: RunInfo, timeout: Option<Duration>, connections: Arc<dyn Connections>) -> Arc<RunScope> {
        RunScope::new(&self.settings, info, timeout, connections)
    }

    /// A client for requests of the server itself to URLs that somebody else wrote.
    pub fn guarded_client(&self) -> Result<GuardedClient, EgressError> {
        self.egress.guarded_client()
    }

    /// What is in the folder of compiled components.
    pub fn cache_state(&self) -> std::io::Result<CacheState> {
        self.cache.state(self.compatibility)
    }

    /// Sends a request of the server's own as a connector under this grant would. The URL is absolute; the whole answer
    /// has to arrive within a time, and its body within a number of bytes.
    pub async fn probe(
        &self,
        grant: &Arc<Grant>,
        renewal: Option<Arc<dyn Renewal>>,
        request: http::Request<Bytes>,
        within: Duration,
        max_body: usize,
    ) -> Result<http::Response<Bytes>, ProbeError> {
        self.egress.probe(grant, renewal, request, within, max_body).await
    }

    /// The bounds in force.
    pub fn settings(&self) -> &WasmSettings {
        &self.settings
    }

    /// How full it is with flows and with connectors.
    pub fn occupancy(&self) -> (Occupancy, Occupancy) {
        (self.flows.occupancy(), self.connectors.occupancy())
    }

    /// When to try again that found no place.
    pub(super) fn retry_after(&self) -> Duration {
        self.settings.queue_wait.max(Duration::from_secs(1))
    }

    pub(super) fn limiter(&self) -> Limiter {
        Limiter::new(&self.settings, Arc::clone(&self.total_memory))
    }

    pub(super) fn meter(&self) -> Arc<CpuMeter> {
        CpuMeter::new(self.settings.cpu, Arc::clone(&self.turns))
    }
}

/// One core stays free for short calls, where there is more than one.
fn turns(busy_guests: usize) -> usize {
    match busy_guests {
        0 => thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
        set => set,
    }
}
