//! How the demo tells what happens.

use crate::cli::CliError;
use crate::cli::output::line;

/// A numbered telling.
pub(super) struct Story {
    step: u32,
}

impl Story {
    pub(super) fn begin() -> Result<Self, CliError> {
        line("Headgate demo: a webhook runs a sandboxed flow, and the flow calls an app through a connection")?;
        line("whose secret it never sees.")?;
        Ok(Self { step: 0 })
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) -> Result<(), CliError> {
        self.step += 1;
        line(&format!("\n{:>2}. {title}", self.step))
    }

    /// Tells more of the step; each line is set in.
    pub(super) fn say(&self, text: &str) -> Result<(), CliError> {
        for part in text.lines() {
            line(format!("      {part}").trim_end())?;
        }
        Ok(())
    }
}

/// Ends the demo when something is not as it should be.
pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), CliError> {
    if holds { Ok(()) } else { Err(CliError::Unexpected(otherwise())) }
}
