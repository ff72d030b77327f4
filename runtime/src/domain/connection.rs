//! Connections: stored credentials of one connector, and what they may be used for.

use std::collections::BTreeMap;

use headgate_manifest::{Auth, AuthKind, Manifest, Placement};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::grant::UrlPrefix;
use crate::domain::id::{ConnectionId, ConnectorName, Environment, GroupId, Name};
use crate::domain::scrub::MIN_SECRET;
use crate::domain::sealed::Sealed;

/// The longest secret or setting, in bytes.
pub const MAX_VALUE: usize = 8 * 1024;

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
    /// Where requests may go.
    pub base_urls: Vec<UrlPrefix>,
    /// Where the host puts the credentials.
    pub placements: Vec<Placement>,
    /// Non-secret settings.
    pub config: BTreeMap<String, String>,
    /// The secret fields.
    pub secrets: BTreeMap<String, Sealed>,
    /// When it was made.
    pub created: Timestamp,
}

/// What a manifest makes of the values somebody entered.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    /// The chosen way to authenticate.
    pub auth: String,
    /// Where requests may go.
    pub base_urls: Vec<UrlPrefix>,
    /// Where the host puts the credentials.
    pub placements: Vec<Placement>,
    /// All non-secret settings, defaults included.
    pub config: BTreeMap<String, String>,
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
/// `secrets` are the names and values of the secret fields; the values are only measured.
pub fn pin(
    manifest: &Manifest,
    auth: Option<&str>,
    config: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, &str>,
) -> Result<Pinned, ConnectionError> {
    let auth = choose_auth(manifest, auth)?;
    let placements = check_secrets(auth, secrets)?;
    let config = check_config(manifest, config)?;
    let base_urls = manifest.base_urls.iter().map(|url| {
        UrlPrefix::from_template(url, &config)
            .map_err(|error| ConnectionError::BadUrl { url: url.clone(), reason: error.to_string() })
    });
    Ok(Pinned { auth: auth.id.clone(), base_urls: base_urls.collect::<Result<_, _>>()?, placements, config })
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

fn check_secrets(auth: &Auth, secrets: &BTreeMap<String, &str>) -> Result<Vec<Placement>, ConnectionError> {
    let (fields, placements) = match &auth.kind {
        AuthKind::ApiKey { fields, placements } => (fields.as_slice(), placements.clone()),
        AuthKind::None => (&[][..], Vec::new()),
    };
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
    match fields.iter().find(|field| !secrets.contains_key(&field.name)) {
        Some(field) => {
            Err(ConnectionError::MissingField { kind: "secret", field: field.name.clone(), title: field.title.clone() })
        }
        None => Ok(placements),
    }
}

fn check_config(
    manifest: &Manifest,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConnectionError> {
    if let Some(unknown) = given.keys().find(|name| !manifest.config.iter().any(|field| field.name == **name)) {
        let offered = listed(manifest.config.iter().map(|field| &field.name));
        return Err(ConnectionError::UnknownField { kind: "setting", field: unknown.clone(), offered });
    }
    let mut config = BTreeMap::new();
    for field in &manifest.config {
        let Some(value) = given.get(&field.name).or(field.default.as_ref()) else {
            if field.required {
                let (field, title) = (field.name.clone(), field.title.clone());
                return Err(ConnectionError::MissingField { kind: "setting", field, title });
            }
            continue;
        };
        if !field.choices.is_empty() && !field.choices.contains(value) {
            let rule = format!("must be one of: {}", listed(field.choices.iter()));
            return Err(ConnectionError::BadValue { field: field.name.clone(), rule });
        }
        if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            let rule = format!("must have at most {MAX_VALUE} bytes, on one line");
            return Err(ConnectionError::BadValue { field: field.name.clone(), rule });
        }
        config.insert(field.name.clone(), value.clone());
    }
    Ok(config)
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
        }
    }

    fn check(auth: Option<&str>, config: &[(&str, &str)], secrets: &[(&str, &'static str)]) -> Result<Pinned, String> {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let secrets = secrets.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        pin(&manifest(), auth, &config, &secrets).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_entered_becomes_what_is_pinned() {
        let pinned = check(None, &[("domain", "acme")], &[("token", "s3cret-token")]).unwrap();
        assert_eq!(pinned.auth, "token");
        assert_eq!(pinned.base_urls, ["https://acme.example/api".parse().unwrap()]);
        assert_eq!(pinned.config["region"], "eu");
        assert_eq!(pinned.placements.len(), 1);
        assert!(check(Some("none"), &[("domain", "acme")], &[]).unwrap().placements.is_empty());
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
