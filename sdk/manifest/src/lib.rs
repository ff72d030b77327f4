//! The manifest of a connector: what its `describe` export returns, as JSON.
//!
//! It is written by a connector (usually through `headgate-sdk`) and read by the server,
//! which pins what it says about hosts and authentication on every connection made from it.
//!
//! Texts may hold placeholders: `${config.NAME}` stands for a non-secret setting of the connection,
//! `${secret.NAME}` (only where a [`Placement`] says *value*) for one of its secret fields.

mod build;
mod check;
mod flow;
mod oauth;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use flow::{FlowManifest, MethodUse, SlotUse};
pub use oauth::{
    ClientAuthentication, ExpiresUnit, Metadata, MetadataSource, Oauth, OauthGrant, ScopeField, TokenBody, TokenFields,
};

/// Everything a connector says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name: `[a-z][a-z0-9-]{0,62}`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// One or two sentences: which app, which part of it.
    #[serde(default)]
    pub description: String,
    /// Its own version (SemVer).
    pub version: String,
    /// Where it may send requests: absolute `http` or `https` URLs, each allowing its scheme, host, port and
    /// everything below its path. A placeholder `${config.NAME}` is filled when a connection is made.
    pub base_urls: Vec<String>,
    /// Non-secret settings of a connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigField>,
    /// Ways to authenticate; a connection picks one by its id, or gets the first.
    pub auth: Vec<Auth>,
    /// A harmless request that tells whether a connection works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What flows can call.
    pub methods: Vec<Method>,
    /// What can be polled for new records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
}

/// A non-secret setting of a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigField {
    /// The name placeholders and `connection.config` use: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What to enter, and where to find it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether a connection must set it (fields with a default are never missing).
    #[serde(default)]
    pub required: bool,
    /// Its value when a connection does not set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The only values allowed; empty means any.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The names of those values for people, such as `com` → `Zoho US (Global)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choice_titles: BTreeMap<String, String>,
    /// A regular expression that the whole value has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What stands before the value where people see it whole, such as `https://`. Entered with it, it is taken off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands after the value where people see it whole, such as `.example.com`. Entered with it, it is taken off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// Whether it is shown only to people who ask for it.
    #[serde(default)]
    pub advanced: bool,
}

/// A secret a person enters when making a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretField {
    /// The name placeholders use: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Where to find it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Auth {
    /// Names this way among the connector's others, e.g. `private_app`.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What kind it is, with what that kind needs.
    #[serde(flatten)]
    pub kind: AuthKind,
}

/// The kinds of authentication a connection can have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AuthKind {
    /// Secrets that a person copies from the app.
    ApiKey {
        /// What to enter.
        fields: Vec<SecretField>,
        /// Where the host puts it on each request.
        placements: Vec<Placement>,
    },
    /// A person consents at the app; the operator of the server registered the OAuth client.
    Oauth(Box<Oauth>),
    /// The same with an OAuth client that the group itself registered.
    OauthAdvanced(Box<Oauth>),
    /// The app asks for no authentication.
    None,
}

impl AuthKind {
    /// Its name: `api_key`, `oauth`, `oauth_advanced` or `none`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
            Self::Oauth(_) => "oauth",
            Self::OauthAdvanced(_) => "oauth_advanced",
            Self::None => "none",
        }
    }

    /// What a person enters when making a connection.
    pub fn fields(&self) -> &[SecretField] {
        match self {
            Self::ApiKey { fields, .. } => fields,
            Self::Oauth(_) | Self::OauthAdvanced(_) | Self::None => &[],
        }
    }

    /// Where the host puts the credentials on each request.
    pub fn placements(&self) -> &[Placement] {
        match self {
            Self::ApiKey { placements, .. } => placements,
            Self::Oauth(oauth) | Self::OauthAdvanced(oauth) => &oauth.placements,
            Self::None => &[],
        }
    }

    /// How the app does OAuth, where it does.
    pub fn oauth(&self) -> Option<&Oauth> {
        match self {
            Self::Oauth(oauth) | Self::OauthAdvanced(oauth) => Some(oauth),
            Self::ApiKey { .. } | Self::None => None,
        }
    }
}

/// Where the host puts a credential on a request.
///
/// The names that placements use are refused from the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Placement {
    /// `Authorization: Bearer <value>` (RFC 6750).
    Bearer {
        /// The token, e.g. `${secret.token}`.
        value: String,
    },
    /// `Authorization: Basic base64(username:password)` (RFC 7617).
    Basic {
        /// The user name, e.g. `${secret.username}`.
        username: String,
        /// The password; may be empty.
        password: String,
    },
    /// A header of the app's own.
    Header {
        /// Its name; may hold `${config.NAME}`.
        name: String,
        /// Its value, e.g. `${secret.key}` or `Token ${secret.key}`.
        value: String,
    },
    /// A query parameter.
    Query {
        /// Its name; may hold `${config.NAME}`.
        name: String,
        /// Its value, e.g. `${secret.key}`.
        value: String,
    },
    /// A member of the request's JSON body. The host reads the whole body, puts it in and writes the length anew; the
    /// guest sends the body without it.
    Body {
        /// Where, as a JSON pointer (RFC 6901) such as `/key`.
        pointer: String,
        /// Its value, e.g. `${secret.key}`.
        value: String,
    },
}

/// A harmless request that tells whether a connection works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The HTTP method; usually `GET`.
    pub http_method: String,
    /// Path and query below the first base URL, e.g. `/crm/v3/objects/contacts?limit=1`.
    pub path: String,
    /// Its JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// A JSON pointer to what must be `true` in the answer, for apps that tell errors with the status 200, e.g. `/ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<String>,
    /// What stands in the answer where the app refuses the credentials, for apps that tell that with another status
    /// than 401.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// A JSON pointer to what says whose account it is, e.g. `/user/email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// How an answer says that the credentials are refused, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A JSON pointer to a text in the answer, e.g. `/name`.
    pub pointer: String,
    /// What the text is then, e.g. `Invalid_Key`.
    pub value: String,
}

/// One method of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Its name: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// What it does, in one or two sentences.
    #[serde(default)]
    pub description: String,
    /// Whether performing it twice does no more than performing it once.
    #[serde(default)]
    pub idempotent: bool,
    /// The scopes of which the connection needs one, where it is an OAuth connection; empty when it needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// JSON Schema of its input.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
    /// An output as the app could give it, which stands in for the app where a flow is only tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Value>,
}

/// Something of an app that is polled: each new record runs a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name: `[a-z][a-z0-9_]*`.
    pub name: String,
    /// What it tells, in one or two sentences.
    #[serde(default)]
    pub description: String,
    /// The scopes of which the connection needs one, where it is an OAuth connection; empty when it needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// JSON Schema of its input: what to look for, and where.
    pub input: Value,
    /// JSON Schema of a record's data.
    pub record: Value,
    /// A record's data as the app could give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Value>,
}

/// What a poll answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Polled {
    /// The new records, oldest first.
    pub records: Vec<PolledRecord>,
    /// From where the next poll goes on; opaque to everybody but the connector.
    pub cursor: Value,
    /// Whether there are more already, so that the next poll need not wait.
    #[serde(default)]
    pub more: bool,
}

/// One new record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolledRecord {
    /// Tells it from all others of the trigger: a record of the same id is not new again.
    pub id: String,
    /// The event's body.
    pub data: Value,
}

/// A placeholder could not be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillError {
    /// `${` without `}`.
    Unclosed,
    /// The text names something that has no value: the whole name, such as `config.region`.
    Unknown(String),
}

impl std::fmt::Display for FillError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unclosed => f.write_str("a placeholder \"${\" is not closed by \"}\""),
            Self::Unknown(name) => write!(f, "the placeholder ${{{name}}} has no value"),
        }
    }
}

impl std::error::Error for FillError {}

/// Fills each placeholder `${scope.name}` of a text from `values`, keyed by `scope.name`.
///
/// ```
/// # use std::collections::BTreeMap;
/// let values = BTreeMap::from([("config.domain".to_owned(), "acme".to_owned())]);
/// assert_eq!(headgate_manifest::fill("https://${config.domain}.example/", &values).unwrap(), "https://acme.example/");
/// ```
pub fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, FillError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        filled.push_str(&rest[..start]);
        let end = rest[start..].find('}').ok_or(FillError::Unclosed)? + start;
        let name = &rest[start + 2..end];
        let value = values.get(name).ok_or_else(|| FillError::Unknown(name.to_owned()))?;
        filled.push_str(value);
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_placeholders_and_says_what_is_missing() {
        let values = BTreeMap::from([
            ("config.a".to_owned(), "1".to_owned()),
            ("secret.b".to_owned(), "${config.a}".to_owned()),
        ]);
        assert_eq!(
            fill("x${config.a}y${secret.b}", &values).unwrap(),
            "x1y${config.a}",
            "a value is never filled again"
        );
        assert_eq!(fill("${config.z}", &values), Err(FillError::Unknown("config.z".into())));
        assert_eq!(fill("${config.a", &values), Err(FillError::Unclosed));
    }

    #[test]
    fn a_manifest_reads_what_it_wrote() {
        let auth = Auth {
            id: "token".into(),
            title: "Token".into(),
            kind: AuthKind::ApiKey {
                fields: vec![],
                placements: vec![Placement::Bearer { value: "${secret.token}".into() }],
            },
        };
        let json = serde_json::to_value(&auth).unwrap();
        assert_eq!(json["kind"], "api_key");
        assert_eq!(json["placements"][0]["in"], "bearer");
        assert_eq!(serde_json::from_value::<Auth>(json).unwrap(), auth);
    }
}
