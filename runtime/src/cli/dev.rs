//! `headgate dev`: the inner loop. Each change of the source is built, becomes the flow's draft, and answers the last event.

mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use uuid::Uuid;

use crate::cli::build::{self, Built};
use crate::cli::connectors::{self, Owner};
use crate::cli::output::{duration, size};
use crate::cli::push::{self, Component, Says};
use crate::cli::run_once::TrialArgs;
use crate::cli::{CliError, Context, runs};
use crate::domain::id::Environment;
use crate::domain::run::RunState;
use crate::http::flows::FlowView;
use crate::http::runs::{Followed, NewRunOnce, RunSummary, RunView};
use crate::service::samples::EXAMPLE;
use crate::wasm::World;
use watch::Watch;

/// How many of the newest runs are looked at for one in the environment; the API's most.
const RUNS: u16 = 500;

/// Builds a crate whenever it changes, makes it the flow's draft, and runs that with the last event. Nothing is published.
///
/// A draft is a version that the next push replaces, unless it is published before. What the flow writes to its log and its
/// standard output is shown as it is written.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// The crate, or the package in JavaScript. A connector's is installed in the group at each change, and the flow named
    /// with --flow is run.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The flow, by id or name; made when missing. The crate's name when absent.
    #[arg(long)]
    flow: Option<String>,
    /// With which event, and how. Without one it is that of the flow's newest run, or the example in the event's schema.
    #[command(flatten)]
    trial: TrialArgs,
}

/// What is done at each change.
struct Loop<'a> {
    context: &'a Context,
    path: PathBuf,
    flow: Option<String>,
    environment: Environment,
    once: NewRunOnce,
}

impl Dev {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        // Said before anything is built.
        let group = context.group()?.to_owned();
        let environment = self.trial.environment().clone();
        let watch = Watch::begin(&self.path)?;
        let once = self.trial.once()?;
        let work = Loop { context, path: self.path, flow: self.flow, environment, once };
        eprintln!(
            "watching {}; it is tried in {} of the group {group}. Ctrl-C ends it",
            work.path.display(),
            work.environment
        );
        let mut since = Instant::now();
        loop {
            let turn = tokio::select! {
                turn = work.turn(&watch, since) => turn,
                at = watch.changed() => {
                    since = at;
                    continue;
                }
            };
            match turn {
                Err(error @ CliError::Output(_)) => return Err(error),
                Err(error) => eprintln!("{}\nwaiting for a change", error.report()),
                Ok(()) => {}
            }
            since = watch.changed().await;
        }
    }
}

impl Loop<'_> {
    /// Builds what is there now, and tries it.
    async fn turn(&self, watch: &Watch, since: Instant) -> Result<(), CliError> {
        watch.look_through(&[]);
        let begun = Instant::now();
        let Built { name, path, sources } =
            build::build(&self.path, &build::Options { quick: true, ..build::Options::default() }).await?;
        watch.look_through(&sources);
        let built = begun.elapsed();
        let component = push::read(&path, name)?;
        match component.inspection.world {
            Some(World::Flow) => self.try_flow(component, built, since).await,
            Some(World::Connector) => self.try_connector(component, built, since).await,
            None => Err(push::not_ours(&self.path)),
        }
    }

    async fn try_flow(&self, component: Component, built: Duration, since: Instant) -> Result<(), CliError> {
        let name = self.flow.as_ref().unwrap_or(&component.name);
        let (bytes, begun) = (component.bytes.len() as u64, Instant::now());
        let says = Says { draft: true, ..Says::default() };
        let pushed = push::push(self.context, name, says, component.bytes).await?;
        let kind = if pushed.version.draft { "draft" } else { "version" };
        let taken = times(built, begun.elapsed());
        eprintln!("{kind} {} of {}, {}, {taken}", pushed.version.version, pushed.flow.name, size(bytes));
        self.try_with_event(&pushed.flow, Some(pushed.version.version), since).await
    }

    async fn try_connector(&self, component: Component, built: Duration, since: Instant) -> Result<(), CliError> {
        let Some(name) = &self.flow else {
            return Err(CliError::Usage(format!(
                "{} is a connector. Name the flow to try it with: --flow FLOW",
                self.path.display()
            )));
        };
        let flow = self.context.client.get(&["groups", self.context.group()?, "flows", name]).await?;
        let begun = Instant::now();
        let installed = connectors::put(self.context, Owner::default(), component.bytes, false).await?;
        let taken = times(built, begun.elapsed());
        eprintln!("version {} of the connector {}, {taken}", installed.connector.version, installed.connector.name);
        self.try_with_event(&flow, None, since).await
    }

    /// Runs the flow, and shows its log as it is written and how it ended.
    async fn try_with_event(&self, flow: &FlowView, version: Option<u32>, since: Instant) -> Result<(), CliError> {
        let once = NewRunOnce { version, ..self.once.clone() };
        let is_given = once.has_event();
        let last = if is_given { None } else { self.last_run(flow).await? };
        let once = match last {
            Some(run) => NewRunOnce { from_run: Some(run), ..once },
            None if is_given => once,
            None => NewRunOnce { sample: Some(EXAMPLE.to_owned()), ..once },
        };
        let is_example = last.is_none() && !is_given;
        let path = ["groups", self.context.group()?, "flows", flow.id.as_str(), "run"];
        let mut failed = None;
        let told = |followed: Followed| match followed {
            Followed::Problem(problem) => {
                failed = Some(CliError::Refused { status: problem.status, message: problem.error, hint: None });
                Ok(())
            }
            followed => self.context.output.stream(&followed, |followed| shown(followed, since)),
        };
        match self.context.client.follow(&path, &once, told).await {
            Err(CliError::Refused { status: 400, .. }) if is_example => Err(CliError::Usage(format!(
                "there is no event yet to run {} with. Give one with --event, or call one of its triggers: the next change is tried with that event",
                flow.name
            ))),
            ended => ended.and(failed.map_or(Ok(()), Err)),
        }
    }

    /// The flow's newest run, in this environment if there is one.
    async fn last_run(&self, flow: &FlowView) -> Result<Option<Uuid>, CliError> {
        let query = [("flow", Some(flow.id.to_string())), ("limit", Some(RUNS.to_string()))];
        let runs: Vec<RunSummary> =
            self.context.client.get_with(&["groups", self.context.group()?, "runs"], &query).await?;
        let here = runs.iter().find(|run| run.environment == self.environment);
        Ok(here.or(runs.first()).map(|run| run.id))
    }
}

fn times(built: Duration, pushed: Duration) -> String {
    format!("built in {} and pushed in {}", short(built), short(pushed))
}

fn short(time: Duration) -> String {
    duration(Some(time.as_micros().try_into().unwrap_or(u64::MAX)))
}

/// What comes of a run, as a person reads it.
fn shown(followed: &Followed, since: Instant) -> String {
    match followed {
        Followed::Log(line) => runs::log_line(line),
        Followed::Run(run) => ended(run, since),
        Followed::Problem(problem) => problem.error.clone(),
    }
}

fn ended(run: &RunView, since: Instant) -> String {
    let mut parts: Vec<_> =
        (!run.steps.is_empty()).then(|| format!("{}\n", runs::steps(&run.steps))).into_iter().collect();
    parts.extend(run.outcome.as_ref().map(runs::outcome));
    let state = if run.summary.state == RunState::Succeeded { "succeeded" } else { "failed" };
    let took = duration(run.summary.duration_us);
    parts.push(format!("{state} in {took}, {} after the change; run {}\n", short(since.elapsed()), run.summary.id));
    parts.join("\n")
}
