//! What a run's flow asks of its connections: opened slots, performed and recorded calls.

pub(super) mod mock;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use headgate_manifest::Manifest;
use jiff::Timestamp;

use crate::domain::connection::Connection;
use crate::domain::flow::Flow;
use crate::domain::grant::Grant;
use crate::domain::id::Environment;
use crate::domain::oauth::lacks_scopes;
use crate::domain::run::{Failure, LogLine, MAX_STEPS, Recorded, Step};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::oauth::OauthError;
use crate::service::queue::Journal;
use crate::service::shelf::ReadyFlow;
use crate::wasm::egress::Renewal;
use crate::wasm::{CallError, Connections, GuestError, LogLevel, LogSource, RunLog, RunScope, SlotHandle};

/// The most connections a run may open: a slot each, and no flow needs more.
const MAX_OPENED: usize = 256;
const POISONED: &str = "nothing panics while it holds the run's records";

/// A connection a flow has opened.
struct Opened {
    slot: String,
    /// The connection as it was then.
    connection: Arc<Connection>,
    /// What its calls were granted: the newest is the last.
    grants: Mutex<Vec<Granted>>,
}

/// What a call was granted, and of which state of its connection.
#[derive(Clone)]
struct Granted {
    connection: Arc<Connection>,
    grant: Arc<Grant>,
}

impl Opened {
    fn granted(&self) -> Vec<Granted> {
        self.grants.lock().expect(POISONED).clone()
    }

    /// Keeps a grant, so that the run's records are redacted of it; answers the one that is kept.
    fn keep(&self, connection: &Arc<Connection>, grant: Arc<Grant>) -> Arc<Grant> {
        let mut grants = self.grants.lock().expect(POISONED);
        let same =
            |known: &&Granted| Arc::ptr_eq(&known.connection, connection) && known.grant.generation == grant.generation;
        if let Some(known) = grants.iter().find(same) {
            return known.grant.clone();
        }
        grants.push(Granted { connection: connection.clone(), grant: grant.clone() });
        grant
    }
}

/// Newer credentials for a call whose app refuses those it has. They are redacted from the run's records like the first.
struct CallRenewal {
    service: Arc<Service>,
    opened: Arc<Opened>,
    connection: Arc<Connection>,
}

impl Renewal for CallRenewal {
    fn renew<'a>(&'a self, refused: &'a Arc<Grant>) -> BoxFuture<'a, Option<Arc<Grant>>> {
        async move {
            // Why there are none was logged, and stands with the connection.
            let grant = self.service.grant_after_refusal(&self.connection, refused.generation).await.ok()?;
            Some(self.opened.keep(&self.connection, grant))
        }
        .boxed()
    }
}

#[derive(Default)]
struct Steps {
    recorded: Vec<Step>,
    dropped: u64,
}

/// The connections of one run.
pub(super) struct RunCalls {
    service: Arc<Service>,
    flow: Arc<Flow>,
    environment: Environment,
    ready: Arc<ReadyFlow>,
    journal: Journal,
    opened: Mutex<Vec<Arc<Opened>>>,
    steps: Mutex<Steps>,
    /// The codes by which the server itself refused the flow a connection: the flow may give its errors the same ones.
    refused: Mutex<BTreeSet<String>>,
}

impl RunCalls {
    pub(super) fn new(
        service: Arc<Service>,
        flow: Arc<Flow>,
        environment: Environment,
        ready: Arc<ReadyFlow>,
        journal: Journal,
    ) -> Arc<Self> {
        let (opened, steps, refused) = Default::default();
        Arc::new(Self { service, flow, environment, ready, journal, opened, steps, refused })
    }

    /// Whether the server refused the flow a connection by this code.
    pub(super) fn has_refused(&self, code: &str) -> bool {
        self.refused.lock().expect(POISONED).contains(code)
    }

    fn refuse(&self, error: GuestError) -> GuestError {
        self.refused.lock().expect(POISONED).insert(error.code.clone());
        error
    }

    /// The recorded steps, and how many were not.
    pub(super) fn take_steps(&self) -> (Vec<Step>, u64) {
        let steps = std::mem::take(&mut *self.steps.lock().expect(POISONED));
        (steps.recorded, steps.dropped)
    }

    /// The run's log without the secrets of the connections it used.
    pub(super) fn log(&self, log: RunLog) -> Vec<LogLine> {
        log.lines.into_iter().map(|line| self.log_line(line)).collect()
    }

    /// A line of the log without the secrets of the connections that the run has used so far.
    pub(super) fn log_line(&self, line: crate::wasm::LogLine) -> LogLine {
        LogLine {
            time: Timestamp::try_from(line.at).unwrap_or(Timestamp::UNIX_EPOCH),
            level: level_name(line.level).to_owned(),
            source: source_name(line.source).to_owned(),
            message: self.redact(line.message),
        }
    }

    /// Records bytes without the secrets of the connections the run used.
    ///
    /// They are redacted before they are cut, so that no cut can split a secret and keep its half.
    pub(super) fn record(&self, bytes: &[u8]) -> Recorded {
        let grants = self.grants();
        let clean = grants.iter().fold(Cow::Borrowed(bytes), |bytes, grant| match grant.scrub.scrub_bytes(&bytes) {
            Cow::Borrowed(_) => bytes,
            Cow::Owned(scrubbed) => Cow::Owned(scrubbed),
        });
        Recorded::bytes(&clean)
    }

    /// A failure without the secrets of the connections the run used.
    pub(super) fn redact_failure(&self, failure: Failure) -> Failure {
        let details = failure.details.map(|details| match serde_json::from_str(&self.redact(details.to_string())) {
            Ok(details) => details,
            Err(_) => serde_json::Value::Null,
        });
        Failure { code: self.redact(failure.code), message: self.redact(failure.message), details, ..failure }
    }

    fn redact(&self, text: String) -> String {
        self.grants().iter().fold(text, |text, grant| match grant.scrub.scrub_str(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => scrubbed,
        })
    }

    /// Whatever the run's calls were granted so far.
    fn grants(&self) -> Vec<Arc<Grant>> {
        self.opened
            .lock()
            .expect(POISONED)
            .iter()
            .flat_map(|opened| opened.granted())
            .map(|granted| granted.grant)
            .collect()
    }

    /// The connection as it is now: it may have been disconnected, deleted or changed since the run opened it.
    fn present(&self, opened: &Opened) -> Result<Arc<Connection>, GuestError> {
        let then = &opened.connection;
        let message = match self.service.catalog.load().connections.get(&then.id) {
            None => format!("the connection \"{}\" was deleted; bind the slot to another one", then.name),
            Some(now) if now.is_disconnected() => format!(
                "the connection \"{}\" is disconnected; enter its secrets again: headgate connections update {} --secret NAME",
                now.name, now.id
            ),
            Some(now) => return Ok(now.clone()),
        };
        Err(GuestError::lasting("connection_broken", message))
    }

    /// What a call is granted: what the one before was, while that is still what there is.
    async fn granted(&self, opened: &Opened, connection: &Arc<Connection>) -> Result<Arc<Grant>, OauthError> {
        if let Some(last) = opened.granted().pop()
            && Arc::ptr_eq(&last.connection, connection)
            && self.service.is_current(connection, last.grant.generation).await?
        {
            return Ok(last.grant);
        }
        Ok(opened.keep(connection, self.service.grant(connection).await?))
    }

    async fn perform(
        &self,
        run: &Arc<RunScope>,
        opened: &Arc<Opened>,
        method: &str,
        input: String,
    ) -> Result<String, GuestError> {
        let internal = |error: ServiceError| {
            tracing::error!(run = %run.info().id, error = &error as &dyn std::error::Error, "a call could not be performed");
            GuestError::passing("internal", "the server could not perform the call; its log says why")
        };
        self.journal.begin_step().await.map_err(internal)?;
        let connection = &self.present(opened).map_err(|error| self.refuse(error))?;
        let grant = self.granted(opened, connection).await.map_err(|error| match error {
            OauthError::Internal(error) => internal(ServiceError::internal("granting a call")(error)),
            error => self.refuse(not_granted(connection, &error)),
        })?;
        let catalog = self.service.catalog();
        let connector = catalog.connector(&connection.group, &connection.connector);
        let connector = connector.ok_or_else(|| {
            let message =
                format!("the connector \"{}\" is not installed any more; push it again", connection.connector);
            GuestError::lasting("connector_missing", message)
        })?;
        self.check_scopes(connection, &connector.manifest, method)?;
        let module = self.service.connector_module(&connector.digest).await.map_err(internal)?;
        let renewal =
            CallRenewal { service: self.service.clone(), opened: opened.clone(), connection: connection.clone() };
        let renewal = connection.pins.oauth.is_some().then(|| Arc::new(renewal) as Arc<dyn Renewal>);
        let result = self.service.wasm.invoke(&module, method, input, grant, renewal, run).await;
        result.map_err(|error| call_error(run, connector.name.as_str(), error))
    }

    /// Refuses a call that the app would refuse, as what was consented to does not cover it.
    fn check_scopes(&self, connection: &Connection, manifest: &Manifest, method: &str) -> Result<(), GuestError> {
        let needed = manifest.methods.iter().find(|found| found.name == method).map(|found| found.scopes.as_slice());
        let (Some(needed), Some(granted)) = (needed, self.service.granted_scopes(connection)) else { return Ok(()) };
        if !lacks_scopes(&granted, needed) {
            return Ok(());
        }
        let message = format!(
            "the connection \"{}\" may not do this: \"{method}\" needs the scope {}. Authorize it again with that scope: headgate connections authorize {}",
            connection.name,
            needed.join(" or "),
            connection.id
        );
        Err(GuestError::lasting("missing_scope", message))
    }

    fn push_step(&self, step: Step) {
        let mut steps = self.steps.lock().expect(POISONED);
        if steps.recorded.len() < MAX_STEPS {
            steps.recorded.push(step);
        } else {
            steps.dropped += 1;
        }
    }
}

impl Connections for RunCalls {
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError> {
        if let Some(declared) = &self.ready.slots
            && !declared.contains(slot)
        {
            let message = format!(
                "the flow \"{0}\" opens the slot \"{slot}\", which it does not declare; declare it: #[headgate_sdk::flow(slots({slot}: ...))], and push the flow again",
                self.flow.name
            );
            return Err(self.refuse(GuestError::lasting("slot_undeclared", message)));
        }
        let catalog = self.service.catalog();
        let bound = self.flow.bound(&self.environment, slot).and_then(|id| catalog.connections.get(id));
        // The binding was checked when it was made; what it leads to is checked again where it counts.
        let bound = bound.filter(|found| found.group == self.flow.group && found.environment == self.environment);
        let connection = bound.ok_or_else(|| {
            let message = format!(
                "the slot \"{slot}\" of the flow \"{0}\" is bound to no connection in {1}; bind it: headgate connections bind {0} {slot} CONNECTION --env {1}",
                self.flow.name, self.environment
            );
            self.refuse(GuestError::lasting("slot_unbound", message))
        })?;
        let mut opened = self.opened.lock().expect(POISONED);
        if let Some(index) = opened.iter().position(|opened| opened.slot == slot) {
            return Ok(SlotHandle(index));
        }
        if opened.len() >= MAX_OPENED {
            let message = format!("a run may open at most {MAX_OPENED} connections");
            return Err(GuestError::lasting("too_many_connections", message));
        }
        let connection = connection.clone();
        opened.push(Arc::new(Opened { slot: slot.to_owned(), connection, grants: Mutex::default() }));
        Ok(SlotHandle(opened.len() - 1))
    }

    fn call<'a>(
        &'a self,
        run: &'a Arc<RunScope>,
        slot: SlotHandle,
        method: &'a str,
        input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        async move {
            let opened = self.opened.lock().expect(POISONED).get(slot.0).cloned();
            let opened =
                opened.ok_or_else(|| GuestError::lasting("slot_unbound", "this connection was never opened"))?;
            let started = self.service.now();
            let clock = Instant::now();
            let recorded_input = input.clone();
            let result = self.perform(run, &opened, method, input).await;
            let error = result.as_ref().err().map(|error| self.redact_failure(failure(error)));
            self.service.note_call(&opened.connection, result.as_ref().err());
            let message = error.as_ref().map(|error| format!("{}: {}", error.code, error.message));
            self.service.note_use(&opened.connection, method, message.as_deref());
            self.push_step(Step {
                slot: opened.slot.clone(),
                connection: opened.connection.name.clone(),
                connector: opened.connection.connector.clone(),
                method: self.redact(method.chars().take(MAX_METHOD).collect()),
                input: self.record(recorded_input.as_bytes()),
                output: result.as_ref().ok().map(|output| self.record(output.as_bytes())),
                error,
                mocked: false,
                started,
                duration_us: clock.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
            });
            result
        }
        .boxed()
    }
}

/// Recorded letters of a method's name.
const MAX_METHOD: usize = 200;

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn source_name(source: LogSource) -> &'static str {
    match source {
        LogSource::Flow => "flow",
        LogSource::Connector => "connector",
        LogSource::Server => "server",
    }
}

/// What a guest's error says, as it is recorded and answered.
pub(super) fn failure(error: &GuestError) -> Failure {
    Failure {
        code: error.code.clone(),
        message: error.message.clone(),
        retryable: error.retryable,
        details: error.details.as_deref().and_then(|details| serde_json::from_str(details).ok()),
    }
}

/// What a flow is told whose connection has no token.
fn not_granted(connection: &Connection, error: &OauthError) -> GuestError {
    match error {
        OauthError::NeedsAuthorization { .. } => GuestError::lasting("connection_broken", error.to_string()),
        OauthError::Unfit(_) => {
            let message = format!("the connection \"{}\" cannot be used: {error}", connection.name);
            GuestError::lasting("connection_broken", message)
        }
        _ => {
            let message = format!("the connection \"{}\" cannot be used for now: {error}", connection.name);
            GuestError::passing("connection_unavailable", message)
        }
    }
}

/// What a flow is told when its connector could not answer.
fn call_error(run: &RunScope, connector: &str, error: CallError) -> GuestError {
    if let CallError::Host(reason) = &error {
        tracing::error!(run = %run.info().id, connector, reason, "the sandbox failed");
    }
    error.for_flow()
}
