//! The child's side: one component comes in, machine code goes out.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::process::exit;
use std::thread;

use rlimit::{Resource, setrlimit};

use super::{Answer, Request, TRAILER};
use crate::wasm::engine;

/// The longest first line, in bytes.
const REQUEST: u64 = 4 * 1024;
/// Files the child may have open: its three streams, and what a runtime around it holds.
const FILES: u64 = 64;
/// Seconds between the signal that says the time is up, and the end.
const GRACE: u64 = 5;
/// The stack of the thread that waits for the server's end.
const SMALL_STACK: usize = 64 * 1024;
/// What an allocator of the system says.
const NO_MEMORY: [&str; 3] = ["Cannot allocate memory", "out of memory", "os error 12"];

/// What the program does that was started to compile: it reads a request from standard input, writes its answer to
/// standard output, and ends.
pub fn compile_child() -> ! {
    let (answer, text) = answer();
    let mut out = io::stdout().lock();
    let written = out
        .write_all(&text)
        .and_then(|()| out.write_all(&(text.len() as u64).to_le_bytes()))
        .and_then(|()| out.write_all(&[answer as u8]))
        .and_then(|()| out.write_all(TRAILER))
        .and_then(|()| out.flush());
    exit(i32::from(written.is_err()))
}

fn answer() -> (Answer, Vec<u8>) {
    let failed = |doing: &str, error: &dyn std::fmt::Display| {
        let text = format!("{doing}: {error}");
        let is_memory = NO_MEMORY.iter().any(|words| text.contains(words));
        (if is_memory { Answer::Memory } else { Answer::Failed }, text.into_bytes())
    };
    let request = match read_request() {
        Ok(request) => request,
        Err(error) => return failed("the request cannot be read", &error),
    };
    // Before the component is read: nothing of it is worked on without the limits.
    if let Err(error) = limit(&request) {
        return failed("the limits cannot be set", &error);
    }
    let mut component = vec![0; request.length];
    if let Err(error) = io::stdin().lock().read_exact(&mut component) {
        return failed("the component cannot be read", &error);
    }
    if let Err(error) = end_with_the_server() {
        return failed("no thread can be started", &error);
    }
    let engine = match engine::compiling() {
        Ok(engine) => engine,
        Err(error) => return failed("the compiler cannot be set up", &error),
    };
    if engine::compatibility(&engine) != request.compatibility {
        return failed("the program", &"its file is another version than the server that runs. Restart the server");
    }
    match engine.precompile_component(&component) {
        Ok(code) => (Answer::Code, code),
        Err(error) => {
            let text = format!("{error:#}");
            let is_memory = NO_MEMORY.iter().any(|words| text.contains(words));
            (if is_memory { Answer::Memory } else { Answer::Invalid }, text.into_bytes())
        }
    }
}

fn read_request() -> io::Result<Request> {
    let mut line = String::new();
    // The lock's buffer is shared: what was read beyond the line is still there for the next reader.
    io::stdin().lock().take(REQUEST).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Bounds this process: its memory, its time, its files; and what it leaves behind when it breaks.
fn limit(request: &Request) -> io::Result<()> {
    // All writable memory that is its own: it counts from when it is taken, whether it is used or not.
    setrlimit(Resource::DATA, request.memory, request.memory)?;
    setrlimit(Resource::CPU, request.cpu, request.cpu.saturating_add(GRACE))?;
    setrlimit(Resource::CORE, 0, 0)?;
    setrlimit(Resource::FSIZE, 0, 0)?;
    setrlimit(Resource::NOFILE, FILES, FILES)
}

/// Ends this process when the server closes its end of standard input, as it does when it ends in whatever way.
fn end_with_the_server() -> io::Result<()> {
    let wait = || {
        // Nothing more is sent: whatever comes back means that the server is gone.
        let _ = io::stdin().lock().read(&mut [0]);
        exit(1);
    };
    thread::Builder::new().stack_size(SMALL_STACK).spawn(wait).map(drop)
}
