//! `headgate app-triggers`

use clap::{Args, Subcommand};
use http::Method;
use jiff::SignedDuration;
use serde_json::Value;

use crate::cli::output::{facts, line, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{ConnectionId, TriggerId};
use crate::http::app_triggers::{AppTriggerChanges, AppTriggerView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists a flow's app triggers.
    List {
        /// The flow's id or name.
        flow: String,
    },
    /// Makes an app trigger: each new record of the app runs the flow.
    Create {
        /// The flow's id or name.
        flow: String,
        /// The connection through which the app is asked.
        connection: ConnectionId,
        /// Which of the connector's triggers; `headgate connectors show` lists them.
        trigger: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Shows an app trigger, and how it stands.
    Show {
        /// The flow's id or name.
        flow: String,
        /// The app trigger's id.
        id: TriggerId,
    },
    /// Changes an app trigger: what is not named stays. One that is told to look for something else begins anew.
    Update {
        /// The flow's id or name.
        flow: String,
        /// The app trigger's id.
        id: TriggerId,
        /// The connection through which the app is asked.
        #[arg(long)]
        connection: Option<ConnectionId>,
        /// Which of the connector's triggers.
        #[arg(long)]
        trigger: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Whether the app is asked at all.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        /// Forgets where the polls were: what the app has now is not new.
        #[arg(long)]
        begin_anew: bool,
    },
    /// Asks the app now.
    Poll {
        /// The flow's id or name.
        flow: String,
        /// The app trigger's id.
        id: TriggerId,
    },
    /// Deletes an app trigger. Runs that it began go on.
    Delete {
        /// The flow's id or name.
        flow: String,
        /// The app trigger's id.
        id: TriggerId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// What to look for, as JSON; `{}` when nothing was ever said.
    #[arg(long, value_name = "JSON")]
    input: Option<Value>,
    /// How often the app is asked, such as 1m; 5m when nothing was ever said.
    #[arg(long, value_name = "DURATION")]
    every: Option<SignedDuration>,
}

impl Settings {
    /// What is sent of them.
    fn changes(self) -> Result<AppTriggerChanges, CliError> {
        let seconds = |every: SignedDuration| {
            u32::try_from(every.as_secs()).map_err(|_| {
                CliError::Usage(format!("an app cannot be asked every {every}. Write a duration such as 5m"))
            })
        };
        let every_s = self.every.map(seconds).transpose()?;
        Ok(AppTriggerChanges { description: self.description, input: self.input, every_s, ..Default::default() })
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        match self {
            Self::List { flow } => {
                let path = ["groups", group, "flows", &flow, "app-triggers"];
                let triggers: Vec<AppTriggerView> = context.client.get(&path).await?;
                context.output.show(&triggers, |triggers| list(triggers))
            }
            Self::Create { flow, connection, trigger, settings } => {
                let path = ["groups", group, "flows", &flow, "app-triggers"];
                let wanted =
                    AppTriggerChanges { connection: Some(connection), trigger: Some(trigger), ..settings.changes()? };
                let made: AppTriggerView = context.client.send(Method::POST, &path, &wanted).await?;
                context.output.show(&made, show)
            }
            Self::Show { flow, id } => {
                let path = ["groups", group, "flows", &flow, "app-triggers", id.as_str()];
                let trigger: AppTriggerView = context.client.get(&path).await?;
                context.output.show(&trigger, show)
            }
            Self::Update { flow, id, connection, trigger, settings, enabled, begin_anew } => {
                let path = ["groups", group, "flows", &flow, "app-triggers", id.as_str()];
                let changes = AppTriggerChanges { connection, trigger, enabled, begin_anew, ..settings.changes()? };
                let updated: AppTriggerView = context.client.send(Method::PATCH, &path, &changes).await?;
                context.output.show(&updated, show)
            }
            Self::Poll { flow, id } => {
                let path = ["groups", group, "flows", &flow, "app-triggers", id.as_str(), "poll"];
                let polled: AppTriggerView = context.client.post(&path).await?;
                context.output.show(&polled, show)
            }
            Self::Delete { flow, id } => {
                context.client.delete(&["groups", group, "flows", &flow, "app-triggers", id.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {id}.")) }
            }
        }
    }
}

fn error(trigger: &AppTriggerView) -> String {
    let error = trigger.state.last_error.as_ref();
    error.map_or_else(String::new, |error| format!("{} ({}): {}", error.code, time(error.at), error.message))
}

fn list(triggers: &[AppTriggerView]) -> String {
    let row = |trigger: &AppTriggerView| {
        let every = if trigger.enabled { format!("{} s", trigger.every_s) } else { "disabled".to_owned() };
        let (id, records) = (trigger.id.to_string(), trigger.state.records.to_string());
        [
            id,
            trigger.trigger.clone(),
            trigger.environment.to_string(),
            every,
            records,
            error(trigger),
            trigger.description.clone(),
        ]
    };
    let none = "No app triggers yet. Make one with `headgate app-triggers create FLOW CONNECTION TRIGGER`";
    table(["id", "trigger", "env", "every", "records", "error", "description"], triggers.iter().map(row), none)
}

fn show(trigger: &AppTriggerView) -> String {
    let state = &trigger.state;
    let at = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, time);
    let log: Vec<_> = state.log.iter().map(|line| format!("{} {}", line.level, line.message)).collect();
    facts([
        ("id", trigger.id.to_string()),
        ("flow", trigger.flow.to_string()),
        ("connection", trigger.connection.to_string()),
        ("environment", trigger.environment.to_string()),
        ("trigger", trigger.trigger.clone()),
        ("input", trigger.input.to_string()),
        ("every", format!("{} s", trigger.every_s)),
        ("enabled", trigger.enabled.to_string()),
        ("last poll", at(state.last_poll)),
        ("next poll", at(state.next_poll)),
        ("cursor", state.cursor.as_ref().map_or_else(String::new, ToString::to_string)),
        ("records", state.records.to_string()),
        ("repeated", state.repeated.to_string()),
        ("left out", state.left_out.to_string()),
        ("failures in a row", state.failures.to_string()),
        ("last error", error(trigger)),
        ("log", log.join("\n")),
        ("description", trigger.description.clone()),
    ])
}
