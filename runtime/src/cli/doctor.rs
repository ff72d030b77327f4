//! `headgate doctor`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::cli::output::plain;
use crate::cli::serve::key_of_environment;
use crate::cli::{CliError, Context};
use crate::domain::doctor::{Check, Examination, Verdict};
use crate::service::doctor::{Stopped, examine_stopped};
use crate::settings::{Settings, Sources};
use crate::store::StoreError;

/// Checks the store, its key, the clock, modules, disk space, settings and what connections reach. Nothing is changed.
///
/// A server that does not run is examined by its data folder; one that runs examines itself, for operators. The exit
/// status is 1 when there are problems.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The settings' file; headgate.toml in this folder when absent, if there is one.
    #[arg(long, value_name = "FILE", env = "HEADGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let named = self.data_dir.is_some();
        let flags = self.data_dir.map(|folder| ("data_dir", folder));
        let settings = Settings::load(Sources::of_process(self.config, flags.into_iter().collect::<BTreeMap<_, _>>()))?;
        let examination = if named || settings.data_dir.exists() {
            let stopped = Stopped {
                premises: settings.premises(),
                egress: settings.egress,
                key: key_of_environment(),
                now: Timestamp::now(),
            };
            match examine_stopped(stopped).await {
                Ok(examination) => examination,
                Err(StoreError::Locked { .. }) => context.client.get(&["doctor"]).await?,
                Err(error) => return Err(CliError::Server(error.into())),
            }
        } else {
            context.client.get(&["doctor"]).await?
        };
        context.output.show(&examination, show)?;
        match examination.count(Verdict::Problem) {
            0 => Ok(()),
            problems => Err(CliError::Unhealthy(problems)),
        }
    }
}

fn show(examination: &Examination) -> String {
    let who = if examination.running {
        "The server examined itself."
    } else {
        "No server runs; its data folder was examined."
    };
    let mut lines = vec![who.to_owned()];
    lines.extend(examination.checks.iter().map(line));
    lines.push(format!(
        "{} ok, {} to look at, {} problems.",
        examination.count(Verdict::Ok),
        examination.count(Verdict::Warning),
        examination.count(Verdict::Problem)
    ));
    lines.join("\n")
}

fn line(check: &Check) -> String {
    let finding = plain(&check.finding).replace('\n', " ");
    let remedy = check.remedy.as_ref().map_or_else(String::new, |remedy| format!("\n         -> {}", plain(remedy)));
    format!("{:<8} {}: {finding}{remedy}", check.verdict.as_str(), check.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_what_to_do_stands_below() {
        let checks = vec![Check::ok("disk", "much is free"), Check::problem("key", "it is\ngone", "Put it back")];
        let text = show(&Examination { at: Timestamp::UNIX_EPOCH, running: true, checks });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1..4], ["ok       disk: much is free", "problem  key: it is gone", "         -> Put it back"]);
        assert_eq!(lines[4], "1 ok, 0 to look at, 1 problems.");
    }
}
