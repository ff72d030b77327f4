//! What can go wrong in the sandbox, and whose fault it is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::wasm::egress::Denial;
use crate::wasm::inspect::World;

/// The sandbox could not be set up.
#[derive(Debug, Error)]
pub enum WasmError {
    /// A setting under which nothing could run.
    #[error("the sandbox setting {name} {rule}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// wasmtime refused the configuration, usually for want of address space.
    #[error(
        "the sandbox could not be set up; with little address space (ulimit -v), lower flow_instances and connector_instances: {reason}"
    )]
    Engine {
        /// wasmtime's words.
        reason: String,
    },
    /// The folder for compiled modules cannot be used.
    #[error("the folder for compiled modules {path} cannot be used; check that it exists and is writable")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread that counts time could not be started.
    #[error("the clock of the sandbox could not be started")]
    Clock(#[source] std::io::Error),
}

/// A component was refused. Every message says what to do.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The bytes are no WebAssembly at all.
    #[error(
        "this is not a WebAssembly component: it does not begin with \\0asm. Push the .wasm file that `headgate build` makes"
    )]
    NotWasm,
    /// The bytes are a core module.
    #[error(
        "this is a core WebAssembly module, not a component. Build for the target wasm32-wasip2 (`headgate build` does), or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes end too early.
    #[error("the component is cut off after {length} bytes. Build it again and push the whole file")]
    Truncated {
        /// How many bytes there are.
        length: usize,
    },
    /// The bytes are not valid.
    #[error("the component is not valid: {reason}. Build it again with a current toolchain")]
    Invalid {
        /// What is wrong, and where.
        reason: String,
    },
    /// Components are nested in each other too deeply.
    #[error("the component holds components that are nested more than {limit} deep. Compose it in fewer steps")]
    TooDeep {
        /// The most allowed.
        limit: usize,
    },
    /// The component is too big.
    #[error(
        "the component has {length} bytes, and {limit} are allowed. Build it with optimisation and without debug information, or raise the setting component_bytes"
    )]
    TooLarge {
        /// Its size in bytes.
        length: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The component wants something that is not offered.
    #[error("the {world} wants {wanted}, {offer}. {advice}")]
    Import {
        /// The world it was loaded for.
        world: World,
        /// The interface it imports, with its version.
        wanted: String,
        /// What there is instead.
        offer: String,
        /// What to do.
        advice: String,
    },
    /// The component does not offer what its world needs.
    #[error("a {world} exports {needed}, {found}. {advice}")]
    Export {
        /// The world it was loaded for.
        world: World,
        /// The interface that is needed, with its version.
        needed: String,
        /// What it exports instead.
        found: String,
        /// What to do.
        advice: String,
    },
    /// An interface has the right name, but other contents.
    #[error(
        "the component was built against another form of this server's interfaces: {reason}. Build it again with the SDK of this version"
    )]
    Mismatch {
        /// What it wants, what is offered, and where they differ first.
        reason: String,
    },
    /// Compiling took too long.
    #[error(
        "compiling the component took longer than {limit:?} and was given up. Make it smaller, or raise the setting compile"
    )]
    TooSlow {
        /// The most allowed.
        limit: Duration,
    },
    /// Compiling took too much memory.
    #[error(
        "the component is too large to compile within {limit} bytes of memory. Make it smaller, or raise the setting compile_memory_bytes"
    )]
    CompileMemory {
        /// The most allowed.
        limit: u64,
    },
    /// The compiled form is too large.
    #[error(
        "the component's compiled form has more than {limit} bytes. Make it smaller, or raise the setting component_bytes"
    )]
    CodeTooLarge {
        /// The most allowed.
        limit: usize,
    },
    /// The process that compiled was killed by somebody else.
    #[error(
        "the process that compiled the component was killed, most likely because the machine has too little memory. Make it smaller, or lower the setting compile_memory_bytes"
    )]
    CompileKilled,
    /// The process that compiled broke.
    #[error(
        "the component cannot be compiled: the process that compiled it ended with {how}. The server's log has its last words. Build it again with a current toolchain"
    )]
    CompileCrashed {
        /// With which status or signal.
        how: String,
    },
    /// The component needs more places, memory or tables than there are for one.
    #[error(
        "the component needs more than one module may have: {reason}. Make it smaller, or raise the setting memory_bytes or table_elements where it names memory or tables"
    )]
    TooMuch {
        /// wasmtime's words.
        reason: String,
    },
    /// The component cannot be instantiated.
    #[error(
        "when it is started, {reason}. What a {world} does when it starts (a start function, initialisers) has to end well within the limits of a run"
    )]
    Start {
        /// The world it was loaded for.
        world: World,
        /// How it ended.
        reason: String,
    },
    /// The component cannot say what it is.
    #[error("the {world} does not describe itself: {reason}. Its `describe` has to answer; test it with `cargo test`")]
    Describe {
        /// The world it was loaded for.
        world: World,
        /// How it ended.
        reason: String,
    },
    /// No place was free to try the component.
    #[error("the server is busy; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The server failed.
    #[error("the server could not load the component: {reason}")]
    Host {
        /// For the log.
        reason: String,
    },
}

/// An error a guest returned or is given, as in the WIT record `error`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct GuestError {
    /// A stable, machine-readable word.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the same call may succeed later without a change.
    pub retryable: bool,
    /// Further facts, a JSON object.
    pub details: Option<String>,
}

impl GuestError {
    /// An error that stays until something is changed.
    pub fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retryable: false, details: None }
    }

    /// An error that may go away by itself.
    pub fn passing(code: &str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::lasting(code, message) }
    }
}

/// What a guest did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// It trapped: a panic, an index out of bounds, a broken contract.
    Trap,
    /// It needed more memory or table elements than it may have, and gave up.
    MemoryLimit,
    /// It computed for too long.
    CpuLimit,
    /// It took too long, waiting included.
    Timeout,
    /// It handed over more than it may.
    OutputTooLarge,
    /// It called `exit` instead of returning.
    Exit,
    /// What it returned is not what its interface promises.
    InvalidOutput,
}

impl FaultCode {
    /// The word that stands in records and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::MemoryLimit => "memory_limit",
            Self::CpuLimit => "cpu_limit",
            Self::Timeout => "timeout",
            Self::OutputTooLarge => "output_too_large",
            Self::Exit => "exit",
            Self::InvalidOutput => "invalid_output",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call did not succeed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The guest ran well and returned an error.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The guest is to blame.
    #[error("{code}: {message}")]
    Fault {
        /// What it did.
        code: FaultCode,
        /// One sentence for a person, with the limit where there is one.
        message: String,
    },
    /// The guest failed after a request of its was not let out. The denials say which host, and what would allow it.
    #[error("{}", denials.first().map_or_else(|| cause.to_string(), ToString::to_string))]
    EgressDenied {
        /// What was denied, oldest first; at least one.
        denials: Vec<Denial>,
        /// How the guest failed then.
        #[source]
        cause: Box<CallError>,
    },
    /// No place became free in time, or too many wait already. Nothing was run.
    #[error("the server is busy; try again in {} s", retry_after.as_secs().max(1))]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The server is to blame; the text is for the log, not for the caller.
    #[error("the sandbox failed: {0}")]
    Host(String),
}

impl CallError {
    pub(crate) fn fault(code: FaultCode, message: impl Into<String>) -> Self {
        Self::Fault { code, message: message.into() }
    }

    /// What a flow is told whose connection call ended in this.
    pub fn for_flow(self) -> GuestError {
        let message = self.to_string();
        match self {
            Self::Guest(error) => error,
            Self::Fault { code: FaultCode::Timeout, message } => GuestError::passing("timeout", message),
            Self::Fault { code, message } => GuestError {
                details: Some(serde_json::json!({ "fault": code.as_str() }).to_string()),
                ..GuestError::lasting("connector_fault", message)
            },
            Self::EgressDenied { denials, .. } => GuestError {
                details: denials.first().and_then(|denial| serde_json::to_string(denial).ok()),
                ..GuestError::lasting("egress_denied", message)
            },
            Self::Overloaded { .. } => GuestError::passing("overloaded", message),
            // The reason is in the server's log.
            Self::Host(_) => GuestError::lasting("internal", "the server failed; its log says why"),
        }
    }
}
