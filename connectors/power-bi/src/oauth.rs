//! Microsoft Entra: a person who consents, or an application on its own behalf.

use headgate_sdk::manifest::ClientAuthentication;
use headgate_sdk::prelude::*;

const TOKEN_URL: &str = "${config.oauth_url}/${config.tenant}/oauth2/v2.0/token";

/// Whose directory it is.
pub(crate) fn tenant() -> ConfigField {
    ConfigField::new("tenant", "Tenant")
        .description(
            "Entra admin center > Overview > Tenant ID, or one of its domains. With a multi-tenant app: organizations.",
        )
        .pattern(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|organizations")
        .required()
}

/// The ways to authenticate. Entra registers applications in a group's own directory, so both are the group's own.
pub(crate) fn ways() -> [Auth; 2] {
    let api = |scope: &str| format!("https://analysis.windows.net/powerbi/api/{scope}");
    let person = Oauth::code("${config.oauth_url}/${config.tenant}/oauth2/v2.0/authorize", TOKEN_URL)
        .client_authentication(ClientAuthentication::Body)
        .scope(ScopeField::new("offline_access", "Stay connected").required())
        .scope(ScopeField::new(api("Workspace.Read.All"), "See workspaces").required())
        .scope(ScopeField::new(api("Dataset.Read.All"), "See datasets"))
        .scope(ScopeField::new(api("Dataset.ReadWrite.All"), "See and refresh datasets"));
    let service = Oauth::client_credentials(TOKEN_URL)
        .client_authentication(ClientAuthentication::Body)
        .scope(ScopeField::new(api(".default"), "What the workspaces let the application do").required());
    [
        Auth::oauth_advanced("oauth_advanced", "Microsoft account, by an app of your own", person),
        Auth::oauth_advanced("service_principal", "Service principal", service),
    ]
}
