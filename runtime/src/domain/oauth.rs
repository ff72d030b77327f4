//! OAuth connections: where they send their clients' secrets and people's browsers.

mod answer;
mod token;

use std::collections::BTreeMap;

use headgate_manifest::{FillError, fill};
use thiserror::Error;
use url::{Host, Url};

pub use answer::{AnswerError, Refusal, TokenAnswer, refusal};
pub use token::{StoredToken, lacks_scopes, pause};

/// A URL of a manifest's OAuth cannot be used with a connection's settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// A placeholder has no value.
    #[error("the URL \"{template}\" cannot be filled: {source}")]
    Fill {
        /// The text with its placeholders.
        template: String,
        /// What is wrong with it.
        source: FillError,
    },
    /// A setting's value would change which part of the URL it stands in.
    #[error(
        "the setting \"{name}\" cannot stand inside the URL \"{template}\": use letters, digits, dots, hyphens and underscores only"
    )]
    Setting {
        /// The setting's name.
        name: String,
        /// The text with its placeholders.
        template: String,
    },
    /// What comes out is no URL to send a secret to.
    #[error(
        "\"{url}\" cannot be used: it must be an https URL, or one of this machine, without user name and fragment"
    )]
    Unfit {
        /// The URL.
        url: String,
    },
}

/// A URL of a manifest's OAuth, filled from a connection's settings.
///
/// A setting at its beginning may be a URL itself; inside it, it must not be able to move the host.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use headgate::domain::oauth::endpoint;
/// let config = BTreeMap::from([("dc".to_owned(), "eu".to_owned())]);
/// assert_eq!(endpoint("https://accounts.${config.dc}/token", &config).unwrap().as_str(), "https://accounts.eu/token");
/// ```
pub fn endpoint(template: &str, config: &BTreeMap<String, String>) -> Result<Url, EndpointError> {
    for (name, value) in config {
        let placeholder = format!("${{config.{name}}}");
        let inside = template.strip_prefix(placeholder.as_str()).unwrap_or(template);
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if inside.contains(&placeholder) && !plain {
            return Err(EndpointError::Setting { name: name.clone(), template: template.to_owned() });
        }
    }
    let values = config.iter().map(|(name, value)| (format!("config.{name}"), value.trim_end_matches('/').to_owned()));
    let filled = fill(template, &values.collect())
        .map_err(|source| EndpointError::Fill { template: template.to_owned(), source })?;
    let unfit = || EndpointError::Unfit { url: filled.clone() };
    let url = Url::parse(&filled).map_err(|_| unfit())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if plain && is_private_channel(&url) { Ok(url) } else { Err(unfit()) }
}

/// Whether what is sent there stays between the two: encrypted, or on this machine.
fn is_private_channel(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_cannot_move_the_host() {
        let fill = |template: &str, value: &str| {
            endpoint(template, &BTreeMap::from([("x".to_owned(), value.to_owned())])).map(String::from)
        };
        let inside = "https://login.${config.x}.example/token";
        assert_eq!(fill(inside, "eu").unwrap(), "https://login.eu.example/token");
        for bad in ["evil.example/", "evil.example#", "a@evil", "evil.example?", "a:1", "a\\b", "a b"] {
            assert!(matches!(fill(inside, bad), Err(EndpointError::Setting { .. })), "{bad}");
        }
        let whole = "${config.x}/token";
        assert_eq!(fill(whole, "http://127.0.0.1:9/o/").unwrap(), "http://127.0.0.1:9/o/token");
        for bad in ["http://evil.example", "ftp://a", "https://u@evil.example", "https://a/#", "a", ""] {
            assert!(matches!(fill(whole, bad), Err(EndpointError::Unfit { .. })), "{bad}");
        }
        assert!(matches!(fill("https://${config.y}/", "a"), Err(EndpointError::Fill { .. })));
    }
}
