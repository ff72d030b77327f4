//! Power BI: workspaces, datasets and their refreshes, by the public REST API, version 1.0.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use power_bi::{RefreshDataset, RefreshHistory};
//!
//! # fn example() -> Result<()> {
//! let bi = power_bi::Client::open("bi")?;
//! let (workspace, dataset) = ("f089354e-8366-4e18-aea3-4cb4a3a50b48", "cfafbeb1-8037-4d0c-896e-a46fb27ff229");
//! bi.refresh_dataset(RefreshDataset::of(dataset).in_workspace(workspace))?;
//! let last = bi.refresh_history(RefreshHistory::of(dataset).in_workspace(workspace).top(1))?;
//! log::info!("{:?}", last.value.first().map(|refresh| &refresh.status));
//! # Ok(())
//! # }
//! ```

mod answer;
mod oauth;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;

pub use types::{
    CommitMode, Dataset, Datasets, History, ListDatasets, ListWorkspaces, NotifyOption, Refresh, RefreshDataset,
    RefreshHistory, RefreshObject, RefreshType, Started, Workspace, Workspaces,
};

/// The connector.
#[derive(Debug)]
pub struct PowerBi;

#[headgate_sdk::connector]
impl PowerBi {
    fn manifest() -> Manifest {
        let [person, service] = oauth::ways();
        Manifest::new("power-bi", "Power BI")
            .description("Workspaces and datasets (semantic models) of Power BI: list them, refresh them, and see how refreshes went.")
            .config(oauth::tenant())
            .config(
                ConfigField::new("api_url", "API address")
                    .description("Where the API is; change it only to reach a stand-in for tests.")
                    .default_value("https://api.powerbi.com/v1.0/myorg")
                    .advanced(),
            )
            .config(
                ConfigField::new("oauth_url", "Login address")
                    .description("Where Microsoft Entra is; change it only to reach a stand-in for tests.")
                    .default_value("https://login.microsoftonline.com")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(person)
            .auth(service)
            .verification("GET", "/groups?$top=1")
    }

    /// Lists the workspaces that the connection has access to.
    #[method(
        idempotent,
        scopes(
            "https://analysis.windows.net/powerbi/api/Workspace.Read.All",
            "https://analysis.windows.net/powerbi/api/.default"
        ),
        sample = samples::workspaces
    )]
    fn list_workspaces(input: ListWorkspaces) -> Result<Workspaces> {
        let mut request = http::get(url(None, "groups")?);
        for (name, number) in [("$top", input.top), ("$skip", input.skip)] {
            if let Some(number) = number {
                request = request.query(name, number);
            }
        }
        answer::read(request.send()?)
    }

    /// Lists the datasets of a workspace, or of My workspace.
    #[method(
        idempotent,
        scopes(
            "https://analysis.windows.net/powerbi/api/Dataset.Read.All",
            "https://analysis.windows.net/powerbi/api/Dataset.ReadWrite.All",
            "https://analysis.windows.net/powerbi/api/.default"
        ),
        sample = samples::datasets
    )]
    fn list_datasets(input: ListDatasets) -> Result<Datasets> {
        answer::read(http::get(url(input.group_id.as_deref(), "datasets")?).send()?)
    }

    /// Starts a refresh of a dataset. Fails with `conflict` while another one runs.
    #[method(
        scopes(
            "https://analysis.windows.net/powerbi/api/Dataset.ReadWrite.All",
            "https://analysis.windows.net/powerbi/api/.default"
        ),
        sample = samples::started
    )]
    fn refresh_dataset(input: RefreshDataset) -> Result<Started> {
        let request = http::post(refreshes(input.group_id.as_deref(), &input.dataset_id)?);
        answer::started(request.json(&input.body()?).send()?)
    }

    /// Lists the refreshes of a dataset, the newest first.
    #[method(
        idempotent,
        scopes(
            "https://analysis.windows.net/powerbi/api/Dataset.Read.All",
            "https://analysis.windows.net/powerbi/api/Dataset.ReadWrite.All",
            "https://analysis.windows.net/powerbi/api/.default"
        ),
        sample = samples::history
    )]
    fn refresh_history(input: RefreshHistory) -> Result<History> {
        let mut request = http::get(refreshes(input.group_id.as_deref(), &input.dataset_id)?);
        if let Some(top) = input.top {
            request = request.query("$top", top);
        }
        answer::read(request.send()?)
    }
}

fn refreshes(workspace: Option<&str>, dataset: &str) -> Result<String> {
    Ok(format!("{}/refreshes", url(workspace, &format!("datasets/{}", named(dataset)?))?))
}

/// The URL of something in a workspace, or in My workspace.
fn url(workspace: Option<&str>, path: &str) -> Result<String> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    let api = api.trim_end_matches('/');
    Ok(match workspace {
        Some(workspace) => format!("{api}/groups/{}/{path}", named(workspace)?),
        None => format!("{api}/{path}"),
    })
}

/// An id as a segment of a path; not one that makes another path of it.
fn named(id: &str) -> Result<String> {
    match id {
        "" | "." | ".." => {
            Err(Error::new("invalid_input", "Name workspaces and datasets by their ids, which are UUIDs."))
        }
        id => Ok(http::encode(id)),
    }
}
