//! What would break when a connector's manifest gives way to another one.

use headgate_manifest::{Manifest, Method, MethodUse, SlotUse};
use serde::{Deserialize, Serialize};

use crate::domain::compatibility::{method_misfits, whole_use};
use crate::domain::connection::{Connection, complete_config};

/// Something that works with a connector's manifest and would not with another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Break {
    /// What breaks.
    #[schema(example = "the flow \"leads\", version 3 in production")]
    pub what: String,
    /// Why, as the rest of a sentence.
    #[schema(example = "calls the method \"get_contact\" (slot crm), which is gone")]
    pub why: String,
    /// What to do about it.
    #[schema(example = "Publish a version of the flow that does without it")]
    pub remedy: String,
}

/// What a change of manifests means for those who use the connector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consequences {
    /// What breaks.
    pub breaks: Vec<Break>,
    /// What people should know and nothing breaks by.
    pub warnings: Vec<String>,
}

/// A published version of a flow with slots that are bound to connections of the connector.
#[derive(Debug, Clone)]
pub struct FlowUse {
    /// The flow for people, such as `the flow "leads", version 3 in production`.
    pub what: String,
    /// What it says of its slots that are bound to connections of the connector; nothing where it does not say.
    pub slots: Option<Vec<SlotUse>>,
}

/// A polling trigger of the connector that is in use.
#[derive(Debug, Clone)]
pub struct TriggerUse {
    /// Who uses it, for people.
    pub what: String,
    /// Which trigger of the manifest.
    pub trigger: String,
}

/// Whoever uses a connector.
#[derive(Debug, Clone, Default)]
pub struct Users<'a> {
    /// Its connections.
    pub connections: Vec<&'a Connection>,
    /// Published versions of flows.
    pub flows: Vec<FlowUse>,
    /// What polls it.
    pub triggers: Vec<TriggerUse>,
    /// Whether they are of several groups, so that a connection's group is named.
    pub of_many_groups: bool,
}

impl Users<'_> {
    fn name(&self, connection: &Connection) -> String {
        let Connection { name, environment, group, .. } = connection;
        let group = if self.of_many_groups { format!(" of the group {group}") } else { String::new() };
        format!("the connection \"{name}\"{group} in {environment}")
    }
}

impl Consequences {
    /// What breaks when `old` gives way to `new`. What did not work with `old` is no news.
    pub fn of(old: &Manifest, new: &Manifest, users: &Users<'_>) -> Self {
        let connections = users
            .connections
            .iter()
            .filter_map(|connection| broken_connection(users.name(connection), connection, old, new));
        let triggers = users.triggers.iter().filter_map(|user| broken_trigger(user, old, new));
        let flows = users.flows.iter().flat_map(|flow| broken_calls(flow, old, new));
        let mut breaks: Vec<_> = connections.chain(flows).chain(triggers).collect();
        breaks.sort();
        breaks.dedup();
        Self { breaks, warnings: warnings(old, new, users) }
    }
}

fn broken_connection(what: String, connection: &Connection, old: &Manifest, new: &Manifest) -> Option<Break> {
    let before = connection.auth_in(old)?;
    let Some(auth) = connection.auth_in(new) else {
        return Some(Break {
            what,
            why: format!("authenticates by \"{}\", which is gone", connection.auth),
            remedy:
                "Make a connection that authenticates in another way, bind its slots to that one, and delete this one"
                    .to_owned(),
        });
    };
    complete_config(old, before, &connection.config).ok()?;
    let error = complete_config(new, auth, &connection.config).err()?;
    Some(Break {
        what,
        why: format!("has settings that do not do any more: {error}"),
        remedy: format!(
            "Give the setting a default in the connector, or force the change and then set it: headgate connections update {} --config NAME=VALUE",
            connection.id
        ),
    })
}

fn broken_trigger(user: &TriggerUse, old: &Manifest, new: &Manifest) -> Option<Break> {
    let has = |manifest: &Manifest| manifest.triggers.iter().any(|trigger| trigger.name == user.trigger);
    (has(old) && !has(new)).then(|| Break {
        what: user.what.clone(),
        why: format!("polls \"{}\", which is gone", user.trigger),
        remedy: "Delete the trigger, or make one that polls something else".to_owned(),
    })
}

fn broken_calls(flow: &FlowUse, old: &Manifest, new: &Manifest) -> Vec<Break> {
    let uses = flow.slots.iter().flatten().flat_map(|slot| slot.methods.iter().map(move |used| (slot, used)));
    let broken = uses.filter_map(|(slot, used)| {
        let trouble = trouble(used, new)?;
        // It had the same trouble before: nothing breaks now.
        (self::trouble(used, old).as_ref() != Some(&trouble)).then(|| Break {
            what: flow.what.clone(),
            why: format!("calls the method \"{}\" (slot {}), {trouble}", used.name, slot.name),
            remedy: "Publish a version of the flow that was built for the new connector, or keep the method as it was"
                .to_owned(),
        })
    });
    broken.collect()
}

fn method<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a Method> {
    manifest.methods.iter().find(|method| method.name == name)
}

/// Why a call does not fit a manifest.
fn trouble(used: &MethodUse, manifest: &Manifest) -> Option<String> {
    let Some(offered) = method(manifest, &used.name) else { return Some("which is gone".to_owned()) };
    let misfits = method_misfits(used, offered);
    (!misfits.is_empty()).then(|| format!("which is another one than it was built for: {}", misfits.join("; ")))
}

fn warnings(old: &Manifest, new: &Manifest, users: &Users<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let lost = old.methods.iter().filter(|method| method.idempotent);
    let lost = lost.filter(|before| method(new, &before.name).is_some_and(|now| !now.idempotent));
    warnings.extend(lost.map(|method| {
        format!("The method \"{}\" is not idempotent any more: an interrupted call of it is not repeated", method.name)
    }));
    let named = |methods: Vec<&Method>| {
        methods.iter().map(|method| format!("\"{}\"", method.name)).collect::<Vec<_>>().join(", ")
    };
    let (gone, kept): (Vec<_>, Vec<_>) = old.methods.iter().partition(|before| method(new, &before.name).is_none());
    let changed = kept.into_iter().filter(|before| trouble(&whole_use(before), new).is_some()).collect::<Vec<_>>();
    let lists = [("Gone", gone), ("Changed", changed)].into_iter().filter(|(_, methods)| !methods.is_empty());
    let lists = lists.map(|(what, methods)| format!("{what}: {}", named(methods))).collect::<Vec<_>>().join(". ");
    if !lists.is_empty() {
        warnings.extend(users.flows.iter().filter(|flow| flow.slots.is_none()).map(|flow| {
            format!("Whether {} calls a method that is gone or changed cannot be told, as it does not declare its slots. {lists}", flow.what)
        }));
    }
    let consents = users
        .connections
        .iter()
        .filter(|connection| connection.auth_in(new).is_some() && connection.upgrade(old) != connection.upgrade(new));
    warnings.extend(consents.map(|connection| {
        format!(
            "{} keeps its hosts and its way to authenticate until an owner consents: headgate connections accept-upgrade {}",
            capitalized(&users.name(connection)),
            connection.id
        )
    }));
    warnings.sort();
    warnings
}

/// A text as the beginning of a sentence.
pub fn capitalized(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}", first.to_uppercase())
}

#[cfg(test)]
mod tests;
