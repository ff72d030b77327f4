//! What the server writes to its log: all of it, from all servers of this process.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing_subscriber::EnvFilter;

/// Loud: nothing that an operator could turn on may hold a secret. The compiler's own words are left out.
const FILTER: &str = "info,headgate=trace,reqwest=trace,hyper=trace,hyper_util=trace";

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is logged from now on.
pub fn capture() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(FILTER)).with_ansi(false);
        log.with_writer(|| Keep).init();
    });
}

/// All that was logged.
pub fn written() -> Vec<u8> {
    locked().clone()
}

/// The lines with all of these texts. A story finds its own lines by something that only it has, such as a port.
pub fn lines_with(texts: &[&str]) -> Vec<String> {
    let written = written();
    let lines = written.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    lines.filter(|line| texts.iter().all(|text| line.contains(text))).map(|line| line.into_owned()).collect()
}

fn locked() -> MutexGuard<'static, Vec<u8>> {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Keep;

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
