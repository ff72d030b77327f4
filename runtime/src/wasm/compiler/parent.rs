//! The server's side: starting the child, and what its end means.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{Answer, Program, Request, TRAILER};
use crate::wasm::error::LoadError;

/// Threads one child compiles with at most: beyond that it needs more memory than it saves time.
const MOST_THREADS: usize = 8;
/// What is kept of what the child says to standard error; the reason stands at its end.
const SAID: usize = 4 * 1024;
/// How Rust words that an allocation failed, before it aborts.
const ALLOCATION_FAILED: &str = "memory allocation of";
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// How a child ended.
struct Ended {
    status: ExitStatus,
    /// What it wrote to standard output.
    output: Vec<u8>,
    /// The end of what it wrote to standard error.
    said: String,
}

/// How many threads a child compiles with: two may compile at once, and together leave cores to those who run.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, MOST_THREADS))
}

impl Program {
    /// Starts the child and waits for its answer. It is killed when its time is up, and when nobody waits any more.
    pub(super) async fn compile(
        &self,
        request: &Request,
        component: &[u8],
        limit: Duration,
        most: usize,
    ) -> Result<Vec<u8>, LoadError> {
        let host = |error: io::Error| LoadError::Host { reason: format!("the compiler's process: {error}") };
        let mut child = self.command().spawn().map_err(host)?;
        let exchanged = tokio::time::timeout(limit, exchange(&mut child, request, component, most)).await;
        let ended = match exchanged {
            Ok(Ok(Some(ended))) => ended,
            other => {
                child.kill().await.map_err(host)?;
                return Err(match other {
                    Err(_) => LoadError::TooSlow { limit },
                    Ok(Err(error)) => host(error),
                    Ok(Ok(_)) => LoadError::CodeTooLarge { limit: most },
                });
            }
        };
        verdict(ended, request, limit)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0("headgate").args(&self.arguments).current_dir("/");
        // Nothing of the server's environment: it may hold its key.
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("RAYON_NUM_THREADS", threads().to_string()).env("TOKIO_WORKER_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Sends the request, and reads until the child has ended; nothing when it writes more than it may.
async fn exchange(child: &mut Child, request: &Request, component: &[u8], most: usize) -> io::Result<Option<Ended>> {
    let piped = "all streams were piped";
    let mut stdin = child.stdin.take().expect(piped);
    let mut stdout = child.stdout.take().expect(piped).take(most as u64 + 1);
    let stderr = child.stderr.take().expect(piped);
    let mut header = serde_json::to_vec(request)?;
    header.push(b'\n');
    let feed = async {
        // A child that has ended reads no more; how it ended says why.
        let _ = async {
            stdin.write_all(&header).await?;
            stdin.write_all(component).await?;
            stdin.flush().await
        }
        .await;
        // Open until the child has ended: it takes the end of its input for the end of the server.
        Ok(stdin)
    };
    let read = async {
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).await.map_err(|error| Stopped(Some(error)))?;
        if output.len() > most { Err(Stopped(None)) } else { Ok(output) }
    };
    let said = async { Ok(last_words(stderr).await) };
    match tokio::try_join!(feed, read, said) {
        Ok((stdin, output, said)) => {
            let status = child.wait().await?;
            drop(stdin);
            Ok(Some(Ended { status, output, said }))
        }
        Err(Stopped(None)) => Ok(None),
        Err(Stopped(Some(error))) => Err(error),
    }
}

/// Why an exchange was broken off: an error, or too much output.
struct Stopped(Option<io::Error>);

async fn last_words(mut stream: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut part) = (Vec::new(), [0; SAID]);
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        kept.extend_from_slice(&part[..count]);
        let surplus = kept.len().saturating_sub(SAID);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// The code, or why there is none.
fn verdict(ended: Ended, request: &Request, limit: Duration) -> Result<Vec<u8>, LoadError> {
    let Ended { status, output, said } = ended;
    let no_memory = LoadError::CompileMemory { limit: request.memory };
    match answer(output).filter(|_| status.success()) {
        Some((Answer::Code, code)) => return Ok(code),
        Some((Answer::Invalid, reason)) => return Err(LoadError::Invalid { reason: text(&reason) }),
        Some((Answer::Memory, _)) => return Err(no_memory),
        Some((Answer::Failed, reason)) => {
            return Err(LoadError::Host { reason: format!("the compiler's process: {}", text(&reason)) });
        }
        None => {}
    }
    tracing::warn!(%status, said, "the process that compiled a component ended without an answer");
    Err(match status.signal() {
        _ if said.contains(ALLOCATION_FAILED) => no_memory,
        Some(SIGXCPU) => LoadError::TooSlow { limit },
        Some(SIGKILL) => LoadError::CompileKilled,
        _ => LoadError::CompileCrashed { how: status.to_string() },
    })
}

/// The child's answer: its last bytes say how long it is, and what it is.
fn answer(mut output: Vec<u8>) -> Option<(Answer, Vec<u8>)> {
    let (rest, trailer) = output.split_last_chunk::<8>()?;
    let (kind, rest) = rest.split_last()?;
    let (rest, length) = rest.split_last_chunk::<8>()?;
    let kind = Answer::of(*kind).filter(|_| trailer == TRAILER)?;
    let (length, end) = (usize::try_from(u64::from_le_bytes(*length)).ok()?, rest.len());
    let begin = end.checked_sub(length)?;
    output.truncate(end);
    output.drain(..begin);
    Some((kind, output))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request { length: 1, compatibility: 2, memory: 3 << 20, cpu: 4 };

    fn written(noise: &[u8], kind: u8, text: &[u8]) -> Vec<u8> {
        [noise, text, &(text.len() as u64).to_le_bytes(), &[kind], TRAILER].concat()
    }

    fn verdict_of(status: i32, output: Vec<u8>, said: &str) -> Result<Vec<u8>, String> {
        let ended = Ended { status: ExitStatus::from_raw(status), output, said: said.to_owned() };
        verdict(ended, &REQUEST, Duration::from_secs(2)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_taken_only_whole_and_from_a_child_that_ended_well() {
        let code = written(b"running 1 test\n", b'c', b"code");
        assert_eq!(verdict_of(0, code.clone(), "").unwrap(), b"code");
        for cut in 0..code.len() {
            assert!(verdict_of(0, code[..cut].to_vec(), "").is_err(), "cut at {cut}");
        }
        assert!(verdict_of(256, code.clone(), "").is_err(), "it did not end well");
        let longer = [&100u64.to_le_bytes()[..], b"c", TRAILER].concat();
        assert!(verdict_of(0, longer, "").is_err(), "it says more than there is");
        assert!(verdict_of(0, written(b"", b'?', b"code"), "").is_err(), "an unknown answer");
    }

    #[test]
    fn every_ending_is_told_in_words() {
        for (status, output, said, wanted) in [
            (0, written(b"", b'i', b"no type 7"), "", "the component is not valid: no type 7"),
            (0, written(b"", b'm', b""), "", "too large to compile within 3145728 bytes"),
            (0, written(b"", b'f', b"another version"), "", "another version"),
            (6, vec![], "memory allocation of 4096 bytes failed", "too large to compile within 3145728 bytes"),
            (6, vec![], "thread has overflowed its stack", "signal: 6"),
            (SIGXCPU, vec![], "", "took longer than 2s"),
            (SIGKILL, vec![], "", "was killed"),
            (101 << 8, vec![], "", "exit status: 101"),
        ] {
            let error = verdict_of(status, output, said).unwrap_err();
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
    }
}
