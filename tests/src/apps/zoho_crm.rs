//! A stand-in for Zoho CRM: accounts servers in the US and the EU, and the module `Leads` of an account in the EU.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use serde_json::{Map, Value, json};

use super::oauth::{Grant, Oauth};
use crate::crm::{Received, StandIn};

/// The token that a self client of the organization `600123` gets.
pub const OWN_TOKEN: &str = "1000.self-client-canary.0123456789";

/// A running stand-in.
pub struct ZohoCrm {
    /// What it was asked.
    pub app: StandIn,
    /// Its OAuth: consent is asked for in the US, and turns out to be given in the EU.
    pub oauth: Arc<Oauth>,
}

type Leads = Mutex<Vec<Map<String, Value>>>;

impl ZohoCrm {
    /// Starts it with no lead.
    pub async fn start() -> Self {
        let oauth = Oauth::new("/accounts.zoho.com/oauth/v2/auth", "/accounts.zoho.eu/oauth/v2/token")
            .separator(",")
            .redirecting_with("location", "eu")
            .redirecting_with("accounts-server", "https://accounts.zoho.eu")
            // Errors come with the status 200.
            .shape(|answer| (200, answer))
            .token(OWN_TOKEN);
        let oauth = Arc::new(oauth);
        let (known, leads) = (oauth.clone(), Leads::default());
        let app = StandIn::start(move |request| {
            own_token(&known, request)
                .or_else(|| known.answer(request).map(|answer| with_api_domain(answer, request)))
                .unwrap_or_else(|| answer(&known, &leads, request).unwrap_or_else(|fault| fault))
        })
        .await;
        Self { app, oauth }
    }

    /// The settings of a connection that reaches it. Where its API is, the authorization tells.
    pub fn config(&self) -> Value {
        json!({"oauth_url": format!("{}/accounts.", self.app.url())})
    }
}

/// What a self client gets.
fn own_token(oauth: &Oauth, request: &Received) -> Option<Response> {
    let body = std::str::from_utf8(&request.body).unwrap_or_default();
    let asks =
        request.uri.path() == "/accounts.zoho.in/oauth/v2/token" && body.contains("grant_type=client_credentials");
    let known = [format!("client_secret={}", oauth.client_secret), "soid=ZohoCRM.600123".to_owned()];
    asks.then(|| match known.iter().all(|part| body.contains(part.as_str())) {
        true => Json(json!({"access_token": OWN_TOKEN, "token_type": "Bearer", "expires_in": 3600})).into_response(),
        false => Json(json!({"error": "invalid_client"})).into_response(),
    })
}

/// Token answers say where the account's API is, and separate scopes by spaces.
fn with_api_domain(response: Response, request: &Received) -> Response {
    if !request.uri.path().ends_with("/token") {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).now_or_never().unwrap().unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    if let Some(scope) = body["scope"].as_str() {
        body["scope"] = scope.replace(',', " ").into();
        body["api_domain"] = format!("http://{}", request.headers["host"].to_str().unwrap()).into();
    }
    Json(body).into_response()
}

/// Zoho takes tokens in a manner of its own only.
fn grant(oauth: &Oauth, request: &Received) -> Option<Grant> {
    let token = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Zoho-oauthtoken ")?;
    let mut request = request.clone();
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).ok()?);
    oauth.grant(&request)
}

fn answer(oauth: &Oauth, leads: &Leads, request: &Received) -> Result<Response, Response> {
    let grant = grant(oauth, request).ok_or_else(|| fault(401, "INVALID_TOKEN", "invalid oauth token"))?;
    let path = request.uri.path().strip_prefix("/crm/v8/").unwrap_or_default();
    let needs = |scope: &str| match grant.has(&[scope]) {
        true => Ok(()),
        false => Err(fault(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL")),
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mut leads = leads.lock().unwrap();
    match (request.method.as_str(), path) {
        ("GET", "users") => needs("ZohoCRM.users.READ")
            .map(|()| Json(json!({"users": [{"id": "4150868", "email": "ada@example.com"}]})).into_response()),
        ("GET", "Leads/search") => needs("ZohoCRM.modules.READ")
            .and_then(|()| needs("ZohoSearch.securesearch.READ"))
            .map(|()| search(&leads, request)),
        ("GET", path) if path.starts_with("Leads/") => {
            needs("ZohoCRM.modules.READ")?;
            let found = leads.iter().find(|lead| lead["id"] == path["Leads/".len()..]);
            Ok(found.map_or_else(nothing, |lead| Json(json!({ "data": [lead] })).into_response()))
        }
        ("POST", "Leads") => needs("ZohoCRM.modules.CREATE").map(|()| written(&body, |lead| create(&mut leads, lead))),
        ("PUT", "Leads") => needs("ZohoCRM.modules.UPDATE").map(|()| written(&body, |lead| update(&mut leads, lead))),
        ("GET", "Busy/search") => Err(fault(429, "TOO_MANY_REQUESTS", "too many requests")),
        _ => Err(fault(400, "INVALID_MODULE", "the module name given seems to be invalid")),
    }
}

/// A page of the leads that have the e-mail address.
fn search(leads: &[Map<String, Value>], request: &Received) -> Response {
    let url = reqwest::Url::parse(&format!("http://zoho{}", request.uri)).unwrap();
    let of = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let number = |name: &str, default: usize| of(name).map_or(default, |number| number.parse().unwrap());
    let (page, size) = (number("page", 1), number("per_page", 200));
    let email = of("email").unwrap_or_default();
    let found: Vec<_> = leads.iter().filter(|lead| lead.get("Email").is_some_and(|other| *other == email)).collect();
    let here: Vec<_> = found.iter().skip((page - 1) * size).take(size).collect();
    if here.is_empty() {
        return nothing();
    }
    let more = found.len() > page * size;
    let info = json!({"per_page": size, "count": here.len(), "page": page, "more_records": more});
    Json(json!({"data": here, "info": info})).into_response()
}

/// The outcomes of all records: 201 or 200 for success, 202 for nothing but errors, 207 for both.
fn written(body: &Value, mut write: impl FnMut(&Map<String, Value>) -> Value) -> Response {
    let outcomes: Vec<_> = body["data"].as_array().unwrap().iter().map(|one| write(one.as_object().unwrap())).collect();
    let good = outcomes.iter().filter(|outcome| outcome["status"] == "success").count();
    let status = match good {
        0 => StatusCode::ACCEPTED,
        good if good == outcomes.len() => StatusCode::CREATED,
        _ => StatusCode::MULTI_STATUS,
    };
    (status, Json(json!({ "data": outcomes }))).into_response()
}

fn create(leads: &mut Vec<Map<String, Value>>, lead: &Map<String, Value>) -> Value {
    if !lead.contains_key("Last_Name") {
        return outcome("error", "MANDATORY_NOT_FOUND", json!({"api_name": "Last_Name"}));
    }
    let mut lead = lead.clone();
    let id = format!("41088800000069800{}", leads.len());
    lead.insert("id".into(), id.clone().into());
    leads.push(lead);
    outcome("success", "SUCCESS", json!({"id": id, "Created_Time": "2026-01-02T03:04:05+01:00"}))
}

fn update(leads: &mut [Map<String, Value>], lead: &Map<String, Value>) -> Value {
    match leads.iter_mut().find(|other| other["id"] == lead["id"]) {
        Some(found) => {
            found.extend(lead.clone());
            outcome("success", "SUCCESS", json!({"id": lead["id"]}))
        }
        None => outcome("error", "INVALID_DATA", json!({"api_name": "id"})),
    }
}

fn outcome(status: &str, code: &str, details: Value) -> Value {
    json!({"code": code, "details": details, "message": code.to_lowercase(), "status": status})
}

fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn fault(status: u16, code: &str, message: &str) -> Response {
    let body = json!({"code": code, "details": {}, "message": message, "status": "error"});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
