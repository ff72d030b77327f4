//! `headgate audit`

use std::collections::BTreeSet;

use clap::Subcommand;

use crate::cli::output::{facts, table, time};
use crate::cli::{CliError, Context};
use crate::domain::audit::{AuditChange, AuditEntry};
use crate::http::audit::{AuditCheckView, AuditListView};
use crate::service::audit::AuditPlace;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists changes, newest first: those of the group, or of the whole server when no group is named.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// Those before this entry.
        #[arg(long, value_name = "SEQUENCE")]
        before: Option<u64>,
        /// Those of one kind of thing, such as api-key, trigger, flow, connection, member or server.
        #[arg(long)]
        noun: Option<String>,
    },
    /// Checks that every entry is as it was written, and that none is missing.
    Verify {
        /// The log's end as an earlier check showed it: it must still be a part of the log.
        #[arg(long, value_name = "SEQUENCE:HASH")]
        expect: Option<AuditPlace>,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List { limit, before, noun } => {
                let query =
                    [("limit", Some(limit.to_string())), ("before", before.map(|n| n.to_string())), ("noun", noun)];
                let path = context.group.as_ref().map(|group| ["groups", group.as_str(), "audit"]);
                let path: &[&str] = path.as_ref().map_or(&["audit"], |path| path);
                let page: AuditListView = context.client.get_with(path, &query).await?;
                context.output.show(&page, |page| {
                    let more = page.next.map(|next| format!("\n\nThere are older ones: --before {next}"));
                    list(&page.entries) + &more.unwrap_or_default()
                })
            }
            Self::Verify { expect } => {
                let query = [("expect", expect.map(|place| place.to_string()))];
                let check: AuditCheckView = context.client.get_with(&["audit", "verify"], &query).await?;
                context.output.show(&check, |check| {
                    let state = if check.ok { "every entry is as it was written" } else { "broken" };
                    facts([
                        ("entries", check.entries.to_string()),
                        ("end", check.head.clone()),
                        ("state", state.into()),
                    ])
                })?;
                match check.broken {
                    Some(broken) => Err(CliError::AuditBroken { sequence: broken.sequence, reason: broken.reason }),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Entries as a person reads them.
pub(super) fn list(entries: &[AuditEntry]) -> String {
    let row = |entry: &AuditEntry| {
        let address = entry.address.map(|address| address.to_string()).unwrap_or_default();
        [entry.sequence.to_string(), time(entry.at), entry.action.clone(), by(entry), address, changes(entry)]
    };
    table(["no", "when", "what", "who", "from", "changed"], entries.iter().map(row), "No changes are recorded.")
}

fn by(entry: &AuditEntry) -> String {
    match entry.by.kind.as_str() {
        "api_key" => format!("Key: {}", entry.by.name),
        _ => entry.by.name.clone(),
    }
}

/// What was changed, and which fields of it where there are few.
fn changes(entry: &AuditEntry) -> String {
    let one = |change: &AuditChange| {
        let fields = match (&change.before, &change.after) {
            (Some(before), Some(after)) => {
                let states = [before, after].into_iter().filter_map(|state| state.as_object());
                let names: BTreeSet<_> = states.flat_map(|state| state.keys().map(String::as_str)).collect();
                format!(": {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        format!("{} {}{fields}", change.noun, change.id)
    };
    entry.changes.iter().map(one).collect::<Vec<_>>().join("; ")
}
