//! Idempotency: a request that comes again is answered again, and run once.
//!
//! A key is claimed in the store before its run begins, and the answer is kept with the claim before the caller gets it.
//! For a queued run both are one commit with the run itself. Where the server ends between claim and answer, nobody can
//! say what the run did, and that is what the sender is told.

mod book;
mod kept;
mod prune;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::domain::api_key::ApiKey;
use crate::domain::idempotency::Idempotency;
use crate::domain::trigger::Respond;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::executor::Firing;
use crate::service::hooks::{Answer, Fired};
use crate::service::idempotency::book::{Turn, size};
use crate::service::idempotency::kept::{Claim, Kept, Place, print};
use crate::service::record::{decode, encode};
use crate::store::{Batch, Sequence};
use crate::wasm::Response;

pub(in crate::service) use book::IdempotencyBook;

/// What senders are told to wait when their first request still runs, or a group has no room for more keys.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A request's idempotency key was used before, and there is no answer to give again.
#[derive(Debug, Error)]
pub enum IdempotencyError {
    /// It came with another request.
    #[error(
        "This idempotency key was used before, with another request. Send the same body, query and path when you try again, and a new key for a new event"
    )]
    OtherRequest,
    /// The first request with it still runs.
    #[error(
        "The first request with this idempotency key is still running. It is not run a second time; try again in {} s for its answer", .retry_after.as_secs()
    )]
    InProgress {
        /// When to try again.
        retry_after: Duration,
    },
    /// The server ended, or failed, in the middle of its run.
    #[error(
        "The run {run} of this idempotency key was interrupted by a failure of the server, and what it did cannot be told. It is not run a second time. Look at what it may have done; to run it again, send a new key"
    )]
    Unknown {
        /// Which run.
        run: Uuid,
    },
}

/// A claim that was found, and the commit that wrote it.
struct Known {
    claim: Claim,
    version: Sequence,
    size: u64,
}

impl Service {
    /// Fires a trigger at most once for each idempotency key.
    pub(super) async fn fire_once(
        self: &Arc<Self>,
        rule: &Idempotency,
        key: &ApiKey,
        firing: Firing,
    ) -> Result<Fired, ServiceError> {
        let Some(text) = rule.key_of(&firing.event.headers, &firing.event.body)? else {
            return self.fire_now(firing).await;
        };
        let place = Place::of(&firing.flow.group, &firing.trigger, &key.id, &text);
        let fingerprint = print(&rule.source, &firing.event);
        let deadline = Instant::now() + firing.timeout;
        let turn = loop {
            let mut running = match self.idempotency.turn(place.key()) {
                Ok(turn) => break turn,
                Err(running) => running,
            };
            // It ends without a word: whoever has the turn drops it.
            if timeout_at(deadline, running.changed()).await.is_err() {
                return Err(IdempotencyError::InProgress { retry_after: RETRY_AFTER }.into());
            }
            if let Some(known) = self.known_claim(&place)?.filter(|known| known.claim.answer.is_some()) {
                return replay(known.claim, &fingerprint);
            }
        };
        let ends = self.now().checked_add(SignedDuration::from_secs(rule.window.try_into().unwrap_or(i64::MAX)));
        let claim = Claim::new(Uuid::now_v7(), fingerprint, ends.unwrap_or(Timestamp::MAX));
        let service = self.clone();
        // From here on it is ours: a caller who goes away does not leave a claim without its answer.
        let task = self.runs.spawn(async move { service.fire_in_turn(turn, place, claim, firing).await });
        task.await.map_err(ServiceError::internal("firing a trigger once"))?
    }

    async fn fire_in_turn(
        self: &Arc<Self>,
        turn: Turn,
        place: Place,
        claim: Claim,
        firing: Firing,
    ) -> Result<Fired, ServiceError> {
        let known = match self.known_claim(&place)? {
            Some(known) if known.claim.ends > self.now() => return replay(known.claim, &claim.fingerprint),
            known => known,
        };
        let room = self.idempotency.room(&place.group);
        if known.is_none() && room.keys >= self.settings.idempotency_keys {
            let what = "The group holds as many idempotency keys as it may (service.idempotency_keys)";
            return Err(ServiceError::Overloaded { what, retry_after: RETRY_AFTER });
        }
        let batch = match &known {
            None => Batch::new().require_absent(place.key()),
            Some(old) => Batch::new().require_version(place.key(), old.version).delete(place.end_key(old.claim.ends)),
        };
        self.idempotency.add(&place.group, 1, 0);
        let respond = firing.respond;
        let fired = match respond {
            Respond::Sync => self.claim_and_run(&place, claim, batch, firing).await,
            Respond::Async => self.claim_and_queue(&place, claim, batch, firing).await,
        };
        // What was queued in vain left everything as it was.
        if let Some(old) = known.filter(|_| fired.is_ok() || respond == Respond::Sync) {
            self.idempotency.free(&place.group, 1, old.size);
        }
        if fired.is_err() {
            self.idempotency.free(&place.group, 1, 0);
        }
        drop(turn);
        fired
    }

    /// The claim and the queued run become durable together.
    async fn claim_and_queue(
        self: &Arc<Self>,
        place: &Place,
        mut claim: Claim,
        batch: Batch,
        firing: Firing,
    ) -> Result<Fired, ServiceError> {
        claim.answer = Some(Kept::Accepted);
        let (batch, bytes) = put(batch, place, &claim);
        let run = self.enqueue_as(claim.run, firing, batch).await?;
        self.idempotency.add(&place.group, 0, bytes);
        Ok(Fired::first(Ok(Answer::Accepted { run })))
    }

    /// Claims the key, runs, and keeps the answer. An error means that nothing was run and the key is free again.
    async fn claim_and_run(
        self: &Arc<Self>,
        place: &Place,
        mut claim: Claim,
        batch: Batch,
        firing: Firing,
    ) -> Result<Fired, ServiceError> {
        let (batch, bytes) = put(batch, place, &claim);
        self.store.commit(batch).await.map_err(ServiceError::internal("claiming an idempotency key"))?;
        let run = claim.run;
        let outcome = match self.run_as(run, firing).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let free = Batch::new().delete(place.key()).delete(place.end_key(claim.ends));
                self.store.commit(free).await.map_err(ServiceError::internal("freeing an idempotency key"))?;
                return Err(error);
            }
        };
        self.idempotency.add(&place.group, 0, bytes);
        claim.answer = Kept::of(&outcome);
        if claim.answer.is_some() {
            self.keep_answer(place, claim, bytes, &outcome).await;
        }
        Ok(Fired::first(outcome.map(|response| Answer::Response { run, response })))
    }

    /// Keeps a run's answer with its claim. Where that fails the caller is answered all the same, and whoever comes again
    /// is told that the answer is not known.
    async fn keep_answer(
        &self,
        place: &Place,
        mut claim: Claim,
        before: u64,
        outcome: &Result<Response, ServiceError>,
    ) {
        // The trigger may have been deleted meanwhile, and its claims with it.
        let held = || Batch::new().require_present(place.key());
        let (mut batch, mut bytes) = put(held(), place, &claim);
        if let Ok(response) = outcome
            && self.idempotency.room(&place.group).bytes + bytes > self.settings.idempotency_bytes
        {
            claim.answer = Some(Kept::large(response));
            (batch, bytes) = put(held(), place, &claim);
        }
        match self.store.commit(batch).await {
            Ok(_) => self.idempotency.add(&place.group, 0, bytes.saturating_sub(before)),
            Err(error) => {
                tracing::error!(run = %claim.run, group = %place.group, error = &error as &dyn std::error::Error, "the answer to a request with an idempotency key could not be kept");
            }
        }
    }

    fn known_claim(&self, place: &Place) -> Result<Option<Known>, ServiceError> {
        let record = self.store.get(&place.key()).map_err(ServiceError::internal("reading an idempotency key"))?;
        let Some(record) = record else { return Ok(None) };
        let claim: Claim = decode(&record.value)?;
        let end = self.store.get(&place.end_key(claim.ends));
        let end = end.map_err(ServiceError::internal("reading an idempotency key"))?;
        let size = end.map_or(0, |end| size(&end.value));
        Ok(Some(Known { claim, version: record.version, size }))
    }
}

/// Puts a claim into a batch, and the record by which its end is found; answers what it takes, in bytes.
fn put(batch: Batch, place: &Place, claim: &Claim) -> (Batch, u64) {
    let value = encode(claim);
    let bytes = value.len() as u64;
    (batch.put(place.key(), value).put(place.end_key(claim.ends), bytes.to_string()), bytes)
}

fn replay(claim: Claim, fingerprint: &str) -> Result<Fired, ServiceError> {
    Ok(Fired { replayed: true, outcome: claim.replay(fingerprint)? })
}
