//! Where Zoho's data centres are, and how each lets people in.

use headgate_sdk::manifest::ClientAuthentication;
use headgate_sdk::prelude::*;

/// The domains of the accounts servers, behind `https://accounts.`
const DATA_CENTERS: [(&str, &str); 10] = [
    ("zoho.com", "Zoho US (Global)"),
    ("zoho.eu", "Zoho EU"),
    ("zoho.in", "Zoho IN (India)"),
    ("zoho.com.au", "Zoho AU (Australia)"),
    ("zoho.com.cn", "Zoho CN (China)"),
    ("zoho.jp", "Zoho JP (Japan)"),
    ("zohocloud.ca", "Zoho CA (Canada)"),
    ("zoho.sa", "Zoho SA (Saudi Arabia)"),
    ("zoho.uk", "Zoho UK"),
    ("zoho.ae", "Zoho AE (Emirates)"),
];

/// Where an API host may be: at Zoho's, or a stand-in on this machine.
const API_DOMAIN: &str = concat!(
    r"https://(www|sandbox|developer)\.zohoapis\.(com|eu|in|com\.au|com\.cn|jp|ca|sa|uk|ae)",
    r"|http://127\.0\.0\.1:[0-9]{1,5}"
);

/// The setting that says where the account is. The redirect tells it, too, with its `accounts-server`.
pub(crate) fn data_center() -> ConfigField {
    let field = ConfigField::new("data_center", "Zoho domain")
        .description(
            "Where the account is. Whoever authorizes the connection may turn out to be elsewhere; it follows.",
        )
        .prefix("https://accounts.")
        .default_value("zoho.com");
    DATA_CENTERS.into_iter().fold(field, |field, (domain, title)| field.choice(domain, title))
}

/// The setting that the token answer brings with its `api_domain`.
pub(crate) fn api_domain() -> ConfigField {
    ConfigField::new("api_domain", "API domain")
        .description("Where the account's API is, e.g. https://www.zohoapis.eu. Authorizing sets it; enter it only for a self client.")
        .pattern(API_DOMAIN)
        .advanced()
}

/// The setting that only a self client needs.
pub(crate) fn organization() -> ConfigField {
    ConfigField::new("organization", "Organization id")
        .description("Only for a self client: Zoho CRM > your picture > the organization's Org ID.")
        .pattern("[0-9]{1,30}")
        .advanced()
}

/// The ways to authenticate.
pub(crate) fn ways() -> [Auth; 3] {
    let code = || {
        shared(Oauth::code("${config.oauth_url}${config.data_center}/oauth/v2/auth", TOKEN_URL))
            .revocation_url("${config.oauth_url}${config.data_center}/oauth/v2/token/revoke")
            .authorization_param("access_type", "offline")
            .authorization_param("prompt", "consent")
            .metadata_from_redirect("data_center", "accounts-server")
            .metadata_from_token("api_domain", "/api_domain")
    };
    let own = shared(Oauth::client_credentials(TOKEN_URL)).token_param("soid", "ZohoCRM.${config.organization}");
    [
        Auth::oauth("oauth", "Zoho account", code()),
        Auth::oauth_advanced("oauth_advanced", "Zoho account, by a client of your own", code()),
        Auth::oauth_advanced("self_client", "Self client, on its own behalf", own),
    ]
}

const TOKEN_URL: &str = "${config.oauth_url}${config.data_center}/oauth/v2/token";

/// What all have in common: commas between scopes, the client's secret in the body, and a header of Zoho's own.
fn shared(oauth: Oauth) -> Oauth {
    let token =
        Placement::Header { name: "Authorization".into(), value: "Zoho-oauthtoken ${secret.access_token}".into() };
    oauth
        .client_authentication(ClientAuthentication::Body)
        .scope_separator(",")
        .scope(ScopeField::new("ZohoCRM.users.READ", "Read users, to tell whose account it is").required())
        .scope(ScopeField::new("ZohoCRM.modules.READ", "Read records; searching needs it, too").required())
        .scope(ScopeField::new("ZohoCRM.modules.CREATE", "Create records"))
        .scope(ScopeField::new("ZohoCRM.modules.UPDATE", "Change records"))
        .scope(ScopeField::new("ZohoCRM.modules.ALL", "Read, create, change and delete records").optional())
        .scope(ScopeField::new("ZohoSearch.securesearch.READ", "Search records"))
        .placements(vec![token])
}
