//! Letting go of claims whose window is over, and of those whose trigger is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::id::{GroupId, TriggerId};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::idempotency::book::{Turn, size};
use crate::service::idempotency::kept::{Claim, ENDS, Place};
use crate::service::record::decode;
use crate::store::Batch;

/// How often claims are looked for whose window is over. What is over counts no more, deleted or not.
const EVERY: Duration = Duration::from_secs(60);
/// Claims deleted in one commit.
const PAGE: usize = 500;
/// The most pages at one go, so that other writers are not kept waiting.
const PAGES: usize = 100;

/// A claim that may go, as long as its turn is held.
struct Over {
    place: Place,
    end_key: String,
    size: u64,
    _turn: Turn,
}

impl Service {
    /// Lets go of what is over, again and again.
    pub(in crate::service) async fn keep_idempotency_short(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            if let Err(error) = self.prune_claims().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "old idempotency keys could not be deleted; it is tried again"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    async fn prune_claims(&self) -> Result<(), ServiceError> {
        let doing = "looking for old idempotency keys";
        let now = self.now().as_second();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let page = self.store.scan(ENDS, after.as_deref(), PAGE).map_err(ServiceError::internal(doing))?;
            let read = page.len();
            let mut over = Vec::new();
            for (end_key, record) in page {
                let Some((ends, place)) = Place::of_end_key(&end_key) else { continue };
                if ends >= now {
                    return self.forget(over).await;
                }
                // With the turn in hand nobody claims the key anew; and if somebody has, this record is gone.
                if let Ok(turn) = self.idempotency.turn(place.key())
                    && self.store.get(&end_key).map_err(ServiceError::internal(doing))?.is_some()
                {
                    over.push(Over { place, end_key: end_key.clone(), size: size(&record.value), _turn: turn });
                }
                after = Some(end_key);
            }
            self.forget(over).await?;
            if read < PAGE {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of what was kept for a trigger that is gone. What is left when the server ends here goes when it is over.
    pub(in crate::service) async fn forget_trigger(self: Arc<Self>, group: GroupId, trigger: TriggerId) {
        if let Err(error) = self.forget_claims_of(&group, &trigger).await {
            tracing::error!(%group, %trigger, error = &error as &dyn std::error::Error, "idempotency keys of a deleted trigger could not be deleted; they go when their window is over");
        }
    }

    async fn forget_claims_of(&self, group: &GroupId, trigger: &TriggerId) -> Result<(), ServiceError> {
        let doing = "forgetting the idempotency keys of a trigger";
        let prefix = Place::prefix(group, trigger);
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE / 10).map_err(ServiceError::internal(doing))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut over = Vec::new();
            for (key, record) in page {
                let claim: Claim = decode(&record.value)?;
                let place = Place::at(group, trigger, &key[prefix.len()..]);
                if let Ok(turn) = self.idempotency.turn(key) {
                    let (end_key, size) = (place.end_key(claim.ends), record.value.len() as u64);
                    over.push(Over { place, end_key, size, _turn: turn });
                }
            }
            self.forget(over).await?;
        }
    }

    async fn forget(&self, over: Vec<Over>) -> Result<(), ServiceError> {
        if over.is_empty() {
            return Ok(());
        }
        let batch =
            over.iter().fold(Batch::new(), |batch, over| batch.delete(over.place.key()).delete(over.end_key.clone()));
        self.store.commit(batch).await.map_err(ServiceError::internal("deleting old idempotency keys"))?;
        for Over { place, size, .. } in &over {
            self.idempotency.free(&place.group, 1, *size);
        }
        Ok(())
    }
}
