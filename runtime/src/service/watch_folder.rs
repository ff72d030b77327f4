//! The watched folder: modules that operators deploy as files.
//!
//! ```text
//! GROUP/flows/NAME.wasm               the flow's next version
//! GROUP/flows/ENVIRONMENT/NAME.wasm   the same, published in the environment
//! GROUP/connectors/NAME.wasm          installed
//! ```
//!
//! A file is taken once it has stood still for a moment, and once for each of its contents. What is refused is told
//! once, and tried again when the file is written again, even with the same contents; a restart alone tries nothing again.
//! A file that goes away changes nothing.
//!
//! What became of a file is noted after it was taken. A server that is killed in between takes the file again: nothing
//! else can have been published meanwhile, and the same version is neither pushed nor published twice.

mod files;
mod target;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::domain::digest::ModuleDigest;
use crate::domain::id::{Environment, GroupId, Name};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::flows::NewVersion;
use crate::store::Batch;
use files::{Found, Stamp};
use target::{Module, Target};

/// How long a file has to stand still before it is taken: whoever copies one writes more often.
const SETTLE: Duration = Duration::from_millis(500);

/// A file as it was last seen.
struct Seen {
    stamp: Stamp,
    /// Whether it lay there, as it is, when the server started.
    is_old: bool,
    /// Whether it was taken or refused as it stands.
    is_done: bool,
}

/// What is noted about the newest contents of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// They were taken: that is not done twice.
    Taken,
    /// They were refused: they are tried again when the file is written again.
    Refused,
}

impl Noted {
    /// What marks refused contents, behind their digest.
    const REFUSED: &[u8] = b"refused";

    /// How it lies in the store.
    fn record(self, digest: &ModuleDigest) -> Vec<u8> {
        match self {
            Self::Taken => digest.as_bytes().to_vec(),
            Self::Refused => [digest.as_bytes().as_slice(), Self::REFUSED].concat(),
        }
    }

    /// What a record says of contents; `None` where it is about others.
    fn read(record: &[u8], digest: &ModuleDigest) -> Option<Self> {
        match record.strip_prefix(digest.as_bytes().as_slice())? {
            [] => Some(Self::Taken),
            Self::REFUSED => Some(Self::Refused),
            _ => None,
        }
    }
}

/// Whether it says nothing about a file that it could not be taken: it is tried again soon.
fn is_passing(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Overloaded { .. } | ServiceError::Internal { .. })
}

impl Service {
    /// Takes modules from the watched folder until the server stops.
    pub(super) async fn keep_watch_of_modules(self: Arc<Self>) {
        let Some(folder) = self.module_settings.dir.clone() else { return };
        let changed = Arc::new(Notify::new());
        let _watcher = watch(&folder, &changed);
        let mut seen = HashMap::new();
        let (mut was_readable, mut is_first) = (true, true);
        while !self.stopping.is_cancelled() {
            let is_settled = match self.look_through(&folder, &mut seen, is_first).await {
                Ok(is_settled) => {
                    (was_readable, is_first) = (true, false);
                    is_settled
                }
                Err(error) => {
                    if std::mem::take(&mut was_readable) {
                        tracing::error!(folder = %folder.display(), error = &error as &dyn std::error::Error, "the watched folder cannot be read; nothing is taken from it until it can");
                    }
                    true
                }
            };
            tokio::select! {
                () = tokio::time::sleep(if is_settled { self.module_settings.rescan } else { SETTLE }) => {}
                () = changed.notified(), if is_settled => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Takes what has settled; answers whether everything has.
    async fn look_through(
        self: &Arc<Self>,
        folder: &Path,
        seen: &mut HashMap<PathBuf, Seen>,
        is_first: bool,
    ) -> Result<bool, ServiceError> {
        let found = files::list(folder.to_owned()).await?;
        self.forget_gone(&found, seen).await;
        let mut is_settled = true;
        for Found { path, stamp } in found {
            match seen.get(&path) {
                Some(known) if known.stamp == stamp && known.is_done => {}
                Some(known) if known.stamp == stamp => {
                    if self.stopping.is_cancelled() {
                        return Ok(true);
                    }
                    let is_old = known.is_old;
                    let is_done = self.take_file(folder, &path, is_old).await;
                    seen.insert(path, Seen { stamp, is_old, is_done });
                }
                _ => {
                    is_settled = false;
                    seen.insert(path, Seen { stamp, is_old: is_first, is_done: false });
                }
            }
        }
        Ok(is_settled)
    }

    async fn forget_gone(&self, found: &[Found], seen: &mut HashMap<PathBuf, Seen>) {
        let is_gone = |path: &PathBuf| !found.iter().any(|found| found.path == *path);
        let gone: Vec<_> = seen.keys().filter(|path| is_gone(path)).cloned().collect();
        for path in gone {
            seen.remove(&path);
            self.note_taken(self.group_of(&path).as_ref(), &path.display().to_string()).await;
        }
    }

    /// The group that a path names, if there is one.
    fn group_of(&self, path: &Path) -> Option<GroupId> {
        Target::group(path).filter(|group| self.catalog().groups.contains_key(group))
    }

    /// Takes one file; answers whether that is all there is to do until it changes.
    async fn take_file(self: &Arc<Self>, folder: &Path, path: &Path, is_old: bool) -> bool {
        let (group, file) = (self.group_of(path), path.display().to_string());
        let error = match self.deploy(folder, path, is_old).await {
            Ok(Noted::Taken) => {
                self.note_taken(group.as_ref(), &file).await;
                return true;
            }
            Ok(Noted::Refused) => {
                tracing::info!(
                    file,
                    "a file of the watched folder was refused before the server started; it is not tried again until it changes"
                );
                return true;
            }
            Err(error) => error,
        };
        if is_passing(&error) {
            tracing::error!(
                file,
                error = &error as &dyn std::error::Error,
                "a file of the watched folder could not be taken; it is tried again"
            );
            return false;
        }
        tracing::warn!(file, %error, "a file of the watched folder was refused; it is not tried again until it changes");
        if let Err(error) = self.alert_module_refused(group.as_ref(), &file, &error.to_string()).await {
            tracing::error!(file, error = &error as &dyn std::error::Error, "an alert could not be written");
        }
        true
    }

    async fn note_taken(&self, group: Option<&GroupId>, file: &str) {
        if let Err(error) = self.alert_module_taken(group, file).await {
            tracing::error!(file, error = &error as &dyn std::error::Error, "an alert could not be closed");
        }
    }

    /// Takes a file, or answers that this was done before. What was refused before is not tried again where the file is
    /// old: something newer may have been published since.
    async fn deploy(self: &Arc<Self>, folder: &Path, path: &Path, is_old: bool) -> Result<Noted, ServiceError> {
        let Target { group, module } = Target::parse(path).map_err(ServiceError::Invalid)?;
        if !self.catalog().groups.contains_key(&group) {
            let message = format!(
                "There is no group \"{group}\". Make it with `headgate groups create {group}`, then write the file again"
            );
            return Err(ServiceError::Invalid(message));
        }
        let bytes = files::read(folder, path, self.settings.max_module).await?;
        let digest = ModuleDigest::of(&bytes);
        let key = format!("deployed-module/{group}/{}", module.key());
        let known = self.store.get(&key).map_err(ServiceError::internal("reading what was deployed"))?;
        match known.and_then(|known| Noted::read(&known.value, &digest)) {
            Some(Noted::Refused) if !is_old => {}
            Some(noted) => return Ok(noted),
            None => {}
        }
        let taken = match module {
            Module::Flow { name, environment } => self.deploy_flow(&group, name, environment, bytes).await,
            Module::Connector { name } => self.deploy_connector(&group, &name, bytes).await,
        };
        let noted = match &taken {
            Ok(()) => Noted::Taken,
            Err(error) if is_passing(error) => return taken.map(|()| Noted::Taken),
            Err(_) => Noted::Refused,
        };
        let batch = Batch::new().put(key, noted.record(&digest));
        self.store.commit(batch).await.map_err(ServiceError::internal("noting what was deployed"))?;
        taken?;
        tracing::info!(file = %path.display(), %digest, "a file of the watched folder was taken");
        Ok(Noted::Taken)
    }

    /// Pushes a flow's next version, which its newest one stays where it is the same; and publishes it where the path
    /// says so.
    async fn deploy_flow(
        self: &Arc<Self>,
        group: &GroupId,
        name: Name,
        environment: Option<Environment>,
        bytes: Bytes,
    ) -> Result<(), ServiceError> {
        if let Some(environment) = &environment {
            self.check_environment(group, environment)?;
        }
        // Before anything is made: a bad module leaves nothing behind.
        self.admit_flow(&bytes).await?;
        let system = Actor::system();
        let found = self.catalog().flow(group, name.as_str()).cloned();
        let flow = match found {
            Some(flow) => flow,
            None => self.create_flow(&system, group, name, String::new()).await?,
        };
        let note = "from the watched folder".to_owned();
        let new = NewVersion { bytes, note, source: None, draft: false };
        let version = self.push_version(&system, group, flow.id.as_str(), new).await?.version.version;
        let is_published = |environment: &Environment| {
            let catalog = self.catalog();
            let published = catalog.flows.get(&flow.id).and_then(|flow| flow.published.get(environment));
            published.is_some_and(|published| published.version == version)
        };
        if let Some(environment) = environment.filter(|environment| !is_published(environment)) {
            self.publish(&system, group, flow.id.as_str(), Some(version), environment).await?;
        }
        Ok(())
    }

    async fn deploy_connector(
        self: &Arc<Self>,
        group: &GroupId,
        name: &Name,
        bytes: Bytes,
    ) -> Result<(), ServiceError> {
        let manifest = self.admit_connector(&bytes).await?.manifest;
        if manifest.name != name.as_str() {
            let message = format!(
                "The file is named {name}.wasm, and the connector in it calls itself \"{0}\". Name the file {0}.wasm",
                manifest.name
            );
            return Err(ServiceError::Invalid(message));
        }
        self.install_connector(&Actor::system(), Some(group), bytes, false).await.map(drop)
    }
}

/// Has the system say when something changes in the folder. Without it the folder is only looked through now and then.
fn watch(folder: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let heard = Arc::clone(changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| may_change(&event.kind)) {
            heard.notify_one();
        }
    });
    let watching = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| tracing::warn!(folder = %folder.display(), %error, "the system does not say when the watched folder changes; it is looked through now and then"))
        .ok()
}

/// Whether an event can mean other contents. The server reads the folder itself: were it woken by that, it would look
/// through it for ever.
fn may_change(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write))) || !kind.is_access()
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, ModifyKind, RemoveKind};

    use super::*;

    #[test]
    fn what_is_noted_is_about_the_contents_it_was_noted_for() {
        let digest = |text: &'static str| ModuleDigest::of(&Bytes::from_static(text.as_bytes()));
        let (one, other) = (digest("one"), digest("other"));
        for noted in [Noted::Taken, Noted::Refused] {
            assert!(Noted::read(&noted.record(&one), &one) == Some(noted));
            assert!(Noted::read(&noted.record(&one), &other).is_none());
        }
        // As earlier servers noted what they took.
        assert!(Noted::read(one.as_bytes().as_slice(), &one) == Some(Noted::Taken));
        assert!(Noted::read(b"", &one).is_none());
    }

    #[test]
    fn reading_the_folder_wakes_nobody() {
        for (kind, is_change) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Access(AccessKind::Read), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), true),
            (EventKind::Create(CreateKind::File), true),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), true),
            (EventKind::Remove(RemoveKind::File), true),
            // Events were lost: anything may have happened.
            (EventKind::Other, true),
            (EventKind::Any, true),
        ] {
            assert_eq!(may_change(&kind), is_change, "{kind:?}");
        }
    }
}
