//! `headgate flows`

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::output::{facts, line, plain, short_digest, size, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{Environment, Name};
use crate::http::flows::{FlowView, NewFlow, PublicationView, UpdateFlow, VersionDetails, VersionView};

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
    /// Changes a flow's name or notes. Its id, its triggers and what is published stay.
    Update {
        /// Its id or name.
        flow: String,
        /// A new name, unique in the group.
        #[arg(long, required_unless_present = "description")]
        name: Option<Name>,
        /// New notes.
        #[arg(long)]
        description: Option<String>,
    },
    /// Deletes a flow with its triggers and versions.
    Delete {
        /// Its id or name.
        flow: String,
        /// Also when it is published or has triggers.
        #[arg(long)]
        force: bool,
    },
    /// Lists a flow's versions, newest first.
    Versions {
        /// Its id or name.
        flow: String,
        #[command(flatten)]
        page: Page,
    },
    /// Shows a version with what it says about itself: its slots, and the schemas of event and answer.
    Version {
        /// The flow's id or name.
        flow: String,
        /// The version's number.
        version: u32,
    },
    /// Lists what was published in an environment, newest first.
    Publications {
        /// The flow's id or name.
        flow: String,
        /// Where.
        #[arg(long, default_value = "production")]
        env: Environment,
        #[command(flatten)]
        page: Page,
    },
}

/// A part of a long list.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// How many at most, up to 500.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Those before this one.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u32>,
}

impl Page {
    fn query(&self) -> [(&'static str, Option<String>); 2] {
        [("limit", Some(self.limit.to_string())), ("before", self.before.map(|before| before.to_string()))]
    }

    /// A list, and how to see the rest of it.
    fn show(list: String, last: Option<u32>) -> String {
        match last {
            Some(last) if last > 1 => format!("{list}\n\nThere are older ones: --before {last}"),
            _ => list,
        }
    }
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
            Self::Update { flow, name, description } => {
                let [groups, group, flows] = flows;
                let change = UpdateFlow { name, description };
                let flow: FlowView =
                    context.client.send(Method::PATCH, &[groups, group, flows, &flow], &change).await?;
                context.output.show(&flow, show)
            }
            Self::Delete { flow, force } => {
                let [groups, group, flows] = flows;
                let query = [("force", force.then(|| "true".to_owned()))];
                context.client.delete_with(&[groups, group, flows, &flow], &query).await?;
                line(&format!("{flow} is deleted, with its triggers and versions"))
            }
            Self::Versions { flow, page } => {
                let [groups, group, flows] = flows;
                let path = [groups, group, flows, &flow, "versions"];
                let versions: Vec<VersionView> = context.client.get_with(&path, &page.query()).await?;
                context.output.show(&versions, |versions| {
                    Page::show(list_versions(versions), versions.last().map(|version| version.version))
                })
            }
            Self::Version { flow, version } => {
                let [groups, group, flows] = flows;
                let path = [groups, group, flows, &flow, "versions", &version.to_string()];
                let version: VersionDetails = context.client.get(&path).await?;
                context.output.show(&version, show_version)
            }
            Self::Publications { flow, env, page } => {
                let [groups, group, flows] = flows;
                let path = [groups, group, flows, &flow, "publications"];
                let [limit, before] = page.query();
                let query = [("environment", Some(env.to_string())), limit, before];
                let entries: Vec<PublicationView> = context.client.get_with(&path, &query).await?;
                context.output.show(&entries, |entries| {
                    Page::show(list_publications(entries), entries.last().map(|entry| entry.number))
                })
            }
        }
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
        let draft = if version.draft { " (draft)" } else { "" };
        let (number, digest) = (format!("{}{draft}", version.version), short_digest(&version.digest));
        let (author, source) = (author(version), source(version));
        [number, digest, size(version.size), time(version.created), author, source, version.note.clone()]
    };
    let none = "No versions. Push one with `headgate push PATH --flow NAME`";
    let head = ["version", "digest", "size", "pushed", "by", "source", "note"];
    table(head, versions.iter().map(row), none)
}

fn author(version: &VersionView) -> String {
    version.author.as_ref().map(|author| author.name.clone()).unwrap_or_default()
}

/// The beginning of a revision, and whether the source had more.
fn source(version: &VersionView) -> String {
    let Some(source) = &version.source else { return String::new() };
    let revision: String = source.revision.chars().take(12).collect();
    if source.dirty { format!("{revision} and changes") } else { revision }
}

fn list_publications(entries: &[PublicationView]) -> String {
    let row = |entry: &PublicationView| {
        let version = entry.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let before = entry.replaced.map_or_else(|| "none".to_owned(), |version| version.to_string());
        [entry.number.to_string(), time(entry.at), version, before, entry.reason.words(), entry.by.name.clone()]
    };
    let none = "Nothing was published there yet. Publish a version with `headgate publish FLOW`";
    table(["no", "when", "version", "before", "how", "who"], entries.iter().map(row), none)
}

fn show_version(details: &VersionDetails) -> String {
    let VersionDetails { version, imports, manifest } = details;
    let facts = facts([
        ("version", version.version.to_string()),
        ("digest", version.digest.clone()),
        ("size", size(version.size)),
        ("pushed", time(version.created)),
        ("by", author(version)),
        ("source", source(version)),
        ("note", version.note.clone()),
        ("imports", imports.join("\n")),
    ]);
    let manifest = serde_json::to_string_pretty(manifest).expect("manifests have text keys");
    format!("{facts}\n\nIt says of itself:\n{}", plain(&manifest))
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
