//! What a store holds for its instance, and the host's side of the interfaces it imports.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream;
use thiserror::Error;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::wasm::bindings::{blobs, connections, run, types};
use crate::wasm::blob::HostBlob;
use crate::wasm::error::GuestError;
use crate::wasm::limits::Limiter;
use crate::wasm::log::{LogLevel, LogSource};
use crate::wasm::run::{RunScope, SlotHandle};
use crate::wasm::settings::WasmSettings;
use crate::wasm::stdio::LogStream;

/// The contents of a store: one instance's part of its run.
pub(super) struct Guest<W> {
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    pub(super) limiter: Limiter,
    pub(super) run: Arc<RunScope>,
    settings: Arc<WasmSettings>,
    pub(super) world: W,
}

/// What one world has that the other has not.
pub(super) trait WorldPart: Send + 'static {
    /// Who is writing when such a guest writes to the log.
    const SOURCE: LogSource;
    /// What such a guest is called in messages.
    const NAME: &str;
}

/// The world of flows needs nothing of its own.
pub(super) struct FlowPart;

impl WorldPart for FlowPart {
    const SOURCE: LogSource = LogSource::Flow;
    const NAME: &str = "flow";
}

/// A guest broke a bound in a way that its interface cannot report.
#[derive(Debug, Error)]
pub(super) enum Stop {
    /// It computed for too long.
    #[error("the CPU budget is spent")]
    Cpu,
    /// It handed over too much.
    #[error("{0}")]
    TooMuch(String),
}

impl<W: WorldPart> Guest<W> {
    pub(super) fn new(settings: &Arc<WasmSettings>, limiter: Limiter, run: Arc<RunScope>, world: W) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(settings.handles);
        // Inert: no environment, no arguments, closed stdin, no preopened folder, no network.
        let wasi = WasiCtx::builder()
            .stdout(LogStream::new(&run, W::SOURCE, LogLevel::Info))
            .stderr(LogStream::new(&run, W::SOURCE, LogLevel::Warn))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(settings.random_bytes)
            .build();
        Self { table, wasi, limiter, run, settings: Arc::clone(settings), world }
    }

    pub(super) fn push_blob(&mut self, blob: HostBlob) -> wasmtime::Result<Resource<HostBlob>> {
        Ok(self.table.push(blob)?)
    }

    pub(super) fn take_blob(&mut self, blob: Resource<HostBlob>) -> wasmtime::Result<HostBlob> {
        Ok(self.table.delete(blob)?)
    }
}

/// Links what every flow may import.
pub(super) fn link_flow(linker: &mut Linker<Guest<FlowPart>>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    blobs::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    run::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    connections::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl<W: WorldPart> WasiView for Guest<W> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl From<GuestError> for types::Error {
    fn from(error: GuestError) -> Self {
        let GuestError { code, message, retryable, details } = error;
        Self { code, message, retryable, details }
    }
}

impl<W: WorldPart> types::Host for Guest<W> {}

impl<W: WorldPart> blobs::Host for Guest<W> {
    fn open(&mut self, id: String) -> wasmtime::Result<Result<Resource<HostBlob>, types::Error>> {
        match self.run.blobs().open(&id) {
            Ok(blob) => Ok(Ok(self.push_blob(blob)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl<W: WorldPart> blobs::HostBlob for Guest<W> {
    fn new(&mut self, content_type: String) -> wasmtime::Result<Resource<HostBlob>> {
        let blob = self.run.blobs().create(content_type).map_err(|error| Stop::TooMuch(error.message))?;
        self.push_blob(blob)
    }

    fn write(&mut self, blob: Resource<HostBlob>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), types::Error>> {
        Ok(self.table.get(&blob)?.write(&bytes).map_err(Into::into))
    }

    fn read(&mut self, blob: Resource<HostBlob>, offset: u64, len: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&blob)?.read(offset, len))
    }

    fn size(&mut self, blob: Resource<HostBlob>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&blob)?.size())
    }

    fn content_type(&mut self, blob: Resource<HostBlob>) -> wasmtime::Result<String> {
        Ok(self.table.get(&blob)?.content_type().to_owned())
    }

    fn id(&mut self, blob: Resource<HostBlob>) -> wasmtime::Result<String> {
        let id = self.run.blobs().publish(self.table.get(&blob)?);
        id.map_err(|error| wasmtime::Error::msg(error.to_string()))
    }

    fn drop(&mut self, blob: Resource<HostBlob>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
    }
}

impl<W: WorldPart> run::Host for Guest<W> {
    fn current(&mut self) -> wasmtime::Result<run::Info> {
        let info = self.run.info();
        Ok(run::Info {
            id: info.id.to_string(),
            attempt: info.attempt,
            environment: info.environment.clone(),
            flow: info.flow.clone(),
            caller: info.caller.clone(),
        })
    }

    fn log(&mut self, level: run::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            run::Level::Debug => LogLevel::Debug,
            run::Level::Info => LogLevel::Info,
            run::Level::Warn => LogLevel::Warn,
            run::Level::Error => LogLevel::Error,
        };
        self.run.log(W::SOURCE, level, &message);
        Ok(())
    }
}

impl connections::Host for Guest<FlowPart> {
    fn open(&mut self, slot: String) -> wasmtime::Result<Result<Resource<SlotHandle>, types::Error>> {
        match self.run.connections().open(&slot) {
            Ok(handle) => Ok(Ok(self.table.push(handle)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn call_all(
        &mut self,
        requests: Vec<connections::Request>,
    ) -> wasmtime::Result<Vec<Result<String, types::Error>>> {
        let (most, at_once) = (self.settings.call_all_requests, self.settings.call_all_concurrency);
        if requests.len() > most {
            return Err(
                Stop::TooMuch(format!("call-all was given {} calls; {most} are allowed", requests.len())).into()
            );
        }
        let calls = requests
            .into_iter()
            .map(|request| Ok((*self.table.get(&request.connection)?, request.method, request.input)))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        // The results stand in memory together until the last one is there.
        let room = AtomicUsize::new(self.settings.memory_bytes);
        let run = &self.run;
        let results = stream::iter(calls).map(|call| one_of_all(run, &room, call)).buffered(at_once);
        Ok(results.collect().await)
    }
}

/// One call of several; a future without a name of its own would not be known to be `Send`.
fn one_of_all<'a>(
    run: &'a Arc<RunScope>,
    room: &'a AtomicUsize,
    (slot, method, input): (SlotHandle, String, String),
) -> Pin<Box<dyn Future<Output = Result<String, types::Error>> + Send + 'a>> {
    Box::pin(async move {
        let output = run.connections().call(run, slot, &method, input).await?;
        let fits = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(output.len()));
        fits.map_err(|_| {
            GuestError::lasting(
                "output_too_large",
                "the call was performed, but the outputs of this call-all together are larger than the flow's memory",
            )
        })?;
        Ok(output)
    })
}

impl connections::HostConnection for Guest<FlowPart> {
    async fn call(
        &mut self,
        connection: Resource<SlotHandle>,
        method: String,
        input: String,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let slot = *self.table.get(&connection)?;
        let run = &self.run;
        Ok(run.connections().call(run, slot, &method, input).await.map_err(Into::into))
    }

    fn drop(&mut self, connection: Resource<SlotHandle>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
