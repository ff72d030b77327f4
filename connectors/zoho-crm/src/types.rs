//! What the methods take and answer. JSON names are Zoho's own.

use headgate_sdk::prelude::*;
use serde_json::{Map, Value};

/// Values by the API names of fields, such as `Last_Name`. Their types are the module's.
pub type Fields = Map<String, Value>;

/// A record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its fields, by their API names.
    #[serde(flatten)]
    pub fields: Fields,
}

/// Which record to get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRecord {
    /// The module's API name, such as `Leads`.
    pub module: String,
    /// The record's id.
    pub id: String,
    /// Which fields to answer, by their API names; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// Which records to find: by one of `criteria`, `email`, `phone` and `word`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRecords {
    /// The module's API name, such as `Leads`.
    pub module: String,
    /// Conditions such as `((Last_Name:equals:Lovelace)and(Lead_Status:starts_with:Not))`, at most 10. In a value, a
    /// backslash stands before a parenthesis or a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<String>,
    /// An e-mail address in any of the module's fields for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A phone number in any of the module's fields for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A word, of two letters at least, in any field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// Which fields to answer, by their API names; Zoho's choice when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Which page, counted from 1, which is also what it is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// How many on one page, up to 200, which is also what it is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
}

impl SearchRecords {
    /// The records with this e-mail address.
    pub fn by_email(module: impl Into<String>, email: impl Into<String>) -> Self {
        Self { module: module.into(), email: Some(email.into()), ..Self::default() }
    }

    /// The records whose field has this value.
    ///
    /// ```
    /// let search = zoho_crm::SearchRecords::equal("Leads", "Company", "Acme (UK), Ltd");
    /// assert_eq!(search.criteria.unwrap(), r"(Company:equals:Acme \(UK\)\, Ltd)");
    /// ```
    pub fn equal(module: impl Into<String>, field: &str, value: &str) -> Self {
        let mut criteria = format!("({field}:equals:");
        for letter in value.chars() {
            if matches!(letter, '(' | ')' | ',' | '\\') {
                criteria.push('\\');
            }
            criteria.push(letter);
        }
        Self { module: module.into(), criteria: Some(criteria + ")"), ..Self::default() }
    }

    /// The one parameter that says what is looked for.
    pub(crate) fn by(&self) -> Result<(&'static str, &str)> {
        let given =
            [("criteria", &self.criteria), ("email", &self.email), ("phone", &self.phone), ("word", &self.word)];
        let mut given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Error::new("invalid_input", "Search by one of criteria, email, phone and word.")),
        }
    }
}

/// A page of records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The records of this page.
    #[serde(default)]
    pub data: Vec<Record>,
    /// Where this page stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
}

/// Where a page stands among the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// How many records a page has at most.
    #[serde(default)]
    pub per_page: u32,
    /// How many this page has.
    #[serde(default)]
    pub count: u32,
    /// Which page it is, counted from 1.
    #[serde(default)]
    pub page: u32,
    /// Whether there is another page.
    #[serde(default)]
    pub more_records: bool,
}

/// Records to be created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRecords {
    /// The module's API name, such as `Leads`.
    pub module: String,
    /// The fields of each record, up to 100 records.
    pub data: Vec<Fields>,
    /// What runs after it: `workflow`, `approval`, `blueprint`. All when left out, nothing when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Vec<String>>,
}

impl CreateRecords {
    /// No record yet, in this module.
    pub fn of(module: impl Into<String>) -> Self {
        Self { module: module.into(), ..Self::default() }
    }

    /// A record with these fields.
    #[must_use]
    pub fn record<N: Into<String>, V: Into<Value>>(mut self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        self.data.push(named(fields));
        self
    }
}

/// Records to be changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRecords {
    /// The module's API name, such as `Leads`.
    pub module: String,
    /// The records' ids, and the fields to set in each; `null` clears one. Up to 100 records.
    pub data: Vec<Record>,
    /// What runs after it: `workflow`, `approval`, `blueprint`. All when left out, nothing when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Vec<String>>,
}

impl UpdateRecords {
    /// No change yet, in this module.
    pub fn of(module: impl Into<String>) -> Self {
        Self { module: module.into(), ..Self::default() }
    }

    /// Sets these fields of a record.
    #[must_use]
    pub fn record<N: Into<String>, V: Into<Value>>(
        mut self,
        id: impl Into<String>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.data.push(Record { id: id.into(), fields: named(fields) });
        self
    }
}

/// What became of records that were to be written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// One outcome for each record, in the order of the input.
    #[serde(default)]
    pub data: Vec<Outcome>,
}

/// What became of one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// `success` or `error`.
    pub status: String,
    /// Zoho's word for it, such as `SUCCESS`, `INVALID_DATA`, `DUPLICATE_DATA`.
    pub code: String,
    /// The same for people.
    #[serde(default)]
    pub message: String,
    /// The record's `id` and its times; after an error what was wrong, such as the `api_name` of a field.
    #[serde(default)]
    pub details: Fields,
}

impl Outcome {
    /// Whether the record was written.
    pub fn is_success(&self) -> bool {
        self.status == "success"
    }

    /// The id of the written record.
    pub fn id(&self) -> Option<&str> {
        self.details.get("id").and_then(Value::as_str).filter(|_| self.is_success())
    }
}

fn named<N: Into<String>, V: Into<Value>>(fields: impl IntoIterator<Item = (N, V)>) -> Fields {
    fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
