//! Non-secret settings of a connection: what was entered, against what the manifest says.

use std::collections::BTreeMap;

use headgate_manifest::{Auth, ConfigField, Manifest, OauthGrant};
use regex_lite::Regex;

use super::{ConnectionError, MAX_VALUE, listed};

/// All settings, defaults included. Those that come with the authorization may be missing.
pub(super) fn check_config(
    manifest: &Manifest,
    auth: &Auth,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConnectionError> {
    if let Some(unknown) = given.keys().find(|name| !manifest.config.iter().any(|field| field.name == **name)) {
        let offered = listed(manifest.config.iter().map(|field| &field.name));
        return Err(ConnectionError::UnknownField { kind: "setting", field: unknown.clone(), offered });
    }
    let told_later = |name: &str| {
        let oauth = auth.kind.oauth().filter(|oauth| oauth.grant == OauthGrant::AuthorizationCode);
        oauth.is_some_and(|oauth| oauth.metadata.iter().any(|told| told.config == name))
    };
    let mut config = BTreeMap::new();
    for field in &manifest.config {
        let Some(value) = given.get(&field.name).or(field.default.as_ref()) else {
            if field.required && !told_later(&field.name) {
                let (field, title) = (field.name.clone(), field.title.clone());
                return Err(ConnectionError::MissingField { kind: "setting", field, title });
            }
            continue;
        };
        config.insert(field.name.clone(), check_value(field, value)?);
    }
    Ok(config)
}

/// The settings of a connection under another manifest: those it still knows, and the defaults of the others.
pub fn complete_config(
    manifest: &Manifest,
    auth: &Auth,
    present: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConnectionError> {
    let known = |name: &String| manifest.config.iter().any(|field| field.name == *name);
    let present = present.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone()));
    check_config(manifest, auth, &present.collect())
}

/// The settings after a change: a value replaces what was there, nothing goes back to the default. The others stay.
pub fn changed_config(
    manifest: &Manifest,
    present: &BTreeMap<String, String>,
    change: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, String>, ConnectionError> {
    let mut config = present.clone();
    for (name, value) in change {
        let Some(field) = manifest.config.iter().find(|field| field.name == *name) else {
            let offered = listed(manifest.config.iter().map(|field| &field.name));
            return Err(ConnectionError::UnknownField { kind: "setting", field: name.clone(), offered });
        };
        match value.as_ref().or(field.default.as_ref()) {
            Some(value) => drop(config.insert(name.clone(), check_value(field, value)?)),
            None if field.required => {
                let (field, title) = (field.name.clone(), field.title.clone());
                return Err(ConnectionError::MissingField { kind: "setting", field, title });
            }
            None => drop(config.remove(name)),
        }
    }
    Ok(config)
}

/// A setting's value as it is kept: without the prefix and suffix that people see around it.
pub fn check_value(field: &ConfigField, value: &str) -> Result<String, ConnectionError> {
    let refused = |rule: String| ConnectionError::BadValue { field: field.name.clone(), rule };
    let value = value.strip_prefix(field.prefix.as_str()).unwrap_or(value);
    let value = value.strip_suffix(field.suffix.as_str()).unwrap_or(value);
    if !field.choices.is_empty() && !field.choices.iter().any(|choice| choice == value) {
        return Err(refused(format!("must be one of: {}", listed(field.choices.iter()))));
    }
    if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
        return Err(refused(format!("must have at most {MAX_VALUE} bytes, on one line")));
    }
    let Some(pattern) = &field.pattern else { return Ok(value.to_owned()) };
    let whole = Regex::new(&format!("^(?:{pattern})$"));
    let whole = whole.map_err(|_| refused(format!("cannot be checked: the connector's pattern {pattern} is none")))?;
    if whole.is_match(value) { Ok(value.to_owned()) } else { Err(refused(format!("must match the pattern {pattern}"))) }
}

#[cfg(test)]
mod tests {
    use headgate_manifest::Oauth;

    use super::*;

    #[test]
    fn a_setting_may_be_missing_where_a_person_will_authorize_and_the_app_tells_it() {
        let manifest =
            Manifest::new("crm", "CRM").config(ConfigField::new("dc", "Data centre").choices(["eu"]).required());
        let check = |oauth: Oauth| {
            let auth = Auth::oauth_advanced("own", "Own", oauth.metadata_from_token("dc", "/dc"));
            check_config(&manifest, &auth, &BTreeMap::new())
        };
        assert_eq!(check(Oauth::code("https://crm.example/a", "https://crm.example/t")), Ok(BTreeMap::new()));
        let error = check(Oauth::client_credentials("https://crm.example/t")).unwrap_err();
        assert!(matches!(error, ConnectionError::MissingField { field, .. } if field == "dc"));
    }

    #[test]
    fn a_value_is_kept_without_what_stands_around_it() {
        let shop = ConfigField::new("shop", "Shop").prefix("https://").suffix(".shop.example").pattern("[a-z0-9-]+");
        for (given, kept) in [("acme", "acme"), ("https://acme.shop.example", "acme"), ("acme.shop.example", "acme")] {
            assert_eq!(check_value(&shop, given).unwrap(), kept);
        }
        for bad in ["", "acme/x", "acme.evil.example", "evil.example#.shop.example", "a\nb"] {
            assert!(check_value(&shop, bad).is_err(), "{bad}");
        }
        let error = check_value(&shop, "Acme").unwrap_err().to_string();
        assert_eq!(error, "\"shop\" must match the pattern [a-z0-9-]+");
    }

    #[test]
    fn a_choice_is_checked_without_its_prefix() {
        let dc = ConfigField::new("dc", "Data centre").prefix("https://accounts.zoho.").choice("com", "Zoho US");
        assert_eq!(check_value(&dc, "https://accounts.zoho.com").unwrap(), "com");
        assert_eq!(check_value(&dc, "eu").unwrap_err().to_string(), "\"dc\" must be one of: com");
    }
}
