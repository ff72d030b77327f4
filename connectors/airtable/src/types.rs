//! What the methods take and answer. JSON names are Airtable's own.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value};

/// Values by field names (or ids). Their types are the table's: text, numbers, lists, objects.
pub type Fields = Map<String, Value>;

/// A record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id (`rec...`).
    pub id: String,
    /// When it was created (ISO 8601).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<String>,
    /// Its fields; Airtable leaves empty ones out.
    #[serde(default)]
    pub fields: Fields,
}

impl Record {
    /// A record as Airtable could answer it.
    pub fn sample() -> Self {
        let fields = named([("Name", Value::from("Call Ada")), ("Done", Value::from(true))]);
        Self { id: "rec560UJdUtocSouk".into(), created_time: Some("2026-01-02T03:04:05.000Z".into()), fields }
    }
}

/// Which new records are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    /// The base's id (`app...`).
    pub base_id: String,
    /// The table's name or id (`tbl...`); the id outlives a renaming.
    pub table: String,
    /// Which fields to tell, by names or ids; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Only records for which this formula is true when they are polled, such as `{Status} = 'Open'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_by_formula: Option<String>,
    /// Only the records of this view, by its name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListRecords {
    /// The base's id (`app...`).
    pub base_id: String,
    /// The table's name or id (`tbl...`); the id outlives a renaming.
    pub table: String,
    /// Which fields to answer, by names or ids; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Only records for which this formula is true, such as `{Status} = 'Open'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_by_formula: Option<String>,
    /// The order; the view's or none when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<Sort>,
    /// Only the records of this view, by its name or id, in its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// How many on one page, up to 100, which is also what it is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// How many on all pages together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_records: Option<u32>,
    /// The page: `offset` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// Whether fields are answered by their ids instead of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_fields_by_field_id: Option<bool>,
}

impl ListRecords {
    /// All records of a table.
    pub fn of(base: impl Into<String>, table: impl Into<String>) -> Self {
        Self { base_id: base.into(), table: table.into(), ..Self::default() }
    }

    /// Only those for which the formula is true.
    #[must_use]
    pub fn formula(mut self, formula: impl Into<String>) -> Self {
        self.filter_by_formula = Some(formula.into());
        self
    }

    /// The page after the one with this offset.
    #[must_use]
    pub fn after(mut self, offset: impl Into<String>) -> Self {
        self.offset = Some(offset.into());
        self
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// The field's name or id.
    pub field: String,
    /// Which end comes first; ascending when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

/// Which end of an order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The smallest.
    Asc,
    /// The largest.
    Desc,
}

/// A page of records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The records of this page.
    pub records: Vec<Record>,
    /// What to give as `offset` for the next page; left out on the last. It is valid for a few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
}

impl Page {
    /// A page as Airtable could answer it.
    pub fn sample() -> Self {
        Self { records: vec![Record::sample()], offset: None }
    }
}

/// Records to be created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRecords {
    /// The base's id (`app...`).
    pub base_id: String,
    /// The table's name or id (`tbl...`).
    pub table: String,
    /// The records, up to 10.
    pub records: Vec<NewRecord>,
    /// Whether Airtable makes values fit their fields, and adds new choices to select fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typecast: Option<bool>,
}

impl CreateRecords {
    /// No record yet, in this table.
    pub fn of(base: impl Into<String>, table: impl Into<String>) -> Self {
        Self { base_id: base.into(), table: table.into(), ..Self::default() }
    }

    /// A record with these fields.
    #[must_use]
    pub fn record<N: Into<String>, V: Into<Value>>(mut self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        self.records.push(NewRecord { fields: named(fields) });
        self
    }
}

/// A record that has no id yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecord {
    /// Its fields.
    pub fields: Fields,
}

/// Records to be changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateRecords {
    /// The base's id (`app...`).
    pub base_id: String,
    /// The table's name or id (`tbl...`).
    pub table: String,
    /// The changes, up to 10.
    pub records: Vec<Change>,
    /// Whether Airtable makes values fit their fields, and adds new choices to select fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typecast: Option<bool>,
}

impl UpdateRecords {
    /// No change yet, in this table.
    pub fn of(base: impl Into<String>, table: impl Into<String>) -> Self {
        Self { base_id: base.into(), table: table.into(), ..Self::default() }
    }

    /// Sets these fields of a record.
    #[must_use]
    pub fn record<N: Into<String>, V: Into<Value>>(
        mut self,
        id: impl Into<String>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.records.push(Change { id: id.into(), fields: named(fields) });
        self
    }
}

/// What to set in one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The record's id (`rec...`).
    pub id: String,
    /// The fields to set; `null` clears one.
    pub fields: Fields,
}

/// Records to be found by some of their fields and changed, or created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpsertRecords {
    /// The base's id (`app...`).
    pub base_id: String,
    /// The table's name or id (`tbl...`).
    pub table: String,
    /// The names or ids of one to three fields that tell records apart.
    pub merge_on: Vec<String>,
    /// The records, up to 10.
    pub records: Vec<NewRecord>,
    /// Whether Airtable makes values fit their fields, and adds new choices to select fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typecast: Option<bool>,
}

/// Records that were created or changed, in the order of the input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Records {
    /// The records as they are now.
    pub records: Vec<Record>,
}

/// Records that were created or changed, and which of both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upserted {
    /// The records as they are now, in the order of the input.
    pub records: Vec<Record>,
    /// The ids of those that are new.
    #[serde(default)]
    pub created_records: Vec<String>,
    /// The ids of those that were there.
    #[serde(default)]
    pub updated_records: Vec<String>,
}

impl Records {
    /// Records as Airtable could answer them.
    pub fn sample() -> Self {
        Self { records: vec![Record::sample()] }
    }
}

impl Upserted {
    /// Records as Airtable could answer them.
    pub fn sample() -> Self {
        let record = Record::sample();
        Self { created_records: Vec::new(), updated_records: vec![record.id.clone()], records: vec![record] }
    }
}

fn named<N: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (N, V)>) -> Fields {
    fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
