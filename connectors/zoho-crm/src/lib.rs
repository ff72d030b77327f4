//! Zoho CRM: records of any module, by the public REST API, version 8.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use zoho_crm::{CreateRecords, SearchRecords, UpdateRecords};
//!
//! # fn example() -> Result<()> {
//! let crm = zoho_crm::Client::open("crm")?;
//! let found = crm.search_records(SearchRecords::by_email("Leads", "ada@example.com"))?;
//! match found.data.first() {
//!     Some(lead) => crm.update_records(UpdateRecords::of("Leads").record(&lead.id, [("Lead_Status", "Contacted")]))?,
//!     None => crm.create_records(CreateRecords::of("Leads").record([("Last_Name", "Lovelace")]))?,
//! };
//! # Ok(())
//! # }
//! ```

mod answer;
mod oauth;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;
use serde_json::json;

pub use types::{CreateRecords, Fields, GetRecord, Info, Outcome, Page, Record, SearchRecords, UpdateRecords, Written};

/// How many records one request may write.
const MOST_RECORDS: usize = 100;

/// The connector.
#[derive(Debug)]
pub struct ZohoCrm;

#[headgate_sdk::connector]
impl ZohoCrm {
    fn manifest() -> Manifest {
        let manifest = Manifest::new("zoho-crm", "Zoho CRM")
            .description("Records of any module of Zoho CRM: get, search, create, update.")
            .config(oauth::data_center())
            .config(oauth::api_domain())
            .config(oauth::organization())
            .config(
                ConfigField::new("oauth_url", "OAuth address")
                    .description("What stands before the domain of Zoho's accounts server; change it only to reach a stand-in for tests.")
                    .default_value("https://accounts.")
                    .advanced(),
            )
            .base_url("${config.api_domain}")
            .verified_by(Verification::new("GET", "/crm/v8/users?type=CurrentUser").account("/users/0/email"));
        oauth::ways().into_iter().fold(manifest, Manifest::auth)
    }

    /// Gets one record of a module by its id.
    #[method(idempotent, scopes("ZohoCRM.modules.READ", "ZohoCRM.modules.ALL"), sample = samples::record)]
    fn get_record(input: GetRecord) -> Result<Record> {
        let mut request = http::get(module(&input.module, Some(&input.id))?);
        if !input.fields.is_empty() {
            request = request.query("fields", input.fields.join(","));
        }
        let page: Page = answer::read(request.send()?)?;
        let missing = || Error::new("not_found", format!("{} has no record {}.", input.module, input.id));
        page.data.into_iter().next().ok_or_else(missing)
    }

    /// Finds records of a module by criteria, an e-mail address, a phone number, or a word. At most 2,000 can be paged
    /// through.
    #[method(idempotent, scopes("ZohoSearch.securesearch.READ"), sample = samples::page)]
    fn search_records(input: SearchRecords) -> Result<Page> {
        let (by, value) = input.by()?;
        let mut request = http::get(module(&input.module, Some("search"))?).query(by, value);
        if !input.fields.is_empty() {
            request = request.query("fields", input.fields.join(","));
        }
        for (name, number) in [("page", input.page), ("per_page", input.per_page)] {
            if let Some(number) = number {
                request = request.query(name, number);
            }
        }
        answer::read(request.send()?)
    }

    /// Creates up to 100 records. Each has an outcome of its own; fails when none was created.
    #[method(scopes("ZohoCRM.modules.CREATE", "ZohoCRM.modules.ALL"), sample = samples::written)]
    fn create_records(input: CreateRecords) -> Result<Written> {
        check_count(input.data.len())?;
        let mut body = json!({ "data": input.data });
        if let Some(trigger) = input.trigger {
            body["trigger"] = json!(trigger);
        }
        answer::written(http::post(module(&input.module, None)?).json(&body).send()?)
    }

    /// Sets some fields of up to 100 records, by their ids. The others keep their values. Each record has an outcome of
    /// its own; fails when none was changed.
    #[method(idempotent, scopes("ZohoCRM.modules.UPDATE", "ZohoCRM.modules.ALL"), sample = samples::written)]
    fn update_records(input: UpdateRecords) -> Result<Written> {
        check_count(input.data.len())?;
        let mut body = json!({ "data": input.data });
        if let Some(trigger) = input.trigger {
            body["trigger"] = json!(trigger);
        }
        answer::written(http::put(module(&input.module, None)?).json(&body).send()?)
    }
}

/// The URL of a module, or of something in it. Neither name may be one that makes another path of it.
fn module(module: &str, inside: Option<&str>) -> Result<String> {
    if [Some(module), inside].into_iter().flatten().any(|name| matches!(name, "" | "." | "..")) {
        return Err(Error::new(
            "invalid_input",
            "Name the module by its API name, such as Leads, and the record by its id.",
        ));
    }
    let api = config("api_domain").ok_or_else(|| {
        Error::new("invalid_config", "Where this account's API is, is not known yet: authorize the connection.")
    })?;
    let url = format!("{}/crm/v8/{}", api.trim_end_matches('/'), http::encode(module));
    Ok(inside.map_or(url.clone(), |inside| format!("{url}/{}", http::encode(inside))))
}

fn check_count(records: usize) -> Result<()> {
    if (1..=MOST_RECORDS).contains(&records) {
        return Ok(());
    }
    let message = format!("There are {records} records; give 1 to {MOST_RECORDS}, and make several calls for more.");
    Err(Error::new("invalid_input", message))
}
