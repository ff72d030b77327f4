//! Reading runs: those that are queued or running from the store, the others from the history.

use uuid::Uuid;

use crate::domain::id::{FlowId, GroupId};
use crate::domain::permission::Action;
use crate::domain::run::Run;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::queue::{QueuedRun, queue_prefix};
use crate::service::record::decode;
use crate::store::{ListRuns, PruneRuns};

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

impl Service {
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

    /// One run, wherever it stands.
    pub(super) fn find_run(&self, group: &GroupId, id: Uuid) -> Result<Run, ServiceError> {
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

/// Whether somebody sees a run of a group whose runs they may read.
fn sees(actor: &Actor, run: &Run) -> bool {
    actor.sees_environment(&run.environment) && actor.sees_flow(&run.flow)
}
