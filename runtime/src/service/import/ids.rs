//! Which ids of an archive are taken on this server, and what is put in their place.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::api_key_id;
use crate::domain::archive::{Contents, each_text, is_random_id};
use crate::domain::id::GroupId;
use crate::domain::secret::random_text;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::export::{KINDS, Kind, kind};
use crate::service::record::decode;
use crate::service::vault::random;

/// Records read at a time.
const PAGE: usize = 500;
/// Letters and digits of a new id behind its prefix.
const RANDOM: usize = 20;
/// Those of an API key's id.
const KEY_RANDOM: usize = 12;

/// What is put in the place of ids.
pub(super) struct Renaming {
    /// New ids by old ones.
    pub(super) ids: HashMap<String, String>,
    /// Tokens that are of no use, by the old id of their connection: they were given to another OAuth client.
    pub(super) useless_tokens: BTreeSet<String>,
}

impl Service {
    /// Ids stay where they are free. An id may stand in any record, so those of an archive are looked for in all.
    pub(super) fn renaming(
        &self,
        catalog: &Catalog,
        group: &GroupId,
        contents: &Contents,
    ) -> Result<Renaming, ServiceError> {
        let mut ids = HashMap::new();
        let mut useless_tokens = BTreeSet::new();
        for theirs in &contents.server_registrations {
            let mut servers = catalog.app_registrations.values();
            let ours = servers.find(|ours| ours.group.is_none() && ours.connector == theirs.connector).ok_or_else(|| {
                ServiceError::Conflict(format!(
                    "Connections of the archive use the server's OAuth app for {0}, and this server has none. Register it first (headgate app-registrations create --server --connector {0}), then import again",
                    theirs.connector
                ))
            })?;
            if ours.client_id != theirs.client_id {
                let users = contents.entries.iter().filter(|entry| entry.kind == "connection");
                let users = users.filter(|entry| entry.record["oauth"]["registration"] == theirs.id.as_str());
                useless_tokens.extend(users.map(|entry| entry.key.clone()));
            }
            ids.insert(theirs.id.to_string(), ours.id.to_string());
        }
        let mut theirs = HashSet::new();
        for entry in &contents.entries {
            each_text(&entry.record, &mut |text| {
                // People are of a server: nobody here is who they were there.
                if is_random_id(text) && !text.starts_with("usr_") && !ids.contains_key(text) {
                    theirs.insert(text.to_owned());
                }
            });
            if entry.kind == "api-key" && api_key_id(&entry.key).is_some_and(|id| catalog.api_keys.contains_key(&id)) {
                ids.insert(entry.key.clone(), random_text(KEY_RANDOM, random));
            }
        }
        for id in self.taken(group, &theirs)? {
            let prefix = id.split('_').next().unwrap_or_default();
            ids.insert(id.clone(), format!("{prefix}_{}", random_text(RANDOM, random)));
        }
        Ok(Renaming { ids, useless_tokens })
    }

    /// Those of these ids that stand in records of other groups.
    fn taken(&self, group: &GroupId, ids: &HashSet<String>) -> Result<HashSet<String>, ServiceError> {
        let doing = "looking for ids that are taken";
        let mut taken = HashSet::new();
        // Keys were looked up, and there may be a million of them.
        for (noun, _) in KINDS.iter().filter(|(noun, _)| kind(noun) == Some(Kind::Catalog) && *noun != "api-key") {
            let (prefix, own) = (format!("{noun}/"), format!("{noun}/{group}/"));
            let mut after: Option<String> = None;
            loop {
                let page = self.store.scan(&prefix, after.as_deref(), PAGE).map_err(ServiceError::internal(doing))?;
                for (_, record) in page.iter().filter(|(key, _)| !key.starts_with(&own)) {
                    each_text(&decode::<Value>(&record.value)?, &mut |text| {
                        if let Some(id) = ids.get(text) {
                            taken.insert(id.clone());
                        }
                    });
                }
                match page.into_iter().last() {
                    Some((key, _)) => after = Some(key),
                    None => break,
                }
            }
        }
        Ok(taken)
    }
}
