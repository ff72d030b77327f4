//! What the methods take and answer. JSON names are Power BI's own; it calls workspaces groups.

use headgate_sdk::prelude::*;
use serde_json::Value;

/// Which workspaces to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkspaces {
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<u32>,
    /// How many to leave out at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
}

/// Workspaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workspaces {
    /// The workspaces.
    pub value: Vec<Workspace>,
}

/// A workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether it may only be read.
    #[serde(default)]
    pub is_read_only: bool,
    /// Whether it has a capacity of its own, which enhanced refreshes need.
    #[serde(default)]
    pub is_on_dedicated_capacity: bool,
}

/// Which datasets to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListDatasets {
    /// The workspace's id; My workspace when left out, which a service principal does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
}

/// Datasets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Datasets {
    /// The datasets.
    pub value: Vec<Dataset>,
}

/// A dataset; newer texts call it a semantic model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dataset {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured_by: Option<String>,
    /// Whether it can be refreshed.
    #[serde(default)]
    pub is_refreshable: bool,
    /// Where people see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
    /// When it was created (ISO 8601).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_date: Option<String>,
}

/// Which dataset to refresh, and how. With any of the settings from `type` on it is an enhanced refresh, for which the
/// workspace needs a capacity of its own and `notifyOption` is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshDataset {
    /// The workspace's id; My workspace when left out, which a service principal does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The dataset's id.
    pub dataset_id: String,
    /// Whether its owner gets a mail. A service principal leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_option: Option<NotifyOption>,
    /// What is done to the data.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RefreshType>,
    /// When changes are seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_mode: Option<CommitMode>,
    /// Which tables and partitions; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<RefreshObject>,
    /// How many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallelism: Option<u32>,
    /// How often it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u32>,
    /// Whether the dataset's policy of incremental refreshes is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_refresh_policy: Option<bool>,
    /// The day on which that policy works, in place of today (ISO 8601).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_date: Option<String>,
    /// After how long it is given up, as `HH:MM:SS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

impl RefreshDataset {
    /// A plain refresh of a dataset of My workspace.
    pub fn of(dataset: impl Into<String>) -> Self {
        Self { dataset_id: dataset.into(), ..Self::default() }
    }

    /// It is in this workspace.
    #[must_use]
    pub fn in_workspace(mut self, workspace: impl Into<String>) -> Self {
        self.group_id = Some(workspace.into());
        self
    }

    /// What is sent: all but what is in the URL.
    pub(crate) fn body(&self) -> Result<Value> {
        let mut body = serde_json::to_value(self)?;
        if let Some(body) = body.as_object_mut() {
            body.remove("groupId");
            body.remove("datasetId");
            if body.contains_key("notifyOption") && body.len() > 1 {
                let message = "An enhanced refresh sends no mail: leave out notifyOption, or all that is for it alone.";
                return Err(Error::new("invalid_input", message));
            }
        }
        Ok(body)
    }
}

/// Whether a dataset's owner gets a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NotifyOption {
    /// Never.
    NoNotification,
    /// When it fails.
    MailOnFailure,
    /// When it has ended.
    MailOnCompletion,
}

/// What an enhanced refresh does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefreshType {
    /// Processes all, dropping what there is.
    Full,
    /// Drops the values.
    ClearValues,
    /// Calculates what depends on the data.
    Calculate,
    /// Loads the data only.
    DataOnly,
    /// What is needed, no more.
    Automatic,
    /// Defragments dictionaries.
    Defragment,
}

/// When the changes of an enhanced refresh are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CommitMode {
    /// All at the end.
    Transactional,
    /// In batches.
    PartialBatch,
}

/// A table or a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshObject {
    /// The table's name.
    pub table: String,
    /// The partition's name; the whole table when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

/// A refresh that was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Its id, by which the history lists it; left out where Power BI did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Whose refreshes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshHistory {
    /// The workspace's id; My workspace when left out, which a service principal does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The dataset's id.
    pub dataset_id: String,
    /// How many at most; 60 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<u32>,
}

impl RefreshHistory {
    /// The refreshes of a dataset of My workspace.
    pub fn of(dataset: impl Into<String>) -> Self {
        Self { dataset_id: dataset.into(), ..Self::default() }
    }

    /// It is in this workspace.
    #[must_use]
    pub fn in_workspace(mut self, workspace: impl Into<String>) -> Self {
        self.group_id = Some(workspace.into());
        self
    }

    /// Answers at most so many.
    #[must_use]
    pub fn top(mut self, top: u32) -> Self {
        self.top = Some(top);
        self
    }
}

/// Refreshes of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The refreshes, the newest first.
    pub value: Vec<Refresh>,
}

/// A refresh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// Its id.
    #[serde(default)]
    pub request_id: String,
    /// What started it: `Scheduled`, `OnDemand`, `ViaApi`, `ViaEnhancedApi`, ...
    #[serde(default)]
    pub refresh_type: String,
    /// `Completed`, `Failed`, `Disabled`, `Cancelled`, or `Unknown` while it runs.
    #[serde(default)]
    pub status: String,
    /// When it began (ISO 8601).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended (ISO 8601); left out while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Why it failed, as JSON: `{"errorCode": ..}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_exception_json: Option<String>,
}
