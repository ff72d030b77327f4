//! What a connector's manifest of today would change about a connection.

use std::collections::BTreeMap;

use headgate_manifest::{Auth, Manifest, Oauth};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::complete_config;
use super::{Connection, ConnectionKind, Pins};

/// A difference between what is pinned on a connection and what its connector offers today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinChange {
    /// What differs: `base_urls`, `placements`, `verification`, `oauth.token_url` and the like; `auth` when the way to
    /// authenticate is there no more.
    #[schema(example = "base_urls")]
    pub what: String,
    /// What the connection goes by.
    #[schema(value_type = Object, example = json!(["https://api.example.com/v1"]))]
    pub pinned: Value,
    /// What it would go by.
    #[schema(value_type = Object, example = json!(["https://api.example.com"]))]
    pub offered: Value,
}

impl Connection {
    /// This connection's way to authenticate in a manifest; nothing where it is gone or became one of another kind.
    pub fn auth_in<'a>(&self, manifest: &'a Manifest) -> Option<&'a Auth> {
        manifest.auth.iter().find(|auth| auth.id == self.auth && ConnectionKind::from(&auth.kind) == self.kind)
    }

    /// What a manifest offers instead of what is pinned.
    pub fn upgrade(&self, manifest: &Manifest) -> Vec<PinChange> {
        match self.auth_in(manifest) {
            Some(auth) => {
                let offered = Pins::of(manifest, auth);
                let mut changes = self.pins.changes(&offered);
                changes.extend(self.setting_changes(manifest, auth, &offered));
                changes
            }
            None => vec![PinChange { what: "auth".into(), pinned: self.auth.as_str().into(), offered: Value::Null }],
        }
    }
}

impl Connection {
    /// Settings that the new manifest would set by itself, and that lead somewhere: a placeholder alone would not show it.
    fn setting_changes(&self, manifest: &Manifest, auth: &Auth, offered: &Pins) -> Vec<PinChange> {
        let Ok(config) = complete_config(manifest, auth, &self.config) else { return Vec::new() };
        let templates = serde_json::to_string(offered).expect("pins have text keys only");
        let used = config.into_iter().filter(|(name, _)| templates.contains(&format!("${{config.{name}}}")));
        let changed = used.filter(|(name, value)| self.config.get(name) != Some(value));
        let change = |(name, value): (String, String)| PinChange {
            what: format!("config.{name}"),
            pinned: self.config.get(&name).map_or(Value::Null, |value| value.as_str().into()),
            offered: value.into(),
        };
        changed.map(change).collect()
    }
}

impl Pins {
    /// What would change with other pins.
    pub fn changes(&self, offered: &Self) -> Vec<PinChange> {
        let (pinned, offered) = (self.members(), offered.members());
        let mut names: Vec<_> = pinned.keys().chain(offered.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let member = |of: &Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
        let changes = names.into_iter().map(|name| PinChange {
            what: name.clone(),
            pinned: member(&pinned, name),
            offered: member(&offered, name),
        });
        changes.filter(|change| change.pinned != change.offered).collect()
    }

    fn members(&self) -> Map<String, Value> {
        let value = serde_json::to_value(self).expect("pins have text keys only");
        let Value::Object(mut members) = value else { unreachable!("pins are an object") };
        if let Some(Value::Object(oauth)) = members.remove("oauth") {
            // Its placements are among the members already.
            let oauth = oauth.into_iter().filter(|(name, _)| name != "placements");
            members.extend(oauth.map(|(name, value)| (format!("oauth.{name}"), value)));
        }
        members
    }

    /// Where credentials go with these settings: what the settings must not change any more.
    pub fn destinations(&self, config: &BTreeMap<String, String>) -> Vec<String> {
        let placements = self
            .placements
            .iter()
            .map(|placement| serde_json::to_string(placement).expect("a placement has text keys only"));
        let oauth = self.oauth.iter().flat_map(oauth_urls);
        let templates = self.base_urls.iter().cloned().chain(placements).chain(oauth);
        templates.map(|template| filled(&template, config)).collect()
    }

    /// Whether tokens got under these pins may be used under others: not where they were got, or go, elsewhere.
    pub fn keeps_tokens(&self, next: &Self) -> bool {
        let urls = |pins: &Self| pins.oauth.iter().flat_map(oauth_urls).collect::<Vec<_>>();
        urls(self) == urls(next) && self.placements == next.placements
    }
}

fn oauth_urls(oauth: &Oauth) -> Vec<String> {
    let urls = [&oauth.authorization_url, &oauth.refresh_url, &oauth.revocation_url, &oauth.introspection_url];
    let name = |url: &Option<String>| url.clone().unwrap_or_default();
    std::iter::once(oauth.token_url.clone()).chain(urls.into_iter().map(name)).collect()
}

/// A template with its settings; other placeholders, and those of settings without a value, stay.
fn filled(template: &str, config: &BTreeMap<String, String>) -> String {
    const BEGIN: &str = "${config.";
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(BEGIN) {
        let (before, placeholder) = rest.split_at(at);
        text.push_str(before);
        let named = placeholder[BEGIN.len()..].split_once('}');
        match named.and_then(|(name, after)| Some((config.get(name)?, after))) {
            Some((value, after)) => {
                text.push_str(value);
                rest = after;
            }
            None => {
                text.push_str(BEGIN);
                rest = &placeholder[BEGIN.len()..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use headgate_manifest::{ConfigField, Placement, SecretField, Verification};

    use super::*;
    use crate::domain::id::Environment;

    fn pins() -> Pins {
        Pins {
            base_urls: vec!["https://${config.region}.example".into()],
            placements: vec![Placement::Header { name: "${config.header}".into(), value: "${secret.key}".into() }],
            oauth: None,
            verification: None,
        }
    }

    #[test]
    fn settings_that_would_move_credentials_are_seen() {
        let at = |config: &[(&str, &str)]| {
            pins().destinations(&config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        let now = at(&[("region", "eu"), ("header", "x-key")]);
        assert_eq!(now, at(&[("region", "eu"), ("header", "x-key"), ("page", "7")]));
        for other in [
            &[("region", "us"), ("header", "x-key")][..],
            &[("region", "eu"), ("header", "x-other")],
            &[("region", "eu")],
            &[("region", "${config.header}"), ("header", "eu")],
        ] {
            assert_ne!(now, at(other), "{other:?}");
        }
        assert_eq!(filled("${config.a}${config.b", &BTreeMap::from([("a".into(), "1".into())])), "1${config.b");
    }

    #[test]
    fn where_a_new_placeholder_leads_is_shown() {
        let auth = Auth::header("key", "Key", "x-key", SecretField::new("key", "Key"));
        let manifest = Manifest::new("crm", "CRM").base_url("https://a.example").auth(auth);
        let pins = Pins::of(&manifest, &manifest.auth[0]);
        let connection = Connection {
            id: format!("con_{}", "a".repeat(20)).parse().unwrap(),
            group: "acme".parse().unwrap(),
            environment: Environment::production(),
            name: "crm".parse().unwrap(),
            connector: "crm".parse().unwrap(),
            auth: "key".to_owned(),
            kind: ConnectionKind::ApiKey,
            base_urls: pins.base_urls(&BTreeMap::new()).unwrap(),
            pins,
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            oauth: None,
            created: jiff::Timestamp::UNIX_EPOCH,
        };
        assert_eq!(connection.upgrade(&manifest), []);
        let moved = Manifest { base_urls: vec!["https://${config.host}".into()], ..manifest }
            .config(ConfigField::new("host", "Host").default_value("evil.example"))
            .config(ConfigField::new("page", "Page").default_value("7"));
        let changes = connection.upgrade(&moved);
        let told: Vec<_> = changes.iter().map(|change| (change.what.as_str(), &change.offered)).collect();
        assert_eq!(
            told,
            [("base_urls", &["https://${config.host}"][..].into()), ("config.host", &"evil.example".into())]
        );
    }

    #[test]
    fn differences_are_named_one_by_one() {
        let oauth = || Oauth::code("https://a.example/authorize", "https://a.example/token");
        let old = Pins { oauth: Some(oauth()), ..pins() };
        assert_eq!(old.changes(&old), []);
        let verification = Some(Verification::new("GET", "/me"));
        let mut new = Pins { base_urls: vec!["https://a.example".into()], verification, ..old.clone() };
        assert!(old.keeps_tokens(&new));
        new.oauth = Some(oauth().refresh_url("https://b.example/refresh"));
        let changes = old.changes(&new);
        let names: Vec<_> = changes.iter().map(|change| change.what.as_str()).collect();
        assert_eq!(names, ["base_urls", "oauth.refresh_url", "verification"]);
        assert_eq!((&changes[1].pinned, &changes[1].offered), (&Value::Null, &"https://b.example/refresh".into()));
        assert!(!old.keeps_tokens(&new));
    }
}
