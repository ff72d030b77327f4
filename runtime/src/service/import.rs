//! Importing a group from an archive: modules first, then one commit with all records, so that it is there whole or
//! not at all.

mod check;
mod ids;
mod left;
mod restore;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::api_key::{ApiKey, KeySlot, PlainApiKey};
use crate::domain::archive::{Archive, Contents, Entry, MemberNote, rename};
use crate::domain::group::HostName;
use crate::domain::id::{ApiKeyId, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::trigger::RoutingKey;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::export::{KINDS, Kind, Sealing, check_bounds, kind};
use crate::service::record::{Record, encode};
use crate::service::vault::random;
use ids::Renaming;
use restore::Restored;

pub use left::LeftToDo;

/// How an archive is to be imported.
#[derive(Default)]
pub struct ImportOptions {
    /// The group's name here; the one it had when absent.
    pub name: Option<GroupId>,
    /// What the secrets are sealed with.
    pub passphrase: Option<SecretString>,
    /// Leaves the secrets of the archive sealed, as if it had none.
    pub without_secrets: bool,
    /// Whether the API keys get new values at once.
    pub new_keys: bool,
}

/// What an import made.
pub struct Imported {
    /// The group.
    pub group: GroupId,
    /// How many records of each kind.
    pub records: BTreeMap<String, u64>,
    /// How many modules.
    pub modules: usize,
    /// Whether the secrets came along.
    pub with_secrets: bool,
    /// Ids that were taken here, and what they were replaced by.
    pub renamed: BTreeMap<String, String>,
    /// The triggers with a routing key.
    pub triggers: Vec<ImportedTrigger>,
    /// Keys with a new value, which is answered here and never again.
    pub keys: Vec<(Name, PlainApiKey)>,
    /// What is left to do.
    pub left: Vec<LeftToDo>,
    /// Who belonged to the group where it was exported.
    pub members: Vec<MemberNote>,
}

/// A trigger with a routing key, as it was imported.
pub struct ImportedTrigger {
    /// Its id.
    pub id: String,
    /// Its id before.
    pub old_id: String,
    /// Its flow's name.
    pub flow: Name,
    /// What it is for.
    pub description: String,
    /// Its routing key.
    pub routing_key: RoutingKey,
    /// Whether that is the one it had.
    pub kept: bool,
}

/// What is imported, read and checked, before anything is written.
struct Plan {
    group: GroupId,
    contents: Contents,
    secrets: Option<Vec<SecretString>>,
    modules: Vec<Bytes>,
    new_keys: bool,
}

impl Service {
    /// Lets somebody begin an import, before their archive is read: one archive at a time is in memory.
    pub async fn begin_import(&self, actor: &Actor) -> Result<OwnedSemaphorePermit, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ImportGroup)?;
        self.archive_turn().await
    }

    /// Makes a group of an archive, or fills one that has nothing but members.
    pub async fn import_group(
        self: &Arc<Self>,
        actor: &Actor,
        archive: Bytes,
        options: ImportOptions,
    ) -> Result<Imported, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ImportGroup)?;
        self.check_archive_size(archive.len() as u64)?;
        let mut plan = self.plan(archive, options).await?;
        self.check_is_free(&self.catalog(), &plan.group)?;
        self.check_modules(&mut plan).await?;
        for module in &plan.modules {
            self.modules.put(module.clone()).await.map_err(ServiceError::internal("keeping a module"))?;
        }
        let mut edit = self.edit_by(actor, Action::ImportGroup, Some(plan.group.clone())).await;
        actor.authorise_server(edit.catalog(), Action::ImportGroup)?;
        let known = actor.as_known(edit.catalog())?;
        edit.set_actor(known);
        self.check_is_free(edit.catalog(), &plan.group)?;
        let imported = self.put_all(&mut edit, plan).await?;
        edit.save().await?;
        self.load_published().await?;
        self.tidy_shelf();
        Ok(imported)
    }

    /// Checks that a group does not exist, or has nothing but members, whatever kinds of records there are.
    fn check_is_free(&self, catalog: &Catalog, group: &GroupId) -> Result<(), ServiceError> {
        if !catalog.groups.contains_key(group) {
            return Ok(());
        }
        let comes_along = |noun: &str| !matches!(kind(noun), Some(Kind::LeftOut(_)) | None);
        for (noun, _) in KINDS.iter().filter(|(noun, _)| comes_along(noun)) {
            let found = self.store.scan(&format!("{noun}/{group}/"), None, 1);
            if !found.map_err(ServiceError::internal("looking into a group"))?.is_empty() {
                let message = format!(
                    "The group \"{group}\" exists already and is not empty. Import under another name (--as NAME)"
                );
                return Err(ServiceError::Conflict(message));
            }
        }
        Ok(())
    }

    /// Reads an archive, and opens its secrets.
    async fn plan(&self, bytes: Bytes, options: ImportOptions) -> Result<Plan, ServiceError> {
        let archive = Archive::read(&bytes).map_err(|error| ServiceError::Invalid(error.to_string()))?;
        let refused = |error: serde_json::Error| {
            ServiceError::Invalid(format!("The archive's records cannot be read: {error}. Import it on a newer server"))
        };
        let mut contents: Contents = serde_json::from_slice(&archive.records).map_err(refused)?;
        check_bounds(&contents, archive.records.len())?;
        check_kinds(&contents)?;
        let secrets = match (&archive.header.secrets, options.passphrase) {
            _ if options.without_secrets => None,
            (None, _) => None,
            (Some(_), None) => {
                let message = "The archive's secrets are sealed. Give the passphrase, or import without the secrets";
                return Err(ServiceError::Invalid(message.to_owned()));
            }
            (Some(part), Some(passphrase)) => {
                let sealing = Sealing::of(part.clone(), passphrase).await?;
                let sealed = archive.secrets.as_deref().unwrap_or_default();
                let opened = sealing.open(&archive.header_line, sealed)?;
                let texts: Vec<String> = serde_json::from_slice(&opened).map_err(refused)?;
                Some(texts.into_iter().map(SecretString::from).collect())
            }
        };
        if secrets.is_none() {
            contents.entries.retain(|entry| kind(&entry.kind) != Some(Kind::Token));
        }
        let group = options.name.unwrap_or(archive.header.group);
        let modules = archive.modules.into_iter().map(|(_, bytes)| bytes).collect();
        Ok(Plan { group, contents, secrets, modules, new_keys: options.new_keys })
    }

    /// Puts all records into a change.
    async fn put_all(&self, edit: &mut Edit, plan: Plan) -> Result<Imported, ServiceError> {
        let Plan { group, mut contents, secrets, modules, new_keys } = plan;
        let Renaming { ids, useless_tokens } = self.renaming(edit.catalog(), &group, &contents)?;
        let mut restored = Restored::new(group.clone(), secrets);
        let mut imported = Imported {
            records: BTreeMap::new(),
            modules: modules.len(),
            with_secrets: restored.has_secrets(),
            renamed: BTreeMap::new(),
            triggers: Vec::new(),
            keys: Vec::new(),
            left: Vec::new(),
            members: std::mem::take(&mut contents.members),
            group,
        };
        let mut tokens = BTreeSet::new();
        let mut versions = Vec::new();
        contents.entries.sort_by_key(|entry| KINDS.iter().position(|(noun, _)| *noun == entry.kind));
        for Entry { kind: noun, key, mut record } in contents.entries {
            let old_key = key.clone();
            let key = renamed_key(&key, &ids);
            if kind(&noun) == Some(Kind::Token) {
                if useless_tokens.contains(&old_key) {
                    continue;
                }
                tokens.insert(key.clone());
            }
            rename(&mut record, &ids);
            place_in(&imported.group, &noun, &mut record);
            self.begin_anew(&noun, &mut record);
            let host = record.get("host").and_then(Value::as_str).filter(|_| noun == "group");
            // What is no host name is refused with the record.
            if let Some(Ok(host)) = host.map(str::parse::<HostName>)
                && self.check_host(edit.catalog(), &imported.group, Some(&host)).is_err()
            {
                imported.left.push(left::host_is_taken(&imported.group, &host));
                record["host"] = Value::Null;
            }
            self.restore_secrets(edit.catalog(), &noun, &key, &mut record, &mut restored).await?;
            *imported.records.entry(noun.clone()).or_default() += 1;
            let place = if key.is_empty() {
                format!("{noun}/{}", imported.group)
            } else {
                format!("{noun}/{}/{key}", imported.group)
            };
            if kind(&noun) == Some(Kind::Catalog) {
                let record = Record::decode(&place, &encode(&record)).map_err(|error| unreadable(&place, &error))?;
                if record.key() != place {
                    return Err(ServiceError::Invalid(format!(
                        "The archive's record {place} belongs to {}. Export anew",
                        record.key()
                    )));
                }
                edit.put(self.made_usable(record, new_keys, &mut imported)?);
            } else {
                if noun == "flow-version" {
                    versions.push(record.clone());
                }
                edit.put_beside(place, encode(&record));
            }
        }
        check::references(edit.catalog(), &imported.group, versions)?;
        imported.triggers = restored.triggers(edit.catalog(), &ids);
        imported.left.extend(left::to_do(edit.catalog(), &imported.group, &tokens, &restored));
        imported.renamed = ids.into_iter().filter(|(old, new)| old != new).collect();
        Ok(imported)
    }

    /// What goes by the time begins now: nothing is made up for that the other server did, or still does.
    fn begin_anew(&self, noun: &str, record: &mut Value) {
        if let ("schedule" | "app-trigger", Some(starts)) = (noun, record.get_mut("starts")) {
            *starts = json!(self.now());
        }
    }

    /// Makes of a record what it can be here.
    fn made_usable(&self, record: Record, new_keys: bool, imported: &mut Imported) -> Result<Record, ServiceError> {
        Ok(match record {
            Record::ApiKey(key) => Record::ApiKey(self.with_values(key, new_keys, imported)),
            Record::Connection(mut connection) => {
                // Where requests may go follows from what is pinned: another list would show one thing and allow another.
                let filled = connection.pins.base_urls(&connection.config);
                let told = |error| format!("The connection {} cannot be imported: {error}", connection.name);
                let filled = filled.map_err(|error| ServiceError::Invalid(told(error)))?;
                Arc::make_mut(&mut connection).base_urls = filled;
                Record::Connection(connection)
            }
            // The other server may still do their work: a person says when this one takes over.
            Record::Schedule(mut schedule) if schedule.enabled => {
                imported.left.push(left::schedule_waits(&imported.group, &schedule));
                Arc::make_mut(&mut schedule).enabled = false;
                Record::Schedule(schedule)
            }
            Record::AppTrigger(mut trigger) if trigger.enabled => {
                imported.left.push(left::app_trigger_waits(&imported.group, &trigger));
                Arc::make_mut(&mut trigger).enabled = false;
                Record::AppTrigger(trigger)
            }
            record => record,
        })
    }

    /// API keys have no value that is known here: they get a new one, or are disabled until they do.
    fn with_values(&self, mut key: Arc<ApiKey>, new_keys: bool, imported: &mut Imported) -> Arc<ApiKey> {
        if key.revoked.is_none() {
            let changed = Arc::make_mut(&mut key);
            changed.secrets = Box::default();
            if new_keys {
                let plain = PlainApiKey::generate_for(changed.id, &changed.environment, random);
                changed.regenerate(KeySlot::Primary, plain.hash(&self.pepper), self.now());
                imported.keys.push((changed.name.clone(), plain));
            } else {
                changed.disabled = true;
            }
        }
        key
    }
}

fn unreadable(place: &str, error: &ServiceError) -> ServiceError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    ServiceError::Invalid(format!("The archive's record {place} cannot be read: {reason}. Import it on a newer server"))
}

/// Says in a record whose it is now.
fn place_in(group: &GroupId, noun: &str, record: &mut Value) {
    let field = if noun == "group" { "id" } else { "group" };
    if let Some(owner) = record.get_mut(field).filter(|owner| owner.is_string()) {
        *owner = json!(group);
    }
}

fn renamed_key(key: &str, ids: &HashMap<String, String>) -> String {
    let parts = key.split('/').map(|part| ids.get(part).map_or(part, String::as_str));
    parts.collect::<Vec<_>>().join("/")
}

/// Checks that this server knows all kinds of records in an archive, and that the group is among them, once.
fn check_kinds(contents: &Contents) -> Result<(), ServiceError> {
    for entry in &contents.entries {
        if !matches!(kind(&entry.kind), Some(Kind::Catalog | Kind::Beside | Kind::Token)) {
            let message = format!(
                "The archive holds a \"{}\", which this server does not know. Import it on a newer server",
                entry.kind
            );
            return Err(ServiceError::Invalid(message));
        }
    }
    let groups = contents.entries.iter().filter(|entry| entry.kind == "group");
    match groups.map(|entry| entry.key.is_empty()).collect::<Vec<_>>()[..] {
        [true] => Ok(()),
        _ => Err(ServiceError::Invalid("The archive holds no group, or several. Export anew".to_owned())),
    }
}

/// A key's id, where a text is one.
fn api_key_id(text: &str) -> Option<ApiKeyId> {
    text.parse().ok()
}
