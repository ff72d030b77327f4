//! What the methods could answer, for flows that are only tried.

use crate::types::{Dataset, Datasets, History, Refresh, Started, Workspace, Workspaces};

pub(crate) fn workspaces() -> Workspaces {
    let sales = Workspace {
        id: "f089354e-8366-4e18-aea3-4cb4a3a50b48".into(),
        name: "Sales".into(),
        is_read_only: false,
        is_on_dedicated_capacity: false,
    };
    Workspaces { value: vec![sales] }
}

pub(crate) fn datasets() -> Datasets {
    let orders = Dataset {
        id: "cfafbeb1-8037-4d0c-896e-a46fb27ff229".into(),
        name: "Orders".into(),
        configured_by: Some("ada@example.com".into()),
        is_refreshable: true,
        web_url: Some("https://app.powerbi.com/datasets/cfafbeb1-8037-4d0c-896e-a46fb27ff229".into()),
        created_date: Some("2026-01-02T03:04:05.000Z".into()),
    };
    Datasets { value: vec![orders] }
}

pub(crate) fn started() -> Started {
    Started { request_id: Some("872769d7-ef55-4b3c-a001-1c2f4c2b1b33".into()) }
}

pub(crate) fn history() -> History {
    let refresh = Refresh {
        request_id: "872769d7-ef55-4b3c-a001-1c2f4c2b1b33".into(),
        refresh_type: "ViaApi".into(),
        status: "Completed".into(),
        start_time: Some("2026-01-02T03:04:05.000Z".into()),
        end_time: Some("2026-01-02T03:05:00.000Z".into()),
        service_exception_json: None,
    };
    History { value: vec![refresh] }
}
