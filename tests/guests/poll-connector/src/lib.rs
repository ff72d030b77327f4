//! A connector with a polling trigger. What a poll answers is what its app says: `{"records": .., "cursor": .., "more": ..}`.

use headgate_sdk::polling::Record;
use headgate_sdk::prelude::*;
use serde_json::Value;

/// The connector.
#[derive(Debug)]
pub struct Polls;

/// What to look for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// In which list.
    pub list: String,
}

/// What the app says.
#[derive(Debug, Deserialize)]
struct Page {
    records: Vec<(String, Value)>,
    cursor: Value,
    more: bool,
    #[serde(default)]
    log: String,
}

#[headgate_sdk::connector]
impl Polls {
    fn manifest() -> Manifest {
        Manifest::new("polls", "Polls")
            .description("For tests of the poller.")
            .config(ConfigField::new("base_url", "Base URL").required())
            .base_url("${config.base_url}")
            .auth(Auth::bearer("bearer", "Bearer", SecretField::new("token", "Token")))
    }

    /// Tells what the app says is new.
    #[trigger]
    fn new_record(input: Look, cursor: Option<Value>) -> Result<Polled<Value, Value>> {
        let base = config("base_url").unwrap_or_default();
        let cursor = cursor.map_or_else(|| "none".to_owned(), |cursor| cursor.to_string());
        let request = http::get(format!("{}/{}", base.trim_end_matches('/'), input.list)).query("cursor", cursor);
        let page: Page = request.send()?.error_for_status()?.json()?;
        if !page.log.is_empty() {
            log::info!("{}", page.log);
        }
        let records = page.records.into_iter().map(|(id, data)| Record { id, data }).collect();
        Ok(Polled { records, cursor: page.cursor, more: page.more })
    }
}
