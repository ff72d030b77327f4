//! Publishing: which version runs in which environment, and what ran there before.

use std::sync::Arc;

use crate::domain::flow::publication::{PublicationEntry, PublicationReason, version_before};
use crate::domain::flow::{Flow, FlowVersion, Publication};
use crate::domain::id::{Environment, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::flows::checks::NotPublishable;
use crate::service::flows::{entry_key, entry_prefix, find, version_key};
use crate::service::record::{Record, decode, encode};

/// Entries kept of an environment's history: months of many publications a day, and some 300 KB. The oldest goes.
const MAX_ENTRIES: u32 = 1000;
/// Entries answered at most in one page, and where nothing is said.
pub const MAX_ENTRIES_LISTED: usize = 500;
const LISTED: usize = 50;

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The flow, as it is now.
    pub flow: Arc<Flow>,
    /// Its history's newest entry.
    pub entry: PublicationEntry,
    /// Whether the version says which slots it opens, so that they could be checked.
    pub is_checked: bool,
}

impl Service {
    /// Publishes a version, the newest when none is named, in an environment: the next request there runs it, running ones end on the old one.
    pub async fn publish(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        version: Option<u32>,
        environment: Environment,
    ) -> Result<Published, ServiceError> {
        let found = self.flow_to_publish(actor, group, flow, Action::Publish, &environment)?;
        if version.is_none() && found.latest == 0 {
            return Err(ServiceError::Conflict(format!(
                "\"{0}\" has no version yet. Push one: headgate push PATH --flow {0}",
                found.name
            )));
        }
        let version = version.unwrap_or(found.latest);
        let reason = PublicationReason::Publish;
        self.publish_version(actor, found, version, environment, Action::Publish, reason).await
    }

    /// Publishes in one environment what is published in another.
    pub async fn promote(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        from: Environment,
        to: Environment,
    ) -> Result<Published, ServiceError> {
        let found = self.flow_to_publish(actor, group, flow, Action::Promote, &to)?;
        self.check_environment(group, &from)?;
        if from == to {
            return Err(ServiceError::Invalid(format!("{from} is both ends. Name two environments")));
        }
        let Some(publication) = found.published.get(&from) else {
            return Err(ServiceError::Conflict(format!(
                "Nothing of \"{0}\" is published in {from}. Publish a version there first: headgate publish {0} --env {from}",
                found.name
            )));
        };
        let version = publication.version;
        let reason = PublicationReason::Promote { from };
        self.publish_version(actor, found, version, to, Action::Promote, reason).await
    }

    /// Publishes again what was published in an environment before: the version wanted, or the one before the present one.
    pub async fn roll_back(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        environment: Environment,
        wanted: Option<u32>,
    ) -> Result<Published, ServiceError> {
        let found = self.flow_to_publish(actor, group, flow, Action::RollBack, &environment)?;
        let now = found.published.get(&environment).map(|publication| publication.version);
        let entries = self.history_of(&found, &environment, None, MAX_ENTRIES as usize)?;
        let Some(version) = version_before(&entries, now, wanted) else {
            let message = match wanted {
                Some(wanted) => format!(
                    "Version {wanted} of \"{0}\" was never published in {environment}. Publish it: headgate publish {0} --version {wanted} --env {environment}",
                    found.name
                ),
                None => format!(
                    "No other version of \"{0}\" was published in {environment} before. `headgate flows publications {0} --env {environment}` shows its history",
                    found.name
                ),
            };
            return Err(ServiceError::Conflict(message));
        };
        let reason = PublicationReason::Rollback;
        self.publish_version(actor, found, version, environment, Action::RollBack, reason).await
    }

    /// Publishes nothing any more in an environment: the next request there is refused, running ones end.
    pub async fn unpublish(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        environment: Environment,
    ) -> Result<Published, ServiceError> {
        self.flow_to_publish(actor, group, flow, Action::Unpublish, &environment)?;
        let mut edit = self.edit(actor, group, Action::Unpublish).await?;
        let mut flow = Flow::clone(&*find(edit.catalog(), group, flow)?);
        let Some(old) = flow.published.remove(&environment) else {
            return Err(ServiceError::Conflict(format!("Nothing of \"{}\" is published in {environment}", flow.name)));
        };
        let entry = self.enter(&mut edit, &mut flow, environment, Some(&old), PublicationReason::Unpublish);
        let flow = Arc::new(flow);
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        self.settle_on_shelf([old.digest]);
        Ok(Published { flow, entry, is_checked: false })
    }

    /// What was published in an environment, newest first: the entries before one, the newest when none is named.
    pub fn list_publications(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        environment: &Environment,
        before: Option<u32>,
        limit: Option<usize>,
    ) -> Result<Vec<PublicationEntry>, ServiceError> {
        let flow = self.get_flow(actor, group, flow)?;
        self.check_environment(group, environment)?;
        self.history_of(&flow, environment, before, limit.unwrap_or(LISTED).clamp(1, MAX_ENTRIES_LISTED))
    }

    fn flow_to_publish(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        action: Action,
        environment: &Environment,
    ) -> Result<Arc<Flow>, ServiceError> {
        let found = self.flow_for(actor, group, flow, action)?;
        self.check_environment(group, environment)?;
        actor.authorise_environment(environment)?;
        Ok(found)
    }

    async fn publish_version(
        self: &Arc<Self>,
        actor: &Actor,
        found: Arc<Flow>,
        version: u32,
        environment: Environment,
        action: Action,
        reason: PublicationReason,
    ) -> Result<Published, ServiceError> {
        let version = self.find_version(&found, version)?;
        let manifest = self.manifest_of(&found, &version).await?;
        // Made ready before anybody sees it, so that no request waits for it.
        let ready = self.flow_module(&version.digest).await?;
        let mut edit = self.edit(actor, &found.group, action).await?;
        let mut flow = Flow::clone(&*find(edit.catalog(), &found.group, found.id.as_str())?);
        let current = self.find_version(&flow, version.version)?;
        let is_stale = match &reason {
            PublicationReason::Promote { from } => flow.published.get(from) != found.published.get(from),
            PublicationReason::Rollback => flow.history.get(&environment) != found.history.get(&environment),
            // A draft that was replaced meanwhile.
            PublicationReason::Publish | PublicationReason::Unpublish => current.digest != version.digest,
        };
        if is_stale {
            return Err(ServiceError::Conflict(format!(
                "Somebody else published or pushed \"{}\" at the same time. Look at what is published now, and try again",
                flow.name
            )));
        }
        let missing = self.missing_for(edit.catalog(), &flow, &environment, &manifest)?;
        if !missing.is_empty() {
            let (flow, version) = (flow.name.to_string(), version.version);
            let not = NotPublishable { flow, version, environment, missing };
            return Err(ServiceError::NotPublishable(Box::new(not)));
        }
        let publication = Publication { version: version.version, digest: version.digest };
        let old = flow.published.insert(environment.clone(), publication);
        let entry = self.enter(&mut edit, &mut flow, environment, old.as_ref(), reason);
        if current.draft {
            edit.put_beside(version_key(&flow, version.version), encode(&FlowVersion { draft: false, ..current }));
        }
        let flow = Arc::new(flow);
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        self.shelve(version.digest, ready);
        self.settle_on_shelf(old.map(|old| old.digest));
        Ok(Published { flow, entry, is_checked: manifest.slots.is_some() })
    }

    /// Writes what is published now into the history.
    fn enter(
        &self,
        edit: &mut Edit,
        flow: &mut Flow,
        environment: Environment,
        old: Option<&Publication>,
        reason: PublicationReason,
    ) -> PublicationEntry {
        let newest = flow.history.entry(environment.clone()).or_default();
        *newest += 1;
        let number = *newest;
        let now = flow.published.get(&environment);
        let entry = PublicationEntry {
            number,
            version: now.map(|publication| publication.version),
            digest: now.map(|publication| publication.digest),
            replaced: old.map(|publication| publication.version),
            environment,
            reason,
            at: self.now(),
            by: edit.actor().for_audit(),
        };
        edit.put_beside(entry_key(flow, &entry.environment, number), encode(&entry));
        if let Some(oldest) = number.checked_sub(MAX_ENTRIES) {
            edit.remove_beside(&entry_key(flow, &entry.environment, oldest));
        }
        entry
    }

    fn history_of(
        &self,
        flow: &Flow,
        environment: &Environment,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<PublicationEntry>, ServiceError> {
        let newest = flow.history.get(environment).copied().unwrap_or_default();
        let end = before.unwrap_or(u32::MAX).min(newest + 1);
        let limit = limit.min(end.saturating_sub(1) as usize);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = entry_key(flow, environment, end - 1 - limit as u32);
        let records = self.store.scan(&entry_prefix(flow, environment), Some(&after), limit);
        let records = records.map_err(ServiceError::internal("reading what was published"))?;
        let entries: Result<Vec<PublicationEntry>, _> =
            records.iter().rev().map(|(_, record)| decode(&record.value)).collect();
        // Those before the page were asked for, those behind it may have come meanwhile.
        entries.map(|entries| entries.into_iter().filter(|entry| entry.number < end).collect())
    }
}
