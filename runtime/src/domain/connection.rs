//! Connections: stored credentials of one connector, and what they may be used for.

mod config;
mod health;
mod upgrade;

use std::collections::BTreeMap;

use headgate_manifest::{Auth, AuthKind, Manifest, Oauth, OauthGrant, Placement, SecretField, Verification};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::grant::UrlPrefix;
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, GroupId, Name, UserId};
use crate::domain::scrub::MIN_SECRET;
use crate::domain::sealed::Sealed;
use config::check_config;

pub use config::{changed_config, check_value, complete_config};
pub use health::{Credentials, Health, HealthRecord, LastError, TestReport, TestResult};
pub use upgrade::PinChange;

/// The longest secret or setting, in bytes.
pub const MAX_VALUE: usize = 8 * 1024;

/// How a connection authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    /// Secrets that a person entered.
    ApiKey,
    /// OAuth through the server's app registration.
    Oauth,
    /// OAuth through an app registration of the group.
    OauthAdvanced,
    /// Not at all.
    None,
}

/// What a connection may be used for: what the connector's manifest said when the connection was made. A manifest that
/// says something else later needs an owner's consent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pins {
    /// Where requests may go, with placeholders.
    pub base_urls: Vec<String>,
    /// Where the host puts the credentials.
    pub placements: Vec<Placement>,
    /// How tokens are got, where it is an OAuth connection.
    pub oauth: Option<Oauth>,
    /// The request that tells whether the connection works.
    pub verification: Option<Verification>,
}

/// What an OAuth connection has besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthPart {
    /// Whose client it uses.
    pub registration: AppRegistrationId,
    /// The scopes it asks for.
    pub scopes: Vec<String>,
    /// Who consented at the app; absent before anybody did, and for client credentials.
    pub authorized_by: Option<UserId>,
}

/// A stored connection. Hosts and placements are pinned: they are those of the manifest at the time it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub group: GroupId,
    /// Where it works.
    pub environment: Environment,
    /// Its name, unique in its group and environment.
    pub name: Name,
    /// Which connector it is for.
    pub connector: ConnectorName,
    /// Which of the connector's ways to authenticate it uses.
    pub auth: String,
    /// Of which kind that is.
    pub kind: ConnectionKind,
    /// What it may be used for.
    pub pins: Pins,
    /// Where requests may go: the pinned base URLs, filled.
    pub base_urls: Vec<UrlPrefix>,
    /// Non-secret settings.
    pub config: BTreeMap<String, String>,
    /// The secret fields.
    pub secrets: BTreeMap<String, Sealed>,
    /// What it has besides as an OAuth connection.
    pub oauth: Option<OauthPart>,
    /// When it was made.
    pub created: Timestamp,
}

/// What a manifest makes of the values somebody entered.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    /// The chosen way to authenticate.
    pub auth: String,
    /// Of which kind that is.
    pub kind: ConnectionKind,
    /// What the connection may be used for.
    pub pins: Pins,
    /// Where requests may go.
    pub base_urls: Vec<UrlPrefix>,
    /// All non-secret settings, defaults included.
    pub config: BTreeMap<String, String>,
    /// The scopes to ask for; empty where it is no OAuth connection.
    pub scopes: Vec<String>,
}

/// The values entered for a connection do not fit the connector's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectionError {
    /// There is no such way to authenticate.
    #[error("the connector has no authentication \"{given}\"; it offers: {offered}")]
    UnknownAuth {
        /// What was asked for.
        given: String,
        /// What there is.
        offered: String,
    },
    /// A field that the manifest does not know.
    #[error("the connector has no {kind} \"{field}\"; it has: {offered}")]
    UnknownField {
        /// `setting` or `secret`.
        kind: &'static str,
        /// The field.
        field: String,
        /// What there is.
        offered: String,
    },
    /// A field that must be given.
    #[error("the {kind} \"{field}\" ({title}) is missing")]
    MissingField {
        /// `setting` or `secret`.
        kind: &'static str,
        /// The field.
        field: String,
        /// Its name for people.
        title: String,
    },
    /// A value that is not allowed.
    #[error("\"{field}\" {rule}")]
    BadValue {
        /// The field.
        field: String,
        /// What is allowed.
        rule: String,
    },
    /// A URL of the manifest that cannot be used with these settings.
    #[error("the connector may reach \"{url}\", which cannot be used: {reason}")]
    BadUrl {
        /// The URL, filled.
        url: String,
        /// Why not.
        reason: String,
    },
}

/// Checks what somebody entered against a manifest and pins what the connection may be used for.
///
/// `secrets` are the names and values of the secret fields; the values are only measured. `scopes` are those somebody
/// chose; without them it is the manifest's default.
pub fn pin(
    manifest: &Manifest,
    auth: Option<&str>,
    config: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, &str>,
    scopes: Option<&[String]>,
) -> Result<Pinned, ConnectionError> {
    let auth = choose_auth(manifest, auth)?;
    check_given_secrets(auth.kind.fields(), secrets)?;
    check_no_secret_missing(auth.kind.fields(), |name| secrets.contains_key(name))?;
    let config = check_config(manifest, auth, config)?;
    let pins = Pins::of(manifest, auth);
    let base_urls = pins.base_urls(&config)?;
    let scopes = choose_scopes(auth.kind.oauth(), scopes)?;
    Ok(Pinned { auth: auth.id.clone(), kind: (&auth.kind).into(), pins, base_urls, config, scopes })
}

impl From<&AuthKind> for ConnectionKind {
    fn from(kind: &AuthKind) -> Self {
        match kind {
            AuthKind::ApiKey { .. } => Self::ApiKey,
            AuthKind::Oauth(_) => Self::Oauth,
            AuthKind::OauthAdvanced(_) => Self::OauthAdvanced,
            AuthKind::None => Self::None,
        }
    }
}

impl Connection {
    /// Whether its tokens come without anybody's consent.
    pub fn is_client_credentials(&self) -> bool {
        self.pins.is_client_credentials()
    }

    /// Whether its secrets were taken away.
    pub fn is_disconnected(&self) -> bool {
        self.kind == ConnectionKind::ApiKey && self.secrets.is_empty() && !self.pins.placements.is_empty()
    }

    /// Who consented at the app.
    pub fn authorized_by(&self) -> Option<&UserId> {
        self.oauth.as_ref()?.authorized_by.as_ref()
    }
}

impl ConnectionKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Oauth => "oauth",
            Self::OauthAdvanced => "oauth_advanced",
            Self::None => "none",
        }
    }
}

impl Pins {
    /// Whether tokens come without anybody's consent.
    pub fn is_client_credentials(&self) -> bool {
        self.oauth.as_ref().is_some_and(|oauth| oauth.grant == OauthGrant::ClientCredentials)
    }

    /// What a manifest says for one of its ways to authenticate.
    pub fn of(manifest: &Manifest, auth: &Auth) -> Self {
        Self {
            base_urls: manifest.base_urls.clone(),
            placements: auth.kind.placements().to_vec(),
            oauth: auth.kind.oauth().cloned(),
            verification: manifest.verification.clone(),
        }
    }

    /// Where requests may go with these settings. A URL that waits for a setting which comes with the authorization is
    /// left out until then.
    pub fn base_urls(&self, config: &BTreeMap<String, String>) -> Result<Vec<UrlPrefix>, ConnectionError> {
        let metadata = || self.oauth.iter().flat_map(|oauth| &oauth.metadata);
        let waits = |url: &str| {
            metadata()
                .any(|told| !config.contains_key(&told.config) && url.contains(&format!("${{config.{}}}", told.config)))
        };
        let known = self.base_urls.iter().filter(|url| !waits(url));
        let filled = known.map(|url| {
            UrlPrefix::from_template(url, config)
                .map_err(|error| ConnectionError::BadUrl { url: url.clone(), reason: error.to_string() })
        });
        filled.collect()
    }
}

/// The scopes to ask for: what is required, and what was chosen or stands there by default.
pub fn choose_scopes(oauth: Option<&Oauth>, chosen: Option<&[String]>) -> Result<Vec<String>, ConnectionError> {
    let offered = oauth.map(|oauth| oauth.scopes.as_slice()).unwrap_or_default();
    if let Some(unknown) = chosen.unwrap_or_default().iter().find(|name| !offered.iter().any(|s| s.name == **name)) {
        let offered = listed(offered.iter().map(|scope| &scope.name));
        return Err(ConnectionError::UnknownField { kind: "scope", field: unknown.clone(), offered });
    }
    let wanted = offered.iter().filter(|scope| match chosen {
        Some(chosen) => scope.required || chosen.contains(&scope.name),
        None => scope.required || scope.default,
    });
    Ok(wanted.map(|scope| scope.name.clone()).collect())
}

fn choose_auth<'a>(manifest: &'a Manifest, wanted: Option<&str>) -> Result<&'a Auth, ConnectionError> {
    let found = match wanted {
        Some(id) => manifest.auth.iter().find(|auth| auth.id == id),
        None => manifest.auth.first(),
    };
    found.ok_or_else(|| ConnectionError::UnknownAuth {
        given: wanted.unwrap_or_default().to_owned(),
        offered: listed(manifest.auth.iter().map(|auth| &auth.id)),
    })
}

/// Checks some secrets; those that are not among them are left out.
pub fn check_given_secrets(fields: &[SecretField], secrets: &BTreeMap<String, &str>) -> Result<(), ConnectionError> {
    for (name, value) in secrets {
        if !fields.iter().any(|field| field.name == *name) {
            let offered = listed(fields.iter().map(|field| &field.name));
            return Err(ConnectionError::UnknownField { kind: "secret", field: name.clone(), offered });
        }
        if !(MIN_SECRET..=MAX_VALUE).contains(&value.len()) || value.contains(['\r', '\n', '\0']) {
            let rule = format!("must have {MIN_SECRET} to {MAX_VALUE} bytes, on one line");
            return Err(ConnectionError::BadValue { field: name.clone(), rule });
        }
    }
    Ok(())
}

/// Checks that there is a secret for each field.
pub fn check_no_secret_missing<'a>(
    fields: &[SecretField],
    known: impl Fn(&str) -> bool + 'a,
) -> Result<(), ConnectionError> {
    match fields.iter().find(|field| !known(&field.name)) {
        Some(field) => {
            Err(ConnectionError::MissingField { kind: "secret", field: field.name.clone(), title: field.title.clone() })
        }
        None => Ok(()),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use headgate_manifest::{ConfigField, SecretField};

    use super::*;

    fn manifest() -> Manifest {
        let field = |name: &str, required, default: Option<&str>| ConfigField {
            name: name.into(),
            title: name.to_uppercase(),
            required,
            default: default.map(Into::into),
            ..ConfigField::default()
        };
        Manifest {
            name: "crm".into(),
            title: "CRM".into(),
            description: String::new(),
            version: "1.0.0".into(),
            base_urls: vec!["https://${config.domain}.example/api".into()],
            config: vec![
                field("domain", true, None),
                ConfigField { choices: vec!["eu".into(), "us".into()], ..field("region", false, Some("eu")) },
            ],
            auth: vec![
                Auth {
                    id: "token".into(),
                    title: "Token".into(),
                    kind: AuthKind::ApiKey {
                        fields: vec![SecretField { name: "token".into(), title: "Token".into(), ..Default::default() }],
                        placements: vec![Placement::Bearer { value: "${secret.token}".into() }],
                    },
                },
                Auth { id: "none".into(), title: "None".into(), kind: AuthKind::None },
            ],
            verification: None,
            methods: vec![],
            triggers: vec![],
        }
    }

    fn check(auth: Option<&str>, config: &[(&str, &str)], secrets: &[(&str, &'static str)]) -> Result<Pinned, String> {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let secrets = secrets.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        pin(&manifest(), auth, &config, &secrets, None).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_entered_becomes_what_is_pinned() {
        let pinned = check(None, &[("domain", "acme")], &[("token", "s3cret-token")]).unwrap();
        assert_eq!(pinned.auth, "token");
        assert_eq!(pinned.base_urls, ["https://acme.example/api".parse().unwrap()]);
        assert_eq!(pinned.config["region"], "eu");
        assert_eq!(pinned.pins.placements.len(), 1);
        assert!(check(Some("none"), &[("domain", "acme")], &[]).unwrap().pins.placements.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let token = &[("token", "s3cret-token")];
        for (auth, config, secrets, message) in [
            (Some("oauth"), &[("domain", "a")][..], &token[..], "no authentication \"oauth\"; it offers: token, none"),
            (None, &[("domain", "a")], &[], "the secret \"token\" (Token) is missing"),
            (None, &[("domain", "a")], &[("token", "short")], "\"token\" must have 6 to 8192 bytes"),
            (None, &[("domain", "a")], &[("token", "two\nlines")], "on one line"),
            (None, &[("domain", "a")], &[("tokn", "s3cret-token")], "no secret \"tokn\"; it has: token"),
            (None, &[], token, "the setting \"domain\" (DOMAIN) is missing"),
            (None, &[("domain", "a"), ("zone", "b")], token, "no setting \"zone\"; it has: domain, region"),
            (None, &[("domain", "a"), ("region", "mars")], token, "\"region\" must be one of: eu, us"),
        ] {
            let error = check(auth, config, secrets).unwrap_err();
            assert!(error.contains(message), "{error} should contain {message}");
        }
    }
}
