//! Versions of a flow: pushing and reading them.

use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::FlowManifest;

use crate::domain::flow::diff::{DescribedVersion, FlowDiff};
use crate::domain::flow::{Flow, FlowVersion, SourceRevision};
use crate::domain::id::{Environment, GroupId};
use crate::domain::permission::Action;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::flows::{find, manifest_key, version_key, version_prefix};
use crate::service::record::{Record, decode, encode};
use crate::service::{Service, check_description};
use crate::wasm::{CallError, inspect};

/// Versions answered at most in one page, and where nothing is said.
pub const MAX_LISTED: usize = 500;
const LISTED: usize = 50;

/// A module on its way to be a flow's next version.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The component.
    pub bytes: Bytes,
    /// What its author says of it.
    pub note: String,
    /// What it was built from.
    pub source: Option<SourceRevision>,
    /// Whether the next push is to come in its place, unless it is published before.
    pub draft: bool,
}

/// What became of a push.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The version.
    pub version: FlowVersion,
    /// Whether this push changed something: the newest version is not made a second time.
    pub is_new: bool,
}

/// A version of a flow, as people name it in a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionName {
    /// By its number.
    Number(u32),
    /// The one that is published in an environment.
    Published(Environment),
}

impl std::str::FromStr for VersionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        text.parse().map(Self::Published).map_err(|_| {
            format!("\"{text}\" is neither a version's number nor an environment. Name one of them, such as 3 or test")
        })
    }
}

/// Two versions, and what differs.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The first one.
    pub before: DescribedVersion,
    /// The second one.
    pub after: DescribedVersion,
    /// What differs.
    pub diff: FlowDiff,
}

impl Service {
    /// Takes a module in as the flow's next version. It is checked and compiled first; nothing that runs changes.
    ///
    /// The same bytes as those of the newest version are that version. As those of an older one they are a new version:
    /// whoever pushes them wants them to be the newest. In a draft's place the next version comes under the same number.
    pub async fn push_version(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        new: NewVersion,
    ) -> Result<Pushed, ServiceError> {
        let NewVersion { bytes, note, source, draft } = new;
        self.flow_for(actor, group, flow, Action::PushVersion)?;
        check_description(&note)?;
        source.as_ref().map_or(Ok(()), SourceRevision::check).map_err(ServiceError::Invalid)?;
        let manifest = self.admit_flow(&bytes).await?.manifest;
        let imports = inspect(&bytes)?.imports;
        let digest = self.modules.put(bytes.clone()).await.map_err(ServiceError::internal("keeping a module"))?;
        let mut edit = self.edit(actor, group, Action::PushVersion).await?;
        let mut flow = Flow::clone(&*find(edit.catalog(), group, flow)?);
        let newest = (flow.latest > 0).then(|| self.find_version(&flow, flow.latest)).transpose()?;
        let is_draft = newest.as_ref().is_some_and(|newest| newest.draft);
        if let Some(newest) = newest.filter(|newest| newest.digest == digest && (draft || !newest.draft)) {
            return Ok(Pushed { version: newest, is_new: false });
        }
        if !is_draft {
            flow.latest += 1;
        }
        let version = FlowVersion {
            flow: flow.id.clone(),
            version: flow.latest,
            digest,
            size: bytes.len() as u64,
            note,
            created: self.now(),
            author: Some(edit.actor().for_audit()),
            source,
            imports,
            draft,
        };
        edit.put_beside(version_key(&flow, version.version), encode(&version));
        edit.put_beside(manifest_key(&flow, version.version), encode(&manifest));
        edit.put(Record::Flow(Arc::new(flow)));
        edit.save().await?;
        Ok(Pushed { version, is_new: true })
    }

    /// A flow's versions, newest first: those before one, the newest when none is named.
    pub fn list_versions(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        before: Option<u32>,
        limit: Option<usize>,
    ) -> Result<Vec<FlowVersion>, ServiceError> {
        let flow = self.get_flow(actor, group, flow)?;
        let end = before.unwrap_or(u32::MAX).min(flow.latest + 1);
        let limit = limit.unwrap_or(LISTED).clamp(1, MAX_LISTED).min(end.saturating_sub(1) as usize);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = version_key(&flow, end - 1 - limit as u32);
        let records = self.store.scan(&version_prefix(&flow), Some(&after), limit);
        let records = records.map_err(ServiceError::internal("reading a flow's versions"))?;
        records.iter().rev().map(|(_, record)| decode(&record.value)).collect()
    }

    /// One version, with what it says about itself.
    pub async fn get_version(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        version: u32,
    ) -> Result<DescribedVersion, ServiceError> {
        let flow = self.get_flow(actor, group, flow)?;
        self.described(&flow, version).await
    }

    /// What differs between two versions of a flow, or between what is published in two environments. Where nothing is
    /// named, that is the newest version and the one before it.
    pub async fn compare_versions(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        before: Option<&VersionName>,
        after: Option<&VersionName>,
    ) -> Result<Compared, ServiceError> {
        let flow = self.get_flow(actor, group, flow)?;
        let number = |name: &VersionName| match name {
            VersionName::Number(number) => Ok(*number),
            VersionName::Published(environment) => {
                self.check_environment(group, environment)?;
                flow.published.get(environment).map(|publication| publication.version).ok_or_else(|| {
                    ServiceError::Conflict(format!(
                        "Nothing of \"{0}\" is published in {environment}. Name a version, or publish one: headgate publish {0} --env {environment}",
                        flow.name
                    ))
                })
            }
        };
        let after = after.map_or(Ok(flow.latest), number)?;
        let before = before.map_or(Ok(after.saturating_sub(1).max(1)), number)?;
        let (before, after) = (self.described(&flow, before).await?, self.described(&flow, after).await?);
        let diff = FlowDiff::between(&before, &after);
        Ok(Compared { before, after, diff })
    }

    /// One version of a flow.
    pub(in crate::service) fn find_version(&self, flow: &Flow, version: u32) -> Result<FlowVersion, ServiceError> {
        let record = self.store.get(&version_key(flow, version));
        let record = record.map_err(ServiceError::internal("reading a version"))?;
        decode(&record.ok_or(ServiceError::NotFound { what: "Version" })?.value)
    }

    async fn described(&self, flow: &Flow, version: u32) -> Result<DescribedVersion, ServiceError> {
        let mut version = self.find_version(flow, version)?;
        if version.imports.is_empty() {
            // Pushed to an earlier server, which did not note them.
            version.imports = inspect(&self.module_bytes(&version.digest).await?)?.imports;
        }
        let manifest = self.manifest_of(flow, &version).await?;
        Ok(DescribedVersion { version, manifest })
    }

    /// What a version says about itself.
    pub(in crate::service) async fn manifest_of(
        &self,
        flow: &Flow,
        version: &FlowVersion,
    ) -> Result<FlowManifest, ServiceError> {
        match self.stored_manifest(flow, version.version)? {
            Some(manifest) => Ok(manifest),
            None => {
                // Pushed to an earlier server, which did not ask.
                let ready = self.flow_module(&version.digest).await?;
                self.wasm.describe_flow(&ready.module).await.map_err(undescribed)
            }
        }
    }

    /// What a version said about itself when it was pushed; nothing where an earlier server did not ask.
    pub(in crate::service) fn stored_manifest(
        &self,
        flow: &Flow,
        version: u32,
    ) -> Result<Option<FlowManifest>, ServiceError> {
        let record = self.store.get(&manifest_key(flow, version));
        let record = record.map_err(ServiceError::internal("reading what a version says of itself"))?;
        record.map(|record| decode(&record.value)).transpose()
    }
}

/// A flow does not tell about itself now.
pub(in crate::service) fn undescribed(error: CallError) -> ServiceError {
    match error {
        CallError::Overloaded { retry_after } => {
            ServiceError::Overloaded { what: "No place is free to ask the flow about itself", retry_after }
        }
        error => ServiceError::internal("asking a flow about itself")(error),
    }
}
