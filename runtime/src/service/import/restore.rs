//! Putting secrets back into records: sealed for their new place, or, where they stayed behind, replaced by what opens nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::ImportedTrigger;
use crate::domain::archive::{Marker, Replacement, SecretPlace, markers, put_back};
use crate::domain::id::GroupId;
use crate::domain::signing_secret::SigningSecret;
use crate::domain::trigger::RoutingKey;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::vault::{Place, random};

/// Kinds of records that work without their secrets, or say themselves that they lack them. What others would do without
/// theirs is not known: a trigger without its signature's secret would let everybody in.
const MAY_LACK: [&str; 2] = ["connection", "app-registration"];

/// What became of the secrets.
pub(super) struct Restored {
    group: GroupId,
    secrets: Option<Vec<SecretString>>,
    routing_keys: HashSet<String>,
    /// Triggers whose routing key is the one they had, or not.
    kept: BTreeMap<String, bool>,
    /// Records in which a secret stands now that nobody knows: kind and key.
    pub(super) unknown: Vec<(String, String)>,
    /// App registrations without the secret that they had.
    pub(super) without: Vec<String>,
}

impl Restored {
    pub(super) fn new(group: GroupId, secrets: Option<Vec<SecretString>>) -> Self {
        let (routing_keys, kept, unknown) = (HashSet::new(), BTreeMap::new(), Vec::new());
        Self { group, secrets, routing_keys, kept, unknown, without: Vec::new() }
    }

    pub(super) fn has_secrets(&self) -> bool {
        self.secrets.is_some()
    }

    /// The triggers with a routing key, as they are now.
    pub(super) fn triggers(&self, catalog: &Catalog, ids: &HashMap<String, String>) -> Vec<ImportedTrigger> {
        let old = |id: &str| ids.iter().find(|(_, new)| new.as_str() == id).map_or(id, |(old, _)| old).to_owned();
        let of_group = catalog.triggers.values().filter(|trigger| trigger.group == self.group);
        let imported = of_group.filter_map(|trigger| {
            Some(ImportedTrigger {
                id: trigger.id.to_string(),
                old_id: old(trigger.id.as_str()),
                flow: catalog.flows.get(&trigger.flow)?.name.clone(),
                description: trigger.description.clone(),
                routing_key: trigger.routing_key.clone(),
                kept: self.kept.get(trigger.id.as_str()).copied().unwrap_or_default(),
            })
        });
        let mut imported: Vec<_> = imported.collect();
        imported.sort_by(|a, b| (&a.flow, &a.id).cmp(&(&b.flow, &b.id)));
        imported
    }

    fn secret(&self, marker: &Marker) -> Result<Option<&SecretString>, ServiceError> {
        let Some(secrets) = &self.secrets else { return Ok(None) };
        let missing = || ServiceError::Invalid("A secret is missing in the archive. Export anew".to_owned());
        secrets.get(marker.number).map(Some).ok_or_else(missing)
    }

    /// The routing key a trigger gets: its own, unless it stayed behind or is taken.
    fn routing_key(&mut self, catalog: &Catalog, key: &str, marker: &Marker) -> Result<RoutingKey, ServiceError> {
        let own = match self.secret(marker)? {
            Some(text) => {
                let parsed = text.expose_secret().parse::<RoutingKey>();
                Some(parsed.map_err(|error| ServiceError::Invalid(error.to_owned()))?)
            }
            None => None,
        };
        let free = own.filter(|own| catalog.route(own).is_none() && !self.routing_keys.contains(own.reveal()));
        self.kept.insert(key.to_owned(), free.is_some());
        let routing_key = free.unwrap_or_else(|| RoutingKey::generate(random));
        self.routing_keys.insert(routing_key.reveal().to_owned());
        Ok(routing_key)
    }
}

impl Service {
    /// Puts the secrets of a record back.
    pub(super) async fn restore_secrets(
        &self,
        catalog: &Catalog,
        noun: &str,
        key: &str,
        record: &mut Value,
        restored: &mut Restored,
    ) -> Result<(), ServiceError> {
        let id = key.rsplit('/').next().unwrap_or_default();
        let mut replacements = HashMap::new();
        for (marker, place) in markers(noun, id, record) {
            let SecretPlace::Sealed { record, field } = &place else {
                let routing_key = restored.routing_key(catalog, key, &marker)?;
                replacements.insert(marker.number, Replacement::Value(json!(routing_key)));
                continue;
            };
            let fresh;
            let text = match restored.secret(&marker)? {
                Some(text) => text.expose_secret(),
                None if MAY_LACK.contains(&noun) => {
                    replacements.insert(marker.number, Replacement::Nothing);
                    if noun == "app-registration" {
                        restored.without.push(key.to_owned());
                    }
                    continue;
                }
                None => {
                    restored.unknown.push((noun.to_owned(), key.to_owned()));
                    fresh = SigningSecret::generate(random).reveal();
                    fresh.as_str()
                }
            };
            let place = Place { group: restored.group.as_str(), record, field };
            let sealed = self.vault.seal(place, marker.version, text).await;
            let sealed = sealed.map_err(ServiceError::internal("sealing an imported secret"))?;
            replacements.insert(marker.number, Replacement::Value(json!(sealed)));
        }
        put_back(noun, id, record, &replacements);
        Ok(())
    }
}
