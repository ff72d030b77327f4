//! Standard output and error of a guest: each line becomes a line of the run's log.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::wasm::log::{LogLevel, LogSource};
use crate::wasm::run::RunScope;

/// What a guest may write at once. The size only bounds a buffer; a guest writes more by writing again.
const WRITE_BYTES: usize = 64 * 1024;

/// One of a guest's output streams; its clones are the same stream.
#[derive(Clone)]
pub(super) struct LogStream(Arc<Line>);

struct Line {
    run: Arc<RunScope>,
    source: LogSource,
    level: LogLevel,
    /// The beginning of a line whose end has not been written yet.
    begun: Mutex<Vec<u8>>,
}

impl LogStream {
    pub(super) fn new(run: &Arc<RunScope>, source: LogSource, level: LogLevel) -> Self {
        Self(Arc::new(Line { run: Arc::clone(run), source, level, begun: Mutex::default() }))
    }
}

impl Line {
    fn write(&self, bytes: &[u8]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = self.run.longest_line();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    keep(&mut begun, end, longest);
                    self.run.log(self.source, self.level, &String::from_utf8_lossy(&begun));
                    begun.clear();
                }
                None => keep(&mut begun, part, longest),
            }
        }
    }
}

/// Adds to a begun line what the log could keep of it, and one byte more, so that it shows that it was cut.
fn keep(begun: &mut Vec<u8>, more: &[u8], longest: usize) {
    let room = (longest + 1).saturating_sub(begun.len());
    begun.extend_from_slice(&more[..more.len().min(room)]);
}

impl Drop for Line {
    fn drop(&mut self) {
        let begun = std::mem::take(self.begun.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !begun.is_empty() {
            self.run.log(self.source, self.level, &String::from_utf8_lossy(&begun));
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
