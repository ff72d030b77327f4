//! Notion: databases and pages of one workspace, by the public API, version 2022-06-28.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use notion::{CreatePage, QueryDatabase};
//! use serde_json::json;
//!
//! # fn example() -> Result<()> {
//! const LEADS: &str = "668d797c76fa49349b05ad288df2d136";
//! let notion = notion::Client::open("notes")?;
//! let open = json!({"property": "Status", "status": {"equals": "Open"}});
//! let leads = notion.query_database(QueryDatabase::of(LEADS).filter(open))?.results;
//! notion.create_page(CreatePage::in_database(LEADS).title("Name", "Ada").set("Age", json!({"number": 36})))?;
//! # let _ = leads; Ok(())
//! # }
//! ```

mod answer;
mod page_changed;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::polling::Window;
use headgate_sdk::prelude::*;

pub use types::{CreatePage, Page, Pages, Parent, QueryDatabase, RetrievePage, Watch};

/// The API's version. From 2025-09-03 on, databases are queried through their data sources.
const VERSION: &str = "2022-06-28";

/// The connector.
#[derive(Debug)]
pub struct Notion;

#[headgate_sdk::connector]
impl Notion {
    fn manifest() -> Manifest {
        let token = SecretField::new("token", "Integration secret")
            .description("notion.so/my-integrations > your internal integration. It starts with ntn_ or secret_.");
        Manifest::new("notion", "Notion")
            .description("Databases and pages of a Notion workspace: query, create, retrieve; changed pages run flows.")
            .config(
                ConfigField::new("api_url", "API address")
                    .description("Where Notion's API is; change it only to reach a stand-in for tests.")
                    .default_value("https://api.notion.com/v1")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(Auth::oauth("oauth", "Notion", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Notion, with your own public integration", oauth()))
            .auth(Auth::api_key("integration", "Internal integration", vec![token], placements("${secret.token}")))
            .verified_by(Verification::new("GET", "/users/me").account("/bot/workspace_name"))
    }

    /// Finds the pages of a database, by Notion's own filters and sorts.
    #[method(idempotent, sample = Pages::sample)]
    fn query_database(input: QueryDatabase) -> Result<Pages> {
        let id = types::id("database_id", &input.database_id)?;
        let mut request = http::post(url(&format!("databases/{id}/query"))?);
        for property in &input.filter_properties {
            request = request.query("filter_properties", property);
        }
        answer::read(request.json(&input.body()).send()?)
    }

    /// Creates a page in a database or below another page, with properties and content.
    #[method(sample = Page::sample)]
    fn create_page(input: CreatePage) -> Result<Page> {
        match &input.parent {
            Parent::DatabaseId(id) => types::id("parent.database_id", id)?,
            Parent::PageId(id) => types::id("parent.page_id", id)?,
        };
        answer::read(http::post(url("pages")?).json(&input).send()?)
    }

    /// Gets a page's properties. Its content is not among them.
    #[method(idempotent, sample = Page::sample)]
    fn retrieve_page(input: RetrievePage) -> Result<Page> {
        let id = types::id("page_id", &input.page_id)?;
        let mut request = http::get(url(&format!("pages/{id}"))?);
        for property in &input.filter_properties {
            request = request.query("filter_properties", property);
        }
        answer::read(request.send()?)
    }

    /// Tells each page of a database that is created or changed, once its minute is over.
    #[trigger(sample = Page::sample)]
    fn page_changed(input: Watch, cursor: Option<Window>) -> Result<Polled<Page, Window>> {
        match cursor {
            Some(window) => page_changed::poll(&input, window, headgate_sdk::polling::now()),
            None => page_changed::begin(&input, headgate_sdk::polling::now()),
        }
    }
}

/// What a token may do is set on the integration and by the pages that people pick: there are no scopes.
fn oauth() -> Oauth {
    Oauth::code("${config.api_url}/oauth/authorize", "${config.api_url}/oauth/token")
        .revocation_url("${config.api_url}/oauth/revoke")
        .introspection_url("${config.api_url}/oauth/introspect")
        .authorization_param("owner", "user")
        .without_pkce()
        .json_body()
        .token_header("Notion-Version", VERSION)
        .placements(placements("${secret.access_token}"))
}

/// The version is put on each request by the host, so that the test of a connection has it, too.
fn placements(token: &str) -> Vec<Placement> {
    vec![
        Placement::Bearer { value: token.to_owned() },
        Placement::Header { name: "Notion-Version".to_owned(), value: VERSION.to_owned() },
    ]
}

fn url(path: &str) -> Result<String> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    Ok(format!("{}/{path}", api.trim_end_matches('/')))
}
