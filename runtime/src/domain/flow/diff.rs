//! What differs between two versions of a flow.

use std::collections::BTreeMap;

use headgate_manifest::{FlowManifest, MethodUse, SlotUse};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::compatibility::misfits;
use crate::domain::flow::FlowVersion;

/// A version, and what it says about itself.
#[derive(Debug, Clone)]
pub struct DescribedVersion {
    /// The version.
    pub version: FlowVersion,
    /// What its `describe` export returned.
    pub manifest: FlowManifest,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowDiff {
    /// Whether both are the same module.
    pub same_module: bool,
    /// How many bytes the second module is larger.
    #[schema(example = 2048)]
    pub size_change: i64,
    /// The interfaces that only the second one imports.
    #[schema(example = json!(["headgate:runtime/connections@0.1.0"]))]
    pub imports_added: Vec<String>,
    /// The interfaces that only the first one imports.
    #[schema(example = json!([]))]
    pub imports_removed: Vec<String>,
    /// The slots that differ.
    pub slots: Vec<SlotDiff>,
    /// How the schema of the event's body differs.
    pub event: Option<SchemaDiff>,
    /// How the schema of the answer's body differs.
    pub answer: Option<SchemaDiff>,
}

/// How a slot differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SlotDiff {
    /// Its name.
    #[schema(example = "crm")]
    pub slot: String,
    /// The connector that the first version wants; absent where it has no such slot.
    #[schema(example = "hubspot")]
    pub connector_before: Option<String>,
    /// The connector that the second version wants; absent where it has no such slot.
    #[schema(example = "hubspot")]
    pub connector_after: Option<String>,
    /// The methods that only the second version calls.
    #[schema(example = json!(["update_contact"]))]
    pub methods_added: Vec<String>,
    /// The methods that only the first version calls.
    #[schema(example = json!([]))]
    pub methods_removed: Vec<String>,
    /// The methods that both call, built for other schemas.
    #[schema(example = json!(["get_contact"]))]
    pub methods_changed: Vec<String>,
}

/// How a schema differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchemaDiff {
    /// The first version's.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// The second version's.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    /// What fits no longer: an event that the first version took and the second does not, or an answer that is not
    /// like the first version's.
    #[schema(example = json!(["$.email may be left out, and is required"]))]
    pub breaks: Vec<String>,
}

impl FlowDiff {
    /// What differs between two versions.
    pub fn between(before: &DescribedVersion, after: &DescribedVersion) -> Self {
        let (old, new) = (&before.version, &after.version);
        let lacks = |some: &[String], other: &[String]| -> Vec<String> {
            some.iter().filter(|import| !other.contains(import)).cloned().collect()
        };
        let (was, is) = (&before.manifest, &after.manifest);
        Self {
            same_module: old.digest == new.digest,
            size_change: i64::try_from(new.size).unwrap_or(i64::MAX) - i64::try_from(old.size).unwrap_or(i64::MAX),
            imports_added: lacks(&new.imports, &old.imports),
            imports_removed: lacks(&old.imports, &new.imports),
            slots: slots(was.slots.as_deref().unwrap_or_default(), is.slots.as_deref().unwrap_or_default()),
            // Events are sent to the flow as before, answers are read as before.
            event: schema(was.event.as_ref(), is.event.as_ref(), misfits),
            answer: schema(was.answer.as_ref(), is.answer.as_ref(), |before, after| misfits(after, before)),
        }
    }

    /// Whether a person would see no difference.
    pub fn is_empty(&self) -> bool {
        let Self { same_module: _, size_change, imports_added, imports_removed, slots, event, answer } = self;
        let no_imports = imports_added.is_empty() && imports_removed.is_empty();
        *size_change == 0 && no_imports && slots.is_empty() && event.is_none() && answer.is_none()
    }
}

fn schema(
    before: Option<&Value>,
    after: Option<&Value>,
    misfits: fn(&Value, &Value) -> Vec<crate::domain::compatibility::Misfit>,
) -> Option<SchemaDiff> {
    if before == after {
        return None;
    }
    let breaks = match (before, after) {
        (Some(before), Some(after)) => misfits(before, after).iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Some(SchemaDiff { before: before.cloned(), after: after.cloned(), breaks })
}

fn slots(before: &[SlotUse], after: &[SlotUse]) -> Vec<SlotDiff> {
    let by_name = |slots: &[SlotUse]| -> BTreeMap<String, SlotUse> {
        slots.iter().map(|slot| (slot.name.clone(), slot.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let diffs = names.into_iter().map(|name| slot(name, before.get(name), after.get(name)));
    let differs = |diff: &SlotDiff| {
        diff.connector_before != diff.connector_after
            || !(diff.methods_added.is_empty() && diff.methods_removed.is_empty() && diff.methods_changed.is_empty())
    };
    diffs.filter(differs).collect()
}

fn slot(name: &str, before: Option<&SlotUse>, after: Option<&SlotUse>) -> SlotDiff {
    let methods = |slot: Option<&SlotUse>| -> BTreeMap<String, MethodUse> {
        let methods = slot.into_iter().flat_map(|slot| &slot.methods);
        methods.map(|method| (method.name.clone(), method.clone())).collect()
    };
    let (old, new) = (methods(before), methods(after));
    SlotDiff {
        slot: name.to_owned(),
        connector_before: before.map(|slot| slot.connector.clone()),
        connector_after: after.map(|slot| slot.connector.clone()),
        methods_added: new.keys().filter(|method| !old.contains_key(*method)).cloned().collect(),
        methods_removed: old.keys().filter(|method| !new.contains_key(*method)).cloned().collect(),
        methods_changed: new
            .iter()
            .filter(|(name, method)| old.get(*name).is_some_and(|before| before != *method))
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::domain::digest::ModuleDigest;
    use crate::domain::id::FlowId;

    fn version(bytes: &[u8], imports: &[&str], manifest: Value) -> DescribedVersion {
        DescribedVersion {
            version: FlowVersion {
                flow: FlowId::from_random(&"a".repeat(20)).unwrap(),
                version: 1,
                digest: ModuleDigest::of(bytes),
                size: bytes.len() as u64,
                note: String::new(),
                created: Timestamp::UNIX_EPOCH,
                author: None,
                source: None,
                imports: imports.iter().map(|import| (*import).to_owned()).collect(),
                draft: false,
            },
            manifest: serde_json::from_value(manifest).unwrap(),
        }
    }

    #[test]
    fn the_same_version_does_not_differ() {
        let one = version(b"one", &["a"], json!({"slots": [{"name": "crm", "connector": "hubspot"}]}));
        let diff = FlowDiff::between(&one, &one);
        assert!(diff.same_module && diff.is_empty(), "{diff:?}");
    }

    #[test]
    fn imports_slots_methods_and_schemas_are_told() {
        let method = |name: &str, kind: &str| json!({"name": name, "input": {"type": kind}});
        let text = json!({"type": "object", "properties": {"email": {"type": "string"}}});
        let mut strict = text.clone();
        strict["required"] = json!(["email"]);
        let before = version(
            b"one",
            &["a", "b"],
            json!({"event": text, "answer": strict, "slots": [
                {"name": "crm", "connector": "hubspot", "methods": [method("get", "string"), method("old", "string")]},
                {"name": "gone", "connector": "slack"},
                {"name": "same", "connector": "gmail", "methods": [method("send", "object")]},
            ]}),
        );
        let after = version(
            b"three",
            &["b", "c"],
            json!({"event": strict, "answer": text, "slots": [
                {"name": "crm", "connector": "zoho", "methods": [method("get", "integer"), method("new", "string")]},
                {"name": "same", "connector": "gmail", "methods": [method("send", "object")]},
            ]}),
        );
        let diff = FlowDiff::between(&before, &after);
        assert_eq!((diff.same_module, diff.size_change), (false, 2));
        assert_eq!((diff.imports_added, diff.imports_removed), (vec!["c".to_owned()], vec!["a".to_owned()]));
        let crm = SlotDiff {
            slot: "crm".into(),
            connector_before: Some("hubspot".into()),
            connector_after: Some("zoho".into()),
            methods_added: vec!["new".into()],
            methods_removed: vec!["old".into()],
            methods_changed: vec!["get".into()],
        };
        assert_eq!(diff.slots[0], crm);
        assert_eq!((diff.slots[1].slot.as_str(), &diff.slots[1].connector_after), ("gone", &None));
        assert_eq!(diff.slots.len(), 2);
        let breaks = ["$.email may be left out, and is required".to_owned()];
        assert_eq!(diff.event.unwrap().breaks, breaks);
        assert_eq!(diff.answer.unwrap().breaks, breaks);
    }
}
