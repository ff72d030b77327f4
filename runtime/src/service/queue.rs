//! The durable queue: what was answered with 202 is executed, whatever happens to the server meanwhile.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use crate::domain::flow::Flow;
use crate::domain::id::GroupId;
use crate::domain::run::{Failure, Outcome, Run, RunState};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::executor::{Firing, RETRY_AFTER, entry};
use crate::service::record::{decode, encode};
use crate::service::usage::Running;
use crate::store::Batch;
use crate::wasm::Event;

/// How long a queued run waits before it asks again for a place in the sandbox.
const RETRY_PLACE: Duration = Duration::from_millis(250);
/// Queued runs read at a time.
const PAGE: usize = 1000;

/// The largest body of an asynchronous run, in bytes. It lies in a record of the store, as base64 and beside its
/// headers, and a record has to stay below 32 MiB.
pub(super) const MAX_QUEUED_BODY: u64 = 16 << 20;

/// A run that is durable before it is executed.
#[derive(Serialize, Deserialize)]
pub(super) struct QueuedRun {
    /// The run as it stands.
    pub(super) run: Run,
    /// How long it may take, in milliseconds.
    timeout_ms: u64,
    /// Whether its first step may have left the house.
    step_begun: bool,
    headers: Vec<(String, String)>,
    /// Parameters of the path; absent in records of earlier servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    params: Vec<(String, String)>,
    /// base64
    body: String,
}

/// A run that has its place in the queue, and waits to be made durable.
pub(super) struct Accepted {
    queued: QueuedRun,
    place: OwnedSemaphorePermit,
    running: Running,
}

impl Accepted {
    /// Its run's id.
    pub(super) fn id(&self) -> Uuid {
        self.queued.run.id
    }
}

/// Where a group's queued runs lie.
pub(super) fn queue_prefix(group: &GroupId) -> String {
    format!("run/{group}/")
}

fn queue_key(run: &Run) -> String {
    format!("{}{}", queue_prefix(&run.group), run.id)
}

impl QueuedRun {
    fn event(&self) -> Result<Event, ServiceError> {
        let body = BASE64.decode(&self.body).map_err(ServiceError::internal("reading a queued run"))?;
        Ok(Event {
            trigger: self.run.trigger.to_string(),
            method: self.run.event.method.clone(),
            path: self.run.event.path.clone(),
            params: self.params.clone(),
            query: self.run.event.query.clone(),
            headers: self.headers.clone(),
            body: Bytes::from(body),
        })
    }
}

/// Notes durably that a queued run is about to do something, once, before its first step.
pub(super) struct Journal {
    service: Arc<Service>,
    queued: Option<Arc<QueuedRun>>,
    begun: OnceCell<()>,
}

impl Journal {
    /// For a run that nobody takes up again: nothing is noted.
    pub(super) fn none(service: Arc<Service>) -> Self {
        Self { service, queued: None, begun: OnceCell::new() }
    }

    /// To be awaited before a step.
    pub(super) async fn begin_step(&self) -> Result<(), ServiceError> {
        let Some(queued) = &self.queued else { return Ok(()) };
        let begin = || async {
            let queued = QueuedRun {
                run: queued.run.clone(),
                timeout_ms: queued.timeout_ms,
                step_begun: true,
                headers: queued.headers.clone(),
                params: queued.params.clone(),
                body: queued.body.clone(),
            };
            self.service.save_queued(&queued).await
        };
        self.begun.get_or_try_init(begin).await.map(drop)
    }
}

impl Service {
    /// Makes a firing durable and answers its run's id; it is executed afterwards.
    pub(super) async fn enqueue(self: &Arc<Self>, firing: Firing) -> Result<Uuid, ServiceError> {
        self.enqueue_as(Uuid::now_v7(), firing, Batch::new()).await
    }

    /// [`Self::enqueue`] for a run whose id is known beforehand, in one commit with something else.
    pub(super) async fn enqueue_as(
        self: &Arc<Self>,
        id: Uuid,
        firing: Firing,
        beside: Batch,
    ) -> Result<Uuid, ServiceError> {
        let mut accepted = self.accept(firing)?;
        accepted.queued.run.id = id;
        self.enqueue_beside(vec![accepted], beside).await?;
        Ok(id)
    }

    /// Gives a firing its place in the queue and its run, which is not durable yet.
    pub(super) fn accept(&self, firing: Firing) -> Result<Accepted, ServiceError> {
        let full = |what| ServiceError::Overloaded { what, retry_after: RETRY_AFTER };
        if self.stopping.is_cancelled() {
            return Err(full("The server is stopping"));
        }
        let place = self.queue.clone().try_acquire_owned().map_err(|_| full("The queue of runs is full"))?;
        let running = self.admit_run(&firing)?;
        let run = firing.run(self, RunState::Queued);
        let queued = QueuedRun {
            run,
            timeout_ms: firing.timeout.as_millis().try_into().unwrap_or(u64::MAX),
            step_begun: false,
            headers: firing.event.headers,
            params: firing.event.params,
            body: BASE64.encode(&firing.event.body),
        };
        Ok(Accepted { queued, place, running })
    }

    /// Whether half of the places in the queue, or more, are free.
    pub(super) fn is_half_of_queue_free(&self) -> bool {
        self.queue.available_permits() >= self.settings.queue.div_ceil(2)
    }

    /// Makes accepted runs durable, all or none, in one commit with whatever else is in the batch. They are executed
    /// afterwards.
    pub(super) async fn enqueue_beside(
        self: &Arc<Self>,
        accepted: Vec<Accepted>,
        beside: Batch,
    ) -> Result<(), ServiceError> {
        let (durable, is_durable) = oneshot::channel();
        let service = self.clone();
        // From here on the runs are ours: a caller who goes away does not leave them half taken in.
        self.runs.spawn(async move {
            let put =
                |batch: Batch, Accepted { queued, .. }: &Accepted| batch.put(queue_key(&queued.run), encode(queued));
            let saved = service.store.commit(accepted.iter().fold(beside, put)).await;
            let is_saved = saved.is_ok();
            // A caller who went away needs no answer.
            let _ = durable.send(saved.map(drop));
            if !is_saved {
                return;
            }
            for Accepted { queued, place, running } in accepted {
                let worker = service.clone();
                service.runs.spawn(async move {
                    if let Some(turn) = worker.turn().await {
                        worker.work(queued, turn).await;
                    }
                    drop((place, running));
                });
            }
        });
        let saved = is_durable.await.map_err(ServiceError::internal("queueing runs"))?;
        saved.map_err(ServiceError::internal("queueing runs"))
    }

    /// Whether a run of a group waits in the queue, or is executed from there.
    pub(super) fn is_run_under_way(&self, group: &GroupId, run: Uuid) -> Result<bool, ServiceError> {
        let record = self.store.get(&format!("{}{run}", queue_prefix(group)));
        let record = record.map_err(ServiceError::internal("reading a queued run"))?;
        let state = record.map(|record| decode::<QueuedRun>(&record.value)).transpose()?.map(|queued| queued.run.state);
        match state {
            Some(RunState::Queued) => Ok(true),
            // It may have ended, and not have left the queue yet.
            Some(RunState::Running) => {
                let ended = self.history.get(group.as_str(), run);
                Ok(ended.map_err(ServiceError::internal("reading the run history"))?.is_none())
            }
            _ => Ok(false),
        }
    }

    /// Takes up the runs that were queued or running when the server ended, in the order of their acceptance.
    pub(super) async fn recover_runs(self: &Arc<Self>) -> Result<(), ServiceError> {
        let mut waiting = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan("run/", after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("taking up queued runs"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, record) in page {
                let queued: QueuedRun = decode(&record.value)?;
                let group = queued.run.group.clone();
                if let Some(run) = self.recover_run(queued).await? {
                    waiting.push((run, key, self.spending.admit_again(&group, self.now())));
                }
            }
        }
        waiting.sort_unstable_by_key(|(run, ..)| *run);
        let service = self.clone();
        self.runs.spawn(async move { service.work_off(waiting).await });
        Ok(())
    }

    /// Decides what becomes of a run that was found; answers its id when it is to be executed.
    async fn recover_run(&self, mut queued: QueuedRun) -> Result<Option<Uuid>, ServiceError> {
        let run = &mut queued.run;
        let state = match self.history.get(run.group.as_str(), run.id) {
            // It ended, and the server was stopped before it could leave the queue.
            Ok(Some(_)) => return self.forget_queued(run).await.map(|()| None),
            Ok(None) => run.state.after_restart(queued.step_begun),
            // Whether it ended cannot be told: a person decides.
            Err(error) => {
                tracing::error!(run = %run.id, error = &error as &dyn std::error::Error, "the run history cannot say whether a queued run has ended");
                RunState::NeedsAttention
            }
        };
        if state != run.state {
            tracing::warn!(run = %run.id, flow = %run.flow_name, group = %run.group, ?state, "a run was interrupted by the server's end");
            run.state = state;
            self.save_queued(&queued).await?;
        }
        Ok((state == RunState::Queued).then_some(queued.run.id))
    }

    /// Executes runs that were taken up again. They need no place in the queue: they were promised before.
    async fn work_off(self: Arc<Self>, waiting: Vec<(Uuid, String, Running)>) {
        for (run, key, running) in waiting {
            let Some(turn) = self.turn().await else { return };
            let queued = self.store.get(&key).map_err(ServiceError::internal("reading a queued run"));
            let queued = queued.and_then(|record| record.map(|record| decode::<QueuedRun>(&record.value)).transpose());
            match queued {
                Ok(Some(queued)) => {
                    let service = self.clone();
                    self.runs.spawn(async move {
                        service.work(queued, turn).await;
                        drop(running);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%run, error = &error as &dyn std::error::Error, "a queued run cannot be read");
                }
            }
        }
    }

    /// Waits for a turn; `None` when the server stops: what is queued then stays in the store for the next start.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            turn = self.async_runs.clone().acquire_owned() => turn.ok(),
        }
    }

    /// Executes a queued run whose turn has come.
    async fn work(self: &Arc<Self>, mut queued: QueuedRun, turn: OwnedSemaphorePermit) {
        let (id, flow) = (queued.run.id, queued.run.flow_name.clone());
        queued.run.state = RunState::Running;
        queued.run.started = Some(self.now());
        if let Err(error) = self.finish(queued).await {
            tracing::error!(run = %id, %flow, error = &error as &dyn std::error::Error, "a queued run could not be executed; it is taken up again at the next start");
        }
        drop(turn);
    }

    async fn finish(self: &Arc<Self>, queued: QueuedRun) -> Result<(), ServiceError> {
        self.save_queued(&queued).await?;
        let queued = Arc::new(queued);
        let mut run = queued.run.clone();
        match self.catalog().flows.get(&run.flow).cloned() {
            Some(flow) => self.execute_queued(&mut run, flow, &queued).await?,
            None => fail(&mut run, "flow_deleted", "the flow was deleted before the run began"),
        }
        self.history.append_durable(entry(&run)).await.map_err(ServiceError::internal("recording a run"))?;
        self.forget_queued(&run).await
    }

    async fn execute_queued(
        self: &Arc<Self>,
        run: &mut Run,
        flow: Arc<Flow>,
        queued: &Arc<QueuedRun>,
    ) -> Result<(), ServiceError> {
        let timeout = Duration::from_millis(queued.timeout_ms);
        loop {
            let journal = Journal { service: self.clone(), queued: Some(queued.clone()), begun: OnceCell::new() };
            match self.execute(run, flow.clone(), queued.event()?, timeout, journal).await {
                Ok(_) => return Ok(()),
                // Nothing was run: wait for a place. An accepted run is never given up for want of one.
                Err(ServiceError::Overloaded { .. }) => tokio::time::sleep(RETRY_PLACE).await,
                Err(error) => {
                    tracing::error!(run = %run.id, flow = %run.flow_name, error = &error as &dyn std::error::Error, "a queued run could not begin");
                    fail(run, "internal", "the server could not begin the run; its log says why");
                    return Ok(());
                }
            }
        }
    }

    async fn save_queued(&self, queued: &QueuedRun) -> Result<(), ServiceError> {
        let batch = Batch::new().put(queue_key(&queued.run), encode(queued));
        self.store.commit(batch).await.map(drop).map_err(ServiceError::internal("keeping a queued run"))
    }

    async fn forget_queued(&self, run: &Run) -> Result<(), ServiceError> {
        let batch = Batch::new().delete(queue_key(run));
        self.store.commit(batch).await.map_err(ServiceError::internal("ending a queued run"))?;
        self.scheduler.run_ended(&run.trigger);
        Ok(())
    }
}

fn fail(run: &mut Run, code: &str, message: &str) {
    run.state = RunState::Failed;
    run.outcome = Some(Outcome::Failure(Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        retryable: false,
        details: None,
    }));
}
