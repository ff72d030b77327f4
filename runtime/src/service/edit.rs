//! A change of the catalog: durable first, visible then, whole or not at all. Each one is an entry of the audit log.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use crate::domain::audit::AuditChange;
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::audit::AuditHead;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::{Record, encode};
use crate::store::Batch;

/// A change being made. Only one exists at a time, so that what it read still holds when it is saved.
pub struct Edit {
    service: Arc<Service>,
    next: Catalog,
    batch: Batch,
    actor: Actor,
    action: Action,
    group: Option<GroupId>,
    changes: Vec<AuditChange>,
    turn: OwnedMutexGuard<AuditHead>,
}

impl Service {
    /// Begins a change in a group, after the one before it has ended, for somebody who may make it.
    pub async fn edit(self: &Arc<Self>, actor: &Actor, group: &GroupId, action: Action) -> Result<Edit, ServiceError> {
        let mut edit = self.edit_by(actor, action, Some(group.clone())).await;
        actor.authorise(&edit.next, group, action)?;
        edit.actor = actor.as_known(&edit.next)?;
        Ok(edit)
    }

    /// Begins a change of the server's own things, for somebody who may make it.
    pub async fn edit_server(self: &Arc<Self>, actor: &Actor, action: Action) -> Result<Edit, ServiceError> {
        let mut edit = self.edit_by(actor, action, None).await;
        edit.actor = actor.as_known(&edit.next)?;
        actor.authorise_server(&edit.next, action)?;
        Ok(edit)
    }

    /// Begins a change without asking who may make it: the use case has a rule of its own.
    pub(super) async fn edit_by(self: &Arc<Self>, actor: &Actor, action: Action, group: Option<GroupId>) -> Edit {
        let turn = self.editing.clone().lock_owned().await;
        Edit {
            service: self.clone(),
            next: Catalog::clone(&self.catalog.load()),
            batch: Batch::new(),
            actor: actor.clone(),
            action,
            group,
            changes: Vec::new(),
            turn,
        }
    }
}

impl Edit {
    /// Who makes it, as the catalog knows them.
    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The catalog as it will be.
    pub fn catalog(&self) -> &Catalog {
        &self.next
    }

    /// Puts a record in, in place of an older version of it.
    pub fn put(&mut self, record: Record) {
        self.batch = std::mem::take(&mut self.batch).put(record.key(), record.encode());
        let (name, after) = (record.name(), record.fields());
        let before = self.next.put(record).map(|before| before.fields());
        self.note(name, before, Some(after));
    }

    /// Takes a record out.
    pub fn remove(&mut self, record: &Record) {
        self.batch = std::mem::take(&mut self.batch).delete(record.key());
        self.next.remove(record);
        self.note(record.name(), Some(record.fields()), None);
    }

    /// Puts something beside the catalog into the same commit. The audit log does not show it.
    pub fn put_beside(&mut self, key: String, value: Vec<u8>) {
        self.batch = std::mem::take(&mut self.batch).put(key, value);
    }

    /// Takes out something beside the catalog, in the same commit. The audit log does not show it.
    pub fn remove_beside(&mut self, key: &str) {
        self.batch = std::mem::take(&mut self.batch).delete(key);
    }

    /// Names who makes the change, where that is known only after it began, as in a login.
    pub(super) fn set_actor(&mut self, actor: Actor) {
        self.actor = actor;
    }

    /// Puts a value that is no record of the catalog, and is not secret. The audit log shows it.
    pub(super) fn put_value(&mut self, (noun, id): (&str, &str), before: Value, after: Value) {
        self.batch = std::mem::take(&mut self.batch).put(format!("{noun}/{id}"), encode(&after));
        self.note((noun.to_owned(), id.to_owned()), Some(before), Some(after));
    }

    /// Shows in the audit log what became of something beside the catalog, by its key: facts about it, and nothing secret.
    pub(super) fn note_beside(&mut self, key: &str, before: Option<Value>, after: Option<Value>) {
        let noun = key.split('/').next().unwrap_or_default();
        let id = key.rsplit('/').next().unwrap_or_default();
        self.note((noun.to_owned(), id.to_owned()), before, after);
    }

    fn note(&mut self, (noun, id): (String, String), before: Option<Value>, after: Option<Value>) {
        self.changes.push(AuditChange::between(&noun, &id, before, after, &self.service.pepper));
    }

    /// Commits, then lets everybody see it. It is finished even when the caller has gone away meanwhile.
    pub async fn save(self) -> Result<(), ServiceError> {
        let Self { service, next, batch, actor, action, group, changes, turn } = self;
        let (batch, head) = service.note_in_audit(batch, &turn, &actor, action, group, changes);
        commit(service, next, batch, turn, head).await
    }

    /// [`Self::save`] without an entry of the audit log, for what nobody decided: a session that goes on or runs out.
    pub(super) async fn save_unaudited(self) -> Result<(), ServiceError> {
        let Self { service, next, batch, turn, .. } = self;
        let head = turn.clone();
        commit(service, next, batch, turn, head).await
    }
}

async fn commit(
    service: Arc<Service>,
    next: Catalog,
    batch: Batch,
    mut turn: OwnedMutexGuard<AuditHead>,
    head: AuditHead,
) -> Result<(), ServiceError> {
    let saved = tokio::spawn(async move {
        service.store.commit(batch).await?;
        service.catalog.store(Arc::new(next));
        service.scheduler.wake();
        service.poller.wake();
        *turn = head;
        Ok::<_, crate::store::StoreError>(())
    });
    match saved.await {
        Ok(result) => result.map_err(ServiceError::internal("committing a change")),
        Err(panic) => Err(ServiceError::internal("committing a change")(panic)),
    }
}
