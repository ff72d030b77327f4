//! Settings that an app tells when it is authorized, such as the data centre of an account.

use std::collections::BTreeMap;

use headgate_manifest::{ConfigField, MetadataSource};

use super::{AuthorizationError, MAX_PARAMETER};
use crate::domain::connection::{Connection, ConnectionError, check_value};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;

/// What was told, by the name of the setting. Nothing of it is checked yet.
pub(super) type Told = BTreeMap<String, String>;

/// What a redirect's parameters tell.
pub(super) fn of_redirect(connection: &Connection, parameters: &BTreeMap<String, String>) -> Told {
    let metadata = connection.pins.oauth.iter().flat_map(|oauth| &oauth.metadata);
    let told = metadata.filter(|told| told.source == MetadataSource::Redirect).filter_map(|told| {
        let value = parameters.get(&told.field).filter(|value| value.len() <= MAX_PARAMETER)?;
        Some((told.config.clone(), value.clone()))
    });
    told.collect()
}

/// Puts what was told into a connection's settings, as far as the pinned manifest lets the app tell it and the
/// connector's rules allow the values.
pub(super) fn take(catalog: &Catalog, connection: &mut Connection, told: &Told) -> Result<(), AuthorizationError> {
    let fields = fields(catalog, connection)?;
    let metadata = connection.pins.oauth.iter().flat_map(|oauth| &oauth.metadata);
    for name in metadata.map(|told| &told.config) {
        let Some(value) = told.get(name) else { continue };
        let value = allowed(fields, name, value).map_err(AuthorizationError::Setting)?;
        connection.config.insert(name.clone(), value);
    }
    Ok(())
}

/// Whether a connection has all settings that it cannot do without.
pub(super) fn check_complete(catalog: &Catalog, connection: &Connection) -> Result<(), AuthorizationError> {
    let metadata = || connection.pins.oauth.iter().flat_map(|oauth| &oauth.metadata);
    let told = |field: &ConfigField| metadata().any(|told| told.config == field.name);
    let mut needed = fields(catalog, connection)?.iter().filter(|field| field.required && told(field));
    match needed.find(|field| !connection.config.contains_key(&field.name)) {
        Some(field) => Err(AuthorizationError::Untold(field.name.clone())),
        None => Ok(()),
    }
}

fn fields<'a>(catalog: &'a Catalog, connection: &Connection) -> Result<&'a [ConfigField], AuthorizationError> {
    let connector = catalog.connector(&connection.group, &connection.connector);
    let connector = connector.ok_or(ServiceError::NotFound { what: "Connector" })?;
    Ok(&connector.manifest.config)
}

/// A value from outside is taken only by a rule: the connector of today may have none for it any more.
fn allowed(fields: &[ConfigField], name: &str, value: &str) -> Result<String, ConnectionError> {
    let ruled =
        fields.iter().find(|field| field.name == name && (field.pattern.is_some() || !field.choices.is_empty()));
    let refused = || ConnectionError::BadValue {
        field: name.to_owned(),
        rule: "has neither a pattern nor choices in the connector's manifest".to_owned(),
    };
    check_value(ruled.ok_or_else(refused)?, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_outside_is_taken_by_a_rule_only() {
        let fields = [
            ConfigField::new("region", "Region").choices(["eu", "us"]),
            ConfigField::new("domain", "Domain").prefix("https://").suffix(".crm.example").pattern("[a-z0-9-]+"),
            ConfigField::new("note", "Note"),
        ];
        assert_eq!(allowed(&fields, "region", "eu").unwrap(), "eu");
        assert_eq!(allowed(&fields, "domain", "https://acme.crm.example").unwrap(), "acme");
        for (name, bad) in
            [("region", "mars"), ("domain", "https://evil.example/"), ("domain", "a.b"), ("note", "x"), ("none", "x")]
        {
            assert!(allowed(&fields, name, bad).is_err(), "{name} {bad}");
        }
    }
}
