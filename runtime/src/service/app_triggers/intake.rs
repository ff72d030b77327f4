//! What a poll brought becomes runs.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::{Polled, PolledRecord};

use crate::domain::app_trigger::{AppTrigger, PollState, fingerprint};
use crate::domain::trigger::Respond;
use crate::service::Service;
use crate::service::app_triggers::poll::{Failed, Page, keep, shown};
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing, published};
use crate::service::queue::{Accepted, MAX_QUEUED_BODY};
use crate::store::Sequence;
use crate::wasm::Event;

/// Bodies that become durable in one commit, in bytes: they lie in it twice, and a commit has to stay below 32 MiB.
const MAX_AT_ONCE: usize = 8 << 20;
/// The header that tells a flow which record it runs for.
const RECORD_ID: &str = "x-headgate-record-id";

/// What of an answer was taken in.
#[derive(Default)]
struct Taken {
    accepted: Vec<Accepted>,
    repeated: u64,
    /// Why not all of it was.
    stopped: Option<Result<Page, Failed>>,
}

impl Service {
    /// Makes the runs of an answer durable, with the cursor behind it, in one commit. Where not all of them find a place,
    /// those that do are remembered with the old cursor, and the answer is asked for again.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        trigger: &Arc<AppTrigger>,
        before: PollState,
        version: Option<Sequence>,
        answer: Polled,
    ) -> Result<Page, Failed> {
        let mut state = before.clone();
        let mut known = state.known();
        let mut taken = Taken::default();
        if before.begun {
            self.accept_records(trigger, &mut state, &mut known, &answer.records, &mut taken)?;
        } else {
            // What there was before the trigger is not new, not even when the app tells it again.
            for record in &answer.records {
                state.see(&mut known, &record.id);
            }
            state.begun = !answer.more;
        }
        if taken.stopped.is_none() {
            // Asked at once, it would say the same for ever.
            if answer.more && before.cursor.as_ref() == Some(&answer.cursor) && state.seen == before.seen {
                let message = "the connector says that there is more, but answers the cursor that it was asked with and no new record. Mend it: it has to move its cursor on, or to say that there is no more";
                return Err(Failed::fault("no_progress", message));
            }
            state.cursor = Some(answer.cursor);
            state.repeated += taken.repeated;
            (state.failures, state.last_error) = (0, None);
        }
        if state != before {
            state.last_answer = Some(self.now());
            self.enqueue_beside(taken.accepted, keep(trigger, &state, version)).await?;
        }
        // A trigger that begins anew has no failures, and may have had an alert.
        let has_begun = before.cursor.is_none() && state.cursor.is_some();
        if has_begun || state.failures != before.failures {
            self.tend_app_trigger_alert(trigger, &state).await;
        }
        match taken.stopped {
            Some(Err(failed)) => Err(failed),
            Some(Ok(page)) => Ok(page),
            None if answer.more => Ok(Page::More),
            None => Ok(Page::Last),
        }
    }

    fn accept_records(
        &self,
        trigger: &AppTrigger,
        state: &mut PollState,
        known: &mut HashSet<String>,
        records: &[PolledRecord],
        taken: &mut Taken,
    ) -> Result<(), Failed> {
        let mut bytes = 0;
        for record in records {
            if known.contains(&fingerprint(&record.id)) {
                taken.repeated += 1;
                continue;
            }
            let body = record.data.to_string();
            if body.len() as u64 > MAX_QUEUED_BODY {
                state.see(known, &record.id);
                state.left_out += 1;
                continue;
            }
            bytes += body.len();
            if bytes > MAX_AT_ONCE && !taken.accepted.is_empty() {
                taken.stopped = Some(Ok(Page::More));
                break;
            }
            if !self.is_half_of_queue_free() {
                // Records can wait at their app; those who call cannot.
                taken.stopped = Some(Ok(Page::NoPlace));
                break;
            }
            match self.record_firing(trigger, &record.id, body).and_then(|firing| self.accept(firing)) {
                Ok(run) => {
                    state.see(known, &record.id);
                    state.records += 1;
                    state.last_run = Some(run.id());
                    taken.accepted.push(run);
                }
                Err(ServiceError::Overloaded { .. }) => {
                    taken.stopped = Some(Ok(Page::NoPlace));
                    break;
                }
                Err(error @ ServiceError::Internal { .. }) => return Err(error.into()),
                // The flow cannot be run: its records wait at the app.
                Err(error) => {
                    taken.stopped = Some(Err(Failed::fault("flow_cannot_run", error.to_string())));
                    break;
                }
            }
        }
        Ok(())
    }

    fn record_firing(&self, trigger: &AppTrigger, record: &str, body: String) -> Result<Firing, ServiceError> {
        let catalog = self.catalog();
        let flow = catalog.flows.get(&trigger.flow).ok_or(ServiceError::NotFound { what: "Flow" })?;
        Ok(Firing {
            publication: published(flow, &trigger.environment)?.clone(),
            environment: trigger.environment.clone(),
            trigger: trigger.id.clone(),
            caller: Caller::AppTrigger(trigger.id.clone()),
            respond: Respond::Async,
            timeout: self.settings.timeout(flow.execute.settings.timeout_ms),
            event: Event {
                trigger: trigger.id.to_string(),
                method: "POST".to_owned(),
                path: "/".to_owned(),
                params: Vec::new(),
                query: Vec::new(),
                headers: vec![
                    ("content-type".to_owned(), "application/json".to_owned()),
                    (RECORD_ID.to_owned(), shown(record.to_owned())),
                ],
                body: Bytes::from(body),
            },
            flow: flow.clone(),
        })
    }
}
