//! App registrations: OAuth clients that an operator or a group registered at an app.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Host;

use crate::domain::connection::MAX_VALUE;
use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId, Name};
use crate::domain::scrub::MIN_SECRET;
use crate::domain::sealed::Sealed;

/// The longest id of a client, in bytes. Those of the apps we know have up to 80.
const MAX_CLIENT_ID: usize = 512;
/// Hosts a secret may be sent to at most; apps have one, or one per data centre.
const MOST_TOKEN_HOSTS: usize = 20;
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
    /// The hosts the secret may be sent to. Connectors are their groups' own, and must not carry the server's secret
    /// elsewhere. Empty for a group's registration: it goes where the connection's pinned OAuth URLs say.
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

    /// Whether its secret may be sent to a host.
    pub fn may_send_to(&self, host: &str) -> bool {
        self.group.is_some() || self.token_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
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

/// Hosts as they are compared with those of URLs: in lower case, and each once.
///
/// ```
/// # use headgate::domain::app_registration::token_hosts;
/// assert_eq!(token_hosts(&["OAuth2.GoogleAPIs.com".to_owned()]).unwrap(), ["oauth2.googleapis.com"]);
/// assert!(token_hosts(&["https://oauth2.googleapis.com".to_owned()]).is_err());
/// ```
pub fn token_hosts(given: &[String]) -> Result<Vec<String>, String> {
    let mut hosts = Vec::new();
    for text in given {
        let host = Host::parse(text).ok().map(|host| host.to_string());
        let host = host.filter(|host| host.len() <= MAX_HOST && !host.ends_with('.') && !host.contains('*'));
        let host = host.ok_or_else(|| {
            format!("\"{text}\" is not a host name. Write it without scheme, port and path, such as oauth2.example.com")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_nothing_else() {
        let hosts = |text: &str| token_hosts(&[text.to_owned()]);
        for (good, kept) in [("a.example", "a.example"), ("A.Example", "a.example"), ("127.0.0.1", "127.0.0.1")] {
            assert_eq!(hosts(good).unwrap(), [kept]);
        }
        assert_eq!(token_hosts(&["a.example".to_owned(), "A.example".to_owned()]).unwrap(), ["a.example"]);
        for bad in ["", "https://a.example", "a.example:443", "a.example/x", "*.example", "a b", "u@a.example", "a."] {
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
