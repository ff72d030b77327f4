//! Airtable: records, by the public Web API.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use airtable::{CreateRecords, ListRecords};
//! use headgate_sdk::prelude::*;
//!
//! # fn example() -> Result<()> {
//! let base = airtable::Client::open("tasks")?;
//! let open = ListRecords::of("appLkNDICXNqxSDhG", "Tasks").formula("{Status} = 'Open'");
//! for record in base.list_records(open)?.records {
//!     log::info!("{} {:?}", record.id, record.fields.get("Name"));
//! }
//! base.create_records(CreateRecords::of("appLkNDICXNqxSDhG", "Tasks").record([("Name", "Call Ada")]))?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod new_record;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::polling::Window;
use headgate_sdk::prelude::*;
use serde_json::{Value, json};

pub use types::{
    Change, CreateRecords, Direction, Fields, ListRecords, NewRecord, Page, Record, Records, Sort, UpdateRecords,
    UpsertRecords, Upserted, Watch,
};

/// How many records one request may write.
const MOST_RECORDS: usize = 10;

/// The connector.
#[derive(Debug)]
pub struct Airtable;

#[headgate_sdk::connector]
impl Airtable {
    fn manifest() -> Manifest {
        let token = SecretField::new("token", "Personal access token")
            .description("airtable.com/create/tokens, with the scopes and the bases it is for. It starts with pat.");
        let stand_in = "change it only to reach a stand-in for tests.";
        Manifest::new("airtable", "Airtable")
            .description("Records of Airtable bases: list, create, update, upsert; new ones run flows.")
            .config(
                ConfigField::new("api_url", "API address")
                    .description(format!("Where Airtable's Web API is; {stand_in}"))
                    .default_value("https://api.airtable.com/v0")
                    .advanced(),
            )
            .config(
                ConfigField::new("oauth_url", "OAuth address")
                    .description(format!("Where Airtable's OAuth is; {stand_in}"))
                    .default_value("https://airtable.com/oauth2/v1")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(Auth::bearer("token", "Personal access token", token))
            .auth(Auth::oauth("oauth", "Airtable account", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Airtable account, by an integration of your own", oauth()))
            .verified_by(Verification::new("GET", "/meta/whoami").account("/email"))
    }

    /// Lists the records of a table, a page at a time.
    #[method(idempotent, scopes("data.records:read"), sample = Page::sample)]
    fn list_records(input: ListRecords) -> Result<Page> {
        let url = table(&input.base_id, &input.table)? + "/listRecords";
        answer::read(http::post(url).json(&body(&input)?).send()?)
    }

    /// Creates up to 10 records.
    #[method(scopes("data.records:write"), sample = Records::sample)]
    fn create_records(input: CreateRecords) -> Result<Records> {
        check_count(input.records.len())?;
        answer::read(http::post(table(&input.base_id, &input.table)?).json(&body(&input)?).send()?)
    }

    /// Sets some fields of up to 10 records, by their ids. The other fields keep their values.
    #[method(idempotent, scopes("data.records:write"), sample = Records::sample)]
    fn update_records(input: UpdateRecords) -> Result<Records> {
        check_count(input.records.len())?;
        answer::read(http::patch(table(&input.base_id, &input.table)?).json(&body(&input)?).send()?)
    }

    /// Updates up to 10 records that have the same values in some fields, and creates those that nobody has yet.
    #[method(idempotent, scopes("data.records:write"), sample = Upserted::sample)]
    fn upsert_records(input: UpsertRecords) -> Result<Upserted> {
        check_count(input.records.len())?;
        let mut body = body(&input)?;
        body["performUpsert"] = json!({ "fieldsToMergeOn": body["mergeOn"].take() });
        if let Some(body) = body.as_object_mut() {
            body.remove("mergeOn");
        }
        answer::read(http::patch(table(&input.base_id, &input.table)?).json(&body).send()?)
    }

    /// Tells each record that is created in a table.
    #[trigger(scopes("data.records:read"), sample = Record::sample)]
    fn new_record(input: Watch, cursor: Option<Window>) -> Result<Polled<Record, Window>> {
        match cursor {
            Some(window) => new_record::poll(&input, window),
            None => new_record::begin(&input),
        }
    }
}

/// Airtable insists on PKCE, and every refresh gives a new refresh token.
fn oauth() -> Oauth {
    Oauth::code("${config.oauth_url}/authorize", "${config.oauth_url}/token")
        .scope(ScopeField::new("data.records:read", "See the data in records").required())
        .scope(ScopeField::new("data.records:write", "Create, edit and delete records"))
        .scope(ScopeField::new("user.email:read", "See the user's e-mail address, to tell connections apart"))
}

/// What is sent of an input: all but what is in the URL.
fn body(input: &impl Serialize) -> Result<Value> {
    let mut body = serde_json::to_value(input)?;
    if let Some(body) = body.as_object_mut() {
        body.remove("baseId");
        body.remove("table");
    }
    Ok(body)
}

/// The URL of a table. Neither name may be one that makes another path of it.
fn table(base: &str, table: &str) -> Result<String> {
    if [base, table].iter().any(|name| matches!(*name, "" | "." | "..")) {
        return Err(Error::new("invalid_input", "Name the base by its id (app...) and the table by its name or id."));
    }
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    Ok(format!("{}/{}/{}", api.trim_end_matches('/'), http::encode(base), http::encode(table)))
}

fn check_count(records: usize) -> Result<()> {
    if (1..=MOST_RECORDS).contains(&records) {
        return Ok(());
    }
    let message = format!("There are {records} records; give 1 to {MOST_RECORDS}, and make several calls for more.");
    Err(Error::new("invalid_input", message))
}
