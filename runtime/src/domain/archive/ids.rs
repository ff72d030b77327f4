//! Ids in records, whatever kind of record it is: an import gives new ones to those that are taken.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Letters and digits behind the prefix of an id.
const RANDOM: usize = 20;
/// The longest prefix.
const MAX_PREFIX: usize = 8;

/// Whether a text is an id that a server made, such as `flw_` and 20 letters or digits: unique on a server.
pub fn is_random_id(text: &str) -> bool {
    let Some((prefix, random)) = text.split_once('_') else { return false };
    (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
        && random.len() == RANDOM
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Shows every text of a record to `visit`, the names of its fields too: some are ids.
pub fn each_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Object(fields) => {
            for (name, value) in fields {
                visit(name);
                each_text(value, visit);
            }
        }
        _ => {}
    }
}

/// Puts new ids in the place of old ones, wherever they stand in a record.
pub fn rename(value: &mut Value, ids: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = ids.get(text.as_str()) {
                new.clone_into(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, ids)),
        Value::Object(fields) => {
            let renamed = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                rename(&mut value, ids);
                (ids.get(&name).cloned().unwrap_or(name), value)
            });
            *fields = renamed.collect::<Map<_, _>>();
        }
        _ => {}
    }
}
