//! A stand-in for Airtable: one base with the table `Tasks`, whose fields are `Name` and `Done`.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::oauth::{Grant, Oauth};
use crate::crm::{Received, StandIn};

/// The base.
pub const BASE: &str = "appLkNDICXNqxSDhG";
/// The personal access token it takes.
pub const TOKEN: &str = "patCanary0123456789.secret";
const READ: &[&str] = &["data.records:read"];
const WRITE: &[&str] = &["data.records:write"];

/// How Airtable gives tokens: with PKCE, and with refresh tokens that are good once.
pub fn oauth() -> Oauth {
    Oauth::new("/oauth2/v1/authorize", "/oauth2/v1/token").basic().pkce().token(TOKEN)
}

/// A running stand-in.
pub struct Airtable {
    /// What it was asked.
    pub app: StandIn,
    /// Its OAuth.
    pub oauth: Arc<Oauth>,
}

type Rows = Mutex<Vec<Map<String, Value>>>;

impl Airtable {
    /// Starts it with an empty table.
    pub async fn start() -> Self {
        let oauth = Arc::new(oauth());
        let (known, rows) = (oauth.clone(), Rows::default());
        let app = StandIn::start(move |request| {
            known.answer(request).unwrap_or_else(|| answer(&known, &rows, request).unwrap_or_else(|fault| fault))
        })
        .await;
        Self { app, oauth }
    }

    /// The settings of a connection that reaches it.
    pub fn config(&self) -> Value {
        let url = self.app.url();
        json!({"api_url": format!("{url}/v0"), "oauth_url": format!("{url}/oauth2/v1")})
    }
}

fn answer(oauth: &Oauth, rows: &Rows, request: &Received) -> Result<Response, Response> {
    let grant = oauth.grant(request).ok_or_else(|| fault(401, "AUTHENTICATION_REQUIRED", "Authentication required"))?;
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.uri.path().strip_prefix("/v0/").ok_or_else(missing)?;
    if path == "meta/whoami" {
        return Ok(Json(whoami(&grant)).into_response());
    }
    let table = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/')).ok_or_else(missing)?;
    let mut rows = rows.lock().unwrap();
    match (request.method.as_str(), table) {
        (_, "Busy" | "Busy/listRecords") => {
            let error =
                json!({"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"});
            Ok((StatusCode::TOO_MANY_REQUESTS, Json(json!({ "errors": [error] }))).into_response())
        }
        ("POST", "Tasks/listRecords") => allowed(&grant, READ).map(|()| list(&rows, &body)),
        ("POST", "Tasks") => allowed(&grant, WRITE).and_then(|()| create(&mut rows, &body)),
        ("PATCH", "Tasks") => allowed(&grant, WRITE).and_then(|()| update(&mut rows, &body)),
        _ => {
            Err(fault(403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the model was not found"))
        }
    }
}

fn whoami(grant: &Grant) -> Value {
    let mut who = json!({"id": "usrL2PNC5o3H4lBEi"});
    if grant.has(&["user.email:read"]) {
        who["email"] = "ada@example.com".into();
    }
    who
}

fn allowed(grant: &Grant, scopes: &[&str]) -> Result<(), Response> {
    let refused = || fault(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation");
    if grant.has(scopes) { Ok(()) } else { Err(refused()) }
}

/// A page: its offset says how many rows come before it.
fn list(rows: &[Map<String, Value>], body: &Value) -> Response {
    let from = body["offset"].as_str().and_then(|offset| offset.strip_prefix("itr/")?.parse().ok()).unwrap_or(0);
    let size = body["pageSize"].as_u64().map_or(100, |size| usize::try_from(size).unwrap());
    let records: Vec<_> =
        rows.iter().enumerate().skip(from).take(size).map(|(at, fields)| record(at, fields)).collect();
    let mut page = json!({ "records": records });
    if from + size < rows.len() {
        page["offset"] = format!("itr/{}", from + size).into();
    }
    Json(page).into_response()
}

fn create(rows: &mut Vec<Map<String, Value>>, body: &Value) -> Result<Response, Response> {
    let new = records(body)?;
    let first = rows.len();
    rows.extend(new.into_iter().map(|(_, fields)| fields));
    let made: Vec<_> = rows.iter().enumerate().skip(first).map(|(at, fields)| record(at, fields)).collect();
    Ok(Json(json!({ "records": made })).into_response())
}

fn update(rows: &mut Vec<Map<String, Value>>, body: &Value) -> Result<Response, Response> {
    let merge = body["performUpsert"]["fieldsToMergeOn"][0].as_str();
    let (mut touched, mut created) = (Vec::new(), Vec::new());
    for (id, fields) in records(body)? {
        let at = match (id.and_then(|id| id.strip_prefix("rec")?.parse::<usize>().ok()), merge) {
            (Some(at), _) if at < rows.len() => at,
            (None, Some(field)) => {
                rows.iter().position(|row| row.get(field) == fields.get(field)).unwrap_or_else(|| {
                    created.push(rows.len());
                    rows.push(Map::new());
                    rows.len() - 1
                })
            }
            _ => return Err(fault(422, "ROW_DOES_NOT_EXIST", "Record does not exist")),
        };
        rows[at].extend(fields);
        touched.push(at);
    }
    let name = |at: &usize| format!("rec{at}");
    let mut answer = json!({ "records": touched.iter().map(|at| record(*at, &rows[*at])).collect::<Vec<_>>() });
    if merge.is_some() {
        answer["createdRecords"] = created.iter().map(name).collect();
        answer["updatedRecords"] = touched.iter().filter(|at| !created.contains(at)).map(name).collect();
    }
    Ok(Json(answer).into_response())
}

/// A record to be written: its id, where it is there already, and its fields.
type Written<'a> = (Option<&'a str>, Map<String, Value>);

fn records(body: &Value) -> Result<Vec<Written<'_>>, Response> {
    let records = body["records"].as_array().filter(|records| (1..=10).contains(&records.len()));
    let records = records.ok_or_else(|| fault(422, "INVALID_RECORDS", "Give 1 to 10 records"))?;
    let written = records.iter().map(|record| {
        let fields = record["fields"].as_object().cloned().unwrap_or_default();
        match fields.keys().find(|name| !matches!(name.as_str(), "Name" | "Done")) {
            Some(name) => Err(fault(422, "UNKNOWN_FIELD_NAME", &format!("Unknown field name: \"{name}\""))),
            None => Ok((record["id"].as_str(), fields)),
        }
    });
    written.collect()
}

fn record(at: usize, fields: &Map<String, Value>) -> Value {
    json!({"id": format!("rec{at}"), "createdTime": "2026-01-02T03:04:05.000Z", "fields": fields})
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"error": "NOT_FOUND"}))).into_response()
}

fn fault(status: u16, kind: &str, message: &str) -> Response {
    let body = json!({"error": {"type": kind, "message": message}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
