//! `headgate connectors`

use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use headgate_manifest::Auth;

use crate::cli::output::{facts, short_digest, size, table, time};
use crate::cli::{CliError, Context, push};
use crate::domain::id::ConnectorName;
use crate::http::connectors::ConnectorView;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's connectors.
    List,
    /// Shows a connector: its settings, secrets and methods.
    Show {
        /// Its name.
        name: ConnectorName,
    },
    /// Installs a connector, or replaces it.
    Install {
        /// A component (.wasm), or a crate that is built first.
        path: PathBuf,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List => {
                let connectors: Vec<ConnectorView> =
                    context.client.get(&["groups", context.group()?, "connectors"]).await?;
                context.output.show(&connectors, |connectors| list(connectors))
            }
            Self::Show { name } => {
                let path = ["groups", context.group()?, "connectors", name.as_str()];
                let connector: ConnectorView = context.client.get(&path).await?;
                context.output.show(&connector, show)
            }
            Self::Install { path } => {
                let component = push::component(&path).await?;
                install(context, component.bytes).await
            }
        }
    }
}

/// Installs a component, and shows what was installed.
pub(super) async fn install(context: &Context, component: Bytes) -> Result<(), CliError> {
    let path = ["groups", context.group()?, "connectors"];
    let connector: ConnectorView = context.client.put_module(&path, &[], component).await?;
    context.output.show(&connector, show)
}

fn list(connectors: &[ConnectorView]) -> String {
    let head = ["name", "version", "methods", "size", "digest", "installed"];
    let row = |connector: &ConnectorView| {
        let manifest = &connector.manifest;
        let (name, version) = (connector.name.to_string(), manifest.version.clone());
        let (methods, digest) = (manifest.methods.len().to_string(), short_digest(&connector.digest));
        [name, version, methods, size(connector.size), digest, time(connector.installed)]
    };
    table(head, connectors.iter().map(row), "No connectors yet. Install one with `headgate connectors install FILE`")
}

fn show(connector: &ConnectorView) -> String {
    let manifest = &connector.manifest;
    let top = facts([
        ("name", connector.name.to_string()),
        ("title", manifest.title.clone()),
        ("description", manifest.description.clone()),
        ("version", manifest.version.clone()),
        ("digest", connector.digest.clone()),
        ("size", size(connector.size)),
        ("reaches", manifest.base_urls.join(", ")),
        ("installed", time(connector.installed)),
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
