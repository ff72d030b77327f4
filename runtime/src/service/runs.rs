//! Reading runs: those that are queued or running from the store, the others from the history.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::domain::flow::{Flow, Publication};
use crate::domain::id::{Environment, FlowId, GroupId};
use crate::domain::permission::{Action, Denial, Scope};
use crate::domain::run::Run;
use crate::domain::trigger::Respond;
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing};
use crate::service::queue::{QueuedRun, queue_prefix};
use crate::service::record::decode;
use crate::store::{ListRuns, PruneRuns};
use crate::wasm::Event;

/// Runs listed at most.
pub const MAX_LISTED: usize = 500;
/// Pages of the history read at most for one answer, where most runs are none that the caller sees.
const MAX_PAGES: usize = 20;

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this flow only, by id or name.
    pub flow: Option<String>,
    /// Older than this run only: the next page.
    pub before: Option<Uuid>,
    /// At most this many.
    pub limit: usize,
}

/// An event to try a flow with.
#[derive(Debug, Clone)]
pub struct RunOnce {
    /// Whose connections it uses.
    pub environment: Environment,
    /// Which version; when absent the published one, and where none is published the newest.
    pub version: Option<u32>,
    /// The event's body.
    pub event: serde_json::Value,
}

impl Service {
    /// Runs a flow with an event, published or not, and answers the recorded run.
    pub async fn run_once(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        once: RunOnce,
    ) -> Result<Run, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::RunOnce)?;
        self.check_environment(group, &once.environment)?;
        actor.authorise_environment(&once.environment)?;
        check_key(actor, &flow, &once)?;
        let publication = match (once.version, flow.published.get(&once.environment)) {
            (None, Some(publication)) => publication.clone(),
            (wanted, _) => {
                let version = self.find_version(&flow, wanted.unwrap_or(flow.latest))?;
                Publication { version: version.version, digest: version.digest }
            }
        };
        let trigger = flow.execute.id.clone();
        let run = self
            .run_now(Firing {
                publication,
                environment: once.environment,
                caller: Caller::RunOnce(actor.clone()),
                respond: Respond::Sync,
                timeout: self.settings.timeout(flow.execute.settings.timeout_ms),
                event: Event {
                    trigger: trigger.to_string(),
                    method: "POST".to_owned(),
                    path: "/".to_owned(),
                    params: Vec::new(),
                    query: Vec::new(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: Bytes::from(once.event.to_string()),
                },
                trigger,
                flow,
            })
            .await;
        match run {
            Ok((run, _)) | Err(ServiceError::Flow { run, .. }) => self.find_run(group, run),
            Err(error) => Err(error),
        }
    }

    /// A group's runs, newest first.
    pub fn list_runs(&self, actor: &Actor, group: &GroupId, filter: &RunFilter) -> Result<Vec<Run>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListRuns)?;
        let flow = match &filter.flow {
            Some(flow) => Some(self.flow_for(actor, group, flow, Action::ListRuns)?.id.clone()),
            None => None,
        };
        let limit = filter.limit.clamp(1, MAX_LISTED);
        // The queue first: a run that ends between the two readings stands in the history by the second one.
        let live = self.store.scan(&queue_prefix(group), None, self.settings.queue);
        let live = live.map_err(ServiceError::internal("reading queued runs"))?;
        let mut runs = self.ended_runs(actor, group, flow.as_ref(), filter.before, limit)?;
        for (_, record) in live {
            let queued: QueuedRun = decode(&record.value)?;
            let wanted = flow.as_ref().is_none_or(|flow| *flow == queued.run.flow)
                && filter.before.is_none_or(|before| queued.run.id < before)
                && sees(actor, &queued.run)
                && runs.iter().all(|run| run.id != queued.run.id);
            if wanted {
                runs.push(queued.run);
            }
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        runs.truncate(limit);
        Ok(runs)
    }

    /// Runs from the history that the actor sees, newest first. Those it does not see do not count.
    fn ended_runs(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: Option<&FlowId>,
        mut before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Run>, ServiceError> {
        let mut runs = Vec::new();
        for _ in 0..MAX_PAGES {
            let query = ListRuns { group: group.to_string(), flow: flow.map(ToString::to_string), before, limit };
            let page = self.history.list(&query).map_err(ServiceError::internal("reading the run history"))?;
            for error in &page.damaged {
                tracing::error!(%group, error = error as &dyn std::error::Error, "a recorded run cannot be read and is left out of the list");
            }
            let is_last = page.entries.len() < limit;
            before = page.entries.last().map(|entry| entry.id);
            for entry in page.entries {
                let run: Run = decode(&entry.body)?;
                if sees(actor, &run) {
                    runs.push(run);
                }
            }
            if is_last || runs.len() >= limit {
                break;
            }
        }
        Ok(runs)
    }

    /// Lets go of runs that are older, or more, than the settings keep.
    pub(super) async fn prune_runs(&self) {
        let days = i64::from(self.settings.history_days);
        let before = self.now().as_millisecond() - days * 24 * 60 * 60 * 1000;
        let prune = PruneRuns { before_ms: u64::try_from(before).ok(), max_bytes: Some(self.settings.history_bytes) };
        match self.history.prune(prune).await {
            Ok(pruned) if pruned.segments > 0 => {
                tracing::info!(segments = pruned.segments, bytes = pruned.bytes, "old runs were deleted");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "old runs could not be deleted"),
        }
    }

    /// One run.
    pub fn get_run(&self, actor: &Actor, group: &GroupId, id: Uuid) -> Result<Run, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::GetRun)?;
        let run = self.find_run(group, id)?;
        if sees(actor, &run) { Ok(run) } else { Err(ServiceError::NotFound { what: "Run" }) }
    }

    fn find_run(&self, group: &GroupId, id: Uuid) -> Result<Run, ServiceError> {
        // The queue first: a run that ends between the two readings stands in the history by the second one.
        let queued = self.store.get(&format!("{}{id}", queue_prefix(group)));
        let queued = queued.map_err(ServiceError::internal("reading a queued run"))?;
        let ended = self.history.get(group.as_str(), id).map_err(ServiceError::internal("reading the run history"))?;
        match (ended, queued) {
            (Some(entry), _) => decode(&entry.body),
            (None, Some(record)) => decode::<QueuedRun>(&record.value).map(|queued| queued.run),
            (None, None) => Err(ServiceError::NotFound { what: "Run" }),
        }
    }
}

/// A key runs what its flow's execute trigger would run for it; drafts are for keys that may change flows.
fn check_key(actor: &Actor, flow: &Flow, once: &RunOnce) -> Result<(), Denial> {
    let Who::Key(key) = actor.who() else { return Ok(()) };
    if !flow.execute.settings.keys.accepts(&key.id) {
        return Err(Denial::Trigger { key: key.name.clone() });
    }
    let published = flow.published.get(&once.environment);
    let is_published = published.is_some_and(|published| once.version.is_none_or(|wanted| wanted == published.version));
    if is_published || key.scopes.has(Scope::FlowsWrite) {
        return Ok(());
    }
    Err(Denial::NotPublished { flow: flow.name.clone(), environment: once.environment.clone() })
}

/// Whether somebody sees a run of a group whose runs they may read.
fn sees(actor: &Actor, run: &Run) -> bool {
    actor.sees_environment(&run.environment) && actor.sees_flow(&run.flow)
}
