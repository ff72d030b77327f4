//! `headgate publish`, `promote`, `rollback`, `unpublish` and `diff`

use clap::Args;
use http::Method;
use serde::Serialize;

use crate::cli::output::{facts, plain, short_digest, size};
use crate::cli::{CliError, Context};
use crate::domain::flow::diff::{FlowDiff, SchemaDiff, SlotDiff};
use crate::domain::id::Environment;
use crate::http::flows::{DiffView, Promote, Publish, PublishedView, Rollback, Unpublish, VersionView};

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

/// Publishes in one environment what is published in another.
#[derive(Debug, Args)]
pub(super) struct PromoteVersion {
    /// The flow's id or name.
    flow: String,
    /// Where it is published.
    #[arg(default_value = "test")]
    from: Environment,
    /// Where it is to be published, too.
    #[arg(default_value = "production")]
    to: Environment,
}

/// Publishes again what was published before.
///
/// Without --to that is the newest version other than the present one: rolling back twice returns.
#[derive(Debug, Args)]
pub(super) struct RollBack {
    /// The flow's id or name.
    flow: String,
    /// Which version; one that was published there.
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    /// Where.
    #[arg(long, default_value = "production")]
    env: Environment,
}

/// Publishes nothing any more in an environment: the next request there is refused.
#[derive(Debug, Args)]
pub(super) struct UnpublishVersion {
    /// The flow's id or name.
    flow: String,
    /// Where.
    #[arg(long)]
    env: Environment,
}

/// Compares two versions of a flow, or what is published in two environments.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The flow's id or name.
    flow: String,
    /// A version's number, or an environment; the version before the other when absent.
    from: Option<String>,
    /// Likewise; the newest version when absent.
    to: Option<String>,
}

impl PublishVersion {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let body = Publish { version: self.version, environment: self.env };
        post(context, &self.flow, "publish", &body).await
    }
}

impl PromoteVersion {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        post(context, &self.flow, "promote", &Promote { from: self.from, to: self.to }).await
    }
}

impl RollBack {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        post(context, &self.flow, "rollback", &Rollback { environment: self.env, version: self.to }).await
    }
}

impl UnpublishVersion {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        post(context, &self.flow, "unpublish", &Unpublish { environment: self.env }).await
    }
}

impl Diff {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let path = ["groups", context.group()?, "flows", &self.flow, "diff"];
        let query = [("from", self.from), ("to", self.to)];
        let diff: DiffView = context.client.get_with(&path, &query).await?;
        context.output.show(&diff, show_diff)
    }
}

async fn post(context: &Context, flow: &str, what: &str, body: &impl Serialize) -> Result<(), CliError> {
    let path = ["groups", context.group()?, "flows", flow, what];
    let published: PublishedView = context.client.send(Method::POST, &path, body).await?;
    context.output.show(&published, show)
}

/// What was done, as a person reads it.
fn show(published: &PublishedView) -> String {
    let PublishedView { flow, publication, checked } = published;
    let version = |version: Option<u32>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let facts = facts([
        ("flow", flow.name.to_string()),
        ("environment", publication.environment.to_string()),
        ("version", version(publication.version)),
        ("before", version(publication.replaced)),
        ("by", format!("{}, {}", publication.by.name, publication.reason.words())),
    ]);
    let note = match (publication.version, checked) {
        (Some(_), true) => "Its slots, connections and methods were checked.",
        (Some(_), false) => {
            "It does not say which slots it opens, so that its connections were not checked. Declare them: #[headgate_sdk::flow(slots(...))]"
        }
        (None, _) => "Requests are refused there from now on.",
    };
    format!("{facts}\n\n{note}")
}

fn show_diff(view: &DiffView) -> String {
    let DiffView { before, after, diff } = view;
    let side = |version: &VersionView| {
        let (digest, size) = (short_digest(&version.digest), size(version.size));
        plain(&format!("version {}   {digest}   {size}   {}", version.version, version.note)).trim_end().to_owned()
    };
    let mut lines = vec![format!("- {}", side(before)), format!("+ {}", side(after)), String::new()];
    lines.extend(differences(diff));
    lines.join("\n")
}

fn differences(diff: &FlowDiff) -> Vec<String> {
    if diff.same_module {
        return vec!["They are the same module.".to_owned()];
    }
    let mut lines = Vec::new();
    lines.extend(diff.imports_removed.iter().map(|import| format!("- import {}", plain(import))));
    lines.extend(diff.imports_added.iter().map(|import| format!("+ import {}", plain(import))));
    lines.extend(diff.slots.iter().flat_map(slot));
    let schemas = [("event", &diff.event), ("answer", &diff.answer)];
    for (what, schema) in schemas.into_iter().filter_map(|(what, schema)| Some((what, schema.as_ref()?))) {
        lines.push(changed_schema(what, schema));
        lines.extend(schema.breaks.iter().map(|broken| format!("    breaks: {}", plain(broken))));
    }
    if lines.is_empty() {
        lines.push("They differ in their code only.".to_owned());
    }
    lines
}

fn changed_schema(what: &str, schema: &SchemaDiff) -> String {
    let change = match (&schema.before, &schema.after) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "~",
    };
    format!("{change} schema of the {what}")
}

fn slot(slot: &SlotDiff) -> Vec<String> {
    let SlotDiff { slot, connector_before, connector_after, methods_added, methods_removed, methods_changed } = slot;
    let mut lines = match (connector_before, connector_after) {
        (Some(before), Some(after)) if before == after => vec![format!("~ slot {slot} ({after})")],
        (Some(before), Some(after)) => vec![format!("~ slot {slot} ({before}, now {after})")],
        (Some(before), None) => vec![format!("- slot {slot} ({before})")],
        (_, after) => vec![format!("+ slot {slot} ({})", after.as_deref().unwrap_or_default())],
    };
    for (sign, methods) in [("-", methods_removed), ("+", methods_added), ("~", methods_changed)] {
        lines.extend(methods.iter().map(|method| format!("    {sign} method {}", plain(method))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_read_like_a_diff() {
        let none = json!({"same_module": false, "size_change": 0, "imports_added": [], "imports_removed": [], "slots": [], "event": null, "answer": null});
        let of = |changes: serde_json::Value| {
            let mut diff = none.clone();
            diff.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            differences(&serde_json::from_value(diff).unwrap())
        };
        assert_eq!(of(json!({"same_module": true})), ["They are the same module."]);
        assert_eq!(of(json!({})), ["They differ in their code only."]);
        let slot = json!({"slot": "crm", "connector_before": "hubspot", "connector_after": "hubspot", "methods_added": ["b"], "methods_removed": ["a"], "methods_changed": ["c"]});
        let event = json!({"before": {}, "after": {"type": "string"}, "breaks": ["$ is not expected"]});
        assert_eq!(
            of(json!({"imports_added": ["i"], "slots": [slot], "event": event})),
            [
                "+ import i",
                "~ slot crm (hubspot)",
                "    - method a",
                "    + method b",
                "    ~ method c",
                "~ schema of the event",
                "    breaks: $ is not expected"
            ]
        );
    }
}
