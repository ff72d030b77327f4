//! One app trigger's turn: its app is asked, page after page, and each new record becomes a run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use headgate_manifest::Polled;
use jiff::{SignedDuration, Timestamp};

use crate::domain::app_trigger::{AppTrigger, BROKEN_AFTER, MAX_CURSOR, MAX_RECORDS, PollError, PollState, backoff};
use crate::domain::connection::Connection;
use crate::domain::digest::ModuleDigest;
use crate::domain::grant::Grant;
use crate::domain::oauth::lacks_scopes;
use crate::domain::run::LogLine;
use crate::service::Service;
use crate::service::app_triggers::state_key;
use crate::service::error::ServiceError;
use crate::service::executor::Caller;
use crate::service::oauth::OauthError;
use crate::service::record::{Record, encode};
use crate::service::vault::random;
use crate::store::{Batch, Sequence};
use crate::wasm::egress::Renewal;
use crate::wasm::{CallError, GuestError, LogLevel, LogSource, NoConnections, Poll, RunInfo, RunLog};

/// How long a connector may take over one answer.
const WITHIN: Duration = Duration::from_secs(60);
/// Answers asked for in one turn; a trigger that has more comes again, behind those that wait.
const MAX_PAGES: usize = 10;
/// How long a turn may be before another answer is asked for.
const MAX_TURN: Duration = Duration::from_secs(60);
/// How long a record waits that found no place in the queue, or a poll that found none in the sandbox.
const NO_PLACE: SignedDuration = SignedDuration::from_secs(5);
/// How often it is looked whether somebody has authorized a connection, at least. The app is not asked for that.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// Lines kept of what a connector said.
const MAX_LOG: usize = 20;
/// The longest text of a connector or an app that is kept, in characters.
const MAX_TEXT: usize = 500;
/// The code by which connectors say that a cursor is of no use any more.
const INVALID_CURSOR: &str = "invalid_cursor";

/// How a turn ended.
pub(super) struct Turn {
    /// How long to wait until the next one.
    pub(super) wait: SignedDuration,
    /// What the connector said.
    pub(super) log: Vec<LogLine>,
}

/// What one answer of an app came to.
pub(super) enum Page {
    /// There is nothing more for now.
    Last,
    /// There is more already.
    More,
    /// Records wait for a place in the queue.
    NoPlace,
}

/// Why an answer was not taken in.
pub(super) enum Failed {
    /// The app, the connector or the flow failed.
    Fault { code: String, message: String, retry_after_s: Option<u64> },
    /// Only a person can help: until then the app is left alone.
    Paused { code: &'static str, message: String },
    /// The server has no place for it now.
    Busy,
    /// The trigger was changed, disabled or deleted meanwhile: this turn is over.
    Superseded,
    /// Our own fault.
    Internal(ServiceError),
}

impl Failed {
    pub(super) fn fault(code: &str, message: impl Into<String>) -> Self {
        Self::Fault { code: code.to_owned(), message: message.into(), retry_after_s: None }
    }
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Self {
        Self::Internal(error)
    }
}

/// Newer credentials for a poll whose app refuses those it has.
struct PollRenewal {
    service: Arc<Service>,
    connection: Arc<Connection>,
    granted: Arc<Mutex<Vec<Arc<Grant>>>>,
}

impl Renewal for PollRenewal {
    fn renew<'a>(&'a self, refused: &'a Arc<Grant>) -> BoxFuture<'a, Option<Arc<Grant>>> {
        async move {
            let grant = self.service.grant_after_refusal(&self.connection, refused.generation).await.ok()?;
            self.granted.lock().unwrap_or_else(PoisonError::into_inner).push(grant.clone());
            Some(grant)
        }
        .boxed()
    }
}

impl Service {
    /// Asks a trigger's app until there is nothing more, or the turn is over.
    pub(super) async fn poll_turn(self: &Arc<Self>, trigger: &Arc<AppTrigger>) -> Turn {
        let every = SignedDuration::from_secs(i64::from(trigger.every_s));
        let mut log = Vec::new();
        let began = Instant::now();
        for page in 0..MAX_PAGES {
            if page > 0 && began.elapsed() > MAX_TURN {
                break;
            }
            let wait = match self.poll_page(trigger, &mut log).await {
                Ok(Page::More) => continue,
                Ok(Page::Last) => every,
                Ok(Page::NoPlace) | Err(Failed::Busy) => NO_PLACE,
                Err(Failed::Superseded) => SignedDuration::ZERO,
                Err(Failed::Paused { code, message }) => {
                    self.note_paused(trigger, code, message).await;
                    every.min(PAUSE)
                }
                Err(Failed::Fault { code, message, retry_after_s }) => {
                    let failures = self.note_failed(trigger, code, message).await;
                    backoff(trigger.every_s, failures, retry_after_s, fraction())
                }
                Err(Failed::Internal(error)) => {
                    if self.is_unchanged(trigger) {
                        tracing::error!(trigger = %trigger.id, error = &error as &dyn std::error::Error, "an app could not be polled; it is tried again");
                    }
                    NO_PLACE
                }
            };
            return Turn { wait, log };
        }
        Turn { wait: SignedDuration::ZERO, log }
    }

    /// Whether a trigger is as it was, and its app is to be asked.
    fn is_unchanged(&self, trigger: &Arc<AppTrigger>) -> bool {
        self.catalog().app_triggers.get(&trigger.id).is_some_and(|now| now.enabled && Arc::ptr_eq(now, trigger))
    }

    async fn poll_page(self: &Arc<Self>, trigger: &Arc<AppTrigger>, log: &mut Vec<LogLine>) -> Result<Page, Failed> {
        if !self.is_unchanged(trigger) {
            return Err(Failed::Superseded);
        }
        let (state, version) = self.poll_state(trigger)?;
        let answer = self.ask_app(trigger, &state, log).await;
        // What was found for a trigger as it was is none of the trigger as it is, and neither is a failure.
        if !self.is_unchanged(trigger) {
            return Err(Failed::Superseded);
        }
        let answer = answer?;
        if answer.records.len() > MAX_RECORDS {
            let message = format!(
                "the connector answered {} records at once; {MAX_RECORDS} are allowed. Have it answer them in pages",
                answer.records.len()
            );
            return Err(Failed::fault("too_many_records", message));
        }
        if answer.cursor.to_string().len() > MAX_CURSOR {
            let message = format!(
                "the connector's cursor is longer than the {MAX_CURSOR} bytes allowed. Have it remember less, and install that version"
            );
            return Err(Failed::fault("cursor_too_large", message));
        }
        self.take_in(trigger, state, version, answer).await
    }

    /// Asks the app through the connector, under the connection's grant.
    async fn ask_app(
        self: &Arc<Self>,
        trigger: &AppTrigger,
        state: &PollState,
        log: &mut Vec<LogLine>,
    ) -> Result<Polled, Failed> {
        let catalog = self.catalog();
        let connection = catalog.connections.get(&trigger.connection);
        let connection =
            connection.filter(|found| found.group == trigger.group && found.environment == trigger.environment);
        let connection = connection
            .ok_or_else(|| Failed::fault("connection_missing", "its connection was deleted. Name another one"))?;
        let digest = self.check_offered(connection, trigger)?;
        let grant = self.grant(connection).await.map_err(not_granted)?;
        let module = self.connector_module(&digest).await?;
        let granted = Arc::new(Mutex::new(vec![grant.clone()]));
        let renewal = PollRenewal { service: self.clone(), connection: connection.clone(), granted: granted.clone() };
        let renewal = connection.pins.oauth.is_some().then(|| Arc::new(renewal) as Arc<dyn Renewal>);
        let flow = catalog.flows.get(&trigger.flow).map(|flow| flow.name.to_string()).unwrap_or_default();
        let info = RunInfo {
            environment: trigger.environment.to_string(),
            flow,
            caller: Caller::AppTrigger(trigger.id.clone()).to_string(),
            ..RunInfo::nobody()
        };
        let scope = self.wasm.scope(info, Some(WITHIN), Arc::new(NoConnections));
        let poll = Poll {
            trigger: trigger.trigger.clone(),
            input: trigger.input.to_string(),
            cursor: state.cursor.as_ref().map(ToString::to_string),
        };
        let answered = tokio::select! {
            answered = self.wasm.poll(&module, &poll, grant, renewal, &scope) => answered,
            // Nothing of it was taken in: the next server asks again.
            () = self.stopping.cancelled() => return Err(Failed::Busy),
        };
        let granted = granted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *log = log_lines(scope.take_log(), &granted);
        let error = match answered {
            Ok(polled) => {
                self.note_call(connection, None);
                return Ok(polled);
            }
            Err(CallError::Overloaded { .. }) => return Err(Failed::Busy),
            Err(CallError::Host(reason)) => return Err(ServiceError::internal("polling an app")(reason).into()),
            Err(error) => error.for_flow(),
        };
        self.note_call(connection, Some(&error));
        let retry_after_s = retry_after(&error);
        let (code, mut message) = (shown(redact(error.code, &granted)), shown(redact(error.message, &granted)));
        if code == INVALID_CURSOR {
            // To go on by itself would leave out, without a word, whatever came since.
            message.push_str(". To go on from now: headgate app-triggers update, with --begin-anew");
        }
        Err(Failed::Fault { code, message, retry_after_s })
    }

    /// The module of a connector that still offers a trigger, for a connection that may use it.
    fn check_offered(&self, connection: &Connection, trigger: &AppTrigger) -> Result<ModuleDigest, Failed> {
        let catalog = self.catalog();
        let connector = catalog.connector(&connection.group, &connection.connector).ok_or_else(|| {
            let message =
                format!("the connector \"{}\" is not installed any more. Push it again", connection.connector);
            Failed::fault("connector_missing", message)
        })?;
        let offered = connector.manifest.triggers.iter().find(|offered| offered.name == trigger.trigger);
        let offered = offered.ok_or_else(|| {
            let message = format!(
                "the connector \"{}\" has no trigger \"{}\" any more, in its version {}. Install one that has, or delete the app trigger",
                connector.name, trigger.trigger, connector.manifest.version
            );
            Failed::fault("trigger_missing", message)
        })?;
        if connection.is_disconnected() {
            let message = format!(
                "the connection \"{}\" is disconnected. Enter its secrets again: headgate connections update {}",
                connection.name, connection.id
            );
            return Err(Failed::Paused { code: "connection_broken", message });
        }
        if self.granted_scopes(connection).is_some_and(|granted| lacks_scopes(&granted, &offered.scopes)) {
            let message = format!(
                "the connection \"{}\" may not do this: it needs the scope {}. Authorize it again with that scope: headgate connections authorize {}",
                connection.name,
                offered.scopes.join(" or "),
                connection.id
            );
            return Err(Failed::Paused { code: "missing_scope", message });
        }
        Ok(connector.digest)
    }

    /// Notes that a poll failed; answers how many in a row have.
    async fn note_failed(self: &Arc<Self>, trigger: &Arc<AppTrigger>, code: String, message: String) -> u32 {
        let noted = self.note_error(trigger, PollError { code, message, at: self.now() }, true).await;
        noted.unwrap_or_else(|error| {
            tracing::error!(trigger = %trigger.id, error = &error as &dyn std::error::Error, "how an app trigger stands could not be written");
            BROKEN_AFTER
        })
    }

    async fn note_paused(self: &Arc<Self>, trigger: &Arc<AppTrigger>, code: &str, message: String) {
        let error = PollError { code: code.to_owned(), message, at: self.now() };
        if let Err(error) = self.note_error(trigger, error, false).await {
            tracing::error!(trigger = %trigger.id, error = &error as &dyn std::error::Error, "how an app trigger stands could not be written");
        }
    }

    async fn note_error(&self, trigger: &Arc<AppTrigger>, error: PollError, counts: bool) -> Result<u32, ServiceError> {
        let (mut state, version) = self.poll_state(trigger)?;
        let is_known = state.last_error.as_ref().is_some_and(|known| known.message == error.message);
        if is_known && !counts {
            return Ok(state.failures);
        }
        state.failures = state.failures.saturating_add(u32::from(counts));
        state.last_error = Some(error);
        let saved = self.store.commit(keep(trigger, &state, version)).await;
        saved.map_err(ServiceError::internal("writing how an app trigger stands"))?;
        if counts {
            self.tend_app_trigger_alert(trigger, &state).await;
        }
        Ok(state.failures)
    }
}

/// Writes a trigger's state, if nobody wrote it meanwhile and the trigger is still there.
pub(super) fn keep(trigger: &Arc<AppTrigger>, state: &PollState, version: Option<Sequence>) -> Batch {
    let key = state_key(trigger);
    let batch = Batch::new().require_present(Record::AppTrigger(trigger.clone()).key());
    let batch = match version {
        Some(version) => batch.require_version(key.clone(), version),
        None => batch.require_absent(key.clone()),
    };
    batch.put(key, encode(state))
}

fn not_granted(error: OauthError) -> Failed {
    let message = error.to_string();
    match error {
        OauthError::Internal(error) => ServiceError::internal("granting a poll")(error).into(),
        OauthError::NeedsAuthorization { .. } => Failed::Paused { code: "needs_authorization", message },
        OauthError::Unavailable { retry_after, .. } => Failed::Fault {
            code: "connection_unavailable".to_owned(),
            message,
            retry_after_s: retry_after.map(|wait| wait.as_secs()),
        },
        OauthError::Refused(_) | OauthError::Unfit(_) => Failed::fault("connection_broken", message),
    }
}

/// How long the app asks to be left alone, as connectors tell it.
fn retry_after(error: &GuestError) -> Option<u64> {
    let details: serde_json::Value = serde_json::from_str(error.details.as_deref()?).ok()?;
    details.get("retry_after_seconds")?.as_u64()
}

fn redact(text: String, granted: &[Arc<Grant>]) -> String {
    granted.iter().fold(text, |text, grant| grant.scrub.scrub_str(&text).into_owned())
}

/// A text on one line, and bounded.
pub(super) fn shown(text: String) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_TEXT).collect()
}

fn log_lines(log: RunLog, granted: &[Arc<Grant>]) -> Vec<LogLine> {
    let skipped = log.lines.len().saturating_sub(MAX_LOG);
    let lines = log.lines.into_iter().skip(skipped).map(|line| LogLine {
        time: Timestamp::try_from(line.at).unwrap_or(Timestamp::UNIX_EPOCH),
        level: match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
        .to_owned(),
        source: if matches!(line.source, LogSource::Server) { "server" } else { "connector" }.to_owned(),
        message: shown(redact(line.message, granted)),
    });
    lines.collect()
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
