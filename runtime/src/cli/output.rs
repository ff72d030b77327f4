//! What a command shows: a table for people, the API's JSON for programs.

use std::io::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

use crate::cli::error::CliError;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// For people, or as JSON for programs.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Shows a value as the API's JSON, or as `human` words it.
    pub(super) fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string_pretty(value).expect("answers of the API have text keys");
            line(&text)
        } else {
            line(&human(value))
        }
    }

    /// Shows a value as one line of JSON, or as `human` words it: for output that goes on.
    pub(super) fn stream<T: Serialize + ?Sized>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            line(&serde_json::to_string(value).expect("answers of the API have text keys"))
        } else {
            line(&human(value))
        }
    }
}

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// A table with a head, or `none` when it has no rows.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    none: &str,
) -> String {
    let mut builder = Builder::default();
    builder.push_record(head.map(str::to_uppercase));
    for row in rows {
        builder.push_record(row.map(|cell| plain(&cell).replace('\n', " ")));
    }
    if builder.count_records() == 1 {
        return none.to_owned();
    }
    columns(builder)
}

/// Facts about one thing: a name and a value per line.
pub(super) fn facts<const N: usize>(facts: [(&str, String); N]) -> String {
    let mut builder = Builder::default();
    for (name, value) in facts {
        builder.push_record([name.to_owned(), plain(&value)]);
    }
    columns(builder)
}

fn columns(builder: Builder) -> String {
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 3, 0, 0));
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A text that may come from a guest or a caller, without what could steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() && c != '\n' => '\u{fffd}',
            c => c,
        })
        .filter(|c| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}

/// A point in time, to the second, in UTC.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time of the day, to the millisecond, in UTC.
pub(super) fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S%.3f").to_string()
}

/// A duration given in microseconds.
pub(super) fn duration(microseconds: Option<u64>) -> String {
    match microseconds {
        None => String::new(),
        Some(us @ 0..1_000) => format!("{us} µs"),
        Some(us @ 1_000..1_000_000) => format!("{:.1} ms", us as f64 / 1e3),
        Some(us) => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// A size in bytes, as people write it.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The beginning of a digest, enough to tell modules apart.
pub(super) fn short_digest(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_bare() {
        let rows = [["acme".to_owned(), "1".to_owned()], ["a-longer-name".to_owned(), "22".to_owned()]];
        assert_eq!(table(["name", "size"], rows, "-"), "NAME            SIZE\nacme            1\na-longer-name   22");
        assert_eq!(table(["name"], [], "No groups yet."), "No groups yet.");
    }

    #[test]
    fn a_guest_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
        assert_eq!(table(["log"], [["x\ny\u{7}".to_owned()]], ""), "LOG\nx y\u{fffd}");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(duration(None), "");
        assert_eq!(duration(Some(999)), "999 µs");
        assert_eq!(duration(Some(1_500)), "1.5 ms");
        assert_eq!(duration(Some(2_000_000)), "2.00 s");
        assert_eq!([size(12), size(2_048), size(3 << 20)], ["12 B", "2.0 KiB", "3.0 MiB"]);
        assert_eq!(time(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00");
        assert_eq!(clock(Timestamp::UNIX_EPOCH), "00:00:00.000");
        assert_eq!(short_digest(&format!("sha256:{}", "a".repeat(64))), "sha256:aaaaaaaaaaaa");
    }
}
