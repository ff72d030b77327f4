//! Use cases and authorisation.
//!
//! Each noun has its file. A use case authorises before it acts, reads the [`Catalog`] snapshot, and writes through
//! an [`Edit`](edit::Edit).

pub mod access;
pub mod alerts;
pub mod api_keys;
pub mod app_registrations;
pub mod app_triggers;
pub mod audit;
pub mod calls;
pub mod catalog;
pub mod connections;
pub mod connectors;
pub mod doctor;
pub mod edit;
pub mod error;
pub mod executor;
pub mod export;
pub mod flows;
pub mod groups;
pub mod hooks;
pub mod idempotency;
pub mod import;
pub mod limits;
mod login_limits;
pub mod members;
pub mod modules;
pub mod oauth;
pub mod oidc;
mod once;
mod passwords;
pub mod published_apps;
mod queue;
pub mod record;
pub mod run_once;
pub mod runs;
pub mod samples;
mod scheduler;
pub mod schedules;
pub mod secrets;
pub mod sessions;
pub mod setup;
pub mod shelf;
mod tokens;
pub mod triggers;
pub mod usage;
pub mod users;
pub mod vault;
mod watch_folder;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::domain::group::HostName;
use crate::domain::secret::Pepper;
use crate::service::alerts::{AlertBook, AlertSettings};
use crate::service::api_keys::KeySettings;
use crate::service::app_triggers::Poller;
use crate::service::audit::AuditHead;
use crate::service::catalog::Catalog;
use crate::service::connections::authorize::Authorizations;
use crate::service::connections::{GrantBook, HealthBook};
use crate::service::doctor::Premises;
use crate::service::error::ServiceError;
use crate::service::idempotency::IdempotencyBook;
use crate::service::limits::{LimitSettings, Limits};
use crate::service::modules::ModuleSettings;
use crate::service::oauth::TokenBook;
use crate::service::oidc::{Oidc, OidcSettings};
use crate::service::record::Record;
use crate::service::scheduler::Scheduler;
use crate::service::secrets::RotationBook;
use crate::service::sessions::{Login, UsersSettings};
use crate::service::shelf::Shelf;
use crate::service::tokens::Tokens;
use crate::service::usage::{Spending, UsageBook};
use crate::service::vault::Vault;
use crate::store::{Database, History, Modules, Store};
use crate::wasm::WasmHost;

/// Bounds of the use cases. All are settings under `service`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// The largest body of a webhook in bytes, where its trigger says nothing else. 1 MiB: webhook senders stay far below.
    pub max_body: u64,
    /// The largest body any trigger may allow, in bytes. 32 MiB.
    pub max_body_ceiling: u64,
    /// The largest module in bytes. 64 MiB: JavaScript and Python components take 12 to 20.
    pub max_module: u64,
    /// The largest archive of a group in bytes, as it is exported or imported: one at a time is held in memory. 512 MiB.
    pub max_archive: u64,
    /// How long a synchronous caller waits, where its trigger says nothing else, in milliseconds. 30 s.
    pub timeout_ms: u64,
    /// The longest wait any trigger may allow, in milliseconds. 5 min.
    pub timeout_ceiling_ms: u64,
    /// How many asynchronous runs may wait. Beyond it callers get 503. 10,000.
    pub queue: usize,
    /// How many asynchronous runs are executed at a time; the rest of the instances is kept for synchronous callers. 64.
    pub concurrent_async_runs: usize,
    /// How many idempotency keys a group's triggers may remember. 100,000: a sender's events of a day. Beyond it callers
    /// with a new key get 503.
    pub idempotency_keys: u64,
    /// How many bytes a group's remembered answers may take. 256 MiB: of further ones the status is kept.
    pub idempotency_bytes: u64,
    /// How many modules of published flows are always ready, those called last. 16: one takes half a MiB, in JavaScript
    /// some 35 MiB.
    pub ready_flows: usize,
    /// How long every other one stays ready after its last call, in milliseconds. 5 min.
    pub ready_ms: u64,
    /// How many apps are polled at a time; the rest of the connectors' instances is kept for flows. 8.
    pub concurrent_polls: usize,
    /// How long the run history is kept, in days. 30.
    pub history_days: u32,
    /// How large the run history may grow in bytes. 4 GiB.
    pub history_bytes: u64,
    /// How long the usage of keys is kept, in days. 400: a year and a month to compare it with.
    pub usage_days: u32,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            max_body: 1 << 20,
            max_body_ceiling: 32 << 20,
            max_module: 64 << 20,
            max_archive: 512 << 20,
            timeout_ms: 30_000,
            timeout_ceiling_ms: 300_000,
            queue: 10_000,
            concurrent_async_runs: 64,
            idempotency_keys: 100_000,
            idempotency_bytes: 256 << 20,
            ready_flows: 16,
            ready_ms: 300_000,
            concurrent_polls: 8,
            history_days: 30,
            history_bytes: 4 << 30,
            usage_days: 400,
        }
    }
}

impl ServiceSettings {
    fn timeout(&self, wanted_ms: Option<u64>) -> Duration {
        Duration::from_millis(wanted_ms.unwrap_or(self.timeout_ms).min(self.timeout_ceiling_ms))
    }
}

/// The sections of the settings that the use cases go by.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    /// Bounds of requests, runs and the run history.
    pub service: ServiceSettings,
    /// Where callers reach the server, without a trailing slash.
    pub public_url: String,
    /// Bounds of sessions and logins.
    pub users: UsersSettings,
    /// The OpenID provider, where people log in through one.
    pub oidc: OidcSettings,
    /// Bounds of API keys that have none of their own.
    pub limits: LimitSettings,
    /// When API keys are flagged.
    pub keys: KeySettings,
    /// When alerts are raised, and where those of the server are sent.
    pub alerts: AlertSettings,
    /// Which modules are taken in, and from where.
    pub modules: ModuleSettings,
    /// Where everything is.
    pub premises: Premises,
}

/// Tells the time. Tests give their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the use cases work with.
pub struct Service {
    settings: ServiceSettings,
    /// Where callers reach the server, without a trailing slash.
    public_url: String,
    /// The host name in it, where it has one.
    public_host: Option<HostName>,
    keys: KeySettings,
    module_settings: ModuleSettings,
    premises: Premises,
    clock: Clock,
    store: Arc<dyn Store>,
    history: History,
    modules: Modules,
    wasm: Arc<WasmHost>,
    vault: Vault,
    pepper: Pepper,
    rotation: RotationBook,
    login: Login,
    oidc: Oidc,
    oauth: TokenBook,
    grants: GrantBook,
    authorizations: Authorizations,
    catalog: ArcSwap<Catalog>,
    /// Held while the catalog is changed: one change after the other, each chained to the one before.
    editing: Arc<tokio::sync::Mutex<AuditHead>>,
    shelf: Shelf,
    limits: Arc<Limits>,
    idempotency: Arc<IdempotencyBook>,
    usage: UsageBook,
    spending: Spending,
    alerts: AlertBook,
    health: HealthBook,
    scheduler: Scheduler,
    poller: Poller,
    /// Held while connections are disconnected whose authorizers left, so that nobody does it twice.
    leaving: tokio::sync::Mutex<()>,
    runs: TaskTracker,
    /// What goes on beside requests and writes when the server stops.
    background: TaskTracker,
    queue: Arc<Semaphore>,
    async_runs: Arc<Semaphore>,
    /// The place for one archive in memory.
    archives: Arc<Semaphore>,
    stopping: CancellationToken,
}

/// A service, and what its start has to tell.
pub struct Started {
    /// The service.
    pub service: Arc<Service>,
    /// The token that makes an operator, while there is none or when one was asked for: it is shown once and stored as a hash.
    pub setup_token: Option<SecretString>,
}

impl Service {
    /// Reads the catalog, takes up interrupted runs, and is ready.
    ///
    /// `stopping` ends the taking of new work.
    pub async fn start(
        sections: Sections,
        clock: Clock,
        database: &Database,
        vault: Vault,
        wasm: Arc<WasmHost>,
        stopping: CancellationToken,
    ) -> Result<Started, ServiceError> {
        let Sections { service: settings, public_url, users, oidc, limits, keys, alerts, modules, premises } = sections;
        let pepper = Pepper::new(vault.pepper());
        let store = database.records.clone();
        let tokens = Tokens::open(store.as_ref(), &vault, users.access_token, clock()).await?;
        let catalog = read_catalog(store.as_ref())?;
        let editing = AuditHead::read(store.as_ref())?;
        let limits = Arc::new(Limits::load(limits, store.clone(), clock()).await?);
        let idempotency = Arc::new(IdempotencyBook::read(store.as_ref())?);
        let spending = Spending::read(store.clone(), clock())?;
        let health = HealthBook::read(store.clone(), &catalog)?;
        let client =
            wasm.guarded_client().map_err(ServiceError::internal("making the client for alerts and tokens"))?;
        let alerts = AlertBook::open(alerts, store.as_ref(), client.clone())?;
        let oidc = Oidc::new(&oidc, &public_url)?;
        let authorizations = Authorizations::new(&public_url)?;
        let service = Arc::new(Self {
            queue: Arc::new(Semaphore::new(settings.queue)),
            async_runs: Arc::new(Semaphore::new(settings.concurrent_async_runs)),
            poller: Poller::new(settings.concurrent_polls),
            settings,
            public_host: Url::parse(&public_url).ok().and_then(|url| url.host_str()?.parse().ok()),
            public_url,
            keys,
            module_settings: modules,
            premises,
            clock,
            usage: UsageBook::new(store.clone()),
            spending,
            alerts,
            health,
            scheduler: Scheduler::read(store.as_ref())?,
            store,
            history: database.history.clone(),
            modules: database.modules.clone(),
            wasm,
            vault,
            rotation: RotationBook::default(),
            pepper,
            login: Login::new(users, tokens),
            oidc,
            oauth: TokenBook::new(client),
            grants: GrantBook::default(),
            authorizations,
            catalog: ArcSwap::from_pointee(catalog),
            editing: Arc::new(tokio::sync::Mutex::new(editing)),
            shelf: Shelf::default(),
            leaving: tokio::sync::Mutex::default(),
            limits,
            idempotency,
            archives: Arc::new(Semaphore::new(1)),
            runs: TaskTracker::new(),
            background: TaskTracker::new(),
            stopping,
        });
        service.load_published().await?;
        service.recover_runs().await?;
        service.resume_rotation()?;
        let setup_token = service.prepare_set_up().await?;
        service.spawn_background();
        Ok(Started { service, setup_token })
    }

    /// Begins what goes on beside requests.
    fn spawn_background(self: &Arc<Self>) {
        tokio::spawn(keep_history_short(self.clone()));
        tokio::spawn(keep_logins(self.clone()));
        tokio::spawn(self.clone().keep_shelf_tidy());
        tokio::spawn(self.limits.clone().tend(self.clock.clone(), self.stopping.clone()));
        self.background.spawn(self.clone().keep_usage_written());
        self.background.spawn(self.clone().keep_idempotency_short());
        self.background.spawn(self.clone().keep_watch());
        self.background.spawn(self.clone().keep_delivering());
        self.background.spawn(self.clone().keep_watch_of_modules());
        self.background.spawn(self.clone().keep_schedules());
        self.background.spawn(self.clone().keep_polling());
    }

    /// The present snapshot of all configuration.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The bounds in force.
    pub fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// The sandbox, for figures of how full it is and what it has compiled.
    pub fn sandbox(&self) -> &WasmHost {
        &self.wasm
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Waits until running flows have ended and what was counted is written; what is queued stays in the store for the
    /// next start.
    pub async fn drain(&self) {
        self.stopping.cancel();
        self.runs.close();
        self.runs.wait().await;
        self.limits.settle().await;
        self.background.close();
        self.background.wait().await;
        if let Err(error) = self.write_usage().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the newest usage could not be written and is lost"
            );
        }
        if let Err(error) = self.write_alerts().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the newest state of alerts could not be written"
            );
        }
    }
}

/// The longest description of anything, in characters: it lies in memory and in the audit log.
const MAX_DESCRIPTION: usize = 1000;

fn check_description(text: &str) -> Result<(), ServiceError> {
    if text.chars().count() <= MAX_DESCRIPTION {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!("A description has at most {MAX_DESCRIPTION} characters. Write a shorter one")))
}

/// How often old runs are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

async fn keep_history_short(service: Arc<Service>) {
    while !service.stopping.is_cancelled() {
        service.prune_runs().await;
        tokio::select! {
            () = tokio::time::sleep(PRUNE_EVERY) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

/// How often old sessions and an old signing key are looked for.
const KEEP_LOGINS_EVERY: Duration = Duration::from_secs(60 * 60);

async fn keep_logins(service: Arc<Service>) {
    while !service.stopping.is_cancelled() {
        service.keep_logins().await;
        tokio::select! {
            () = tokio::time::sleep(KEEP_LOGINS_EVERY) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

fn read_catalog(store: &dyn Store) -> Result<Catalog, ServiceError> {
    /// Records read at a time.
    const PAGE: usize = 1000;
    let mut catalog = Catalog::default();
    for prefix in record::PREFIXES {
        let mut after: Option<String> = None;
        loop {
            let page =
                store.scan(prefix, after.as_deref(), PAGE).map_err(ServiceError::internal("reading the catalog"))?;
            for (key, value) in &page {
                catalog.put(Record::decode(key, &value.value)?);
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
    }
    Ok(catalog)
}
