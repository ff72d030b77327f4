//! What the methods could answer, for flows that are only tried.

use serde_json::json;

use crate::types::{Fields, Info, Outcome, Page, Record, Written};

pub(crate) fn record() -> Record {
    let fields = [("Last_Name", json!("Lovelace")), ("Email", json!("ada@example.com"))];
    Record { id: "4150868000003194003".into(), fields: named(fields) }
}

pub(crate) fn page() -> Page {
    let info = Info { per_page: 200, count: 1, page: 1, more_records: false };
    Page { data: vec![record()], info: Some(info) }
}

pub(crate) fn written() -> Written {
    let outcome = Outcome {
        status: "success".into(),
        code: "SUCCESS".into(),
        message: "record added".into(),
        details: named([("id", json!("4150868000003194003"))]),
    };
    Written { data: vec![outcome] }
}

fn named<const N: usize>(fields: [(&str, serde_json::Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
