//! `headgate connectors`

use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use headgate_manifest::Auth;
use http::Method;

use crate::cli::output::{facts, line, short_digest, size, table, time};
use crate::cli::{CliError, Context, push};
use crate::domain::id::ConnectorName;
use crate::http::connectors::{ConnectorScope, ConnectorVersionView, ConnectorView, InstalledView, RollBack};
use crate::service::connectors::Change;

/// Whose connectors are meant.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Owner {
    /// The server's, for every group that has none of the same name; only for operators.
    #[arg(long)]
    server: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the connectors that the group uses: its own, and the server's.
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// Shows a connector: its settings, secrets and methods.
    Show {
        /// Its name.
        name: ConnectorName,
        #[command(flatten)]
        owner: Owner,
    },
    /// Installs a connector, or its next version. What would break by it is told first.
    Install {
        /// A component (.wasm), or a crate that is built first.
        path: PathBuf,
        #[command(flatten)]
        owner: Owner,
        /// Install it although something breaks.
        #[arg(long)]
        force: bool,
    },
    /// Lists the versions of a connector, the newest first.
    Versions {
        /// Its name.
        name: ConnectorName,
        #[command(flatten)]
        owner: Owner,
    },
    /// Takes the version before the present one into use again, or another one. What would break by it is told first.
    Rollback {
        /// Its name.
        name: ConnectorName,
        /// Which version.
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        #[command(flatten)]
        owner: Owner,
        /// Do it although something breaks.
        #[arg(long)]
        force: bool,
    },
    /// Removes a connector with its versions. Refused while connections use it, unless they can go on with the server's.
    Remove {
        /// Its name.
        name: ConnectorName,
        #[command(flatten)]
        owner: Owner,
        /// Go over to the server's although something breaks.
        #[arg(long, conflicts_with = "server")]
        force: bool,
    },
}

impl Owner {
    /// The path of the connectors, and what follows below it.
    fn path<'a>(self, context: &'a Context, below: &[&'a str]) -> Result<Vec<&'a str>, CliError> {
        let own = if self.server { vec!["connectors"] } else { vec!["groups", context.group()?, "connectors"] };
        Ok(own.into_iter().chain(below.iter().copied()).collect())
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List { owner } => {
                let connectors: Vec<ConnectorView> = context.client.get(&owner.path(context, &[])?).await?;
                context.output.show(&connectors, |connectors| list(connectors))
            }
            Self::Show { name, owner } => {
                let connector: ConnectorView = context.client.get(&owner.path(context, &[name.as_str()])?).await?;
                context.output.show(&connector, show)
            }
            Self::Install { path, owner, force } => {
                // Said before anything is built.
                owner.path(context, &[])?;
                let component = push::component(&path).await?;
                install(context, owner, component.bytes, force).await
            }
            Self::Versions { name, owner } => {
                let path = owner.path(context, &[name.as_str(), "versions"])?;
                let versions: Vec<ConnectorVersionView> = context.client.get(&path).await?;
                context.output.show(&versions, |versions| list_versions(versions))
            }
            Self::Rollback { name, to, owner, force } => {
                let path = owner.path(context, &[name.as_str(), "rollback"])?;
                let installed: InstalledView =
                    context.client.send(Method::POST, &path, &RollBack { to, force }).await?;
                context.output.show(&installed, show_installed)
            }
            Self::Remove { name, owner, force } => {
                let path = owner.path(context, &[name.as_str()])?;
                let query = [("force", force.then(|| "true".to_owned()))];
                context.client.delete_with(&path, &query).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Removed {name}.")) }
            }
        }
    }
}

/// Installs a component, and shows what was installed.
pub(super) async fn install(context: &Context, owner: Owner, component: Bytes, force: bool) -> Result<(), CliError> {
    context.output.show(&put(context, owner, component, force).await?, show_installed)
}

/// Installs a component.
pub(super) async fn put(
    context: &Context,
    owner: Owner,
    component: Bytes,
    force: bool,
) -> Result<InstalledView, CliError> {
    let query = [("force", force.then(|| "true".to_owned()))];
    let path = owner.path(context, &[])?;
    context.client.put_module(&path, &query, component).await.map(|(installed, _)| installed)
}

fn show_installed(installed: &InstalledView) -> String {
    let version = installed.connector.version;
    let change = match installed.change {
        Change::Installed => format!("Version {version} is in use now."),
        Change::Restored => format!("Version {version} is in use again."),
        Change::Unchanged => format!("Nothing has changed: this is version {version}, which is in use already."),
    };
    let warnings = installed.warnings.iter().map(|warning| format!("Note: {warning}"));
    let parts: Vec<_> = [show(&installed.connector), change].into_iter().chain(warnings).collect();
    parts.join("\n\n")
}

fn scope(scope: ConnectorScope) -> &'static str {
    match scope {
        ConnectorScope::Group => "the group's",
        ConnectorScope::Server => "the server's",
    }
}

fn list_versions(versions: &[ConnectorVersionView]) -> String {
    let head = ["version", "in use", "its own version", "size", "digest", "installed", "by"];
    let row = |version: &ConnectorVersionView| {
        let in_use = if version.in_use { "yes" } else { "" };
        [
            version.version.to_string(),
            in_use.to_owned(),
            version.manifest_version.clone(),
            size(version.size),
            short_digest(&version.digest),
            time(version.installed),
            version.installed_by.clone(),
        ]
    };
    table(head, versions.iter().map(row), "No versions.")
}

fn list(connectors: &[ConnectorView]) -> String {
    let head = ["name", "whose", "version", "its own version", "methods", "size", "digest", "installed"];
    let row = |connector: &ConnectorView| {
        let manifest = &connector.manifest;
        let (name, whose) = (connector.name.to_string(), scope(connector.scope).to_owned());
        let (version, own_version) = (connector.version.to_string(), manifest.version.clone());
        let (methods, digest) = (manifest.methods.len().to_string(), short_digest(&connector.digest));
        [name, whose, version, own_version, methods, size(connector.size), digest, time(connector.installed)]
    };
    table(head, connectors.iter().map(row), "No connectors yet. Install one with `headgate connectors install FILE`")
}

fn show(connector: &ConnectorView) -> String {
    let manifest = &connector.manifest;
    let top = facts([
        ("name", connector.name.to_string()),
        ("title", manifest.title.clone()),
        ("description", manifest.description.clone()),
        ("whose", scope(connector.scope).to_owned()),
        ("version", format!("{} ({})", connector.version, manifest.version)),
        ("digest", connector.digest.clone()),
        ("size", size(connector.size)),
        ("reaches", manifest.base_urls.join(", ")),
        ("installed", format!("{} by {}", time(connector.installed), connector.installed_by)),
    ]);
    let none = "No settings and no secrets.";
    let fields = table(["connection", "name", "kind", "what it is"], fields(connector), none);
    let method = |method: &headgate_manifest::Method| [method.name.clone(), method.description.clone()];
    let methods = table(["method", "what it does"], manifest.methods.iter().map(method), "No methods.");
    format!("{top}\n\n{fields}\n\n{methods}")
}

/// What a connection needs: settings, then each way to authenticate with its secrets.
fn fields(connector: &ConnectorView) -> Vec<[String; 4]> {
    let config = connector.manifest.config.iter().map(|field| {
        let needed = if field.required { "required" } else { "optional" };
        ["--config".to_owned(), field.name.clone(), needed.to_owned(), field.title.clone()]
    });
    let secrets = connector.manifest.auth.iter().flat_map(|auth: &Auth| {
        auth.kind
            .fields()
            .iter()
            .map(|field| ["--secret".to_owned(), field.name.clone(), format!("auth {}", auth.id), field.title.clone()])
    });
    config.chain(secrets).collect()
}
