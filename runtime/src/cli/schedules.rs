//! `headgate schedules`

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::output::{facts, line, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{Environment, TriggerId};
use crate::domain::schedule::{CatchUp, Overlap};
use crate::http::schedules::{FiredView, ScheduleChanges, ScheduleView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists a flow's schedules.
    List {
        /// The flow's id or name.
        flow: String,
    },
    /// Makes a schedule: `headgate schedules create my-flow "30 2 * * *" --time-zone Europe/Berlin`.
    Create {
        /// The flow's id or name.
        flow: String,
        /// When: minute, hour, day, month and weekday, with seconds in front where there are six; or @hourly, @daily,
        /// @weekly, @monthly, @yearly.
        cron: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Shows a schedule, how it stands, and its next five times.
    Show {
        /// The flow's id or name.
        flow: String,
        /// The schedule's id.
        schedule: TriggerId,
    },
    /// Changes a schedule: what is not named stays. With another timetable, or enabled again, its times count from now
    /// on.
    Update {
        /// The flow's id or name.
        flow: String,
        /// The schedule's id.
        schedule: TriggerId,
        /// When.
        #[arg(long)]
        cron: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Whether it runs at all.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
    },
    /// Runs a schedule's flow now, beside its timetable.
    Fire {
        /// The flow's id or name.
        flow: String,
        /// The schedule's id.
        schedule: TriggerId,
    },
    /// Deletes a schedule. Runs that it began go on.
    Delete {
        /// The flow's id or name.
        flow: String,
        /// The schedule's id.
        schedule: TriggerId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// The time zone, such as Europe/Berlin; UTC when nothing was ever said.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Where; production when nothing was ever said.
    #[arg(long = "env", value_name = "ENV")]
    environment: Option<Environment>,
    /// The event's body, as JSON; `null` for one that tells the time it was scheduled for.
    #[arg(long, value_name = "JSON")]
    event: Option<Value>,
    /// Puts each time off by up to so many seconds.
    #[arg(long, value_name = "SECONDS")]
    jitter: Option<u32>,
    /// What happens when the run before it is still under way; `skip` when nothing was ever said.
    #[arg(long)]
    overlap: Option<HowToOverlap>,
    /// What happens with times that passed while the server was down; `none` when nothing was ever said.
    #[arg(long)]
    catch_up: Option<HowToCatchUp>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowToOverlap {
    Skip,
    Queue,
    Allow,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowToCatchUp {
    None,
    Last,
    All,
}

impl Settings {
    /// What is sent of them.
    fn changes(self, cron: Option<String>, enabled: Option<bool>) -> ScheduleChanges {
        ScheduleChanges {
            description: self.description,
            cron,
            time_zone: self.time_zone,
            environment: self.environment,
            event: self.event.map(|event| Some(event).filter(|event| !event.is_null())),
            jitter_s: self.jitter,
            overlap: self.overlap.map(|overlap| match overlap {
                HowToOverlap::Skip => Overlap::Skip,
                HowToOverlap::Queue => Overlap::Queue,
                HowToOverlap::Allow => Overlap::Allow,
            }),
            catch_up: self.catch_up.map(|catch_up| match catch_up {
                HowToCatchUp::None => CatchUp::None,
                HowToCatchUp::Last => CatchUp::Last,
                HowToCatchUp::All => CatchUp::All,
            }),
            enabled,
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        match self {
            Self::List { flow } => {
                let path = ["groups", group, "flows", &flow, "schedules"];
                let schedules: Vec<ScheduleView> = context.client.get(&path).await?;
                context.output.show(&schedules, |schedules| list(schedules))
            }
            Self::Create { flow, cron, settings } => {
                let path = ["groups", group, "flows", &flow, "schedules"];
                let wanted = settings.changes(Some(cron), None);
                let made: ScheduleView = context.client.send(Method::POST, &path, &wanted).await?;
                context.output.show(&made, show)
            }
            Self::Show { flow, schedule } => {
                let path = ["groups", group, "flows", &flow, "schedules", schedule.as_str()];
                let schedule: ScheduleView = context.client.get(&path).await?;
                context.output.show(&schedule, show)
            }
            Self::Update { flow, schedule, cron, settings, enabled } => {
                let path = ["groups", group, "flows", &flow, "schedules", schedule.as_str()];
                let changes = settings.changes(cron, enabled);
                let updated: ScheduleView = context.client.send(Method::PATCH, &path, &changes).await?;
                context.output.show(&updated, show)
            }
            Self::Fire { flow, schedule } => {
                let path = ["groups", group, "flows", &flow, "schedules", schedule.as_str(), "fire"];
                let fired: FiredView = context.client.post(&path).await?;
                context.output.show(&fired, |fired| format!("Queued the run {}.", fired.run))
            }
            Self::Delete { flow, schedule } => {
                context.client.delete(&["groups", group, "flows", &flow, "schedules", schedule.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {schedule}.")) }
            }
        }
    }
}

fn overlap(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip",
        Overlap::Queue => "queue",
        Overlap::Allow => "allow",
    }
}

fn catch_up(catch_up: CatchUp) -> &'static str {
    match catch_up {
        CatchUp::None => "none",
        CatchUp::Last => "last",
        CatchUp::All => "all",
    }
}

fn next(schedule: &ScheduleView) -> String {
    schedule.next.first().map_or_else(|| "never: disabled".to_owned(), |next| time(*next))
}

fn list(schedules: &[ScheduleView]) -> String {
    let row = |schedule: &ScheduleView| {
        let when = format!("{} {}", schedule.cron, schedule.time_zone);
        let last = schedule.last_run.as_ref().map_or_else(String::new, |last| time(last.at));
        [
            schedule.id.to_string(),
            when,
            schedule.environment.to_string(),
            next(schedule),
            last,
            schedule.description.clone(),
        ]
    };
    let none = "No schedules yet. Make one with `headgate schedules create FLOW \"30 2 * * *\"`";
    table(["id", "when", "env", "next", "last", "description"], schedules.iter().map(row), none)
}

fn show(schedule: &ScheduleView) -> String {
    let times = |times: &[Timestamp]| times.iter().map(|at| time(*at)).collect::<Vec<_>>().join(", ");
    let last = schedule.last_run.as_ref();
    let error = schedule.last_error.as_ref();
    facts([
        ("id", schedule.id.to_string()),
        ("flow", schedule.flow.to_string()),
        ("when", format!("{} {}", schedule.cron, schedule.time_zone)),
        ("environment", schedule.environment.to_string()),
        ("event", schedule.event.as_ref().map_or_else(String::new, ToString::to_string)),
        ("jitter", format!("{} s", schedule.jitter_s)),
        ("overlap", overlap(schedule.overlap).to_owned()),
        ("catch up", catch_up(schedule.catch_up).to_owned()),
        ("enabled", schedule.enabled.to_string()),
        ("next", times(&schedule.next)),
        ("waiting", times(&schedule.waiting)),
        ("last run", last.map_or_else(String::new, |last| format!("{} at {}", last.run, time(last.at)))),
        ("skipped", schedule.skipped.to_string()),
        ("missed", schedule.missed.to_string()),
        ("failures in a row", schedule.failures.to_string()),
        ("last error", error.map_or_else(String::new, |error| format!("{}: {}", time(error.at), error.message))),
        ("description", schedule.description.clone()),
    ])
}
