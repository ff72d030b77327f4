//! One call of one export in a fresh instance, and what its failure means.

use std::sync::Arc;

use tokio::time::timeout_at;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::wasm::bindings::types;
use crate::wasm::cpu::TICK;
use crate::wasm::error::{CallError, FaultCode, GuestError};
use crate::wasm::guest::{Guest, Stop, WorldPart};
use crate::wasm::host::WasmHost;
use crate::wasm::limits::Refused;
use crate::wasm::log::{LogLevel, LogSource, shortened};
use crate::wasm::run::RunScope;

/// The longest texts that are taken from a guest's error, in bytes.
const ERROR_CODE: usize = 64;
const ERROR_MESSAGE: usize = 4 * 1024;
const ERROR_DETAILS: usize = 64 * 1024;

/// What wasmtime says when a guest handed over more than the host-call fuel allows; the type is private.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// Where a call was when it failed.
pub(super) enum Failed {
    /// No instance existed yet.
    Instantiating(wasmtime::Error),
    /// The guest was running.
    Running(wasmtime::Error),
    /// The time was up.
    TimedOut,
}

impl WasmHost {
    /// A store for one instance. It must be dropped before its permit.
    pub(super) fn store<W: WorldPart>(
        &self,
        engine: &wasmtime::Engine,
        run: &Arc<RunScope>,
        world: W,
    ) -> Store<Guest<W>> {
        let mut store = Store::new(engine, Guest::new(&self.settings, self.limiter(), Arc::clone(run), world));
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(self.settings.host_call_bytes);
        store.set_max_component_handles(self.settings.handles);
        store
    }

    /// Makes a call within its bounds of time. Afterwards the store is good for reading the outcome and no more.
    pub(super) async fn call<W: WorldPart, R>(
        &self,
        store: &mut Store<Guest<W>>,
        call: impl AsyncFnOnce(&mut Store<Guest<W>>) -> Result<R, Failed>,
    ) -> Result<R, CallError> {
        let meter = self.meter();
        let metered = Arc::clone(&meter);
        store.epoch_deadline_callback(move |_| {
            if metered.is_spent() {
                return Err(Stop::Cpu.into());
            }
            if metered.used() < TICK {
                return Ok(UpdateDeadline::Continue(1));
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(&metered).take_turn())))
        });
        store.set_epoch_deadline(1);
        let deadline = store.data().run.deadline();
        let done = timeout_at(deadline, meter.measure(call(store))).await;
        done.unwrap_or(Err(Failed::TimedOut)).map_err(|failed| self.explain(store.data(), failed))
    }

    /// Whose fault it was.
    fn explain<W: WorldPart>(&self, guest: &Guest<W>, failed: Failed) -> CallError {
        let who = W::NAME;
        let (error, running) = match failed {
            Failed::TimedOut => {
                let message = format!("the {who} did not end within {:?}", guest.run.timeout());
                return CallError::fault(FaultCode::Timeout, message);
            }
            Failed::Instantiating(error) => (error, false),
            Failed::Running(error) => (error, true),
        };
        if error.is::<PoolConcurrencyLimitError>() || (!running && guest.limiter.refused() == Some(Refused::ByServer)) {
            tracing::warn!(error = %format!("{error:#}"), "a call found no room for its instance");
            return CallError::Overloaded { retry_after: self.retry_after() };
        }
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Cpu => {
                    let message = format!("the {who} computed for more than {:?}", self.settings.cpu);
                    CallError::fault(FaultCode::CpuLimit, message)
                }
                Stop::TooMuch(message) => CallError::fault(FaultCode::OutputTooLarge, message.clone()),
            };
        }
        if let Some(I32Exit(status)) = error.downcast_ref() {
            let message = format!("the {who} called exit({status}); it has to return instead");
            return CallError::fault(FaultCode::Exit, message);
        }
        if let Some(refused) = guest.limiter.refused() {
            return CallError::fault(FaultCode::MemoryLimit, self.refusal(who, refused));
        }
        let text = format!("{error:#}");
        if text.contains(FUEL_EXHAUSTED) {
            let message = format!("the {who} handed over more than {} bytes at once", self.settings.host_call_bytes);
            return CallError::fault(FaultCode::OutputTooLarge, message);
        }
        let is_guests = running || error.is::<Trap>();
        if !is_guests {
            return CallError::Host(format!("the {who} could not be instantiated: {text}"));
        }
        // The trace is for whoever wrote the guest.
        guest.run.log(LogSource::Server, LogLevel::Error, &format!("{error:?}"));
        let reason = match (error.downcast_ref::<Trap>(), error.downcast_ref::<ResourceTableError>()) {
            (Some(trap), _) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            (None, Some(handles)) => format!("{handles} ({} handles are allowed)", self.settings.handles),
            (None, None) => error.root_cause().to_string(),
        };
        CallError::fault(FaultCode::Trap, format!("the {who} trapped: {reason}"))
    }

    fn refusal(&self, who: &str, refused: Refused) -> String {
        let settings = &self.settings;
        match refused {
            Refused::ByInstance => format!(
                "the {who} needed more than {} bytes of memory or {} table elements",
                settings.memory_bytes, settings.table_elements
            ),
            Refused::ByServer => {
                format!("all guests together needed more than {} bytes of memory", settings.total_memory_bytes)
            }
        }
    }
}

/// A guest's error, its texts shortened to what is recorded.
pub(super) fn guest_error(error: types::Error) -> CallError {
    let types::Error { code, message, retryable, details } = error;
    let is_object = |details: &String| {
        details.len() <= ERROR_DETAILS
            && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(details).is_ok()
    };
    CallError::Guest(GuestError {
        code: shortened(&code, ERROR_CODE).to_owned(),
        message: shortened(&message, ERROR_MESSAGE).to_owned(),
        retryable,
        details: details.filter(is_object),
    })
}
