//! `headgate connections`

mod authorize;
mod bodies;
mod show;

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::flows;
use crate::cli::output::line;
use crate::cli::pairs::Pair;
use crate::cli::secrets::Secret;
use crate::cli::{CliError, Context};
use crate::domain::connection::TestReport;
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, Name, Slot};
use crate::http::connections::{AcceptUpgrade, ConnectionView, DisconnectedView};
use crate::http::flows::{BindSlot, FlowView};

pub(super) use bodies::Wanted;
use bodies::{BindNew, Change};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's connections.
    List,
    /// Makes a connection.
    Create(Create),
    /// Shows a connection: how it stands and who uses it. Of its secrets only the names.
    Show(Which),
    /// Changes a connection, or connects it again by new secrets. Where it sends them cannot be changed.
    Update(Update),
    /// Tests a connection with the request that its connector names for that.
    Test(Which),
    /// Disconnects a connection: its credentials are revoked where the app can, and wiped. Its flows keep their bindings.
    Disconnect(Which),
    /// Consents, as an owner, to what its connector offers today instead of what is pinned.
    AcceptUpgrade {
        #[command(flatten)]
        which: Which,
        /// Consents without being asked.
        #[arg(long)]
        yes: bool,
    },
    /// Authorizes an OAuth connection: opens the app's page, or prints it, and waits until somebody consented there.
    Authorize(Which),
    /// Deletes a connection. Refused while a flow uses it.
    Delete(Which),
    /// Binds a slot of a flow to a connection, in the connection's environment.
    Bind {
        /// The flow's id or name.
        flow: String,
        /// The slot: the name by which the flow's code refers to a connection.
        slot: Slot,
        #[command(flatten)]
        which: Which,
    },
    /// Unbinds a slot of a flow that needs it no more. The connection stays.
    Unbind {
        /// The flow's id or name.
        flow: String,
        /// The slot.
        slot: Slot,
        /// Where.
        #[arg(long, default_value = "production")]
        env: Environment,
    },
}

/// A connection on the command line.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Its id, or its name.
    connection: String,
    /// Where, when it is named by its name.
    #[arg(long, default_value = "production")]
    env: Environment,
}

/// A connection to be made.
#[derive(Debug, Args)]
pub(super) struct Create {
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
    /// A scope to ask for, where it is an OAuth connection; may be repeated. The connector's default when absent.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// The group's app registration, where it is an `oauth_advanced` connection.
    #[arg(long, value_name = "ID")]
    registration: Option<AppRegistrationId>,
    /// Binds a slot of this flow to it at once.
    #[arg(long, value_name = "FLOW", requires = "slot")]
    flow: Option<String>,
    /// Which slot.
    #[arg(long, requires = "flow")]
    slot: Option<Slot>,
}

/// What is to be different about a connection.
#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    which: Which,
    /// A new name.
    #[arg(long)]
    name: Option<Name>,
    /// A setting, NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<Pair>,
    /// Takes a setting back to its default; may be repeated.
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    /// A new secret: NAME asks for it, NAME=- reads a line of standard input, NAME=env:VARIABLE a variable; may be repeated.
    #[arg(long, value_name = "NAME")]
    secret: Vec<Secret>,
    /// A scope to ask for; may be repeated. The connection has to be authorized again.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Another app registration of the group. The connection has to be authorized again.
    #[arg(long, value_name = "ID")]
    registration: Option<AppRegistrationId>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let path = ["groups", context.group()?, "connections"];
        match self {
            Self::List => {
                let connections: Vec<ConnectionView> = context.client.get(&path).await?;
                context.output.show(&connections, |connections| show::list(connections))
            }
            Self::Create(create) => create.run(context).await,
            Self::Show(which) => context.output.show(&which.find(context).await?, show::one),
            Self::Update(update) => update.run(context).await,
            Self::Test(which) => {
                let id = which.find(context).await?.id;
                let [groups, group, connections] = path;
                let report: TestReport =
                    context.client.post(&[groups, group, connections, id.as_str(), "test"]).await?;
                context.output.show(&report, show::test)
            }
            Self::Disconnect(which) => {
                let id = which.find(context).await?.id;
                let [groups, group, connections] = path;
                let path = [groups, group, connections, id.as_str(), "disconnect"];
                let done: DisconnectedView = context.client.post(&path).await?;
                context.output.show(&done, |done| format!("{}.", done.message))
            }
            Self::Authorize(which) => authorize::run(context, &which).await,
            Self::AcceptUpgrade { which, yes } => accept(context, &which, yes).await,
            Self::Delete(which) => {
                let id = which.find(context).await?.id;
                let [groups, group, connections] = path;
                context.client.delete(&[groups, group, connections, id.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {id}.")) }
            }
            Self::Bind { flow, slot, which } => {
                let connection = Some(which.find(context).await?.id);
                bind(context, &flow, &slot, BindSlot { environment: which.env, connection, create: None }).await
            }
            Self::Unbind { flow, slot, env } => {
                bind(context, &flow, &slot, BindSlot { environment: env, connection: None, create: None }).await
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let Self { name, connector, env, auth, config, secret, scope, registration, flow, slot } = &self;
        let new = Wanted {
            name,
            connector,
            environment: env,
            auth: auth.as_deref(),
            config: config.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect(),
            secrets: bodies::read(secret)?,
            scopes: (!scope.is_empty()).then_some(scope),
            registration: registration.as_ref(),
        };
        let group = context.group()?;
        if let (Some(flow), Some(slot)) = (flow, slot) {
            let path = ["groups", group, "flows", flow, "slots", slot.as_str()];
            let bind = BindNew { environment: env, create: &new };
            let flow: FlowView = context.client.send(Method::PUT, &path, &bind).await?;
            return context.output.show(&flow, flows::show);
        }
        let path = ["groups", group, "connections"];
        let connection: ConnectionView = context.client.send(Method::POST, &path, &new).await?;
        context.output.show(&connection, show::one)
    }
}

impl Update {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let id = self.which.find(context).await?.id;
        let set = self.config.iter().map(|pair| (pair.name.as_str(), Some(pair.value.as_str())));
        let change = Change {
            name: self.name.as_ref(),
            config: self.reset.iter().map(|name| (name.as_str(), None)).chain(set).collect(),
            secrets: bodies::read(&self.secret)?,
            scopes: (!self.scope.is_empty()).then_some(&self.scope),
            registration: self.registration.as_ref(),
        };
        let path = ["groups", context.group()?, "connections", id.as_str()];
        let connection: ConnectionView = context.client.send(Method::PATCH, &path, &change).await?;
        context.output.show(&connection, show::one)
    }
}

impl Which {
    async fn find(&self, context: &Context) -> Result<ConnectionView, CliError> {
        find(context, &self.connection, &self.env).await
    }
}

async fn bind(context: &Context, flow: &str, slot: &Slot, bind: BindSlot) -> Result<(), CliError> {
    let path = ["groups", context.group()?, "flows", flow, "slots", slot.as_str()];
    let flow: FlowView = context.client.send(Method::PUT, &path, &bind).await?;
    context.output.show(&flow, flows::show)
}

/// Shows what would change, asks, and consents to exactly that.
async fn accept(context: &Context, which: &Which, yes: bool) -> Result<(), CliError> {
    let connection = which.find(context).await?;
    if connection.upgrade.is_empty() {
        return context.output.show(&connection, |_| "What is pinned is what the connector offers today.".to_owned());
    }
    if !yes {
        let text = show::changes(&connection.upgrade);
        return Err(CliError::Usage(format!(
            "This would be pinned on the connection \"{}\" in place of what it goes by:\n{text}\n\nTo consent, repeat the command with --yes",
            connection.name
        )));
    }
    let path = ["groups", context.group()?, "connections", connection.id.as_str(), "accept-upgrade"];
    let accept = AcceptUpgrade { upgrade: connection.upgrade };
    let connection: ConnectionView = context.client.send(Method::POST, &path, &accept).await?;
    context.output.show(&connection, show::one)
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
