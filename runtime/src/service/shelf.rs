//! Modules that are ready to run, by digest.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
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
/// How often flows are looked for that need not stay ready, in parts of the time that they do. A minute by default.
const TIDYINGS: u32 = 5;
/// And no more often than this, whatever was set.
const TIDY_AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// Flows made ready at a time when the server starts: reading them waits for the disk, asking them computes.
const LOADED_AT_ONCE: usize = 8;
const POISONED: &str = "no holder of the shelf panics";

/// A flow's module, ready to run.
pub(super) struct ReadyFlow {
    /// The module.
    pub(super) module: Arc<FlowModule>,
    /// The slots it may open; any where it does not say.
    pub(super) slots: Option<BTreeSet<String>>,
    /// When it was used last, in microseconds since 1970.
    used: AtomicI64,
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
    /// Flows that are being made ready: whoever wants one of them waits for the first who did.
    loading: Mutex<HashMap<ModuleDigest, Weak<tokio::sync::Mutex<()>>>>,
    /// Flows that are ready or still in use.
    alive: Arc<AtomicUsize>,
    /// How often a flow was made ready.
    made_ready: AtomicUsize,
}

#[derive(Default)]
struct Flows {
    published: HashMap<ModuleDigest, Arc<ReadyFlow>>,
    unpublished: HashMap<ModuleDigest, Arc<ReadyFlow>>,
}

/// How many modules there are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShelfFigures {
    /// Those that are published somewhere, and ready.
    pub published: usize,
    /// Those that are kept ready though they are not.
    pub unpublished: usize,
    /// All that exist, with those that only running flows hold.
    pub alive: usize,
    /// How often a flow was made ready since the start.
    pub made_ready: usize,
    /// Connectors' modules.
    pub connectors: usize,
}

impl ReadyFlow {
    fn used(&self) -> i64 {
        self.used.load(Ordering::Relaxed)
    }

    fn use_at(&self, now: Timestamp) {
        self.used.store(now.as_microsecond(), Ordering::Relaxed);
    }
}

impl Shelf {
    /// A flow that is ready, which is used now.
    fn take(&self, digest: &ModuleDigest, now: Timestamp) -> Option<Arc<ReadyFlow>> {
        let flows = self.flows.read().expect(POISONED);
        let flow = flows.published.get(digest).or_else(|| flows.unpublished.get(digest))?;
        flow.use_at(now);
        Some(flow.clone())
    }

    /// Held while a flow is made ready.
    fn turn(&self, digest: &ModuleDigest) -> Arc<tokio::sync::Mutex<()>> {
        let mut loading = self.loading.lock().expect(POISONED);
        loading.retain(|_, turn| turn.strong_count() > 0);
        let turn = loading.get(digest).and_then(Weak::upgrade).unwrap_or_default();
        loading.insert(*digest, Arc::downgrade(&turn));
        turn
    }
}

impl Flows {
    fn keep_unpublished(&mut self, digest: ModuleDigest, flow: Arc<ReadyFlow>, now: Timestamp) {
        flow.use_at(now);
        self.unpublished.insert(digest, flow);
        if self.unpublished.len() > MAX_UNPUBLISHED {
            let oldest = self.unpublished.iter().min_by_key(|(_, kept)| kept.used()).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.unpublished.remove(&digest));
        }
    }

    /// Lets go of published flows but for so many, and for those that were used after a time in microseconds.
    fn let_go(&mut self, count: usize, idle: i64) {
        let flows = self.published.iter().map(|(digest, flow)| (flow.used(), *digest));
        for digest in beyond(flows.collect(), count, idle) {
            self.published.remove(&digest);
        }
    }
}

/// Of flows by the time of their last use: all but so many that were used last, and those that were used after a time.
fn beyond<D>(mut flows: Vec<(i64, D)>, count: usize, idle: i64) -> impl Iterator<Item = D> {
    flows.sort_unstable_by_key(|(used, _)| Reverse(*used));
    flows.into_iter().skip(count).filter_map(move |(used, digest)| (used <= idle).then_some(digest))
}

impl Service {
    /// A flow's module, made ready when it is not.
    pub(super) async fn flow_module(&self, digest: &ModuleDigest) -> Result<Arc<ReadyFlow>, ServiceError> {
        if let Some(flow) = self.shelf.take(digest, self.now()) {
            return Ok(flow);
        }
        let turn = self.shelf.turn(digest);
        let patience = self.wasm.settings().compile;
        let Ok(_turn) = tokio::time::timeout(patience, turn.lock()).await else {
            return Err(ServiceError::Overloaded { what: "The flow is still being made ready", retry_after: patience });
        };
        // Whoever held it before may have made it ready.
        if let Some(flow) = self.shelf.take(digest, self.now()) {
            return Ok(flow);
        }
        // The file is not read where the compiled form is there. One that is gone is a fault all the same.
        let is_here = self.modules.contains(*digest).map_err(ServiceError::internal("looking for a module"))?;
        let cached = if is_here { self.wasm.load_cached_flow(digest).await? } else { None };
        let module = match cached {
            Some(module) => module,
            None => self.wasm.load_flow(&self.module_bytes(digest).await?).await?,
        };
        let manifest = match self.wasm.describe_flow(&module).await {
            Ok(manifest) => manifest,
            Err(error @ CallError::Overloaded { .. }) => return Err(undescribed(error)),
            Err(error) => self.said_before(digest)?.ok_or_else(|| undescribed(error))?,
        };
        let flow = self.ready(module, &manifest);
        self.shelf.made_ready.fetch_add(1, Ordering::Relaxed);
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
        let used = AtomicI64::new(self.now().as_microsecond());
        Arc::new(ReadyFlow { module, slots, used, alive: self.shelf.alive.clone() })
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

    /// Lets go of flows that were not used for a while: of all that are published nowhere, and of published ones but
    /// for so many. Those come back from the cache when they are called.
    fn let_go_of_idle(&self) {
        let ready = i64::try_from(self.settings.ready_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        let idle = self.now().as_microsecond().saturating_sub(ready);
        let mut flows = self.shelf.flows.write().expect(POISONED);
        flows.unpublished.retain(|_, kept| kept.used() > idle);
        flows.let_go(self.settings.ready_flows, idle);
    }

    /// [`Self::let_go_of_idle`], from time to time.
    pub(super) async fn keep_shelf_tidy(self: Arc<Self>) {
        let every = Duration::from_millis(self.settings.ready_ms) / TIDYINGS;
        while !self.stopping.is_cancelled() {
            self.let_go_of_idle();
            tokio::select! {
                () = tokio::time::sleep(every.max(TIDY_AT_MOST_EVERY)) => {}
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
            made_ready: self.shelf.made_ready.load(Ordering::Relaxed),
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

    /// Makes every published module ready once, so that nothing has to be compiled while a request waits, and what cannot
    /// be loaded is said at the start. As many stay ready as always may.
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
        self.shelf.flows.write().expect(POISONED).let_go(self.settings.ready_flows, i64::MAX);
    }

    /// Lets go of connectors' modules that are installed nowhere.
    pub(super) fn tidy_shelf(&self) {
        let catalog = self.catalog();
        let installed =
            |digest: &ModuleDigest| catalog.connectors.values().any(|connector| connector.digest == *digest);
        self.shelf.connectors.write().expect(POISONED).retain(|digest, _| installed(digest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_flows_are_let_go_of_but_for_some() {
        let flows = || vec![(30, 'c'), (10, 'a'), (40, 'd'), (20, 'b')];
        let gone = |count, idle| beyond(flows(), count, idle).collect::<String>();
        assert_eq!(gone(4, 99), "", "that many are always ready");
        assert_eq!(gone(3, 99), "a", "the one unused for longest");
        assert_eq!(gone(0, 99), "dcba");
        assert_eq!(gone(0, 20), "ba", "the others were used since");
        assert_eq!(gone(3, 9), "");
    }
}
