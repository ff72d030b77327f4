//! The whole server, put together. `serve`, `demo` and the tests start this one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::client_address::TrustedProxies;
use crate::http::{self, Api};
use crate::service::vault::Vault;
use crate::service::{Clock, Sections, Service};
use crate::settings::Settings;
use crate::store::{Database, Options};
use crate::wasm::egress::Egress;
use crate::wasm::{Compiler, ModuleCache, WasmHost};

/// A running server.
pub struct App {
    address: SocketAddr,
    api: Arc<Api>,
    setup_token: Option<SecretString>,
    database: Database,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

impl App {
    /// Starts a server by the system's clock. `key` is the key-encryption key, where it does not come from the key file.
    pub async fn start(settings: Settings, key: Option<SecretString>, compiler: Compiler) -> anyhow::Result<Self> {
        Self::start_with_clock(settings, key, compiler, Arc::new(Timestamp::now)).await
    }

    /// [`Self::start`] by another clock.
    pub async fn start_with_clock(
        settings: Settings,
        key: Option<SecretString>,
        compiler: Compiler,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await.with_context(|| {
            format!(
                "cannot listen at {}. Stop what listens there, or choose another address with --listen",
                settings.listen
            )
        })?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (key_file, public_url) = (settings.key_file(), settings.public_url(address));
        let (data_dir, listing, premises) = (settings.data_dir.clone(), settings.listing(), settings.premises());
        let database = tokio::task::spawn_blocking(move || Database::open(&data_dir, &Options::default()))
            .await
            .context("opening the store was interrupted")?
            .with_context(|| format!("the store in {} cannot be opened", settings.data_dir.display()))?;
        let vault = Vault::open(database.records.clone(), &key_file, key).await.context("secrets cannot be opened")?;
        let cache = ModuleCache::open(settings.data_dir.join("cache"), *vault.module_cache_key())
            .context("compiled modules cannot be kept")?;
        let egress = Egress::new(settings.egress).context("outgoing requests cannot be made")?;
        let wasm = WasmHost::new(settings.wasm, cache, compiler, egress).context("the sandbox cannot be set up")?;
        let stopping = CancellationToken::new();
        let sections = Sections {
            service: settings.service,
            public_url: public_url.clone(),
            users: settings.users,
            oidc: settings.oidc,
            limits: settings.limits,
            keys: settings.keys,
            alerts: settings.alerts,
            modules: settings.modules,
            premises,
        };
        let started = Service::start(sections, clock, &database, vault, wasm, stopping.clone())
            .await
            .context("the server cannot take up its work")?;
        started.service.note_settings(&listing).await.context("the settings cannot be recorded")?;
        let api = Arc::new(Api { service: started.service, public_url, ready: AtomicBool::new(true) });
        let proxies = TrustedProxies::new(settings.trusted_proxies);
        let router = http::router(api.clone());
        let serving = tokio::spawn(http::server::serve(listener, router, proxies, stopping.clone()));
        Ok(Self { address, api, setup_token: started.setup_token, database, stopping, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where callers reach it, without a trailing slash.
    pub fn public_url(&self) -> &str {
        &self.api.public_url
    }

    /// The token that makes an operator; `None` when there is one, and no token was asked for.
    pub fn setup_token(&self) -> Option<&SecretString> {
        self.setup_token.as_ref()
    }

    /// The use cases, for tests that look behind the API.
    pub fn service(&self) -> &Arc<Service> {
        &self.api.service
    }

    /// Takes no more requests, lets running flows end, and makes everything durable.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.api.ready.store(false, Ordering::Relaxed);
        self.stopping.cancel();
        self.serving.await.context("the server ended with a fault")?;
        self.api.service.drain().await;
        self.database.close().await.context("the store cannot be closed")
    }
}
