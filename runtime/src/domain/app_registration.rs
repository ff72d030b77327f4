//! App registrations: OAuth clients that an operator or a group registered at an app.

use std::collections::BTreeMap;

use headgate_manifest::{AuthKind, Manifest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::domain::connection::MAX_VALUE;
use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId, Name};
use crate::domain::oauth::endpoint;
use crate::domain::scrub::MIN_SECRET;
use crate::domain::sealed::Sealed;

/// The longest id of a client, in bytes. Those of the apps we know have up to 80.
const MAX_CLIENT_ID: usize = 512;
/// Hosts a secret may be sent to at most; apps have a few, or a few per data centre.
const MOST_TOKEN_HOSTS: usize = 50;
/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// An OAuth client: its id and secret, for any number of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppRegistration {
    /// Its id.
    pub id: AppRegistrationId,
    /// Whose it is; absent for the server's, which every group uses by connections of the kind `oauth`.
    pub group: Option<GroupId>,
    /// Its name, unique in its group, or among the server's.
    pub name: Name,
    /// For which connector. The server has one for each.
    pub connector: ConnectorName,
    /// The client's id at the app.
    pub client_id: String,
    /// The client's secret; absent for a public client.
    pub client_secret: Option<Sealed>,
    /// Where the secret may be sent: hosts, and with a path (`app.example/oauth`) that path and what is below it. Whoever
    /// installs connectors must not carry it elsewhere.
    #[serde(default)]
    pub token_hosts: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
}

impl AppRegistration {
    /// The group under which its secret is sealed. No group has the server's name.
    pub fn sealed_under(&self) -> &str {
        self.group.as_ref().map_or("(server)", GroupId::as_str)
    }

    /// Whether its secret may be sent to a URL.
    pub fn may_send_to(&self, url: &Url) -> bool {
        self.token_hosts.iter().any(|allowed| {
            let (host, path) = allowed.split_at(allowed.find('/').unwrap_or(allowed.len()));
            let below = url.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            url.host_str() == Some(host) && below
        })
    }
}

/// Where a connector of a manifest sends the secrets of its groups' clients, whatever a connection's settings are: defaults
/// and choices are known, other settings are not. Nothing where it cannot be told.
pub fn offered_token_hosts(manifest: &Manifest) -> Option<Vec<String>> {
    let own = manifest.auth.iter().filter(|auth| matches!(auth.kind, AuthKind::OauthAdvanced(_)));
    let mut hosts = Vec::new();
    for oauth in own.filter_map(|auth| auth.kind.oauth()) {
        let others = [&oauth.refresh_url, &oauth.revocation_url, &oauth.introspection_url];
        for template in others.into_iter().flatten().chain([&oauth.token_url]) {
            for url in every_url(manifest, template)? {
                hosts.push(format!("{}{}", url.host_str()?, url.path()));
            }
        }
    }
    token_hosts(&hosts).ok()
}

/// A URL with each value its settings can have.
fn every_url(manifest: &Manifest, template: &str) -> Option<Vec<Url>> {
    let mut settings = vec![BTreeMap::new()];
    for field in manifest.config.iter().filter(|field| template.contains(&format!("${{config.{}}}", field.name))) {
        let values = if field.choices.is_empty() { field.default.as_slice() } else { &field.choices };
        let with = |known: &BTreeMap<String, String>| {
            let known = known.clone();
            values.iter().map(move |value| {
                let mut known = known.clone();
                known.insert(field.name.clone(), value.clone());
                known
            })
        };
        settings = settings.iter().flat_map(with).take(MOST_TOKEN_HOSTS + 1).collect();
    }
    let urls: Option<Vec<_>> = settings.iter().map(|settings| endpoint(template, settings).ok()).collect();
    urls.filter(|urls| !urls.is_empty())
}

/// Why something cannot be a client's id: visible ASCII it is (RFC 6749, appendix A.1).
pub fn check_client_id(id: &str) -> Result<(), String> {
    if !id.is_empty() && id.len() <= MAX_CLIENT_ID && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("A client id has 1 to {MAX_CLIENT_ID} letters, digits and signs, without spaces. Copy it from the app"))
}

/// Why something cannot be a client's secret. A shorter one could not be told from other text when it is scrubbed.
pub fn check_client_secret(secret: &str) -> Result<(), String> {
    if (MIN_SECRET..=MAX_VALUE).contains(&secret.len()) && !secret.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("A client secret has {MIN_SECRET} to {MAX_VALUE} bytes, on one line. Copy it from the app"))
}

/// Hosts, some with a path, as they are compared with URLs: in lower case, and each once.
///
/// ```
/// # use headgate::domain::app_registration::token_hosts;
/// let given = ["OAuth2.GoogleAPIs.com", "slack.com/api/oauth.v2.access"].map(str::to_owned);
/// assert_eq!(token_hosts(&given).unwrap(), ["oauth2.googleapis.com", "slack.com/api/oauth.v2.access"]);
/// assert!(token_hosts(&["https://oauth2.googleapis.com".to_owned()]).is_err());
/// ```
pub fn token_hosts(given: &[String]) -> Result<Vec<String>, String> {
    let mut hosts = Vec::new();
    for text in given {
        let host = token_host(text).ok_or_else(|| {
            format!("\"{text}\" is not a host name. Write it without scheme and port, such as oauth2.example.com, or with a path: example.com/oauth")
        })?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() || hosts.len() > MOST_TOKEN_HOSTS {
        return Err(format!(
            "token_hosts names 1 to {MOST_TOKEN_HOSTS} hosts: those of the app's token URL, to which the client's secret may be sent"
        ));
    }
    Ok(hosts)
}

fn token_host(text: &str) -> Option<String> {
    let (host, _) = text.split_at(text.find('/').unwrap_or(text.len()));
    let host = Host::parse(host).ok().map(|host| host.to_string());
    let host = host.filter(|host| host.len() <= MAX_HOST && !host.ends_with('.') && !host.contains('*'))?;
    let url = Url::parse(&format!("https://{text}")).ok().filter(|_| text.len() <= MAX_VALUE)?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.host_str() == Some(&host);
    plain.then(|| format!("{host}{}", url.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use headgate_manifest::{Auth, ConfigField, Oauth};

    use super::*;

    #[test]
    fn a_secret_goes_to_its_hosts_and_paths_only() {
        let registration = |hosts: &[&str]| AppRegistration {
            id: format!("app_{}", "a".repeat(20)).parse().unwrap(),
            group: None,
            name: "app".parse().unwrap(),
            connector: "crm".parse().unwrap(),
            client_id: "id".to_owned(),
            client_secret: None,
            token_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            created: Timestamp::UNIX_EPOCH,
        };
        let one = registration(&["a.example", "b.example/api/token"]);
        for good in [
            "https://a.example/any",
            "https://A.example/",
            "https://b.example/api/token",
            "https://b.example/api/token/x",
        ] {
            assert!(one.may_send_to(&good.parse().unwrap()), "{good}");
        }
        for bad in [
            "https://b.example/",
            "https://b.example/api/tokens",
            "https://b.example/api/token/../test",
            "https://b.example/api/token/%2e%2e/test",
            "https://c.example/",
            "https://a.example.c.example/",
        ] {
            assert!(!one.may_send_to(&bad.parse().unwrap()), "{bad}");
        }
        assert!(!registration(&[]).may_send_to(&"https://a.example".parse().unwrap()));
    }

    #[test]
    fn where_a_connector_sends_secrets_is_read_from_its_manifest() {
        let manifest = |oauth| Manifest::new("crm", "CRM").auth(Auth::oauth_advanced("own", "Own", oauth));
        let plain = manifest(Oauth::code("https://a.example/authorize", "https://a.example/token"));
        assert_eq!(offered_token_hosts(&plain).unwrap(), ["a.example/token"]);
        let regional = Oauth::client_credentials("https://${config.dc}.example/t").revocation_url("${config.url}/r");
        let dc = ConfigField::new("dc", "").choices(["eu", "us"]).default_value("eu");
        let regional = manifest(regional).config(dc);
        assert_eq!(offered_token_hosts(&regional), None, "nobody knows where it revokes");
        let regional = regional.config(ConfigField::new("url", "").default_value("https://b.example"));
        assert_eq!(offered_token_hosts(&regional).unwrap(), ["b.example/r", "eu.example/t", "us.example/t"]);
        assert_eq!(offered_token_hosts(&Manifest::new("crm", "CRM")), None);
    }

    #[test]
    fn hosts_are_names_and_nothing_else() {
        let hosts = |text: &str| token_hosts(&[text.to_owned()]);
        for (good, kept) in [
            ("a.example", "a.example"),
            ("A.Example", "a.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("a.example/x/", "a.example/x"),
        ] {
            assert_eq!(hosts(good).unwrap(), [kept]);
        }
        assert_eq!(token_hosts(&["a.example".to_owned(), "A.example".to_owned()]).unwrap(), ["a.example"]);
        for bad in
            ["", "https://a.example", "a.example:443", "a.example/x?y", "/x", "*.example", "a b", "u@a.example", "a."]
        {
            assert!(hosts(bad).unwrap_err().contains("not a host name"), "{bad}");
        }
        assert!(token_hosts(&[]).unwrap_err().contains("names 1 to"));
    }

    #[test]
    fn ids_and_secrets_are_as_apps_give_them() {
        assert!(check_client_id("1234-abc.apps.example.com").is_ok());
        for bad in ["", "a b", "ä", "a\n", &"a".repeat(MAX_CLIENT_ID + 1)] {
            assert!(check_client_id(bad).is_err(), "{bad}");
        }
        assert!(check_client_secret("GOCSPX-s3cr3t").is_ok());
        for bad in ["", "short", "two\nlines of it"] {
            assert!(check_client_secret(bad).is_err(), "{bad}");
        }
    }
}
