//! What the commands send: the secrets are in clear, on their way to the server.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::cli::CliError;
use crate::cli::secrets::Secret;
use crate::domain::id::{AppRegistrationId, ConnectorName, Environment, Name};

/// Names, and secrets as they were read.
pub(super) type Secrets<'a> = BTreeMap<&'a str, SecretString>;

/// A connection to be made, as the API takes it.
#[derive(Serialize)]
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) name: &'a Name,
    pub(in crate::cli) connector: &'a ConnectorName,
    pub(in crate::cli) environment: &'a Environment,
    pub(in crate::cli) auth: Option<&'a str>,
    pub(in crate::cli) config: BTreeMap<&'a str, &'a str>,
    #[serde(serialize_with = "in_clear")]
    pub(in crate::cli) secrets: Secrets<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) scopes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) registration: Option<&'a AppRegistrationId>,
}

/// A change of a connection, as the API takes it.
#[derive(Serialize)]
pub(super) struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a Name>,
    pub(super) config: BTreeMap<&'a str, Option<&'a str>>,
    #[serde(serialize_with = "in_clear")]
    pub(super) secrets: Secrets<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scopes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) registration: Option<&'a AppRegistrationId>,
}

/// A slot to be bound to a connection that is made for it.
#[derive(Serialize)]
pub(super) struct BindNew<'a> {
    pub(super) environment: &'a Environment,
    pub(super) create: &'a Wanted<'a>,
}

fn in_clear<S: serde::Serializer>(secrets: &Secrets<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())))
}

/// Reads secrets from where they come.
pub(super) fn read(secrets: &[Secret]) -> Result<Secrets<'_>, CliError> {
    let read = |secret: &'_ Secret| secret.source.read(&format!("the secret {}", secret.name));
    secrets.iter().map(|secret| Ok((secret.name.as_str(), read(secret)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::connections::{ConnectionChange, NewConnection};
    use crate::http::flows::BindSlot;

    #[test]
    fn what_is_sent_is_what_the_api_takes() {
        let new = Wanted {
            name: &"crm".parse().unwrap(),
            connector: &"hubspot".parse().unwrap(),
            environment: &Environment::test(),
            auth: None,
            config: BTreeMap::from([("region", "eu")]),
            secrets: BTreeMap::from([("token", SecretString::from("s3cret"))]),
            scopes: None,
            registration: None,
        };
        let json = serde_json::to_string(&new).unwrap();
        let taken: NewConnection = serde_json::from_str(&json).unwrap();
        assert_eq!(taken.config["region"], "eu");
        assert_eq!(taken.secrets["token"].expose_secret(), "s3cret");
        let bind = BindNew { environment: &Environment::test(), create: &new };
        let taken: BindSlot = serde_json::from_str(&serde_json::to_string(&bind).unwrap()).unwrap();
        assert_eq!(taken.create.unwrap().name, *new.name);
        let Wanted { secrets, .. } = new;
        let config = BTreeMap::from([("region", None)]);
        let change = Change { name: None, config, secrets, scopes: Some(&[]), registration: None };
        let taken: ConnectionChange = serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap();
        assert_eq!((taken.config["region"].as_ref(), taken.scopes), (None, Some(Vec::new())));
        assert_eq!(taken.secrets["token"].expose_secret(), "s3cret");
    }
}
