//! A change of the catalog: durable first, visible then, whole or not at all.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::store::Batch;

/// A change being made. Only one exists at a time, so that what it read still holds when it is saved.
pub struct Edit {
    service: Arc<Service>,
    next: Catalog,
    batch: Batch,
    turn: OwnedMutexGuard<()>,
}

impl Service {
    /// Begins a change, after the one before it has ended.
    pub async fn edit(self: &Arc<Self>) -> Edit {
        let turn = self.editing.clone().lock_owned().await;
        Edit { service: self.clone(), next: Catalog::clone(&self.catalog.load()), batch: Batch::new(), turn }
    }
}

impl Edit {
    /// The catalog as it will be.
    pub fn catalog(&self) -> &Catalog {
        &self.next
    }

    /// Puts a record in, in place of an older version of it.
    pub fn put(&mut self, record: Record) {
        self.batch = std::mem::take(&mut self.batch).put(record.key(), record.encode());
        self.next.put(record);
    }

    /// Takes a record out.
    pub fn remove(&mut self, record: &Record) {
        self.batch = std::mem::take(&mut self.batch).delete(record.key());
        self.next.remove(record);
    }

    /// Puts something beside the catalog into the same commit.
    pub fn put_beside(&mut self, key: String, value: Vec<u8>) {
        self.batch = std::mem::take(&mut self.batch).put(key, value);
    }

    /// Commits, then lets everybody see it. It is finished even when the caller has gone away meanwhile.
    pub async fn save(self) -> Result<(), ServiceError> {
        let Self { service, next, batch, turn } = self;
        let saved = tokio::spawn(async move {
            service.store.commit(batch).await?;
            service.catalog.store(Arc::new(next));
            drop(turn);
            Ok::<_, crate::store::StoreError>(())
        });
        match saved.await {
            Ok(result) => result.map_err(ServiceError::internal("committing a change")),
            Err(panic) => Err(ServiceError::internal("committing a change")(panic)),
        }
    }
}
