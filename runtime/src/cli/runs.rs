//! `headgate run` and `headgate runs`

use std::path::Path;

use clap::Args;
use http::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::output::{clock, duration, facts, plain, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::Environment;
use crate::domain::run::{LogLine, Outcome, Recorded, RunState, Step};
use crate::http::runs::{NewRunOnce, RunSummary, RunView};

/// Run Once: runs a flow with an event, published or not, and shows the run.
#[derive(Debug, Args)]
pub(super) struct RunOnce {
    /// The flow's id or name.
    flow: String,
    /// The event's body: JSON, or @FILE with JSON.
    #[arg(long, value_name = "JSON|@FILE", default_value = "null")]
    event: String,
    /// Where: whose connections it uses.
    #[arg(long, default_value = "test")]
    env: Environment,
    /// Which version; when absent the published one, and where none is published the newest.
    #[arg(long)]
    version: Option<u32>,
}

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

impl RunOnce {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let once = NewRunOnce { environment: self.env, version: self.version, event: event(&self.event)? };
        let path = ["groups", context.group()?, "flows", &self.flow, "run"];
        let run: RunView = context.client.send(Method::POST, &path, &once).await?;
        context.output.show(&run, show)?;
        match run.outcome {
            Some(Outcome::Failure(failure)) => Err(CliError::RunFailed(plain(&failure.message))),
            _ => Ok(()),
        }
    }
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

/// An event given as JSON, or as `@FILE`.
fn event(text: &str) -> Result<Value, CliError> {
    let text = match text.strip_prefix('@') {
        Some(file) => &std::fs::read_to_string(file).map_err(CliError::file("read", Path::new(file)))?,
        None => text,
    };
    serde_json::from_str(text).map_err(|error| {
        CliError::Usage(format!("the event is not JSON: {error}. Write --event '{{\"id\": 1}}' or --event @file.json"))
    })
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

fn list(runs: &[RunSummary]) -> String {
    let head = ["run", "flow", "version", "environment", "caller", "state", "accepted", "took"];
    let row = |run: &RunSummary| {
        [
            run.id.to_string(),
            run.flow_name.to_string(),
            run.version.to_string(),
            run.environment.to_string(),
            run.caller.clone(),
            state(run.state).to_owned(),
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
        ("state", state(summary.state).to_owned()),
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

/// A run's steps, one a line with input and result below.
pub(super) fn steps(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "No steps.".to_owned();
    }
    let step = |(at, step): (usize, &Step)| {
        let result = match (&step.output, &step.error) {
            (_, Some(failure)) => format!("failed, {}: {}", plain(&failure.code), plain(&failure.message)),
            (Some(output), None) => recorded(output),
            (None, None) => "under way".to_owned(),
        };
        format!(
            "step {}  {}.{} through {} (slot {}), {}\n    in   {}\n    out  {}",
            at + 1,
            step.connector,
            plain(&step.method),
            step.connection,
            plain(&step.slot),
            duration(Some(step.duration_us)),
            recorded(&step.input),
            result,
        )
    };
    steps.iter().enumerate().map(step).collect::<Vec<_>>().join("\n")
}

/// A line of a run's log.
pub(super) fn log_line(line: &LogLine) -> String {
    format!("{}  {:<6}  {}", clock(line.time), plain(&line.level), plain(&line.message))
}

fn outcome(outcome: &Outcome) -> String {
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
    fn an_event_is_json_or_a_file_of_it() {
        assert_eq!(event("{\"id\": 1}").unwrap()["id"], 1);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[2]").unwrap();
        assert_eq!(event(&format!("@{}", file.path().display())).unwrap()[0], 2);
        assert!(matches!(event("{id: 1}"), Err(CliError::Usage(_))));
        assert!(event("@/does/not/exist").unwrap_err().to_string().contains("/does/not/exist"));
    }

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
            "step 1  hubspot.get_contact through sales-crm (slot crm), 1.5 ms\n    in   {\"id\": 1}\n    out  {} ..."
        );
    }
}
