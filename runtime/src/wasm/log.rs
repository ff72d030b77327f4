//! The log of one run: lines of its guests, capped.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::wasm::settings::WasmSettings;

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever works on the guest.
    Debug,
    /// What happened.
    Info,
    /// What should not have happened.
    Warn,
    /// What failed.
    Error,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// The flow.
    Flow,
    /// A connector it called.
    Connector,
    /// The server.
    Server,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: SystemTime,
    /// How loud it is.
    pub level: LogLevel,
    /// Who wrote it.
    pub source: LogSource,
    /// The line, shortened where it was too long.
    pub message: String,
}

/// What a run's log holds in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLog {
    /// The lines that were kept, in the order they were written.
    pub lines: Vec<LogLine>,
    /// How many lines came after the log was full.
    pub dropped: u64,
}

/// Is told each line as it is written.
pub(super) type Listener = Box<dyn Fn(&LogLine) + Send>;

/// Collects a run's log within its bounds.
pub(super) struct Collector {
    log: RunLog,
    listener: Option<Listener>,
    lines_left: usize,
    bytes_left: usize,
    line_bytes: usize,
}

impl Collector {
    pub(super) fn new(settings: &WasmSettings) -> Self {
        Self {
            log: RunLog::default(),
            listener: None,
            lines_left: settings.log_lines,
            bytes_left: settings.log_bytes,
            line_bytes: settings.log_line_bytes,
        }
    }

    pub(super) fn push(&mut self, source: LogSource, level: LogLevel, message: &str) {
        let kept = shortened(message, self.line_bytes.min(self.bytes_left));
        if self.lines_left == 0 || (kept.is_empty() && !message.is_empty()) {
            self.log.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= kept.len();
        let cut = if kept.len() < message.len() { " [cut]" } else { "" };
        let line = LogLine { at: SystemTime::now(), level, source, message: format!("{kept}{cut}") };
        if let Some(tell) = &self.listener {
            tell(&line);
        }
        self.log.lines.push(line);
    }

    /// Tells somebody of each line that is kept from now on, until the log is taken.
    pub(super) fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    pub(super) fn take(&mut self) -> RunLog {
        self.listener = None;
        std::mem::take(&mut self.log)
    }
}

/// The longest beginning of `text` that has at most `bytes` bytes and ends between characters.
pub(super) fn shortened(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(log_lines: usize, log_line_bytes: usize, log_bytes: usize) -> Collector {
        Collector::new(&WasmSettings { log_lines, log_line_bytes, log_bytes, ..WasmSettings::default() })
    }

    fn messages(collector: &mut Collector) -> (Vec<String>, u64) {
        let log = collector.take();
        (log.lines.into_iter().map(|line| line.message).collect(), log.dropped)
    }

    #[test]
    fn keeps_what_fits_and_counts_the_rest() {
        let mut lines = collector(2, 100, 1_000);
        for message in ["a", "", "c", "d"] {
            lines.push(LogSource::Flow, LogLevel::Info, message);
        }
        assert_eq!(messages(&mut lines), (vec!["a".into(), String::new()], 2));

        let mut bytes = collector(100, 100, 3);
        for message in ["ab", "cd", "e"] {
            bytes.push(LogSource::Flow, LogLevel::Info, message);
        }
        assert_eq!(messages(&mut bytes), (vec!["ab".into(), "c [cut]".into()], 1));
    }

    #[test]
    fn cuts_between_characters() {
        let mut lines = collector(10, 3, 1_000);
        lines.push(LogSource::Flow, LogLevel::Info, "aää");
        assert_eq!(messages(&mut lines), (vec!["aä [cut]".into()], 0));
    }
}
