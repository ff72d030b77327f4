use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use headgate_manifest::{FillError, fill};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// Where a connection may send requests: one scheme, host and port, and everything below a path.
///
/// ```
/// use headgate::domain::grant::UrlPrefix;
///
/// let prefix: UrlPrefix = "https://api.example.com/crm/v3".parse().unwrap();
/// assert!(prefix.allows(&"https://api.example.com/crm/v3/contacts".parse().unwrap()));
/// assert!(!prefix.allows(&"https://api.example.com/crm/v30".parse().unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPrefix {
    scheme: String,
    host: String,
    port: u16,
    /// Without a slash at its end, hence empty when every path is allowed.
    path: String,
}

/// A text cannot say where requests may go.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// It is no URL at all.
    #[error("\"{text}\" is not a URL ({reason}); write it like https://api.example.com/v1")]
    NotAUrl {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: url::ParseError,
    },
    /// It is a URL of another kind.
    #[error("\"{text}\" cannot be a base URL: {rule}")]
    Unfit {
        /// The text.
        text: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A placeholder has no value.
    #[error("the base URL \"{template}\" cannot be filled: {source}")]
    Fill {
        /// The text with its placeholders.
        template: String,
        /// What is wrong with it.
        source: FillError,
    },
    /// A setting's value would change which part of the URL it stands in.
    #[error(
        "the setting \"{name}\" cannot stand inside the base URL \"{template}\": use letters, digits, dots, hyphens and underscores only"
    )]
    Setting {
        /// The setting's name.
        name: String,
        /// The text with its placeholders.
        template: String,
    },
}

impl UrlPrefix {
    /// Fills a manifest's base URL from a connection's settings.
    ///
    /// A setting that is the whole base URL may be any URL; inside one it must not be able to move the host.
    pub fn from_template(template: &str, config: &BTreeMap<String, String>) -> Result<Self, PrefixError> {
        for (name, value) in config {
            let placeholder = format!("${{config.{name}}}");
            let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if template.contains(&placeholder) && template != placeholder && !plain {
                return Err(PrefixError::Setting { name: name.clone(), template: template.to_owned() });
            }
        }
        let values = config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
        fill(template, &values).map_err(|source| PrefixError::Fill { template: template.to_owned(), source })?.parse()
    }

    /// Whether the URL is this place or below it.
    ///
    /// Scheme, host and port must be equal; the path is compared at a segment boundary. A path that some server
    /// might read as leading elsewhere (dot segments hidden by percent-encoding, backslashes, parameters) is never allowed.
    pub fn allows(&self, url: &Url) -> bool {
        let below =
            url.path().strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        url.scheme() == self.scheme
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
            && url.username().is_empty()
            && url.password().is_none()
            && below
            && !hides_dot_segment(url.path())
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host: a name in lower case (IDNA), or an address (version 6 in brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, said or implied.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, without a slash at its end; empty when every path is allowed.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for UrlPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let unfit = |rule| PrefixError::Unfit { text: text.to_owned(), rule };
        let url = Url::parse(text).map_err(|reason| PrefixError::NotAUrl { text: text.to_owned(), reason })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unfit("its scheme must be https or http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unfit("it must not hold a user name or password; make them secrets of the connection"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unfit("it must end with its path, without ? and #"));
        }
        if hides_dot_segment(url.path()) || url.path().contains("//") {
            return Err(unfit("its path must not hold empty, \".\" or \"..\" segments"));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(unfit("it must name a host"));
        };
        if host.ends_with('.') {
            return Err(unfit("its host must not end with a dot"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme: url.scheme().to_owned(), host: host.to_owned(), port, path })
    }
}

impl TryFrom<String> for UrlPrefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<UrlPrefix> for String {
    fn from(prefix: UrlPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path } = self;
        match (scheme.as_str(), port) {
            ("https", 443) | ("http", 80) => write!(f, "{scheme}://{host}{path}/"),
            _ => write!(f, "{scheme}://{host}:{port}{path}/"),
        }
    }
}

/// Whether a server that decodes more than it should would see a `.` or `..` segment in this path.
fn hides_dot_segment(path: &str) -> bool {
    let mut text = path.as_bytes().to_vec();
    loop {
        // Some servers cut `;parameters` from a segment before they look at it.
        let mut names =
            text.split(|b| matches!(b, b'/' | b'\\')).filter_map(|segment| segment.split(|b| *b == b';').next());
        if names.any(|name| matches!(name, b"." | b"..")) {
            return true;
        }
        let decoded: Vec<u8> = percent_decode(&text).collect();
        if decoded.len() == text.len() {
            return false;
        }
        text = decoded;
    }
}
