//! `headgate runs`

use clap::Args;
use uuid::Uuid;

use crate::cli::output::{clock, duration, facts, plain, table, time};
use crate::cli::{CliError, Context};
use crate::domain::run::{LogLine, Outcome, Recorded, RunState, Step};
use crate::http::runs::{RunSummary, RunView};

/// Lists runs, newest first, or shows one with its steps and its log.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// The run's id; a list when absent.
    run: Option<Uuid>,
    /// Of this flow only, by id or name.
    #[arg(long, conflicts_with = "run")]
    flow: Option<String>,
    /// Older than this run only: the next page.
    #[arg(long, conflicts_with = "run", value_name = "RUN")]
    before: Option<Uuid>,
    /// At most this many, up to 500.
    #[arg(long, conflicts_with = "run", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

impl Runs {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        if let Some(run) = self.run {
            let run: RunView = context.client.get(&["groups", group, "runs", &run.to_string()]).await?;
            return context.output.show(&run, show);
        }
        let query = [
            ("flow", self.flow),
            ("before", self.before.map(|run| run.to_string())),
            ("limit", Some(self.limit.to_string())),
        ];
        let runs: Vec<RunSummary> = context.client.get_with(&["groups", group, "runs"], &query).await?;
        context.output.show(&runs, |runs| list(runs))
    }
}

/// Where a run stands, in a word.
pub(super) fn state(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Running => "running",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::NeedsAttention => "needs attention",
    }
}

/// Where a run stands, and whether it was only tried.
fn stands(run: &RunSummary) -> String {
    let mocked = if run.mocked { ", mocked: no app was reached" } else { "" };
    format!("{}{mocked}", state(run.state))
}

fn list(runs: &[RunSummary]) -> String {
    let head = ["run", "flow", "version", "environment", "caller", "state", "accepted", "took"];
    let row = |run: &RunSummary| {
        [
            run.id.to_string(),
            run.flow_name.to_string(),
            run.version.to_string(),
            run.environment.to_string(),
            run.caller.clone(),
            stands(run),
            time(run.accepted),
            duration(run.duration_us),
        ]
    };
    table(head, runs.iter().map(row), "No runs yet. Try a flow with `headgate run FLOW`, or call its trigger")
}

/// A run, as a person reads it.
pub(super) fn show(run: &RunView) -> String {
    let summary = &run.summary;
    let top = facts([
        ("run", summary.id.to_string()),
        ("flow", format!("{}, version {}", summary.flow_name, summary.version)),
        ("environment", summary.environment.to_string()),
        ("caller", summary.caller.clone()),
        ("state", stands(summary)),
        ("accepted", time(summary.accepted)),
        ("took", duration(summary.duration_us)),
        ("event", format!("{} {}  {}", run.event.method, run.event.path, recorded(&run.event.body))),
    ]);
    let mut parts = vec![top, steps(&run.steps)];
    if run.steps_dropped > 0 {
        parts.push(format!("... and {} further steps", run.steps_dropped));
    }
    if !run.log.is_empty() {
        parts.push(run.log.iter().map(log_line).collect::<Vec<_>>().join("\n"));
    }
    if run.log_dropped > 0 {
        parts.push(format!("... and {} further lines", run.log_dropped));
    }
    parts.extend(run.outcome.as_ref().map(outcome));
    parts.join("\n\n")
}

/// A run's steps as a table, and below it what went in and what came out.
pub(super) fn steps(steps: &[Step]) -> String {
    let result = |step: &Step| match (&step.output, &step.error) {
        (_, Some(_)) => "failed",
        (Some(_), None) if step.mocked => "mocked",
        (Some(_), None) => "done",
        (None, None) => "under way",
    };
    let row = |(at, step): (usize, &Step)| {
        [
            (at + 1).to_string(),
            format!("{}.{}", step.connector, step.method),
            step.slot.clone(),
            step.connection.to_string(),
            duration(Some(step.duration_us)),
            result(step).to_owned(),
        ]
    };
    let head = ["step", "call", "slot", "connection", "took", "result"];
    let rows = table(head, steps.iter().enumerate().map(row), "No steps.");
    let details = steps.iter().enumerate().map(|(at, step)| {
        let out = match (&step.output, &step.error) {
            (_, Some(failure)) => format!("failed, {}: {}", plain(&failure.code), plain(&failure.message)),
            (Some(output), None) => recorded(output),
            (None, None) => "under way".to_owned(),
        };
        format!("step {}\n    in   {}\n    out  {out}", at + 1, recorded(&step.input))
    });
    let details: Vec<_> = details.collect();
    if details.is_empty() { rows } else { format!("{rows}\n\n{}", details.join("\n")) }
}

/// A line of a run's log.
pub(super) fn log_line(line: &LogLine) -> String {
    format!("{}  {:<6}  {}", clock(line.time), plain(&line.level), plain(&line.message))
}

/// How a run ended.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Response { status, content_type, body, .. } => {
            let content_type = content_type.as_deref().unwrap_or("no content type");
            format!("answer {status} ({})\n    {}", plain(content_type), recorded(body))
        }
        Outcome::Failure(failure) => format!(
            "failed, {}: {}{}",
            plain(&failure.code),
            plain(&failure.message),
            if failure.retryable { " (may succeed later)" } else { "" }
        ),
    }
}

fn recorded(recorded: &Recorded) -> String {
    let kind = if recorded.base64 { "base64 " } else { "" };
    let end = if recorded.truncated { " ..." } else { "" };
    format!("{kind}{}{end}", plain(&recorded.text).replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_show_what_went_in_and_what_came_out() {
        let step: Step = serde_json::from_value(serde_json::json!({
            "slot": "crm", "connection": "sales-crm", "connector": "hubspot", "method": "get_contact",
            "input": {"text": "{\"id\":\n1}"}, "output": {"text": "{}", "truncated": true},
            "started": "2026-01-01T00:00:00Z", "duration_us": 1500
        }))
        .unwrap();
        assert_eq!(
            steps(&[step]),
            "STEP   CALL                  SLOT   CONNECTION   TOOK     RESULT\n1      hubspot.get_contact   crm    sales-crm    1.5 ms   done\n\nstep 1\n    in   {\"id\": 1}\n    out  {} ..."
        );
    }
}
