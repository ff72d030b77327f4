//! Secrets in records, whatever kind of record it is: an export takes them out, an import puts them back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::sealed::Sealed;

/// The field that makes an object a marker.
const MARKER: &str = "$secret";
/// Fields that are secret without being sealed: who knows a routing key may knock.
const PLAIN: &str = "routing_key";

/// What stands in a record in a secret's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Which of the archive's secrets.
    #[serde(rename = "$secret")]
    pub number: usize,
    /// What it was sealed for; absent for one that is not sealed in a record.
    pub sealed: Option<SealedFor>,
}

/// What a secret is bound to, besides the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFor {
    /// The record.
    pub record: String,
    /// The field.
    pub field: String,
    /// The version of the secret.
    pub version: u32,
}

/// A secret that was taken out.
#[derive(Debug)]
pub struct Taken {
    /// What stands in its place.
    pub marker: Marker,
    /// The secret, as it stood there.
    pub secret: TakenSecret,
}

/// A secret as it stood in a record.
pub enum TakenSecret {
    /// Encrypted.
    Sealed(Sealed),
    /// In clear.
    Plain(String),
}

impl std::fmt::Debug for TakenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TakenSecret")
    }
}

/// What comes back in the place of a marker.
#[derive(Clone)]
pub enum Replacement {
    /// A value.
    Value(Value),
    /// Nothing: the field is left out.
    Nothing,
}

/// Takes the secrets out of a record, and leaves markers. `id` is the record's. Numbers go on from the secrets that
/// were taken before. Fails with the place of a sealed secret of which nobody knows what it was sealed for:
/// `sealed_for` has to name it.
pub fn take_secrets(kind: &str, id: &str, record: &mut Value, taken: &mut Vec<Taken>) -> Result<(), String> {
    let execute = record.pointer("/execute/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut walk = Walk { kind, id, execute: &execute, path: Vec::new(), taken };
    walk.value(record)
}

struct Walk<'a> {
    kind: &'a str,
    id: &'a str,
    execute: &'a str,
    path: Vec<String>,
    taken: &'a mut Vec<Taken>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.step("-", item)),
            Value::Object(fields) => {
                if let Some(sealed) = sealed(fields) {
                    let place = sealed_for(self.kind, self.id, self.execute, &self.path);
                    let (record, field) = place.ok_or_else(|| format!("{} {}", self.kind, self.path.join(".")))?;
                    let place = SealedFor { record, field, version: sealed.version };
                    *value = self.take(Some(place), TakenSecret::Sealed(sealed));
                    return Ok(());
                }
                for (name, value) in fields {
                    match value {
                        Value::String(text) if name == PLAIN => {
                            *value = self.take(None, TakenSecret::Plain(std::mem::take(text)));
                        }
                        value => self.step(name, value)?,
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn step(&mut self, name: &str, value: &mut Value) -> Result<(), String> {
        self.path.push(name.to_owned());
        self.value(value)?;
        self.path.pop();
        Ok(())
    }

    fn take(&mut self, sealed: Option<SealedFor>, secret: TakenSecret) -> Value {
        let marker = Marker { number: self.taken.len(), sealed };
        let value = json!(marker);
        self.taken.push(Taken { marker, secret });
        value
    }
}

/// A sealed secret has these fields and no others.
fn sealed(fields: &Map<String, Value>) -> Option<Sealed> {
    let all = ["key", "version", "nonce", "ciphertext"].iter().all(|name| fields.contains_key(*name));
    let sealed = (all && fields.len() == 4).then(|| serde_json::from_value(Value::Object(fields.clone())).ok());
    sealed.flatten()
}

/// What a secret at a place of a record was sealed for: record and field. A new place of secrets is a line here.
fn sealed_for(kind: &str, id: &str, execute: &str, path: &[String]) -> Option<(String, String)> {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let place = match (kind, path.as_slice()) {
        ("group", ["alert_endpoint", ..]) => ("alert-endpoint", "secret"),
        ("connection", ["secrets", field]) => (id, *field),
        ("app-registration", ["client_secret"]) => (id, "client_secret"),
        ("trigger", ["settings", "signature", ..]) => (id, "signature"),
        ("flow", ["execute", "settings", "signature", ..]) => (execute, "signature"),
        ("oauth-token", ["access"]) => (id, "access_token"),
        ("oauth-token", ["refresh"]) => (id, "refresh_token"),
        _ => return None,
    };
    Some((place.0.to_owned(), place.1.to_owned()))
}

/// The markers in a record.
pub fn markers(value: &Value, found: &mut Vec<Marker>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| markers(item, found)),
        Value::Object(fields) => match marker(value) {
            Some(marker) => found.push(marker),
            None => fields.values().for_each(|value| markers(value, found)),
        },
        _ => {}
    }
}

fn marker(value: &Value) -> Option<Marker> {
    value.get(MARKER)?;
    Marker::deserialize(value).ok()
}

/// Puts what belongs there in the place of each marker. A marker without a replacement stays, and its record will not
/// be read as one.
pub fn put_back(value: &mut Value, replacements: &HashMap<usize, Replacement>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| {
            if let Some(Replacement::Value(new)) = found(item, replacements) {
                *item = new.clone();
            } else {
                put_back(item, replacements);
            }
        }),
        Value::Object(fields) => fields.retain(|_, value| match found(value, replacements) {
            Some(Replacement::Value(new)) => {
                *value = new.clone();
                true
            }
            Some(Replacement::Nothing) => false,
            None => {
                put_back(value, replacements);
                true
            }
        }),
        _ => {}
    }
}

fn found<'a>(value: &Value, replacements: &'a HashMap<usize, Replacement>) -> Option<&'a Replacement> {
    replacements.get(&marker(value)?.number)
}
