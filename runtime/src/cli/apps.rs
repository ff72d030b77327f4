//! `headgate apps`

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use jiff::SignedDuration;
use serde_json::Value;

use crate::cli::output::{facts, line, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::Name;
use crate::domain::trigger::Respond;
use crate::http::published_apps::{AppChanges, AppView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's apps.
    List,
    /// Offers a flow as an app: POST /apps/SLUG/execute, with a key that has the scope apps:execute.
    Create {
        /// Its name in the path, unique in the group.
        slug: Name,
        /// The flow it runs, by id or name.
        #[arg(long)]
        flow: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Shows an app.
    Show {
        /// The app's slug.
        app: Name,
    },
    /// Changes an app: what is not named stays.
    Update {
        /// The app's slug.
        app: Name,
        #[command(flatten)]
        settings: Settings,
        /// Another slug: the URL with the old one answers 404 from the next request on.
        #[arg(long)]
        slug: Option<Name>,
        /// Another flow, by id or name.
        #[arg(long)]
        flow: Option<String>,
        /// Takes any input.
        #[arg(long, conflicts_with = "schema")]
        no_schema: bool,
    },
    /// Offers the flow no longer: the app's URL answers 404 from the next request on.
    Delete {
        /// The app's slug.
        app: Name,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// What people call it.
    #[arg(long)]
    title: Option<String>,
    /// What it does.
    #[arg(long)]
    description: Option<String>,
    /// The JSON Schema of its input: JSON, or @FILE with JSON. What the flow says of its event when an app is made without.
    #[arg(long, value_name = "JSON")]
    schema: Option<String>,
    /// An input that it takes, to begin with: JSON, or @FILE with JSON.
    #[arg(long, value_name = "JSON")]
    sample: Option<String>,
    /// How it answers: with the flow's response, as apps begin, or at once with 202.
    #[arg(long)]
    respond: Option<HowToRespond>,
    /// How long a synchronous caller waits at most, such as 10s.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<SignedDuration>,
    /// The largest input in bytes.
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowToRespond {
    Sync,
    Async,
}

impl Settings {
    fn changes(self) -> Result<AppChanges, CliError> {
        let timeout = self.timeout.map(|timeout| {
            u64::try_from(timeout.as_millis()).ok().filter(|ms| *ms > 0).ok_or_else(|| {
                CliError::Usage(format!("a caller cannot wait for {timeout}. Write a duration such as 10s"))
            })
        });
        Ok(AppChanges {
            slug: None,
            flow: None,
            title: self.title,
            description: self.description,
            schema: self.schema.map(|text| json("--schema", &text)).transpose()?.map(Some),
            sample: self.sample.map(|text| json("--sample", &text)).transpose()?.map(Some),
            respond: self.respond.map(|respond| match respond {
                HowToRespond::Sync => Respond::Sync,
                HowToRespond::Async => Respond::Async,
            }),
            timeout_ms: timeout.transpose()?.map(Some),
            max_body: self.max_body.map(Some),
        })
    }
}

/// JSON, or `@FILE` with JSON.
fn json(option: &str, text: &str) -> Result<Value, CliError> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| CliError::Usage(format!("{option}: {file} cannot be read: {error}")))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&read)
        .map_err(|error| CliError::Usage(format!("{option} is not JSON: {error}. Write JSON, or @FILE with JSON")))
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        match self {
            Self::List => {
                let apps: Vec<AppView> = context.client.get(&["groups", group, "apps"]).await?;
                context.output.show(&apps, |apps| list(apps))
            }
            Self::Create { slug, flow, settings } => {
                let new = AppChanges { slug: Some(slug), flow: Some(flow), ..settings.changes()? };
                let made: AppView = context.client.send(Method::POST, &["groups", group, "apps"], &new).await?;
                context.output.show(&made, show)
            }
            Self::Show { app } => {
                let app: AppView = context.client.get(&["groups", group, "apps", app.as_str()]).await?;
                context.output.show(&app, show)
            }
            Self::Update { app, settings, slug, flow, no_schema } => {
                let mut changes = AppChanges { slug, flow, ..settings.changes()? };
                if no_schema {
                    changes.schema = Some(None);
                }
                let path = ["groups", group, "apps", app.as_str()];
                let updated: AppView = context.client.send(Method::PATCH, &path, &changes).await?;
                context.output.show(&updated, show)
            }
            Self::Delete { app } => {
                context.client.delete(&["groups", group, "apps", app.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {app}.")) }
            }
        }
    }
}

fn available(app: &AppView) -> String {
    if app.available.is_empty() {
        return "nowhere: the flow is not published".to_owned();
    }
    app.available.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list(apps: &[AppView]) -> String {
    let row = |app: &AppView| {
        [app.slug.to_string(), app.title.clone(), app.flow_name.to_string(), available(app), app.url.clone()]
    };
    let none = "No apps yet. Offer a flow with `headgate apps create SLUG --flow FLOW`";
    table(["slug", "title", "flow", "available", "url"], apps.iter().map(row), none)
}

fn show(app: &AppView) -> String {
    let json = |value: &Option<Value>, none: &str| value.as_ref().map_or_else(|| none.to_owned(), Value::to_string);
    let respond = match app.respond {
        Respond::Sync => "sync",
        Respond::Async => "async",
    };
    facts([
        ("slug", app.slug.to_string()),
        ("title", app.title.clone()),
        ("description", app.description.clone()),
        ("flow", app.flow_name.to_string()),
        ("available", available(app)),
        ("url", app.url.clone()),
        ("respond", respond.to_owned()),
        ("schema", json(&app.schema, "any input")),
        ("sample", json(&app.sample, "none")),
        ("created", time(app.created)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_or_in_a_file() {
        assert_eq!(json("--schema", "{\"type\": \"object\"}").unwrap()["type"], "object");
        assert!(json("--schema", "{type}").unwrap_err().to_string().contains("--schema is not JSON"));
        assert!(json("--sample", "@/does/not/exist").unwrap_err().to_string().contains("/does/not/exist"));
    }
}
