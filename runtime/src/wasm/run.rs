//! What the instances of one run share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use crate::wasm::blob::Blobs;
use crate::wasm::error::GuestError;
use crate::wasm::log::{Collector, LogLevel, LogLine, LogSource, RunLog};
use crate::wasm::settings::WasmSettings;

/// What guests may know of their run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The run's id, a UUID version 7.
    pub id: Uuid,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The environment it runs in.
    pub environment: String,
    /// The flow's name.
    pub flow: String,
    /// Who called, for people. Never a credential.
    pub caller: String,
}

impl RunInfo {
    /// Of a call that belongs to no run, such as one that asks a guest what it is.
    pub fn nobody() -> Self {
        let (environment, flow, caller) = Default::default();
        Self { id: Uuid::now_v7(), attempt: 1, environment, flow, caller }
    }
}

/// A connection that was opened: what [`Connections::open`] gave out, to be passed to [`Connections::call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotHandle(pub usize);

/// Performs what a flow asks of its connections. The service layer implements it: it knows what is bound to
/// which slot, records steps, and calls [`WasmHost::invoke`](crate::wasm::WasmHost::invoke).
pub trait Connections: Send + Sync + 'static {
    /// The connection bound to a slot; `slot_unbound` where there is none.
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError>;

    /// Calls a method through an opened connection; `input` and the output are JSON.
    fn call<'a>(
        &'a self,
        run: &'a Arc<RunScope>,
        slot: SlotHandle,
        method: &'a str,
        input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>>;
}

/// One run: what its flow and the connectors it calls share, and when it has to end.
/// [`WasmHost::scope`](crate::wasm::WasmHost::scope) makes one.
pub struct RunScope {
    info: RunInfo,
    deadline: Instant,
    timeout: Duration,
    log: Mutex<Collector>,
    longest_line: usize,
    blobs: Blobs,
    connections: Arc<dyn Connections>,
}

impl RunScope {
    pub(super) fn new(
        settings: &WasmSettings,
        info: RunInfo,
        timeout: Option<Duration>,
        connections: Arc<dyn Connections>,
    ) -> Arc<Self> {
        let timeout = settings.timeout(timeout);
        Arc::new(Self {
            info,
            deadline: Instant::now() + timeout,
            timeout,
            log: Mutex::new(Collector::new(settings)),
            longest_line: settings.log_line_bytes,
            blobs: Blobs::new(settings.blob_bytes),
            connections,
        })
    }

    /// Facts about the run.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Adds a line to the run's log.
    pub fn log(&self, source: LogSource, level: LogLevel, message: &str) {
        self.collector().push(source, level, message);
    }

    /// Has `listener` told of each line of the log as it is written, until the log is taken. It must not write to the log.
    pub fn listen(&self, listener: impl Fn(&LogLine) + Send + 'static) {
        self.collector().listen(Box::new(listener));
    }

    /// Takes what the log holds so far; a line a guest has begun is in it once that guest's call has ended.
    pub fn take_log(&self) -> RunLog {
        self.collector().take()
    }

    /// When the run has to end.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the run may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn longest_line(&self) -> usize {
        self.longest_line
    }

    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(super) fn connections(&self) -> &dyn Connections {
        self.connections.as_ref()
    }

    fn collector(&self) -> MutexGuard<'_, Collector> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For calls that belong to no flow: there is nothing to open.
#[derive(Debug)]
pub struct NoConnections;

impl Connections for NoConnections {
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError> {
        Err(GuestError::lasting("slot_unbound", format!("nothing is bound to the slot \"{slot}\" here")))
    }

    fn call<'a>(
        &'a self,
        _run: &'a Arc<RunScope>,
        _slot: SlotHandle,
        _method: &'a str,
        _input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        Box::pin(async { Err(GuestError::lasting("slot_unbound", "no connection can be open here")) })
    }
}
