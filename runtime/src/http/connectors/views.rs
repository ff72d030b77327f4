//! What is shown of connectors.

use std::sync::Arc;

use axum::Json;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::connector::{Connector, ConnectorVersion};
use crate::domain::id::ConnectorName;
use crate::service::connectors::{Change, Installed};

/// Where a connector is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorScope {
    /// In the group itself.
    Group,
    /// On the server, for all groups that have none of its name.
    Server,
}

/// An installed connector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorView {
    /// Its name.
    #[schema(value_type = String, example = "hubspot")]
    pub name: ConnectorName,
    /// Whose it is: the group's own comes before the server's.
    pub scope: ConnectorScope,
    /// Which of its versions is in use.
    #[schema(example = 3)]
    pub version: u32,
    /// The component's digest: `sha256:` and 64 hexadecimal digits.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
    /// What it says about itself: authentication, hosts, methods with JSON Schemas.
    #[schema(value_type = Object)]
    pub manifest: headgate_manifest::Manifest,
    /// When this version was installed first.
    #[schema(value_type = String, format = DateTime)]
    pub installed: Timestamp,
    /// By whom.
    #[schema(example = "ada@example.com")]
    pub installed_by: String,
}

/// A connector after it was installed or rolled back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InstalledView {
    /// The connector as it is now.
    #[serde(flatten)]
    pub connector: ConnectorView,
    /// What was done.
    pub change: Change,
    /// What people should know.
    #[schema(example = json!(["The method \"send\" is not idempotent any more: an interrupted call of it is not repeated"]))]
    pub warnings: Vec<String>,
}

/// One version of a connector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorVersionView {
    /// Its number.
    #[schema(example = 3)]
    pub version: u32,
    /// Whether it is the one in use.
    pub in_use: bool,
    /// The version its author gave it.
    #[schema(example = "1.2.0")]
    pub manifest_version: String,
    /// The component's digest.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// The component's size in bytes.
    pub size: u64,
    /// When it was installed first.
    #[schema(value_type = String, format = DateTime)]
    pub installed: Timestamp,
    /// By whom.
    #[schema(example = "ada@example.com")]
    pub installed_by: String,
}

/// Whether something is done although something else breaks by it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForceParams {
    /// Whether it is done although something breaks.
    pub force: bool,
}

/// Which version is to be in use again.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollBack {
    /// Its number; the one before the present one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 2)]
    pub to: Option<u32>,
    /// Whether it is done although something breaks.
    pub force: bool,
}

impl From<&Connector> for ConnectorView {
    fn from(connector: &Connector) -> Self {
        Self {
            name: connector.name.clone(),
            scope: if connector.group.is_some() { ConnectorScope::Group } else { ConnectorScope::Server },
            version: connector.version,
            digest: connector.digest.to_string(),
            size: connector.size,
            manifest: connector.manifest.clone(),
            installed: connector.installed,
            installed_by: connector.installed_by.clone(),
        }
    }
}

impl From<Installed> for InstalledView {
    fn from(installed: Installed) -> Self {
        let Installed { connector, change, warnings } = installed;
        Self { connector: ConnectorView::from(&*connector), change, warnings }
    }
}

/// The answer to an installation.
pub(super) fn installed(installed: Installed) -> (StatusCode, Json<InstalledView>) {
    let status = if installed.change == Change::Installed { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(installed.into()))
}

/// Versions, of which one is in use.
pub(super) fn versions((connector, versions): (Arc<Connector>, Vec<ConnectorVersion>)) -> Vec<ConnectorVersionView> {
    let view = |version: ConnectorVersion| ConnectorVersionView {
        version: version.version,
        in_use: version.version == connector.version,
        manifest_version: version.manifest.version,
        digest: version.digest.to_string(),
        size: version.size,
        installed: version.installed,
        installed_by: version.installed_by,
    };
    versions.into_iter().map(view).collect()
}
