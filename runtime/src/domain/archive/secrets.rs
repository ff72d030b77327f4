//! Secrets in records: an export takes them out, an import puts them back.
//!
//! Only places that are known here are looked at. Anything else may be somebody's own JSON, such as a sample event, and
//! must not be taken for a secret, nor for the mark of one.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::sealed::Sealed;

/// What a secret was sealed for, besides the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A field of a record.
    Sealed {
        /// The record.
        record: String,
        /// The field.
        field: String,
    },
    /// It is not sealed: a routing key. Who knows one may knock.
    RoutingKey,
}

/// What stands in a record in a secret's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Which of the archive's secrets.
    #[serde(rename = "$secret")]
    pub number: usize,
    /// The version of a sealed one.
    pub version: u32,
}

/// A secret that was taken out.
pub struct Taken {
    /// What it was sealed for.
    pub place: SecretPlace,
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

/// What comes back in the place of a marker.
#[derive(Clone)]
pub enum Replacement {
    /// A value.
    Value(Value),
    /// Nothing: the field is left out.
    Nothing,
}

/// Where a record of a kind has its secrets. A new place of secrets is a line here.
fn secret_at(kind: &str, id: &str, execute: &str, path: &[String]) -> Option<SecretPlace> {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let (record, field) = match (kind, path.as_slice()) {
        ("trigger", ["routing_key"]) => return Some(SecretPlace::RoutingKey),
        ("group", ["alert_endpoint", "secrets", ..]) => ("alert-endpoint", "secret"),
        ("connection", ["secrets", field]) => (id, *field),
        ("app-registration", ["client_secret"]) => (id, "client_secret"),
        ("trigger", ["settings", "signature", ..]) => (id, "signature"),
        ("trigger", ["settings", "challenge", ..]) => (id, "verify_token"),
        ("flow", ["execute", "settings", "signature", ..]) => (execute, "signature"),
        ("flow", ["execute", "settings", "challenge", ..]) => (execute, "verify_token"),
        ("oauth-token", ["access"]) => (id, "access_token"),
        ("oauth-token", ["refresh"]) => (id, "refresh_token"),
        _ => return None,
    };
    Some(SecretPlace::Sealed { record: record.to_owned(), field: field.to_owned() })
}

/// Takes the secrets out of a record, and leaves markers. `id` is the record's. Numbers go on from the secrets that
/// were taken before.
pub fn take_secrets(kind: &str, id: &str, record: &mut Value, taken: &mut Vec<Taken>) {
    walk(kind, id, record, &mut |place, value| {
        let (version, secret) = match (&place, &*value) {
            (SecretPlace::RoutingKey, Value::String(text)) => (0, TakenSecret::Plain(text.clone())),
            (SecretPlace::Sealed { .. }, value) => match Sealed::deserialize(value) {
                Ok(sealed) => (sealed.version, TakenSecret::Sealed(sealed)),
                Err(_) => return Next::Deeper,
            },
            _ => return Next::Deeper,
        };
        *value = json!(Marker { number: taken.len(), version });
        taken.push(Taken { place, secret });
        Next::Keep
    });
}

/// The markers in a record, and what the secrets in their places are sealed for.
pub fn markers(kind: &str, id: &str, record: &mut Value) -> Vec<(Marker, SecretPlace)> {
    let mut found = Vec::new();
    walk(kind, id, record, &mut |place, value| match Marker::deserialize(&*value) {
        Ok(marker) => {
            found.push((marker, place));
            Next::Keep
        }
        Err(_) => Next::Deeper,
    });
    found
}

/// Puts what belongs there in the place of each marker. A marker without a replacement stays, and its record will not
/// be read as one.
pub fn put_back(kind: &str, id: &str, record: &mut Value, replacements: &HashMap<usize, Replacement>) {
    walk(kind, id, record, &mut |_, value| {
        let marker = Marker::deserialize(&*value).ok();
        match marker.and_then(|marker| replacements.get(&marker.number)) {
            Some(Replacement::Value(new)) => {
                *value = new.clone();
                Next::Keep
            }
            Some(Replacement::Nothing) => Next::Remove,
            None => Next::Deeper,
        }
    });
}

/// What a walk does with a value after it was looked at.
enum Next {
    /// Looks inside.
    Deeper,
    /// Goes on behind it.
    Keep,
    /// Leaves it out.
    Remove,
}

/// Shows every value to `visit` that stands where secrets are.
fn walk(kind: &str, id: &str, record: &mut Value, visit: &mut impl FnMut(SecretPlace, &mut Value) -> Next) {
    let execute = record.pointer("/execute/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = |path: &[String]| secret_at(kind, id, &execute, path);
    // Whether the record itself is to stay is not asked: it is at no place of secrets.
    descend(record, &mut Vec::new(), &at, visit);
}

/// Answers whether the value stays.
fn descend(
    value: &mut Value,
    path: &mut Vec<String>,
    at: &impl Fn(&[String]) -> Option<SecretPlace>,
    visit: &mut impl FnMut(SecretPlace, &mut Value) -> Next,
) -> bool {
    match at(path).map_or(Next::Deeper, |place| visit(place, value)) {
        Next::Keep => return true,
        Next::Remove => return false,
        Next::Deeper => {}
    }
    let mut step = |name: &str, value: &mut Value| {
        path.push(name.to_owned());
        let stays = descend(value, path, at, visit);
        path.pop();
        stays
    };
    match value {
        Value::Array(items) => items.retain_mut(|item| step("-", item)),
        Value::Object(fields) => fields.retain(|name, value| step(name, value)),
        _ => {}
    }
    true
}
