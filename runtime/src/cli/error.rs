//! Why a command failed, as a person reads it.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::id::ParseIdError;
use crate::settings::SettingsError;

/// Why a command failed. Every message says what to do next.
#[derive(Debug, Error)]
pub enum CliError {
    /// Nobody listens at the server's address.
    #[error(
        "no server answers at {url}. Start one with `headgate serve`, or say where it is with --url or HEADGATE_URL"
    )]
    Unreachable {
        /// The address.
        url: String,
    },
    /// The exchange with the server broke off.
    #[error("the exchange with {url} broke off. Look whether it was done, then try again")]
    Broken {
        /// The address.
        url: String,
        /// What the HTTP client says.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{message}{}", .hint.map(|hint| format!("\n{hint}")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// The server's own words.
        message: String,
        /// What to do, where the server cannot know it.
        hint: Option<&'static str>,
    },
    /// Something answered that is no Headgate server.
    #[error("{url} does not answer as a Headgate server does ({reason}). Is the address right?")]
    NotHeadgate {
        /// The address.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The terminal or the pipe does not take the output.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// Another program is missing or fails; the message says which, and what to do.
    #[error("{0}")]
    Program(String),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server cannot start or stop.
    #[error("{0}")]
    Server(anyhow::Error),
    /// A run of Run Once ended with an error; its record was shown.
    #[error("the run failed: {0}")]
    RunFailed(String),
    /// Replacing the key-encryption key ended before it was finished.
    #[error("the key was not replaced: {0}")]
    RotationStopped(String),
    /// `doctor` found problems; they were shown.
    #[error("{0} of the checks found a problem. What to do stands below each")]
    Unhealthy(usize),
    /// The demo saw something else than it should.
    #[error("this is not as it should be: {0}")]
    Unexpected(String),
    /// The audit log is not as it was written.
    #[error("the audit log is broken at entry {sequence}: {reason}. Compare it with a backup of the data folder")]
    AuditBroken {
        /// The first entry that is wrong.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A second signal ended the server at once.
    #[error("stopped at once; runs that were under way are taken up at the next start")]
    Interrupted,
}

impl CliError {
    /// Wraps the system's answer about a file; for `map_err`.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// Whether the reader of the output went away, as `head` does: no failure.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit status: 130 as a shell gives it after an interrupt, 1 otherwise.
    pub fn exit_status(&self) -> u8 {
        if matches!(self, Self::Interrupted) { 130 } else { 1 }
    }

    /// `error: ...` and a line `caused by: ...` for each cause that adds something.
    pub fn report(&self) -> String {
        let mut lines = vec![format!("error: {self}")];
        let mut cause = match self {
            Self::Server(error) => error.source(),
            other => other.source(),
        };
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their cause in their own text.
            if !lines.last().is_some_and(|line| line.contains(&text)) {
                lines.push(format!("caused by: {text}"));
            }
            cause = error.source();
        }
        lines.join("\n")
    }
}

impl From<ParseIdError> for CliError {
    fn from(error: ParseIdError) -> Self {
        Self::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_cause_once() {
        let refused = io::Error::other("permission denied");
        let error = CliError::file("read", Path::new("a.wasm"))(refused);
        assert_eq!(error.report(), "error: cannot read a.wasm\ncaused by: permission denied");

        let error = anyhow::Error::new(io::Error::other("the disk is full"))
            .context("cannot write b: the disk is full")
            .context("the store cannot be opened");
        assert_eq!(
            CliError::Server(error).report(),
            "error: the store cannot be opened\ncaused by: cannot write b: the disk is full"
        );
    }
}
