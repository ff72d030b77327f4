//! A connector that people authorize, in each of the ways apps have. Its provider is where the setting `provider` says.

use headgate_sdk::prelude::*;

/// The connector.
#[derive(Debug)]
pub struct Consent;

/// Nothing.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

fn oauth() -> Oauth {
    Oauth::code("${config.provider}/auth", "${config.provider}/token")
        .scope(ScopeField::new("contacts.read", "Read contacts").required())
        .scope(ScopeField::new("contacts.write", "Change contacts"))
        .scope(ScopeField::new("contacts.delete", "Delete contacts").optional())
}

/// An app that tells with its redirect in which region the account is; tokens are given there.
fn regional() -> Oauth {
    Oauth::code("${config.provider}/auth", "${config.provider}/${config.region}/token")
        .revocation_url("${config.provider}/${config.region}/revoke")
        .metadata_from_redirect("region", "location")
        .metadata_from_token("domain", "/api_domain")
}

#[headgate_sdk::connector]
impl Consent {
    fn manifest() -> Manifest {
        Manifest::new("consent", "Consent")
            .description("For tests of authorizing connections.")
            .config(ConfigField::new("provider", "Provider").required().advanced())
            .config(ConfigField::new("region", "Region").choices(["eu", "us"]).required())
            .config(
                ConfigField::new("domain", "Domain").prefix("https://").suffix(".app.example").pattern("[a-z0-9-]+"),
            )
            .base_url("${config.provider}")
            .base_url("https://${config.region}.app.example/api")
            .auth(Auth::oauth("oauth", "The server's app", oauth()))
            .auth(Auth::oauth_advanced("own", "An app of the group", oauth()))
            .auth(Auth::oauth_advanced("no_pkce", "Without PKCE", oauth().without_pkce()))
            .auth(Auth::oauth_advanced("regional", "With a region", regional()))
            .auth(Auth::oauth_advanced("client", "For itself", Oauth::client_credentials("${config.provider}/token")))
            .auth(Auth::bearer("token", "Token", SecretField::new("token", "Token")))
            .verified_by(Verification::new("GET", "/whoami").account("/email"))
    }

    /// Does nothing.
    #[method(idempotent)]
    fn nothing(input: Nothing) -> Result<Nothing> {
        Ok(input)
    }
}
