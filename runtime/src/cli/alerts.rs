//! `headgate alerts`

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::output::{facts, plain, table, time};
use crate::cli::{CliError, Context};
use crate::domain::alert::{Acknowledgement, AlertState, Delivery};
use crate::domain::id::AlertId;
use crate::http::alerts::{AlertView, NewAcknowledgement};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists a group's alerts, newest first, or the server's own.
    List(List),
    /// Says that you look after an alert. It stays until its cause is gone.
    Acknowledge(Acknowledge),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this state only.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The server's own alerts; for operators.
    #[arg(long)]
    server: bool,
}

#[derive(Debug, Args)]
pub(super) struct Acknowledge {
    /// Its id.
    alert: AlertId,
    /// What you have to say about it.
    #[arg(long)]
    note: Option<String>,
    /// An alert of the server; for operators.
    #[arg(long)]
    server: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum State {
    Open,
    Acknowledged,
    Closed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => AlertState::Open.as_str(),
            Self::Acknowledged => AlertState::Acknowledged.as_str(),
            Self::Closed => AlertState::Closed.as_str(),
        }
    }
}

/// The path of the alerts: the group's or the server's.
fn path(context: &Context, server: bool) -> Result<Vec<&str>, CliError> {
    Ok(if server { vec!["alerts"] } else { vec!["groups", context.group()?, "alerts"] })
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List(list) => {
                let query = [("state", list.state.map(|state| state.as_str().to_owned()))];
                let alerts: Vec<AlertView> = context.client.get_with(&path(context, list.server)?, &query).await?;
                context.output.show(&alerts, |alerts| {
                    let row = |alert: &AlertView| {
                        [
                            alert.id.to_string(),
                            alert.state.as_str().to_owned(),
                            time(alert.opened),
                            alert.count.to_string(),
                            plain(&alert.message),
                        ]
                    };
                    table(["alert", "state", "opened", "seen", "what"], alerts.iter().map(row), "No alerts.")
                })
            }
            Self::Acknowledge(acknowledge) => {
                let mut path = path(context, acknowledge.server)?;
                path.extend([acknowledge.alert.as_str(), "acknowledge"]);
                let body = NewAcknowledgement { note: acknowledge.note };
                let alert: AlertView = context.client.send(Method::POST, &path, &body).await?;
                context.output.show(&alert, show)
            }
        }
    }
}

fn show(alert: &AlertView) -> String {
    let by = |by: &Acknowledgement| {
        let note = by.note.as_deref().map(|note| format!(": {}", plain(note))).unwrap_or_default();
        format!("{} at {}{note}", by.by, time(by.at))
    };
    let delivery = |delivery: &Delivery| {
        let error = delivery.error.as_deref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
        format!("{}, {} tries{error}", delivery.state.as_str(), delivery.attempts)
    };
    facts([
        ("alert", alert.id.to_string()),
        ("what", plain(&alert.message)),
        ("state", alert.state.as_str().to_owned()),
        ("opened", time(alert.opened)),
        ("seen", format!("{} times, last {}", alert.count, time(alert.last_seen))),
        ("acknowledged", alert.acknowledged.as_ref().map(by).unwrap_or_default()),
        ("message", alert.delivery.as_ref().map_or_else(|| "no endpoint".to_owned(), delivery)),
    ])
}
