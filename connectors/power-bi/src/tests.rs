use headgate_sdk::manifest::OauthGrant;
use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://api.powerbi.com/v1.0/myorg";
const GROUP: &str = "f089354e-8366-4e18-aea3-4cb4a3a50b48";
const DATASET: &str = "cfafbeb1-8037-4d0c-896e-a46fb27ff229";

fn accepted(headers: &[(&str, &str)]) -> http::Response {
    http::Response { status: 202, headers: headers.iter().copied().collect(), bytes: vec![] }
}

#[test]
fn lists_workspaces_and_datasets() {
    let host = Host::of::<PowerBi>();
    let workspaces =
        json!({"value": [{"id": GROUP, "name": "Sales", "isReadOnly": false, "isOnDedicatedCapacity": true}]});
    host.http("GET", &format!("{API}/groups")).query("$top", "1").answer(200, &workspaces);
    assert_eq!(invoke::<PowerBi>("list_workspaces", &json!({"top": 1})).unwrap(), workspaces);

    let datasets = json!({
        "@odata.context": "http://api.powerbi.com/v1.0/myorg/groups/f089354e/$metadata#datasets",
        "value": [{"id": DATASET, "name": "SalesMarketing", "isRefreshable": true, "configuredBy": "john@contoso.com"}]
    });
    host.http("GET", &format!("{API}/groups/{GROUP}/datasets")).answer(200, &datasets);
    let found = PowerBi::list_datasets(ListDatasets { group_id: Some(GROUP.into()) }).unwrap();
    assert_eq!((found.value[0].name.as_str(), found.value[0].is_refreshable), ("SalesMarketing", true));
    host.http("GET", &format!("{API}/datasets")).answer(200, &json!({"value": []}));
    assert!(PowerBi::list_datasets(ListDatasets::default()).unwrap().value.is_empty());
}

#[test]
fn starts_refreshes_of_both_kinds() {
    let host = Host::of::<PowerBi>();
    let url = format!("{API}/groups/{GROUP}/datasets/{DATASET}/refreshes");
    host.http("POST", &url).json(&json!({})).answer_with(accepted(&[("RequestId", "9399bb89")]));
    let started = PowerBi::refresh_dataset(RefreshDataset::of(DATASET).in_workspace(GROUP)).unwrap();
    assert_eq!(started.request_id.as_deref(), Some("9399bb89"));

    let enhanced =
        json!({"type": "Full", "commitMode": "transactional", "objects": [{"table": "Sales"}], "retryCount": 2});
    let place = format!("{url}/87f31ef7-1e3a-4006-9b0b-191693e79e9e");
    host.http("POST", &url).json(&enhanced).answer_with(accepted(&[("Location", &place), ("RequestId", "other")]));
    let mut input = enhanced;
    input.as_object_mut().unwrap().extend([("groupId".into(), json!(GROUP)), ("datasetId".into(), json!(DATASET))]);
    let started = invoke::<PowerBi>("refresh_dataset", &input).unwrap();
    assert_eq!(started, json!({"requestId": "87f31ef7-1e3a-4006-9b0b-191693e79e9e"}));

    input["notifyOption"] = json!("MailOnFailure");
    assert_eq!(invoke::<PowerBi>("refresh_dataset", &input).unwrap_err().code, "invalid_input");
}

#[test]
fn tells_how_refreshes_went() {
    let host = Host::of::<PowerBi>();
    let history = json!({"value": [
        {"requestId": "1", "refreshType": "ViaApi", "startTime": "2017-06-13T09:25:43.153Z", "status": "Unknown"},
        {"requestId": "2", "refreshType": "Scheduled", "startTime": "2017-06-12T09:25:43.153Z", "endTime": "2017-06-12T09:31:43.153Z",
         "status": "Failed", "serviceExceptionJson": "{\"errorCode\":\"ModelRefreshFailed_CredentialsNotSpecified\"}"}
    ]});
    host.http("GET", &format!("{API}/datasets/{DATASET}/refreshes")).query("$top", "2").answer(200, &history);
    let found = invoke::<PowerBi>("refresh_history", &json!({"datasetId": DATASET, "top": 2})).unwrap();
    assert_eq!(found, history);
    assert_eq!(PowerBi::refresh_history(RefreshHistory::of("..")).unwrap_err().code, "invalid_input");
}

#[test]
fn errors_say_what_to_do() {
    let fault =
        |code: &str| json!({"error": {"code": code, "pbi.error": {"code": code, "parameters": {}, "details": []}}});
    let running = json!({"error": {"code": "RefreshInProgressException", "message": "Another refresh request is already executing"}});
    let cases = [
        (400, running, "conflict", true),
        (400, fault("DMTS_InvalidRequest"), "invalid_request", false),
        (401, fault("TokenExpired"), "unauthorized", false),
        (403, Value::Null, "forbidden", false),
        (404, fault("PowerBIEntityNotFound"), "not_found", false),
        (429, json!({"error": {"code": "429", "message": "Retry in 55 minutes."}}), "rate_limited", true),
        (503, json!("<html>"), "unavailable", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = Host::of::<PowerBi>();
        let headers = [("Retry-After", "3300")].into_iter().collect();
        let bytes = body.to_string().into_bytes();
        let request = host.http("POST", &format!("{API}/datasets/{DATASET}/refreshes"));
        request.answer_with(http::Response { status, headers, bytes });
        let error = PowerBi::refresh_dataset(RefreshDataset::of(DATASET)).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        let details = error.details.unwrap();
        assert_eq!((&details["status"], &details["retry_after_seconds"]), (&json!(status), &json!(3300)));
    }
}

#[test]
fn a_person_or_an_application_authenticates() {
    let manifest = <PowerBi as headgate_sdk::Connector>::describe();
    let grants: Vec<_> = manifest.auth.iter().map(|auth| auth.kind.oauth().unwrap().grant).collect();
    assert_eq!(grants, [OauthGrant::AuthorizationCode, OauthGrant::ClientCredentials]);
    let required = |at: usize| {
        let scopes = &manifest.auth[at].kind.oauth().unwrap().scopes;
        scopes.iter().filter(|scope| scope.required).map(|scope| scope.name.as_str()).collect::<Vec<_>>()
    };
    assert!(required(0).contains(&"offline_access"));
    assert_eq!(required(1), ["https://analysis.windows.net/powerbi/api/.default"]);
}
