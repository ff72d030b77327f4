//! Compiling components in a process of its own, so that a component that takes too much time or memory to compile
//! takes them from nobody else.
//!
//! The server starts itself again with a hidden subcommand. The child sets its own limits, reads the component,
//! writes machine code, and ends; it also ends when the server does. This bounds what compiling costs. It is no wall
//! around the compiler: the code it writes is run like code that was compiled here.

mod child;
mod parent;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use wasmtime::Engine;

use crate::domain::digest::ModuleDigest;
use crate::wasm::error::LoadError;
use crate::wasm::settings::WasmSettings;

pub use child::compile_child;

/// The hidden subcommand that is the child.
pub const SUBCOMMAND: &str = "compile-module";
/// The running program, also when its file was replaced since it started.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What the child writes last. A test harness may have written something first.
const TRAILER: &[u8; 8] = b"headgate";
/// Compiled code at most, in sizes of the largest component: it takes about three times the room of WebAssembly.
const OUTPUT_FACTOR: usize = 8;

/// How components are compiled.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// In the server's own process, without a bound of memory: for tests and benchmarks, which know their components.
    InProcess(Compiled),
    /// In a limited process of its own.
    Child(Program),
}

/// What was compiled in this process, by the engine's compatibility: many servers of a test need the same.
#[derive(Debug, Clone, Default)]
pub struct Compiled(Arc<Mutex<HashMap<(u64, ModuleDigest), MachineCode>>>);

/// Of one component; whoever needs it first compiles it.
type MachineCode = Arc<OnceCell<Vec<u8>>>;

/// A program that is the child: it calls [`compile_child`].
#[derive(Debug, Clone)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// What it is called with.
    pub arguments: Vec<OsString>,
    /// Its whole environment, besides what bounds its threads.
    pub variables: Vec<(String, String)>,
}

/// The first line the child reads, as JSON; the component follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    /// The component's size in bytes.
    length: usize,
    /// What the code has to fit, by [`super::engine::compatibility`].
    compatibility: u64,
    /// The most memory the child may use, in bytes.
    memory: u64,
    /// The most CPU time, in seconds over all of its threads.
    cpu: u64,
}

/// What the child's answer is. Its byte stands before the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Answer {
    /// Machine code.
    Code = b'c',
    /// Why the component is not valid.
    Invalid = b'i',
    /// That memory ran out.
    Memory = b'm',
    /// Why the child could not work.
    Failed = b'f',
}

impl Answer {
    fn of(byte: u8) -> Option<Self> {
        [Self::Code, Self::Invalid, Self::Memory, Self::Failed].into_iter().find(|answer| *answer as u8 == byte)
    }
}

impl Compiler {
    /// The program that runs now, as `headgate` understands its command line.
    pub fn of_this_program() -> io::Result<Self> {
        let own = Path::new(OWN_PROGRAM);
        let path = if own.exists() { own.to_owned() } else { std::env::current_exe()? };
        Ok(Self::Child(Program { path, arguments: vec![SUBCOMMAND.into()], variables: Vec::new() }))
    }

    /// Compiles a component to machine code that `engine` takes, within the settings' bounds.
    pub(super) async fn compile(
        &self,
        engine: &Engine,
        compatibility: u64,
        settings: &WasmSettings,
        component: Arc<[u8]>,
    ) -> Result<Vec<u8>, LoadError> {
        match self {
            Self::InProcess(compiled) => {
                let code = compiled.of(compatibility, ModuleDigest::of(&component));
                let compile = || in_process(engine.clone(), settings.compile, component);
                code.get_or_try_init(compile).await.cloned()
            }
            Self::Child(program) => {
                let request = Request {
                    length: component.len(),
                    compatibility,
                    memory: settings.compile_memory_bytes as u64,
                    cpu: settings.compile.as_secs().max(1).saturating_mul(parent::threads() as u64),
                };
                let most = settings.component_bytes.saturating_mul(OUTPUT_FACTOR);
                program.compile(&request, &component, settings.compile, most).await
            }
        }
    }
}

impl Compiled {
    fn of(&self, compatibility: u64, digest: ModuleDigest) -> MachineCode {
        let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.entry((compatibility, digest)).or_default().clone()
    }
}

async fn in_process(engine: Engine, limit: Duration, component: Arc<[u8]>) -> Result<Vec<u8>, LoadError> {
    let compiling = tokio::task::spawn_blocking(move || engine.precompile_component(&component));
    let compiled = tokio::time::timeout(limit, compiling).await.map_err(|_| LoadError::TooSlow { limit })?;
    compiled
        .map_err(|error| LoadError::Host { reason: error.to_string() })?
        .map_err(|error| LoadError::Invalid { reason: format!("{error:#}") })
}
