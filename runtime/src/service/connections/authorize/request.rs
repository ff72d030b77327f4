//! The app's page: the authorization request (RFC 6749, section 4.1.1).

use std::collections::BTreeMap;

use headgate_manifest::{Oauth, fill};
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl};
use secrecy::SecretString;
use url::Url;

use crate::domain::app_registration::AppRegistration;
use crate::domain::connection::{Connection, OauthPart};
use crate::domain::oauth::endpoint;
use crate::service::error::ServiceError;

/// Parameters that are the server's own: a manifest that sets one could bind a code to something else.
const OWN: [&str; 6] =
    ["response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"];

/// The page's URL, and the verifier without which its code is worth nothing; none for apps that break on PKCE.
pub(super) fn url(
    connection: &Connection,
    oauth: &Oauth,
    part: &OauthPart,
    registration: &AppRegistration,
    redirect: &RedirectUrl,
    state: &str,
) -> Result<(Url, Option<SecretString>), ServiceError> {
    let invalid = |reason: String| {
        ServiceError::Invalid(format!("The connection \"{}\" cannot be authorized: {reason}", connection.name))
    };
    let template = oauth.authorization_url.as_deref();
    let template = template.ok_or_else(|| invalid("its connector names no authorization URL".to_owned()))?;
    let page = endpoint(template, &connection.config).map_err(|error| invalid(error.to_string()))?;
    check_token_host(connection, oauth, registration)?;
    let params = parameters(oauth, part, &connection.config).map_err(invalid)?;
    let of_page = page.query_pairs().map(|(name, _)| name.into_owned());
    let named = of_page.chain(params.iter().map(|(name, _)| (*name).to_owned()));
    if let Some(name) = named.into_iter().find(|name| OWN.contains(&name.as_str())) {
        return Err(invalid(format!("its connector sets the parameter {name}, which is the server's to set")));
    }
    let client = BasicClient::new(ClientId::new(registration.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(page))
        .set_redirect_uri(redirect.clone());
    let request = client.authorize_url(|| CsrfToken::new(state.to_owned()));
    let request = params.into_iter().fold(request, |request, (name, value)| request.add_extra_param(name, value));
    if !oauth.pkce {
        return Ok((request.url().0, None));
    }
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    Ok((request.set_pkce_challenge(challenge).url().0, Some(verifier.into_secret().into())))
}

/// Nobody is sent to an app whose code could not be exchanged: a client's secret goes to its own hosts only. A token URL
/// that waits for what the app tells is looked at when the code is exchanged.
fn check_token_host(
    connection: &Connection,
    oauth: &Oauth,
    registration: &AppRegistration,
) -> Result<(), ServiceError> {
    let Ok(url) = endpoint(&oauth.token_url, &connection.config) else { return Ok(()) };
    if registration.may_send_to(&url) {
        return Ok(());
    }
    let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    Err(ServiceError::Conflict(format!(
        "The app registration \"{}\" may not be used at {place}, where the connector exchanges codes. Add that to its token hosts, if it is the app's; the server's are its operator's to change",
        registration.name
    )))
}

/// The scopes, and what the manifest adds.
fn parameters<'a>(
    oauth: &'a Oauth,
    part: &OauthPart,
    config: &BTreeMap<String, String>,
) -> Result<Vec<(&'a str, String)>, String> {
    let mut params = Vec::new();
    if !part.scopes.is_empty() {
        params.push((oauth.scope_parameter.as_str(), part.scopes.join(&oauth.scope_separator)));
    }
    let values = config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
    for (name, value) in &oauth.authorization_params {
        let value = fill(value, &values).map_err(|error| format!("the parameter {name}: {error}"))?;
        // A setting that nobody set asks for nothing.
        if !value.is_empty() {
            params.push((name.as_str(), value));
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use headgate_manifest::ScopeField;
    use jiff::Timestamp;

    use super::*;
    use crate::domain::connection::{ConnectionKind, Pins};
    use crate::domain::id::Environment;

    fn page(oauth: Oauth, scopes: &[&str]) -> Result<(Url, Option<SecretString>), String> {
        let registration = AppRegistration {
            id: format!("app_{}", "a".repeat(20)).parse().unwrap(),
            group: Some("acme".parse().unwrap()),
            name: "app".parse().unwrap(),
            connector: "crm".parse().unwrap(),
            client_id: "the client".to_owned(),
            client_secret: None,
            token_hosts: vec!["login.crm.eu".to_owned(), "a.example".to_owned()],
            created: Timestamp::UNIX_EPOCH,
        };
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let part = OauthPart { registration: registration.id.clone(), scopes, authorized_by: None };
        let connection = Connection {
            id: format!("con_{}", "a".repeat(20)).parse().unwrap(),
            group: "acme".parse().unwrap(),
            environment: Environment::production(),
            name: "crm".parse().unwrap(),
            connector: "crm".parse().unwrap(),
            auth: "oauth".to_owned(),
            kind: ConnectionKind::Oauth,
            pins: Pins { base_urls: vec![], placements: vec![], oauth: Some(oauth.clone()), verification: None },
            base_urls: vec![],
            config: BTreeMap::from([("dc".to_owned(), "eu".to_owned())]),
            secrets: BTreeMap::new(),
            oauth: Some(part.clone()),
            created: Timestamp::UNIX_EPOCH,
        };
        let redirect = RedirectUrl::new("https://flows.example/oauth/callback".to_owned()).unwrap();
        url(&connection, &oauth, &part, &registration, &redirect, "the-state").map_err(|error| error.to_string())
    }

    fn oauth() -> Oauth {
        Oauth::code("https://login.crm.${config.dc}/a?tenant=1", "https://login.crm.eu/t")
            .scope(ScopeField::new("a", ""))
    }

    #[test]
    fn the_page_is_asked_as_the_manifest_says() {
        let (url, verifier) = page(oauth(), &["a", "b c"]).unwrap();
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.host_str(), Some("login.crm.eu"));
        let known = [
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "the client"),
            ("redirect_uri", "https://flows.example/oauth/callback"),
            ("state", "the-state"),
            ("scope", "a b c"),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in known {
            assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(verifier.is_some() && query["code_challenge"].len() == 43);
    }

    #[test]
    fn differences_of_an_app_are_kept_to() {
        let slack = oauth().scope_separator(",").scope_parameter("user_scope").without_pkce();
        let (url, verifier) = page(slack.authorization_param("hd", "${config.dc}.example"), &["a", "b"]).unwrap();
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((query["user_scope"].as_str(), query["hd"].as_str()), ("a,b", "eu.example"));
        assert!(verifier.is_none() && !query.contains_key("code_challenge") && !query.contains_key("scope"));
        let (url, _) = page(oauth(), &[]).unwrap();
        assert!(!url.query().unwrap().contains("scope"), "{url}");
    }

    #[test]
    fn what_is_the_servers_is_not_the_manifests_to_set() {
        for name in OWN {
            let error = page(oauth().authorization_param(name, "x"), &[]).unwrap_err();
            assert!(error.contains(&format!("sets the parameter {name}")), "{error}");
        }
        let error = page(Oauth::code("https://a.example/?state=x", "https://a.example/t"), &[]).unwrap_err();
        assert!(error.contains("sets the parameter state"), "{error}");
        let error = page(Oauth::code("http://a.example/", "https://a.example/t"), &[]).unwrap_err();
        assert!(error.contains("must be an https URL"), "{error}");
        let error = page(oauth().scope_parameter("state"), &["a"]).unwrap_err();
        assert!(error.contains("sets the parameter state"), "{error}");
    }
}
