use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_manifest::{FillError, Placement, fill};
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::scrub::Scrubber;

/// Something the host puts on each request of a connection. `Debug` does not show the value.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A header.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its whole value, e.g. `Bearer abc`.
        value: SecretString,
    },
    /// A member of the JSON body.
    Body {
        /// Where, as a JSON pointer (RFC 6901).
        pointer: String,
        /// Its value.
        value: SecretString,
    },
    /// A query parameter.
    Query {
        /// Its name, not encoded.
        name: String,
        /// Its value, not encoded.
        value: SecretString,
    },
}

/// A credential cannot be placed on requests. No message holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// A placeholder has no value.
    #[error("the authentication of the connector cannot be filled: {0}")]
    Fill(#[from] FillError),
    /// A header's name is not one.
    #[error("\"{0}\" cannot be the name of an authentication header")]
    HeaderName(String),
    /// The value has characters that no header can hold.
    #[error("the value for the header \"{0}\" holds a line break or another control character; was it copied whole?")]
    HeaderValue(String),
    /// A query parameter has no name.
    #[error("an authentication query parameter has no name")]
    QueryName,
    /// RFC 7617 separates the user name by a colon.
    #[error("the user name must not hold a colon (RFC 7617)")]
    ColonInUsername,
    /// Two placements use one name.
    #[error("the authentication uses the name \"{0}\" twice")]
    Twice(String),
}

/// Headers that frame the message or name its receiver: the host's HTTP client alone writes them.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Whether a header frames the message or names its receiver: what nobody but the host's HTTP client writes.
pub fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str()) || name.as_str().starts_with("proxy-")
}

impl Credential {
    /// Fills a manifest's placements with a connection's settings and secrets.
    pub fn from_placements(
        placements: &[Placement],
        config: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Vec<Self>, CredentialError> {
        let settings: BTreeMap<_, _> = config.iter().map(|(k, v)| (format!("config.{k}"), v.clone())).collect();
        let mut values = settings.clone();
        values.extend(secrets.iter().map(|(k, v)| (format!("secret.{k}"), v.expose_secret().to_owned())));
        let placed: Result<Vec<_>, _> = placements.iter().map(|p| Self::place(p, &settings, &values)).collect();
        values.values_mut().for_each(Zeroize::zeroize);
        let placed = placed?;
        for (i, credential) in placed.iter().enumerate() {
            if placed[..i].iter().any(|other| other.clashes(credential)) {
                return Err(CredentialError::Twice(credential.name().to_owned()));
            }
        }
        Ok(placed)
    }

    fn place(
        placement: &Placement,
        settings: &BTreeMap<String, String>,
        values: &BTreeMap<String, String>,
    ) -> Result<Self, CredentialError> {
        match placement {
            Placement::Bearer { value } => {
                let value = filled(value, values)?;
                authorization(&Zeroizing::new(format!("Bearer {}", *value)))
            }
            Placement::Basic { username, password } => {
                let username = filled(username, values)?;
                if username.contains(':') {
                    return Err(CredentialError::ColonInUsername);
                }
                let password = filled(password, values)?;
                let pair = Zeroizing::new(format!("{}:{}", *username, *password));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                authorization(&Zeroizing::new(format!("Basic {}", *encoded)))
            }
            Placement::Header { name, value } => header(&fill(name, settings)?, &filled(value, values)?),
            Placement::Body { pointer, value } => {
                let value = SecretString::from(filled(value, values)?.as_str());
                Ok(Self::Body { pointer: pointer.clone(), value })
            }
            Placement::Query { name, value } => {
                let name = fill(name, settings)?;
                if name.is_empty() {
                    return Err(CredentialError::QueryName);
                }
                Ok(Self::Query { name, value: SecretString::from(filled(value, values)?.as_str()) })
            }
        }
    }

    /// A scrubber for a connection's secrets and for what these credentials make of them.
    pub fn scrubber<'a>(credentials: &[Self], secrets: impl IntoIterator<Item = &'a SecretString>) -> Scrubber {
        let secrets: Vec<&str> = secrets.into_iter().map(ExposeSecret::expose_secret).collect();
        let holds_secret = |text: &str| secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
        let mut texts = secrets.clone();
        for credential in credentials {
            let value = credential.value().expose_secret();
            let basic = value
                .strip_prefix("Basic ")
                .filter(|pair| STANDARD.decode(pair).is_ok_and(|pair| holds_secret(&String::from_utf8_lossy(&pair))));
            texts.extend(basic);
            // A value without a secret, such as an API version, is an ordinary text that answers may hold.
            texts.extend(Some(value).filter(|value| holds_secret(value)));
        }
        Scrubber::new(texts)
    }

    /// The header's or parameter's name, or the body's JSON pointer.
    pub fn name(&self) -> &str {
        match self {
            Self::Header { name, .. } => name.as_str(),
            Self::Query { name, .. } => name,
            Self::Body { pointer, .. } => pointer,
        }
    }

    /// Its value.
    pub fn value(&self) -> &SecretString {
        match self {
            Self::Header { value, .. } | Self::Query { value, .. } | Self::Body { value, .. } => value,
        }
    }

    fn clashes(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.name().eq_ignore_ascii_case(other.name())
    }
}

/// A text with its placeholders filled, which is wiped when it was used.
fn filled(text: &str, values: &BTreeMap<String, String>) -> Result<Zeroizing<String>, FillError> {
    fill(text, values).map(Zeroizing::new)
}

fn authorization(value: &str) -> Result<Credential, CredentialError> {
    header(header::AUTHORIZATION.as_str(), value)
}

fn header(name: &str, value: &str) -> Result<Credential, CredentialError> {
    let value = SecretString::from(value);
    let parsed: HeaderName = name.parse().map_err(|_| CredentialError::HeaderName(name.to_owned()))?;
    if is_framing(&parsed) {
        return Err(CredentialError::HeaderName(name.to_owned()));
    }
    if HeaderValue::from_str(value.expose_secret()).is_err() {
        return Err(CredentialError::HeaderValue(name.to_owned()));
    }
    Ok(Credential::Header { name: parsed, value })
}
