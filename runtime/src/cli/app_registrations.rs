//! `headgate app-registrations`

use clap::{Args, Subcommand};
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::cli::output::{facts, line, table};
use crate::cli::secrets::Source;
use crate::cli::{CliError, Context};
use crate::domain::id::{AppRegistrationId, ConnectorName, Name};
use crate::http::app_registrations::AppRegistrationView;

/// Whose registrations are meant.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Owner {
    /// The server's, for every group's connections of the kind `oauth`; only for operators.
    #[arg(long)]
    server: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's app registrations.
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// Registers an OAuth app: its client id and secret, as the app gave them to you.
    Create(Create),
    /// Shows an app registration, with the redirect URI to enter at the app. Its secret is never shown.
    Show {
        /// Its id, or its name.
        registration: String,
        #[command(flatten)]
        owner: Owner,
    },
    /// Changes an app registration.
    Update(Update),
    /// Deletes an app registration. Refused while connections use it.
    Delete {
        /// Its id, or its name.
        registration: String,
        #[command(flatten)]
        owner: Owner,
    },
}

/// Registers an OAuth app.
#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    owner: Owner,
    /// For which connector.
    #[arg(long)]
    connector: ConnectorName,
    /// Its name; the connector's when absent.
    #[arg(long)]
    name: Option<Name>,
    /// The client's id.
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// Where the client's secret comes from: `ask`, `-` (a line of standard input) or `env:VARIABLE`.
    #[arg(long, value_name = "SOURCE", default_value = "ask")]
    client_secret: Source,
    /// It is a public client, without a secret.
    #[arg(long, conflicts_with = "client_secret")]
    public: bool,
    /// A host the secret may be sent to, or a part of one (`slack.com/api/oauth.v2.access`): that of the app's token URL; may
    /// be repeated. Without --server those of the installed connector when absent.
    #[arg(long = "token-host", value_name = "HOST")]
    token_hosts: Vec<String>,
}

/// Changes an app registration.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// Its id, or its name.
    registration: String,
    #[command(flatten)]
    owner: Owner,
    /// Another name.
    #[arg(long)]
    name: Option<Name>,
    /// Another client id. Connections have to be authorized again then.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Another secret: `ask`, `-` (a line of standard input) or `env:VARIABLE`.
    #[arg(long, value_name = "SOURCE")]
    client_secret: Option<Source>,
    /// All hosts the secret may be sent to; may be repeated. Without --server the secret has to be entered again.
    #[arg(long = "token-host", value_name = "HOST")]
    token_hosts: Vec<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List { owner } => {
                let registrations: Vec<AppRegistrationView> = context.client.get(&owner.path(context)?).await?;
                context.output.show(&registrations, |registrations| list(registrations))
            }
            Self::Create(create) => create.run(context).await,
            Self::Show { registration, owner } => {
                let registration = find(context, owner, &registration).await?;
                context.output.show(&registration, show)
            }
            Self::Update(update) => update.run(context).await,
            Self::Delete { registration, owner } => {
                let id = find(context, owner, &registration).await?.id;
                let mut path = owner.path(context)?;
                path.push(id.as_str());
                context.client.delete(&path).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {id}.")) }
            }
        }
    }
}

impl Owner {
    fn path(self, context: &Context) -> Result<Vec<&str>, CliError> {
        Ok(if self.server { vec!["app-registrations"] } else { vec!["groups", context.group()?, "app-registrations"] })
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let secret = if self.public { None } else { Some(self.client_secret.read("the client's secret")?) };
        let name = self.name.as_ref().map_or(self.connector.as_str(), Name::as_str);
        let mut new = json!({"name": name, "connector": self.connector, "client_id": self.client_id});
        if let Some(secret) = &secret {
            new["client_secret"] = json!(secret.expose_secret());
        }
        new["token_hosts"] = json!(self.token_hosts);
        let made: AppRegistrationView = context.client.send(Method::POST, &self.owner.path(context)?, &new).await?;
        context.output.show(&made, show)
    }
}

impl Update {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let id = find(context, self.owner, &self.registration).await?.id;
        let mut change = Map::new();
        let mut set = |name: &str, value: Option<Value>| value.map(|value| change.insert(name.to_owned(), value));
        let secret = self.client_secret.map(|source| source.read("the client's secret")).transpose()?;
        set("name", self.name.map(|name| json!(name)));
        set("client_id", self.client_id.map(|id| json!(id)));
        set("client_secret", secret.map(|secret| json!(secret.expose_secret())));
        set("token_hosts", (!self.token_hosts.is_empty()).then(|| json!(self.token_hosts)));
        let mut path = self.owner.path(context)?;
        path.push(id.as_str());
        let changed: AppRegistrationView = context.client.send(Method::PATCH, &path, &change).await?;
        context.output.show(&changed, show)
    }
}

/// A registration by its id or its name.
async fn find(context: &Context, owner: Owner, registration: &str) -> Result<AppRegistrationView, CliError> {
    let mut path = owner.path(context)?;
    if registration.parse::<AppRegistrationId>().is_ok() {
        path.push(registration);
        return context.client.get(&path).await;
    }
    let all: Vec<AppRegistrationView> = context.client.get(&path).await?;
    all.into_iter().find(|one| one.name.as_str() == registration).ok_or_else(|| {
        CliError::Usage(format!(
            "there is no app registration named \"{registration}\". `headgate app-registrations list` shows them; --server those of the server"
        ))
    })
}

fn list(registrations: &[AppRegistrationView]) -> String {
    let head = ["id", "name", "connector", "client id"];
    let row = |one: &AppRegistrationView| {
        [one.id.to_string(), one.name.to_string(), one.connector.to_string(), one.client_id.clone()]
    };
    let none = "No app registrations yet. Make one with `headgate app-registrations create`";
    table(head, registrations.iter().map(row), none)
}

fn show(registration: &AppRegistrationView) -> String {
    let owner = registration.group.as_ref().map_or("the server".to_owned(), ToString::to_string);
    let secret = if registration.has_secret { "kept (encrypted, never shown)" } else { "none (a public client)" };
    let hosts = registration.token_hosts.join(", ");
    facts([
        ("id", registration.id.to_string()),
        ("name", registration.name.to_string()),
        ("of", owner),
        ("connector", registration.connector.to_string()),
        ("client id", registration.client_id.clone()),
        ("secret", secret.to_owned()),
        ("sent to", hosts),
        ("redirect URI", format!("{} (enter it at the app, letter by letter)", registration.redirect_uri)),
    ])
}
