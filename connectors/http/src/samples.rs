//! What the methods could answer, for flows that are only tried.

use std::collections::BTreeMap;

use serde_json::json;

use crate::types::Answer;

pub(crate) fn answer() -> Answer {
    let headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    Answer { status: 200, headers, json: Some(json!({"ok": true})), text: None, blob: None }
}
