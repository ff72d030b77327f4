//! `headgate connections`

mod authorize;

use std::collections::BTreeMap;

use clap::Subcommand;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::cli::flows;
use crate::cli::output::{facts, line, table, time};
use crate::cli::pairs::Pair;
use crate::cli::secrets::Secret;
use crate::cli::{CliError, Context};
use crate::domain::id::{ConnectionId, ConnectorName, Environment, Name, Slot};
use crate::http::connections::ConnectionView;
use crate::http::flows::{BindSlot, FlowView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's connections.
    List,
    /// Makes a connection.
    Create {
        /// Its name, unique in its group and environment.
        #[arg(long)]
        name: Name,
        /// For which connector.
        #[arg(long)]
        connector: ConnectorName,
        /// Where it works.
        #[arg(long, default_value = "production")]
        env: Environment,
        /// Which of the connector's ways to authenticate; the first when absent.
        #[arg(long)]
        auth: Option<String>,
        /// A setting, NAME=VALUE; may be repeated.
        #[arg(long, value_name = "NAME=VALUE")]
        config: Vec<Pair>,
        /// A secret: NAME asks for it, NAME=- reads a line of standard input, NAME=env:VARIABLE a variable; may be repeated.
        #[arg(long, value_name = "NAME")]
        secret: Vec<Secret>,
    },
    /// Shows a connection. Of its secrets only the names.
    Show {
        /// Its id, or its name.
        connection: String,
        /// Where, when it is named by its name.
        #[arg(long, default_value = "production")]
        env: Environment,
    },
    /// Authorizes an OAuth connection: opens the app's page, or prints it, and waits until somebody consented there.
    Authorize {
        /// Its id, or its name.
        connection: String,
        /// Where, when it is named by its name.
        #[arg(long, default_value = "production")]
        env: Environment,
    },
    /// Deletes a connection. Refused while a flow uses it.
    Delete {
        /// Its id, or its name.
        connection: String,
        /// Where, when it is named by its name.
        #[arg(long, default_value = "production")]
        env: Environment,
    },
    /// Binds a slot of a flow to a connection, in the connection's environment.
    Bind {
        /// The flow's id or name.
        flow: String,
        /// The slot: the name by which the flow's code refers to a connection.
        slot: Slot,
        /// The connection's id, or its name.
        connection: String,
        /// Where.
        #[arg(long, default_value = "production")]
        env: Environment,
    },
}

/// A connection to be made, as the API takes it: the secrets are in clear, on their way to the server.
#[derive(Serialize)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a Name,
    pub(super) connector: &'a ConnectorName,
    pub(super) environment: &'a Environment,
    pub(super) auth: Option<&'a str>,
    pub(super) config: BTreeMap<&'a str, &'a str>,
    #[serde(serialize_with = "in_clear")]
    pub(super) secrets: BTreeMap<&'a str, SecretString>,
}

fn in_clear<S: serde::Serializer>(secrets: &BTreeMap<&str, SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())))
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let path = ["groups", context.group()?, "connections"];
        match self {
            Self::List => {
                let connections: Vec<ConnectionView> = context.client.get(&path).await?;
                context.output.show(&connections, |connections| list(connections))
            }
            Self::Create { name, connector, env, auth, config, secret } => {
                let config = config.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
                let mut secrets = BTreeMap::new();
                for secret in &secret {
                    secrets.insert(secret.name.as_str(), secret.source.read(&format!("the secret {}", secret.name))?);
                }
                let (name, connector, environment, auth) = (&name, &connector, &env, auth.as_deref());
                let new = Wanted { name, connector, environment, auth, config, secrets };
                let connection: ConnectionView = context.client.send(Method::POST, &path, &new).await?;
                context.output.show(&connection, show)
            }
            Self::Show { connection, env } => {
                let connection = find(context, &connection, &env).await?;
                context.output.show(&connection, show)
            }
            Self::Authorize { connection, env } => authorize::run(context, &connection, &env).await,
            Self::Delete { connection, env } => {
                let id = find(context, &connection, &env).await?.id;
                let [groups, group, connections] = path;
                context.client.delete(&[groups, group, connections, id.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {id}.")) }
            }
            Self::Bind { flow, slot, connection, env } => {
                let connection = Some(find(context, &connection, &env).await?.id);
                let bind = BindSlot { environment: env, connection };
                let path = ["groups", context.group()?, "flows", &flow, "slots", slot.as_str()];
                let flow: FlowView = context.client.send(Method::PUT, &path, &bind).await?;
                context.output.show(&flow, flows::show)
            }
        }
    }
}

/// A connection by its id, or by its name in an environment.
async fn find(context: &Context, connection: &str, environment: &Environment) -> Result<ConnectionView, CliError> {
    let group = context.group()?;
    if connection.parse::<ConnectionId>().is_ok() {
        return context.client.get(&["groups", group, "connections", connection]).await;
    }
    let all: Vec<ConnectionView> = context.client.get(&["groups", group, "connections"]).await?;
    let found = all.into_iter().find(|one| one.name.as_str() == connection && one.environment == *environment);
    found.ok_or_else(|| {
        CliError::Usage(format!(
            "{group} has no connection named \"{connection}\" in {environment}. `headgate connections list` shows them; --env names another environment"
        ))
    })
}

fn list(connections: &[ConnectionView]) -> String {
    let head = ["id", "name", "environment", "connector", "auth", "created"];
    let row = |connection: &ConnectionView| {
        [
            connection.id.to_string(),
            connection.name.to_string(),
            connection.environment.to_string(),
            connection.connector.to_string(),
            connection.auth.clone(),
            time(connection.created),
        ]
    };
    table(head, connections.iter().map(row), "No connections yet. Make one with `headgate connections create`")
}

fn show(connection: &ConnectionView) -> String {
    let config = connection.config.iter().map(|(name, value)| format!("{name}={value}"));
    facts([
        ("id", connection.id.to_string()),
        ("name", connection.name.to_string()),
        ("environment", connection.environment.to_string()),
        ("connector", connection.connector.to_string()),
        ("auth", connection.auth.clone()),
        ("reaches", connection.base_urls.join(", ")),
        ("config", config.collect::<Vec<_>>().join(", ")),
        ("secrets", format!("{} (encrypted, never shown)", connection.secrets.join(", "))),
        ("created", time(connection.created)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_the_api_takes() {
        let new = Wanted {
            name: &"crm".parse().unwrap(),
            connector: &"hubspot".parse().unwrap(),
            environment: &Environment::test(),
            auth: None,
            config: BTreeMap::from([("region", "eu")]),
            secrets: BTreeMap::from([("token", SecretString::from("s3cret"))]),
        };
        let json = serde_json::to_string(&new).unwrap();
        let taken: crate::http::connections::NewConnection = serde_json::from_str(&json).unwrap();
        assert_eq!(taken.config["region"], "eu");
        assert_eq!(taken.secrets["token"].expose_secret(), "s3cret");
    }
}
