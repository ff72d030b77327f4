//! A stand-in for Power BI and Microsoft Entra: the directory `contoso.example`, with one workspace and one dataset.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::oauth::{Grant, Oauth};
use crate::crm::{Received, StandIn};

/// The workspace.
pub const WORKSPACE: &str = "f089354e-8366-4e18-aea3-4cb4a3a50b48";
/// The dataset.
pub const DATASET: &str = "cfafbeb1-8037-4d0c-896e-a46fb27ff229";
/// The token that a service principal gets.
pub const OWN_TOKEN: &str = "eyJ0eXAi.service-principal-canary.0123456789";
const API: &str = "https://analysis.windows.net/powerbi/api/";

/// A running stand-in.
pub struct PowerBi {
    /// What it was asked.
    pub app: StandIn,
    /// Its OAuth.
    pub oauth: Arc<Oauth>,
    refreshes: Refreshes,
}

type Refreshes = Arc<Mutex<Vec<Value>>>;

impl PowerBi {
    /// Starts it.
    pub async fn start() -> Self {
        let [authorize, token] = ["authorize", "token"].map(|end| format!("/contoso.example/oauth2/v2.0/{end}"));
        // What keeps a person connected is no scope of the API.
        let oauth = Oauth::new(&authorize, &token).token(OWN_TOKEN).shape(|mut answer| {
            if let Some(scope) = answer["scope"].as_str() {
                answer["scope"] =
                    scope.split(' ').filter(|one| *one != "offline_access").collect::<Vec<_>>().join(" ").into();
            }
            (if answer["error"].is_null() { 200 } else { 400 }, answer)
        });
        let oauth = Arc::new(oauth);
        let refreshes = Refreshes::default();
        let (known, kept) = (oauth.clone(), refreshes.clone());
        let app = StandIn::start(move |request| {
            own_token(&known, request)
                .or_else(|| known.answer(request))
                .unwrap_or_else(|| answer(&known, &mut kept.lock().unwrap(), request).unwrap_or_else(|fault| fault))
        })
        .await;
        Self { app, oauth, refreshes }
    }

    /// The refresh that runs ends.
    pub fn finish(&self) {
        for refresh in self.refreshes.lock().unwrap().iter_mut() {
            refresh["status"] = "Completed".into();
            refresh["endTime"] = "2026-06-13T09:31:43.153Z".into();
        }
    }

    /// The settings of a connection that reaches it.
    pub fn config(&self) -> Value {
        let url = self.app.url();
        json!({"tenant": "contoso.example", "api_url": format!("{url}/v1.0/myorg"), "oauth_url": url})
    }
}

/// What a service principal gets.
fn own_token(oauth: &Oauth, request: &Received) -> Option<Response> {
    let body = std::str::from_utf8(&request.body).unwrap_or_default();
    let asks = request.uri.path().ends_with("/token") && body.contains("grant_type=client_credentials");
    let known = body.contains(&format!("client_secret={}", oauth.client_secret)) && body.contains(".default");
    asks.then(|| match known {
        true => {
            let token =
                json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": OWN_TOKEN});
            Json(token).into_response()
        }
        false => (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client", "error_codes": [7000215]})))
            .into_response(),
    })
}

fn answer(oauth: &Oauth, refreshes: &mut Vec<Value>, request: &Received) -> Result<Response, Response> {
    let grant = oauth.grant(request).ok_or_else(|| fault(401, "TokenExpired"))?;
    let path = request.uri.path().strip_prefix("/v1.0/myorg/").ok_or_else(|| fault(404, "NotFound"))?;
    let own_refreshes = format!("groups/{WORKSPACE}/datasets/{DATASET}/refreshes");
    match (request.method.as_str(), path) {
        ("GET", "groups") => {
            needs(&grant, &["Workspace.Read.All"])?;
            let workspace =
                json!({"id": WORKSPACE, "isReadOnly": false, "isOnDedicatedCapacity": false, "name": "Sales"});
            Ok(Json(json!({"@odata.count": 1, "value": [workspace]})).into_response())
        }
        ("GET", path) if path == format!("groups/{WORKSPACE}/datasets") => {
            needs(&grant, &["Dataset.Read.All", "Dataset.ReadWrite.All"])?;
            let dataset = json!({"id": DATASET, "name": "SalesMarketing", "isRefreshable": true, "configuredBy": "ada@contoso.example"});
            Ok(Json(json!({ "value": [dataset] })).into_response())
        }
        ("GET", path) if path == own_refreshes => {
            needs(&grant, &["Dataset.Read.All", "Dataset.ReadWrite.All"])?;
            Ok(Json(json!({ "value": refreshes })).into_response())
        }
        ("POST", path) if path == own_refreshes => {
            needs(&grant, &["Dataset.ReadWrite.All"])?;
            start(refreshes)
        }
        ("POST", "datasets/busy/refreshes") => {
            Err(([("retry-after", "3300")], fault(429, "RequestBlocked")).into_response())
        }
        _ => Err(fault(404, "PowerBIEntityNotFound")),
    }
}

fn start(refreshes: &mut Vec<Value>) -> Result<Response, Response> {
    if refreshes.iter().any(|refresh| refresh["status"] == "Unknown") {
        return Err(fault(400, "RefreshInProgressException"));
    }
    let id = format!("9399bb89-25d1-44f8-8576-{:012}", refreshes.len());
    let refresh =
        json!({"requestId": id, "refreshType": "ViaApi", "startTime": "2026-06-13T09:25:43.153Z", "status": "Unknown"});
    refreshes.insert(0, refresh);
    Ok((StatusCode::ACCEPTED, [("requestid", id)]).into_response())
}

fn needs(grant: &Grant, scopes: &[&str]) -> Result<(), Response> {
    let whole: Vec<_> = scopes.iter().map(|scope| format!("{API}{scope}")).collect();
    let whole: Vec<_> = whole.iter().map(String::as_str).collect();
    if grant.has(&whole) { Ok(()) } else { Err(fault(403, "PowerBINotAuthorizedException")) }
}

fn fault(status: u16, code: &str) -> Response {
    let body = json!({"error": {"code": code, "pbi.error": {"code": code, "parameters": {}, "details": []}}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
