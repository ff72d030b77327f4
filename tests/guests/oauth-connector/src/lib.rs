//! An app that does OAuth, at an address of the story's own.

use headgate_sdk::manifest::TokenFields;
use headgate_sdk::prelude::*;
use serde_json::Value;

/// The connector.
#[derive(Debug)]
pub struct Account;

/// Nothing.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

/// The endpoints are where the certified provider of the stories has them.
fn with_endpoints(oauth: Oauth) -> Oauth {
    oauth
        .scope(ScopeField::new("read", "Read").required())
        .scope(ScopeField::new("write", "Write").optional())
        .scope(ScopeField::new("offline_access", "Go on without you").optional())
        .revocation_url("${config.oauth_url}/token/revocation")
        .introspection_url("${config.oauth_url}/token/introspection")
}

fn code() -> Oauth {
    let oauth = Oauth::code("${config.oauth_url}/auth", "${config.oauth_url}/token");
    with_endpoints(oauth).authorization_param("prompt", "consent")
}

fn client_credentials() -> Oauth {
    with_endpoints(Oauth::client_credentials("${config.oauth_url}/token"))
}

#[headgate_sdk::connector]
impl Account {
    fn manifest() -> Manifest {
        // As with an app whose answer does not tell when its token ends.
        let untold = TokenFields { expires_in: "/not_told".into(), ..TokenFields::default() };
        Manifest::new("account", "Account")
            .config(ConfigField::new("api_url", "API").required())
            .config(ConfigField::new("oauth_url", "OAuth").required().advanced())
            .base_url("${config.api_url}")
            .auth(Auth::oauth("oauth", "OAuth", code()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Your own app", code()))
            .auth(Auth::oauth_advanced("client_credentials", "Your own app, for itself", client_credentials()))
            .auth(Auth::oauth_advanced("untold", "The same, without expiry", client_credentials().token_fields(untold)))
            .verification("GET", "/me")
    }

    /// Asks the app who one is.
    #[method(idempotent, scopes("read"))]
    fn me(_: Nothing) -> Result<Value> {
        get("/me")
    }

    /// Needs what few consent to.
    #[method(scopes("write"))]
    fn write(_: Nothing) -> Result<Value> {
        get("/write")
    }

    /// Hands on what the app says it was sent, and writes it into the log.
    #[method]
    fn echo(_: Nothing) -> Result<Value> {
        let echoed = get("/echo")?;
        log::info!("{echoed}");
        Ok(echoed)
    }
}

fn get(path: &str) -> Result<Value> {
    let base = config("api_url").unwrap_or_default();
    http::get(base.trim_end_matches('/').to_owned() + path).send()?.error_for_status()?.json()
}
