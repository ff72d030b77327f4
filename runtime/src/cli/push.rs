//! `headgate push`

mod source;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde::Serialize;

use crate::cli::build;
use crate::cli::output::{facts, size};
use crate::cli::{CliError, Context, connectors, module_signature};
use crate::domain::id::Name;
use crate::http::flows::{FlowView, NewFlow, VersionView};
use crate::wasm::{Inspection, World};
use source::Revision;

/// Pushes a flow's next version, or installs a connector.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// A component (.wasm), or a crate that is built first.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The flow, by id or name; made when missing. The crate's name when absent.
    #[arg(long)]
    flow: Option<String>,
    /// What to remember of this version.
    #[arg(long, default_value = "")]
    note: String,
    /// The revision of the source; of a crate in a git repository the commit, when absent.
    #[arg(long)]
    revision: Option<String>,
    /// Signs it with the private key in this file first; `headgate build --new-key FILE` makes one.
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
}

/// A component's bytes, and what they are.
pub(super) struct Component {
    /// The crate's name, or the file's.
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) inspection: Inspection,
}

/// What is said of a version with its push.
#[derive(Default)]
pub(super) struct Says<'a> {
    /// What to remember of it.
    pub(super) note: &'a str,
    /// What it was built from.
    pub(super) source: Option<Revision>,
    /// Whether the next push comes in its place.
    pub(super) draft: bool,
}

/// A version that was pushed.
#[derive(Serialize)]
pub(super) struct Pushed {
    pub(super) flow: FlowView,
    pub(super) version: VersionView,
    /// Whether this push made it: the newest version is not made a second time.
    is_new: bool,
}

impl Push {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        // Said before anything is built.
        context.group()?;
        let mut component = component(&self.path).await?;
        if let Some(key) = &self.sign {
            component.bytes = module_signature::signed(&component.bytes, key)?;
        }
        match component.inspection.world {
            Some(World::Flow) => {
                let name = self.flow.unwrap_or(component.name);
                // Where a component's file lies says nothing about what it was built from.
                let found = if self.path.is_dir() { source::revision(&self.path).await } else { None };
                let source = match (self.revision, found) {
                    (Some(commit), _) => Some(Revision { commit, dirty: false }),
                    (None, found) => found,
                };
                let pushed =
                    push(context, &name, Says { note: &self.note, source, draft: false }, component.bytes).await?;
                context.output.show(&pushed, show)
            }
            Some(World::Connector) if self.flow.is_some() => Err(CliError::Usage(format!(
                "{} is a connector, not a flow. Leave --flow out to install it",
                self.path.display()
            ))),
            Some(World::Connector) => {
                connectors::install(context, connectors::Owner::default(), component.bytes, false).await
            }
            None => Err(not_ours(&self.path)),
        }
    }
}

/// Why a component is of no use here.
pub(super) fn not_ours(path: &Path) -> CliError {
    CliError::Usage(format!(
        "{} is neither a flow nor a connector: it exports neither headgate:runtime/handler nor headgate:runtime/methods. Begin with `headgate new flow NAME`",
        path.display()
    ))
}

/// The component in a file, or of a crate that is built now.
pub(super) async fn component(path: &Path) -> Result<Component, CliError> {
    if path.is_dir() {
        let built = build::build(path, &build::Options::default()).await?;
        return read(&built.path, built.name);
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().replace('_', "-")).unwrap_or_default();
    // As `headgate build --sign` names them.
    let name = name.strip_suffix(".signed").map(str::to_owned).unwrap_or(name);
    read(path, name)
}

/// Reads a component and what it says from outside.
pub(super) fn read(path: &Path, name: String) -> Result<Component, CliError> {
    let bytes = Bytes::from(std::fs::read(path).map_err(CliError::file("read", path))?);
    let inspection = crate::wasm::inspect(&bytes)
        .map_err(|error| CliError::Usage(format!("{} cannot be used: {error}", path.display())))?;
    Ok(Component { name, bytes, inspection })
}

/// Pushes a flow's next version; makes the flow when it is missing.
pub(super) async fn push(context: &Context, flow: &str, says: Says<'_>, bytes: Bytes) -> Result<Pushed, CliError> {
    let group = context.group()?;
    let flow = match context.client.get::<FlowView>(&["groups", group, "flows", flow]).await {
        Ok(flow) => flow,
        Err(CliError::Refused { status: 404, .. }) => {
            let new = NewFlow { name: flow.parse::<Name>()?, description: String::new() };
            context.client.send(Method::POST, &["groups", group, "flows"], &new).await?
        }
        Err(error) => return Err(error),
    };
    let path = ["groups", group, "flows", flow.id.as_str(), "versions"];
    let Says { note, source, draft } = says;
    let note = (!note.is_empty()).then(|| note.to_owned());
    let dirty = source.as_ref().map(|source| source.dirty.to_string());
    let revision = source.map(|source| source.commit);
    let draft = draft.then(|| draft.to_string());
    let query = [("note", note), ("revision", revision), ("dirty", dirty), ("draft", draft)];
    let (version, is_new) = context.client.put_module(&path, &query, bytes).await?;
    Ok(Pushed { flow, version, is_new })
}

fn show(pushed: &Pushed) -> String {
    let Pushed { flow, version, is_new } = pushed;
    let facts = facts([
        ("flow", flow.name.to_string()),
        ("version", version.version.to_string()),
        ("digest", version.digest.clone()),
        ("size", size(version.size)),
    ]);
    let known = if *is_new { "" } else { "The newest version is this module already; no other was made. " };
    format!("{facts}\n\n{known}Publish it with `headgate publish {} --env test`", flow.name)
}
