//! Connectors: components that offer the methods of an app. They are installed in a group, or by an operator for all
//! groups; a group's own comes before the server's of the same name.

mod uses;

use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::Manifest;

use crate::domain::connector::upgrade::Consequences;
use crate::domain::connector::{Connector, ConnectorVersion, place};
use crate::domain::digest::ModuleDigest;
use crate::domain::id::{ConnectorName, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::record::{Record, decode, encode};

use uses::Asked;
pub use uses::Incompatible;

/// Versions of a connector that are kept, the newest: what one can go back to. Their modules' files stay, as
/// those of flows do: others may have the same.
const KEPT_VERSIONS: u32 = 100;
/// Versions deleted at a time with their connector.
const PAGE: usize = 1000;

/// What is done, with a group's connectors and with the server's.
type Actions = (Action, Action);

const LIST: Actions = (Action::ListConnectors, Action::ListServerConnectors);
const GET: Actions = (Action::GetConnector, Action::ListServerConnectors);
const INSTALL: Actions = (Action::InstallConnector, Action::InstallServerConnector);
const ROLL_BACK: Actions = (Action::RollBackConnector, Action::RollBackServerConnector);
const FORCE: Actions = (Action::ForceConnector, Action::ForceServerConnector);
const REMOVE: Actions = (Action::RemoveConnector, Action::RemoveServerConnector);

/// What became of a connector that was installed or rolled back.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The connector as it is now.
    pub connector: Arc<Connector>,
    /// What was done.
    pub change: Change,
    /// What people should know: nothing breaks by it.
    pub warnings: Vec<String>,
}

/// What installing a connector has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new version is in use.
    Installed,
    /// A version from before is in use again.
    Restored,
    /// Nothing: this module is in use already.
    Unchanged,
}

// `group` is whose the connectors are; without one, they are the server's.
impl Service {
    /// The connectors that a group uses, its own and the server's, or those of the server; by name.
    pub fn list_connectors(&self, actor: &Actor, group: Option<&GroupId>) -> Result<Vec<Arc<Connector>>, ServiceError> {
        let catalog = self.catalog();
        authorise(actor, &catalog, group, LIST)?;
        let used = |connector: &&Arc<Connector>| match &connector.group {
            None => group.is_none_or(|group| catalog.installed(Some(group), &connector.name).is_none()),
            own => own.as_ref() == group,
        };
        let mut connectors: Vec<_> = catalog.connectors.values().filter(used).cloned().collect();
        connectors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(connectors)
    }

    /// One connector: the one that a group uses, or the server's.
    pub fn get_connector(
        &self,
        actor: &Actor,
        group: Option<&GroupId>,
        name: &ConnectorName,
    ) -> Result<Arc<Connector>, ServiceError> {
        let catalog = self.catalog();
        authorise(actor, &catalog, group, GET)?;
        let connector = group.map_or_else(|| catalog.installed(None, name), |group| catalog.connector(group, name));
        connector.cloned().ok_or(ServiceError::NotFound { what: "Connector" })
    }

    /// The newest versions of a connector that is installed in a group, or on the server; the newest first.
    pub fn list_connector_versions(
        &self,
        actor: &Actor,
        group: Option<&GroupId>,
        name: &ConnectorName,
    ) -> Result<(Arc<Connector>, Vec<ConnectorVersion>), ServiceError> {
        let catalog = self.catalog();
        authorise(actor, &catalog, group, GET)?;
        let connector = installed(&catalog, group, name)?;
        let versions = self.connector_versions(&connector)?;
        Ok((connector, versions))
    }

    /// Installs a connector from a component, as its next version. Its name is the one in its manifest. The module that is
    /// in use already changes nothing, and one from before is in use again.
    ///
    /// What would break by it is told first, and is not done unless by `force`. Connections keep the hosts and placements
    /// that were pinned when they were made. Calls under way end on the module they began with.
    pub async fn install_connector(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        bytes: Bytes,
        force: bool,
    ) -> Result<Installed, ServiceError> {
        authorise(actor, &self.catalog(), group, INSTALL)?;
        let digest = ModuleDigest::of(&bytes);
        if let Some(connector) = in_use(&self.catalog(), group, &digest) {
            return Ok(Installed { connector, change: Change::Unchanged, warnings: Vec::new() });
        }
        let manifest = self.admit_connector(&bytes).await?.manifest;
        let name = check_manifest(&manifest)?;
        let size = bytes.len() as u64;
        self.modules.put(bytes).await.map_err(ServiceError::internal("keeping a module"))?;
        let asked = self.ask_users(group, &name).await?;
        self.connector_module(&digest).await?;
        let module = NewModule { manifest, name, digest, size, asked };
        let installed = self.install_module(actor, group, module, force).await;
        self.tidy_if_refused(installed)
    }

    /// Puts a connector's module into use that is ready.
    async fn install_module(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        NewModule { manifest, name, digest, size, asked }: NewModule,
        force: bool,
    ) -> Result<Installed, ServiceError> {
        let edit = self.edit_connectors(actor, group, if force { FORCE } else { INSTALL }).await?;
        if let Some(connector) = in_use(edit.catalog(), group, &digest) {
            return Ok(Installed { connector, change: Change::Unchanged, warnings: Vec::new() });
        }
        let before = edit.catalog().installed(group, &name).cloned();
        let versions = before.as_ref().map(|before| self.connector_versions(before)).transpose()?.unwrap_or_default();
        let known = versions.into_iter().find(|version| version.digest == digest);
        let change = if known.is_some() { Change::Restored } else { Change::Installed };
        let version = known.unwrap_or_else(|| ConnectorVersion {
            version: before.as_ref().map_or(0, |before| before.latest) + 1,
            digest,
            size,
            manifest,
            installed: self.now(),
            installed_by: edit.actor().for_audit().name,
        });
        let connector = match &before {
            Some(before) => before.with(version),
            None => first_of(group, name, version),
        };
        self.swap_connector(edit, before, connector, change, &asked, force).await
    }

    /// Takes a version from before into use: the one before the present one, or the one that is named.
    pub async fn roll_back_connector(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        name: &ConnectorName,
        to: Option<u32>,
        force: bool,
    ) -> Result<Installed, ServiceError> {
        authorise(actor, &self.catalog(), group, ROLL_BACK)?;
        let find = |catalog: &Catalog| {
            let before = installed(catalog, group, name)?;
            let to = to.unwrap_or(before.version.saturating_sub(1));
            let version = self.connector_version(&before, to)?;
            Ok::<_, ServiceError>((before, version.ok_or_else(|| no_version(name, to))?))
        };
        let (_, version) = find(&self.catalog())?;
        let asked = self.ask_users(group, name).await?;
        self.connector_module(&version.digest).await?;
        let change = async {
            let edit = self.edit_connectors(actor, group, if force { FORCE } else { ROLL_BACK }).await?;
            let (before, version) = find(edit.catalog())?;
            if before.version == version.version {
                return Ok(Installed { connector: before, change: Change::Unchanged, warnings: Vec::new() });
            }
            let connector = before.with(version);
            self.swap_connector(edit, Some(before), connector, Change::Restored, &asked, force).await
        };
        self.tidy_if_refused(change.await)
    }

    /// Lets go of the module that was made ready for a change that is not made.
    fn tidy_if_refused(&self, changed: Result<Installed, ServiceError>) -> Result<Installed, ServiceError> {
        changed.inspect_err(|_| self.tidy_shelf())
    }

    /// Removes a connector with its versions. Refused while connections use it, unless a group's connections can go on
    /// with the server's of the same name; what would break by that is told first, and is not done unless by `force`.
    pub async fn remove_connector(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        name: &ConnectorName,
        force: bool,
    ) -> Result<(), ServiceError> {
        authorise(actor, &self.catalog(), group, REMOVE)?;
        let asked = self.ask_users(group, name).await?;
        let mut edit = self.edit_connectors(actor, group, if force { FORCE } else { REMOVE }).await?;
        let connector = installed(edit.catalog(), group, name)?;
        let instead = group.and_then(|_| edit.catalog().installed(None, name)).cloned();
        match &instead {
            Some(instead) => {
                let users = self.connector_users(edit.catalog(), &connector, &asked).await?;
                let consequences = users.consequences(&connector.manifest, &instead.manifest);
                self::uses::check(name, consequences, force)?;
            }
            None => uses::check_unused(edit.catalog(), &connector)?,
        }
        edit.remove(&Record::Connector(connector.clone()));
        self.forget_versions(&mut edit, &connector)?;
        edit.save().await?;
        self.tidy_shelf();
        Ok(())
    }

    /// Puts a connector in place of the one that was in use, if nothing breaks by it or it is forced.
    async fn swap_connector(
        &self,
        mut edit: Edit,
        before: Option<Arc<Connector>>,
        connector: Connector,
        change: Change,
        asked: &Asked,
        force: bool,
    ) -> Result<Installed, ServiceError> {
        let catalog = edit.catalog();
        // A group's first one comes in place of the server's.
        let used = match (&before, &connector.group) {
            (Some(before), _) => Some(before.clone()),
            (None, Some(group)) => catalog.connector(group, &connector.name).cloned(),
            (None, None) => None,
        };
        let consequences = match &used {
            Some(used) => self
                .connector_users(catalog, &connector, asked)
                .await?
                .consequences(&used.manifest, &connector.manifest),
            None => Consequences::default(),
        };
        let warnings = uses::check(&connector.name, consequences, force)?;
        if let Some(oldest) = connector.latest.checked_sub(KEPT_VERSIONS).filter(|_| change == Change::Installed) {
            edit.remove_beside(&version_key(&connector, oldest));
        }
        for version in before.iter().map(|before| before.in_use()).chain([connector.in_use()]) {
            edit.put_beside(version_key(&connector, version.version), encode(&version));
        }
        let connector = Arc::new(connector);
        edit.put(Record::Connector(connector.clone()));
        edit.save().await?;
        self.tidy_shelf();
        Ok(Installed { connector, change, warnings })
    }

    async fn edit_connectors(
        self: &Arc<Self>,
        actor: &Actor,
        group: Option<&GroupId>,
        (of_group, of_server): Actions,
    ) -> Result<Edit, ServiceError> {
        match group {
            Some(group) => self.edit(actor, group, of_group).await,
            None => self.edit_server(actor, of_server).await,
        }
    }

    /// The newest versions, the newest first.
    fn connector_versions(&self, connector: &Connector) -> Result<Vec<ConnectorVersion>, ServiceError> {
        let after = version_key(connector, connector.latest.saturating_sub(KEPT_VERSIONS));
        let records = self.store.scan(&versions_prefix(connector), Some(&after), KEPT_VERSIONS as usize);
        let records = records.map_err(ServiceError::internal("reading a connector's versions"))?;
        let versions: Result<Vec<ConnectorVersion>, _> =
            records.iter().rev().map(|(_, record)| decode(&record.value)).collect();
        let mut versions = versions?;
        // A connector from before there were versions has no record of its first one.
        if !versions.iter().any(|version| version.version == connector.version) {
            versions.push(connector.in_use());
            versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        }
        Ok(versions)
    }

    fn connector_version(&self, of: &Connector, version: u32) -> Result<Option<ConnectorVersion>, ServiceError> {
        if version == of.version {
            return Ok(Some(of.in_use()));
        }
        let record = self.store.get(&version_key(of, version));
        let record = record.map_err(ServiceError::internal("reading a connector's version"))?;
        record.map(|record| decode(&record.value)).transpose()
    }

    fn forget_versions(&self, edit: &mut Edit, connector: &Connector) -> Result<(), ServiceError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&versions_prefix(connector), after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("deleting a connector's versions"))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            page.iter().for_each(|(key, _)| edit.remove_beside(key));
        }
    }
}

/// A connector's module that was admitted, and what was asked of those that use it.
struct NewModule {
    manifest: Manifest,
    name: ConnectorName,
    digest: ModuleDigest,
    size: u64,
    asked: Asked,
}

/// The connector of a group, or of the server, that is this module.
fn in_use(catalog: &Catalog, group: Option<&GroupId>, digest: &ModuleDigest) -> Option<Arc<Connector>> {
    let mut all = catalog.connectors.values();
    all.find(|found| found.group.as_ref() == group && found.digest == *digest).cloned()
}

fn first_of(group: Option<&GroupId>, name: ConnectorName, version: ConnectorVersion) -> Connector {
    Connector {
        group: group.cloned(),
        name,
        version: version.version,
        latest: version.version,
        digest: version.digest,
        size: version.size,
        manifest: version.manifest,
        installed: version.installed,
        installed_by: version.installed_by,
    }
}

fn versions_prefix(connector: &Connector) -> String {
    format!("connector-version/{}/{}/", place(connector.group.as_ref()), connector.name)
}

fn version_key(connector: &Connector, version: u32) -> String {
    format!("{}{version:010}", versions_prefix(connector))
}

fn no_version(name: &ConnectorName, version: u32) -> ServiceError {
    let message = match version {
        0 => format!("The connector \"{name}\" has no version before the present one. Name another one with `to`"),
        _ => format!("The connector \"{name}\" has no version {version}. See: headgate connectors versions {name}"),
    };
    ServiceError::Conflict(message)
}

fn authorise(
    actor: &Actor,
    catalog: &Catalog,
    group: Option<&GroupId>,
    (of_group, of_server): Actions,
) -> Result<(), ServiceError> {
    match group {
        Some(group) => actor.authorise(catalog, group, of_group),
        None => actor.authorise_server(catalog, of_server),
    }
}

/// A connector that is installed in this group, or on the server.
fn installed(catalog: &Catalog, group: Option<&GroupId>, name: &ConnectorName) -> Result<Arc<Connector>, ServiceError> {
    if let Some(connector) = catalog.installed(group, name) {
        return Ok(connector.clone());
    }
    match group.and_then(|_| catalog.installed(None, name)) {
        None => Err(ServiceError::NotFound { what: "Connector" }),
        Some(_) => Err(ServiceError::Conflict(format!(
            "The group has no connector \"{name}\" of its own: it uses the server's, which an operator changes. Install one in the group to have its own"
        ))),
    }
}

/// Checks what the rest of the house relies on; answers the connector's name.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<ConnectorName, ServiceError> {
    let refused = |reason: String| ServiceError::Module(format!("The connector's manifest cannot be used: {reason}"));
    let name = manifest.name.parse::<ConnectorName>().map_err(|error| refused(error.to_string()))?;
    let faults = manifest.faults();
    if faults.is_empty() { Ok(name) } else { Err(refused(faults.join("; "))) }
}
