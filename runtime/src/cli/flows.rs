//! `headgate flows` and `headgate publish`

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::output::{facts, short_digest, size, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{Environment, Name};
use crate::http::flows::{FlowView, NewFlow, Publish, VersionView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's flows.
    List,
    /// Makes a flow, without versions yet. `headgate push` makes it, too.
    Create {
        /// Its name, unique in the group.
        name: Name,
        /// Notes.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Shows a flow: what is published where, and what its slots are bound to.
    Show {
        /// Its id or name.
        flow: String,
    },
    /// Lists a flow's versions, newest first.
    Versions {
        /// Its id or name.
        flow: String,
    },
}

/// Publishes a version of a flow, from the next request on.
#[derive(Debug, Args)]
pub(super) struct PublishVersion {
    /// The flow's id or name.
    flow: String,
    /// Which version; the newest when absent.
    #[arg(long)]
    version: Option<u32>,
    /// Where.
    #[arg(long, default_value = "production")]
    env: Environment,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let flows = ["groups", context.group()?, "flows"];
        match self {
            Self::List => {
                let flows: Vec<FlowView> = context.client.get(&flows).await?;
                context.output.show(&flows, |flows| list(flows))
            }
            Self::Create { name, description } => {
                let flow: FlowView = context.client.send(Method::POST, &flows, &NewFlow { name, description }).await?;
                context.output.show(&flow, show)
            }
            Self::Show { flow } => {
                let [groups, group, flows] = flows;
                let flow: FlowView = context.client.get(&[groups, group, flows, &flow]).await?;
                context.output.show(&flow, show)
            }
            Self::Versions { flow } => {
                let [groups, group, flows] = flows;
                let versions: Vec<VersionView> = context.client.get(&[groups, group, flows, &flow, "versions"]).await?;
                context.output.show(&versions, |versions| list_versions(versions))
            }
        }
    }
}

impl PublishVersion {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let publish = Publish { version: self.version, environment: self.env };
        let path = ["groups", context.group()?, "flows", &self.flow, "publish"];
        let flow: FlowView = context.client.send(Method::POST, &path, &publish).await?;
        context.output.show(&flow, show)
    }
}

fn published(flow: &FlowView) -> String {
    let places = flow.published.iter().map(|(environment, version)| format!("{environment}: {version}"));
    places.collect::<Vec<_>>().join(", ")
}

fn list(flows: &[FlowView]) -> String {
    let row = |flow: &FlowView| {
        let http = if flow.has_http_trigger { "yes" } else { "none" }.to_owned();
        [flow.name.to_string(), flow.id.to_string(), flow.latest.to_string(), published(flow), http, time(flow.created)]
    };
    let none = "No flows yet. Make one with `headgate new flow NAME`, then `headgate push`";
    table(["name", "id", "newest version", "published", "http trigger", "created"], flows.iter().map(row), none)
}

fn list_versions(versions: &[VersionView]) -> String {
    let row = |version: &VersionView| {
        let (number, digest) = (version.version.to_string(), short_digest(&version.digest));
        [number, digest, size(version.size), time(version.created), version.note.clone()]
    };
    let none = "No versions yet. Push one with `headgate push PATH --flow NAME`";
    table(["version", "digest", "size", "pushed", "note"], versions.iter().map(row), none)
}

/// A flow, as a person reads it.
pub(super) fn show(flow: &FlowView) -> String {
    let top = facts([
        ("id", flow.id.to_string()),
        ("name", flow.name.to_string()),
        ("description", flow.description.clone()),
        ("newest version", flow.latest.to_string()),
        ("published", published(flow)),
        ("execute", format!("POST {}", flow.execute_url)),
        ("execute trigger", flow.execute_trigger.to_string()),
        ("http trigger", if flow.has_http_trigger { "yes" } else { "none" }.to_owned()),
        ("created", time(flow.created)),
    ]);
    let bound = flow.slots.iter().flat_map(|(environment, slots)| {
        slots.iter().map(move |(slot, connection)| [environment.to_string(), slot.to_string(), connection.to_string()])
    });
    let none = "No slots are bound. Bind one with `headgate connections bind FLOW SLOT CONNECTION`";
    format!("{top}\n\n{}", table(["environment", "slot", "connection"], bound, none))
}
