//! Modules that are ready to run, by digest.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use headgate_manifest::FlowManifest;
use jiff::Timestamp;

use crate::domain::digest::ModuleDigest;
use crate::domain::flow::Flow;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::flows::undescribed;
use crate::wasm::{CallError, ConnectorModule, FlowModule};

/// Flows kept ready though they are published nowhere: drafts that are tried, and what was replaced a moment ago, for
/// the runs that are queued for it and for its rollback. The one unused for longest makes place.
const MAX_UNPUBLISHED: usize = 16;
/// How long such a flow is kept after its last use.
const UNPUBLISHED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often those are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Modules made ready at a time when the server starts: reading them waits for the disk, preparing them computes.
const LOADED_AT_ONCE: usize = 8;
const POISONED: &str = "no holder of the shelf panics";

/// A flow's module, ready to run.
pub(super) struct ReadyFlow {
    /// The module.
    pub(super) module: Arc<FlowModule>,
    /// The slots it may open; any where it does not say.
    pub(super) slots: Option<BTreeSet<String>>,
    alive: Arc<AtomicUsize>,
}

impl Drop for ReadyFlow {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ready modules. What is let go of here lives on in the runs that still use it.
#[derive(Default)]
pub struct Shelf {
    flows: RwLock<Flows>,
    connectors: RwLock<HashMap<ModuleDigest, Arc<ConnectorModule>>>,
    /// Flows that are ready or still in use.
    alive: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Flows {
    published: HashMap<ModuleDigest, Arc<ReadyFlow>>,
    unpublished: HashMap<ModuleDigest, Unpublished>,
}

struct Unpublished {
    flow: Arc<ReadyFlow>,
    used: Timestamp,
}

/// How many modules there are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShelfFigures {
    /// Those that are published somewhere.
    pub published: usize,
    /// Those that are kept ready though they are not.
    pub unpublished: usize,
    /// All that exist, with those that only running flows hold.
    pub alive: usize,
    /// Connectors' modules.
    pub connectors: usize,
}

impl Flows {
    fn keep_unpublished(&mut self, digest: ModuleDigest, flow: Arc<ReadyFlow>, now: Timestamp) {
        self.unpublished.insert(digest, Unpublished { flow, used: now });
        if self.unpublished.len() > MAX_UNPUBLISHED {
            let oldest = self.unpublished.iter().min_by_key(|(_, kept)| kept.used).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.unpublished.remove(&digest));
        }
    }
}

impl Service {
    /// A flow's module, made ready when it is not.
    pub(super) async fn flow_module(&self, digest: &ModuleDigest) -> Result<Arc<ReadyFlow>, ServiceError> {
        if let Some(flow) = self.shelf.flows.read().expect(POISONED).published.get(digest) {
            return Ok(flow.clone());
        }
        if let Some(kept) = self.shelf.flows.write().expect(POISONED).unpublished.get_mut(digest) {
            kept.used = self.now();
            return Ok(kept.flow.clone());
        }
        let module = self.wasm.load_flow(&self.module_bytes(digest).await?).await?;
        let manifest = match self.wasm.describe_flow(&module).await {
            Ok(manifest) => manifest,
            Err(error @ CallError::Overloaded { .. }) => return Err(undescribed(error)),
            Err(error) => self.said_before(digest)?.ok_or_else(|| undescribed(error))?,
        };
        let flow = self.ready(module, &manifest);
        self.shelve(*digest, flow.clone());
        Ok(flow)
    }

    /// What a published flow said about itself when it was pushed. Without it nobody knows which slots it may open.
    fn said_before(&self, digest: &ModuleDigest) -> Result<Option<FlowManifest>, ServiceError> {
        for flow in self.catalog().flows.values() {
            for publication in flow.published.values().filter(|publication| publication.digest == *digest) {
                let manifest = self.stored_manifest(flow, publication.version)?;
                if manifest.is_some() {
                    return Ok(manifest);
                }
            }
        }
        Ok(None)
    }

    /// A module that was loaded, ready to run.
    pub(super) fn ready(&self, module: Arc<FlowModule>, manifest: &FlowManifest) -> Arc<ReadyFlow> {
        let slots = manifest.slots.as_ref();
        let slots = slots.map(|slots| slots.iter().map(|slot| slot.name.clone()).collect());
        self.shelf.alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(ReadyFlow { module, slots, alive: self.shelf.alive.clone() })
    }

    /// Puts a module where it belongs.
    pub(super) fn shelve(&self, digest: ModuleDigest, flow: Arc<ReadyFlow>) {
        let mut flows = self.shelf.flows.write().expect(POISONED);
        if self.catalog.load().is_published(&digest) {
            flows.unpublished.remove(&digest);
            flows.published.insert(digest, flow);
        } else {
            flows.keep_unpublished(digest, flow, self.now());
        }
    }

    /// Takes modules from among the published ones that are published no more.
    ///
    /// The catalog is read under the shelf's lock: whoever comes last sees the newest one.
    pub(super) fn settle_on_shelf(&self, digests: impl IntoIterator<Item = ModuleDigest>) {
        let mut flows = self.shelf.flows.write().expect(POISONED);
        let catalog = self.catalog.load();
        for digest in digests {
            if !catalog.is_published(&digest)
                && let Some(flow) = flows.published.remove(&digest)
            {
                flows.keep_unpublished(digest, flow, self.now());
            }
        }
    }

    /// Lets go of flows that are published nowhere and were not used for a while.
    fn tidy_unpublished(&self) {
        let now = self.now();
        let is_used = |kept: &Unpublished| now.duration_since(kept.used).unsigned_abs() < UNPUBLISHED_FOR;
        self.shelf.flows.write().expect(POISONED).unpublished.retain(|_, kept| is_used(kept));
    }

    /// [`Self::tidy_unpublished`], from time to time.
    pub(super) async fn keep_shelf_tidy(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            self.tidy_unpublished();
            tokio::select! {
                () = tokio::time::sleep(TIDY_EVERY) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// How many modules there are in memory.
    pub fn shelf_figures(&self) -> ShelfFigures {
        let flows = self.shelf.flows.read().expect(POISONED);
        ShelfFigures {
            published: flows.published.len(),
            unpublished: flows.unpublished.len(),
            alive: self.shelf.alive.load(Ordering::Relaxed),
            connectors: self.shelf.connectors.read().expect(POISONED).len(),
        }
    }

    /// A connector's module, made ready when it is not.
    pub(super) async fn connector_module(&self, digest: &ModuleDigest) -> Result<Arc<ConnectorModule>, ServiceError> {
        if let Some(module) = self.shelf.connectors.read().expect(POISONED).get(digest) {
            return Ok(module.clone());
        }
        let module = self.wasm.load_connector(&self.module_bytes(digest).await?).await?;
        self.shelf.connectors.write().expect(POISONED).insert(*digest, module.clone());
        Ok(module)
    }

    pub(super) async fn module_bytes(&self, digest: &ModuleDigest) -> Result<Bytes, ServiceError> {
        let doing = "reading a module";
        let bytes = self.modules.get(*digest).await.map_err(ServiceError::internal(doing))?;
        bytes.ok_or_else(|| ServiceError::internal(doing)(format!("the file of {digest} is missing")))
    }

    /// Makes every published module ready, so that the first request after a start waits for none.
    pub(super) async fn load_published(&self) -> Result<(), ServiceError> {
        let catalog = self.catalog();
        // Once per module: many flows may share one.
        let mut modules = HashMap::new();
        for flow in catalog.flows.values() {
            for publication in flow.published.values() {
                modules.entry(publication.digest).or_insert((flow.clone(), publication.version));
            }
        }
        let loads = modules.into_iter().map(|(digest, (flow, version))| self.load_flow(digest, flow, version).boxed());
        futures::stream::iter(loads).buffer_unordered(LOADED_AT_ONCE).collect::<()>().await;
        for connector in catalog.connectors.values() {
            if let Err(error) = self.connector_module(&connector.digest).await {
                tracing::error!(connector = %connector.name, place = connector.place(), %error, "a connector's module cannot be loaded; push it again");
            }
        }
        Ok(())
    }

    async fn load_flow(&self, digest: ModuleDigest, flow: Arc<Flow>, version: u32) {
        if let Err(error) = self.flow_module(&digest).await {
            tracing::error!(flow = %flow.name, group = %flow.group, version, %error, "a published module cannot be loaded; its flow will answer 500 until it is pushed again");
        }
    }

    /// Lets go of connectors' modules that are installed nowhere.
    pub(super) fn tidy_shelf(&self) {
        let catalog = self.catalog();
        let installed =
            |digest: &ModuleDigest| catalog.connectors.values().any(|connector| connector.digest == *digest);
        self.shelf.connectors.write().expect(POISONED).retain(|digest, _| installed(digest));
    }
}
