//! Executes runs: runs the flow, and records what it did.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::api_key::ApiKey;
use crate::domain::flow::{Flow, Publication};
use crate::domain::id::{Environment, TriggerId};
use crate::domain::permission::Denial;
use crate::domain::run::{EventRecord, Failure, LogLine, Outcome, Recorded, Run, RunState};
use crate::domain::trigger::Respond;
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::calls::mock::{Mock, MockCalls};
use crate::service::calls::{RunCalls, failure};
use crate::service::error::ServiceError;
use crate::service::queue::Journal;
use crate::service::record::encode;
use crate::service::shelf::ReadyFlow;
use crate::service::usage::Running;
use crate::store::Entry;
use crate::wasm::{CallError, Connections, Event, FaultCode, Response, RunInfo, RunScope};

/// What callers are told to wait while the server stops or its queue is full.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Who fired a trigger.
pub(super) enum Caller {
    /// An API key.
    Key(Arc<ApiKey>),
    /// Somebody who tries the flow.
    RunOnce(Actor),
    /// A schedule, because its time had come.
    Schedule(TriggerId),
    /// An app trigger, because its app has a new record.
    AppTrigger(TriggerId),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "Key: {}", key.name),
            Self::RunOnce(actor) => match actor.who() {
                Who::User { user, .. } => write!(f, "User: {}", user.email),
                Who::Key(key) => write!(f, "Key: {}", key.name),
                Who::System => f.write_str("Headgate: Run Once"),
            },
            Self::Schedule(id) => write!(f, "Schedule: {id}"),
            Self::AppTrigger(id) => write!(f, "App trigger: {id}"),
        }
    }
}

/// How a run that is tried differs from others.
#[derive(Default)]
pub(super) struct Trial {
    /// When present, its calls reach no app: they are answered by samples, and need no connections that work.
    pub(super) mock: Option<Mock>,
    /// Gets the lines of its log as they are written.
    pub(super) listener: Option<LogSender>,
}

/// Takes the lines of a run's log. It holds no more than a log may.
pub type LogSender = mpsc::UnboundedSender<LogLine>;

/// A trigger that fires.
pub(super) struct Firing {
    pub(super) flow: Arc<Flow>,
    pub(super) publication: Publication,
    pub(super) environment: Environment,
    pub(super) trigger: TriggerId,
    pub(super) caller: Caller,
    pub(super) respond: Respond,
    pub(super) timeout: Duration,
    pub(super) event: Event,
}

/// What is published of a flow in an environment.
pub(super) fn published<'a>(flow: &'a Flow, environment: &Environment) -> Result<&'a Publication, ServiceError> {
    let missing = || Denial::NotPublished { flow: flow.name.clone(), environment: environment.clone() };
    Ok(flow.published.get(environment).ok_or_else(missing)?)
}

impl Firing {
    pub(super) fn run(&self, service: &Service, state: RunState) -> Run {
        let content_type = self.event.headers.iter().find(|(name, _)| name == "content-type");
        let mut event = EventRecord {
            method: self.event.method.clone(),
            path: self.event.path.clone(),
            params: self.event.params.clone(),
            query: self.event.query.clone(),
            content_type: content_type.map(|(_, value)| value.clone()),
            headers: None,
            headers_hidden: Vec::new(),
            size: self.event.body.len() as u64,
            body: Recorded::bytes(&self.event.body),
        };
        event.set_headers(&self.event.headers);
        Run {
            id: Uuid::now_v7(),
            group: self.flow.group.clone(),
            flow: self.flow.id.clone(),
            flow_name: self.flow.name.clone(),
            version: self.publication.version,
            digest: self.publication.digest,
            environment: self.environment.clone(),
            trigger: self.trigger.clone(),
            caller: self.caller.to_string().into(),
            respond: self.respond,
            attempt: 1,
            state,
            mocked: false,
            event,
            steps: Vec::new(),
            steps_dropped: 0,
            log: Vec::new(),
            log_dropped: 0,
            outcome: None,
            accepted: service.now(),
            started: None,
            duration_us: None,
        }
    }
}

impl Service {
    /// Executes a firing for a caller who waits. The run goes on, and is recorded, even when the caller goes away.
    pub(super) async fn run_now(self: &Arc<Self>, firing: Firing) -> Result<(Uuid, Response), ServiceError> {
        let id = Uuid::now_v7();
        self.run_as(id, firing).await?.map(|response| (id, response))
    }

    /// [`Self::run_now`] for a run whose id is known beforehand. The outer result says whether it ran at all.
    pub(super) async fn run_as(
        self: &Arc<Self>,
        id: Uuid,
        firing: Firing,
    ) -> Result<Result<Response, ServiceError>, ServiceError> {
        let running = self.admit_run(&firing)?;
        self.run_admitted(id, firing, running, Trial::default()).await
    }

    /// [`Self::run_now`] for somebody who tries the flow.
    pub(super) async fn run_tried(
        self: &Arc<Self>,
        firing: Firing,
        trial: Trial,
    ) -> Result<(Uuid, Response), ServiceError> {
        let running = if trial.mock.is_some() { self.admit_spending(&firing) } else { self.admit_run(&firing) }?;
        let id = Uuid::now_v7();
        self.run_admitted(id, firing, running, trial).await?.map(|response| (id, response))
    }

    async fn run_admitted(
        self: &Arc<Self>,
        id: Uuid,
        firing: Firing,
        running: Running,
        trial: Trial,
    ) -> Result<Result<Response, ServiceError>, ServiceError> {
        if self.stopping.is_cancelled() {
            return Err(ServiceError::Overloaded { what: "The server is stopping", retry_after: RETRY_AFTER });
        }
        let service = self.clone();
        let task = self.runs.spawn(async move {
            let _running = running;
            let mut run = Run { id, mocked: trial.mock.is_some(), ..firing.run(&service, RunState::Running) };
            let ready = service.flow_module(&run.digest).await?;
            let (environment, journal) = (run.environment.clone(), Journal::none(service.clone()));
            let calls = RunCalls::new(service.clone(), firing.flow, environment, ready.clone(), journal);
            let connections: Arc<dyn Connections> = match trial.mock {
                Some(mock) => Arc::new(MockCalls::new(calls.clone(), mock)),
                None => calls.clone(),
            };
            let scope = service.scope(&run, firing.timeout, connections);
            if let Some(listener) = trial.listener {
                let calls = calls.clone();
                // Whoever listened may be gone.
                scope.listen(move |line| drop(listener.send(calls.log_line(line.clone()))));
            }
            let result = service.execute_in(&scope, &mut run, &ready, firing.event, &calls).await?;
            let recorded = service.history.append(entry(&run)).await;
            Ok::<_, ServiceError>(recorded.map_err(ServiceError::internal("recording a run")).and(result))
        });
        // A panic comes in the middle of the run.
        task.await.unwrap_or_else(|panic| Ok(Err(ServiceError::internal("executing a run")(panic))))
    }

    /// Lets a firing's run begin, unless a connection of its flow cannot be used or its group's allowance is spent.
    pub(super) fn admit_run(&self, firing: &Firing) -> Result<Running, ServiceError> {
        self.check_connections(&firing.flow, &firing.environment)?;
        self.admit_spending(firing)
    }

    fn admit_spending(&self, firing: &Firing) -> Result<Running, ServiceError> {
        let catalog = self.catalog.load();
        let group = catalog.groups.get(&firing.flow.group).ok_or(ServiceError::NotFound { what: "Group" })?;
        self.spending.admit(group, self.now())
    }

    /// Runs the flow and fills in the run. The outer result says whether it ran at all.
    pub(super) async fn execute(
        self: &Arc<Self>,
        run: &mut Run,
        flow: Arc<Flow>,
        event: Event,
        timeout: Duration,
        journal: Journal,
    ) -> Result<Result<Response, ServiceError>, ServiceError> {
        let ready = self.flow_module(&run.digest).await?;
        let calls = RunCalls::new(self.clone(), flow, run.environment.clone(), ready.clone(), journal);
        let scope = self.scope(run, timeout, calls.clone());
        self.execute_in(&scope, run, &ready, event, &calls).await
    }

    /// What a run's guests share; its flow's calls go through `connections`.
    fn scope(&self, run: &Run, timeout: Duration, connections: Arc<dyn Connections>) -> Arc<RunScope> {
        let info = RunInfo {
            id: run.id,
            attempt: run.attempt,
            environment: run.environment.to_string(),
            flow: run.flow_name.to_string(),
            caller: run.caller.to_string(),
        };
        self.wasm.scope(info, Some(timeout), connections)
    }

    /// [`Self::execute`] in a scope, where `calls` recorded the flow's calls.
    async fn execute_in(
        &self,
        scope: &Arc<RunScope>,
        run: &mut Run,
        ready: &ReadyFlow,
        event: Event,
        calls: &Arc<RunCalls>,
    ) -> Result<Result<Response, ServiceError>, ServiceError> {
        run.started = Some(self.now());
        let clock = Instant::now();
        let result = self.wasm.run_flow(&ready.module, event, scope).await;
        if let Err(CallError::Overloaded { retry_after }) = result {
            return Err(ServiceError::Overloaded { what: "All instances are busy", retry_after });
        }
        run.duration_us = Some(clock.elapsed().as_micros().try_into().unwrap_or(u64::MAX));
        self.spending.ended(&run.group, run.duration_us.unwrap_or_default(), self.now());
        let log = scope.take_log();
        run.log_dropped = log.dropped;
        run.log = calls.log(log);
        (run.steps, run.steps_dropped) = calls.take_steps();
        let (outcome, result) = conclude(run.id, result, calls);
        run.state = if matches!(outcome, Outcome::Response { .. }) { RunState::Succeeded } else { RunState::Failed };
        run.outcome = Some(outcome);
        Ok(result)
    }
}

/// What is recorded and what is answered.
fn conclude(
    run: Uuid,
    result: Result<Response, CallError>,
    calls: &RunCalls,
) -> (Outcome, Result<Response, ServiceError>) {
    let (failure, timed_out) = match result {
        Ok(response) => {
            let content_type = response.headers.get(http::header::CONTENT_TYPE);
            let outcome = Outcome::Response {
                status: response.status.as_u16(),
                content_type: content_type.and_then(|value| value.to_str().ok()).map(str::to_owned),
                size: response.body.len() as u64,
                body: calls.record(&response.body),
            };
            return (outcome, Ok(response));
        }
        Err(CallError::Host(reason)) => {
            let failure = Failure {
                code: "internal".to_owned(),
                message: "the server failed; its log says why".to_owned(),
                retryable: true,
                details: None,
            };
            return (Outcome::Failure(failure), Err(ServiceError::internal("running a flow")(reason)));
        }
        Err(CallError::Fault { code, message }) => {
            let failure = Failure { code: code.as_str().to_owned(), message, retryable: false, details: None };
            (failure, code == FaultCode::Timeout)
        }
        Err(error) => (failure(&error.for_flow()), false),
    };
    let refused = calls.has_refused(&failure.code);
    let failure = calls.redact_failure(failure);
    (Outcome::Failure(failure.clone()), Err(ServiceError::Flow { run, failure, timed_out, refused }))
}

pub(super) fn entry(run: &Run) -> Entry {
    Entry { id: run.id, group: run.group.to_string(), flow: run.flow.to_string(), body: Bytes::from(encode(run)) }
}
