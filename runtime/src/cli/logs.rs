//! `headgate logs`

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::cli::output::line;
use crate::cli::runs::{log_line, state};
use crate::cli::{CliError, Context};
use crate::domain::run::{LogLine, Outcome, RunState};
use crate::http::runs::{RunSummary, RunView};

/// How often `--follow` looks for new lines.
const POLL: Duration = Duration::from_millis(500);
/// How many of the newest runs a look takes in; the API's most.
const WINDOW: usize = 500;

/// Shows what runs logged.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The run's id; the newest runs when absent.
    run: Option<Uuid>,
    /// Of this flow only, by id or name.
    #[arg(long, conflicts_with = "run")]
    flow: Option<String>,
    /// How many of the newest runs to begin with.
    #[arg(long, conflicts_with = "run", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=500))]
    limit: u16,
    /// Goes on with the lines of new runs as they come, until it is stopped.
    #[arg(long, short)]
    follow: bool,
}

/// A line together with the run that said it, for programs.
#[derive(Serialize)]
struct Line<'a> {
    run: Uuid,
    flow: &'a str,
    #[serde(flatten)]
    line: &'a LogLine,
}

/// How much of a run was shown.
#[derive(Debug, Default, Clone, Copy)]
struct Shown {
    lines: usize,
    ended: bool,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self.run {
            Some(run) => self.one(context, run).await,
            None => self.many(context).await,
        }
    }

    async fn one(&self, context: &Context, run: Uuid) -> Result<(), CliError> {
        let mut shown = Shown::default();
        loop {
            shown = show(context, &read(context, run).await?, shown)?;
            if !self.follow || shown.ended {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn many(&self, context: &Context) -> Result<(), CliError> {
        let first = usize::from(self.limit);
        let mut runs = self.newest(context, if self.follow { WINDOW } else { first.max(1) }).await?;
        if !self.follow {
            runs.truncate(first);
            return self.catch_up(context, &runs, &mut HashMap::new()).await;
        }
        let older = runs.iter().skip(first).filter(|run| has_ended(run.state));
        let mut shown: HashMap<_, _> = older.map(|run| (run.id, Shown { lines: 0, ended: true })).collect();
        loop {
            self.catch_up(context, &runs, &mut shown).await?;
            tokio::time::sleep(POLL).await;
            runs = self.newest(context, WINDOW).await?;
            let all_new = !runs.iter().any(|run| shown.contains_key(&run.id));
            if all_new && runs.len() == WINDOW && !context.output.is_json() {
                line(&format!("... more than {WINDOW} runs came at once; `headgate runs` shows those left out here"))?;
            }
            // What left the window is not looked at again.
            shown.retain(|id, _| runs.iter().any(|run| run.id == *id));
        }
    }

    async fn newest(&self, context: &Context, limit: usize) -> Result<Vec<RunSummary>, CliError> {
        let query = [("flow", self.flow.clone()), ("limit", Some(limit.to_string()))];
        context.client.get_with(&["groups", context.group()?, "runs"], &query).await
    }

    /// Shows what is new of these runs, oldest first.
    async fn catch_up(
        &self,
        context: &Context,
        runs: &[RunSummary],
        shown: &mut HashMap<Uuid, Shown>,
    ) -> Result<(), CliError> {
        for run in runs.iter().rev() {
            let before = shown.get(&run.id).copied().unwrap_or_default();
            if before.ended {
                continue;
            }
            let now = show(context, &read(context, run.id).await?, before)?;
            shown.insert(run.id, now);
        }
        Ok(())
    }
}

fn has_ended(state: RunState) -> bool {
    !matches!(state, RunState::Queued | RunState::Running)
}

async fn read(context: &Context, run: Uuid) -> Result<RunView, CliError> {
    context.client.get(&["groups", context.group()?, "runs", &run.to_string()]).await
}

/// Shows the lines of a run beyond those shown before, and how it ended.
fn show(context: &Context, run: &RunView, before: Shown) -> Result<Shown, CliError> {
    let summary = &run.summary;
    let flow = summary.flow_name.as_str();
    let id = summary.id.to_string();
    // The end of a UUID version 7 is its random part, which tells runs of the same moment apart.
    let name = format!("{flow} {}", &id[id.len() - 8..]);
    for line in run.log.iter().skip(before.lines) {
        let whole = Line { run: summary.id, flow, line };
        context.output.stream(&whole, |whole| format!("{name}  {}", log_line(whole.line)))?;
    }
    let ended = has_ended(summary.state);
    if ended && !context.output.is_json() {
        let why = match &run.outcome {
            Some(Outcome::Failure(failure)) => format!(", {}: {}", failure.code, failure.message),
            Some(Outcome::Response { status, .. }) => format!(", answered {status}"),
            None => String::new(),
        };
        line(&crate::cli::output::plain(&format!("{name}  {}{why}", state(summary.state))))?;
    }
    Ok(Shown { lines: run.log.len(), ended })
}
