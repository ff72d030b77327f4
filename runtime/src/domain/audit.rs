//! The audit log: who changed what, chained so that nothing can be changed or left out afterwards without notice.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::id::GroupId;
use crate::domain::secret::{Pepper, SecretHash};

/// Fields whose values stay out of the log. What stands there instead tells only whether two values are the same.
const SECRET_FIELDS: [&str; 7] = ["hash", "ciphertext", "nonce", "password", "refresh", "routing_key", "secret"];

/// One change, or one set of changes that was made together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// 1, 2, 3, ... without gaps.
    #[schema(example = 7)]
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T07:00:00Z")]
    pub at: Timestamp,
    /// What was done, as the table of actions names it.
    #[schema(example = "api-key.create")]
    pub action: String,
    /// In which group; absent for what concerns the server.
    #[schema(value_type = Option<String>, example = "acme")]
    pub group: Option<GroupId>,
    /// Who did it.
    pub by: AuditActor,
    /// Where the request came from.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    pub address: Option<IpAddr>,
    /// What changed.
    pub changes: Vec<AuditChange>,
    /// The hash of the entry before; empty for the first.
    pub previous: String,
    /// The keyed hash of all of the above, hexadecimal.
    pub hash: String,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditActor {
    /// `user`, `api_key` or `system`.
    #[schema(example = "user")]
    pub kind: String,
    /// Their id.
    pub id: String,
    /// A user's address or a key's name.
    pub name: String,
}

/// What became of one thing. Only the fields that differ are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditChange {
    /// What kind of thing, such as `api-key`.
    #[schema(example = "api-key")]
    pub noun: String,
    /// Its id.
    pub id: String,
    /// Its values before; absent when it was made.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// Its values after; absent when it was deleted.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

impl AuditChange {
    /// What changed between two states of a thing, secrets masked.
    pub fn between(noun: &str, id: &str, before: Option<Value>, after: Option<Value>, pepper: &Pepper) -> Self {
        let mut states = [before, after];
        for state in states.iter_mut().flatten() {
            mask(state, pepper);
        }
        if let [Some(Value::Object(before)), Some(Value::Object(after))] = &mut states {
            keep_differences(before, after);
        }
        let [before, after] = states;
        Self { noun: noun.to_owned(), id: id.to_owned(), before, after }
    }
}

impl AuditEntry {
    /// The hash this entry must have.
    pub fn expected_hash(&self, pepper: &Pepper) -> String {
        let unsealed = Self { hash: String::new(), ..self.clone() };
        let text = serde_json::to_string(&unsealed).expect("entries have text keys");
        SecretHash::of(&format!("audit\n{text}"), pepper).to_hex()
    }

    /// Puts the hash in.
    pub fn seal(mut self, pepper: &Pepper) -> Self {
        self.hash = self.expected_hash(pepper);
        self
    }
}

fn keep_differences(before: &mut Map<String, Value>, after: &mut Map<String, Value>) {
    let same: Vec<_> = before.iter().filter(|(name, value)| after.get(*name) == Some(value)).collect();
    let same: Vec<_> = same.into_iter().map(|(name, _)| name.clone()).collect();
    for name in same {
        before.remove(&name);
        after.remove(&name);
    }
}

fn mask(value: &mut Value, pepper: &Pepper) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, pepper)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRET_FIELDS.contains(&name.as_str()) && value.is_string() {
                    let digest = SecretHash::of(&format!("audit-mask\n{value}"), pepper).to_hex();
                    *value = Value::String(format!("(secret, {})", &digest[..8]));
                } else {
                    mask(value, pepper);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_kept_and_secrets_are_masked() {
        let pepper = Pepper::new(&[1; 32]);
        let state = |hash: &str, name: &str| Some(json!({"name": name, "group": "acme", "secrets": [{"hash": hash}]}));
        let change = AuditChange::between("api-key", "a", state("one", "x"), state("two", "x"), &pepper);
        let text = serde_json::to_string(&change).unwrap();
        assert!(!text.contains("one") && !text.contains("two") && !text.contains("acme"), "{text}");
        assert!(text.contains("(secret, "), "{text}");
        assert_ne!(change.before, change.after);
        let same = AuditChange::between("api-key", "a", state("one", "x"), state("one", "y"), &pepper);
        assert_eq!((same.before, same.after), (Some(json!({"name": "x"})), Some(json!({"name": "y"}))));
    }

    #[test]
    fn a_hash_depends_on_every_field_and_the_key() {
        let (one, two) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        let by = AuditActor { kind: "system".into(), id: String::new(), name: String::new() };
        let entry = AuditEntry {
            sequence: 1,
            at: Timestamp::UNIX_EPOCH,
            action: "group.create".into(),
            group: None,
            by,
            address: None,
            changes: Vec::new(),
            previous: String::new(),
            hash: String::new(),
        };
        let entry = entry.seal(&one);
        assert_eq!(entry.hash, entry.expected_hash(&one));
        assert_ne!(entry.hash, entry.expected_hash(&two));
        assert_ne!(entry.hash, AuditEntry { sequence: 2, ..entry.clone() }.expected_hash(&one));
        assert_ne!(entry.hash, AuditEntry { action: "x".into(), ..entry.clone() }.expected_hash(&one));
    }
}
