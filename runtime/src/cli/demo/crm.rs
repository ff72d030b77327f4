//! A stand-in for HubSpot: contacts in memory, behind the paths of its public CRM API, version 3.
//!
//! It checks the bearer token as the real one does, so that the demo shows who puts the token on a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::CliError;

/// Requests remembered at most; older ones are forgotten.
const REMEMBERED: usize = 100;

/// A running stand-in.
pub(super) struct Crm {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<Contacts>>,
}

/// A request the stand-in received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) path: String,
    /// Whether it carried the right bearer token.
    pub(super) authorised: bool,
}

struct Contacts {
    token: SecretString,
    /// Properties by contact id.
    contacts: BTreeMap<String, BTreeMap<String, Value>>,
    received: Vec<Received>,
}

type Shared = Arc<Mutex<Contacts>>;

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Contacts> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crm {
    /// Starts a stand-in with three leads that takes this token, until `stopping`.
    pub(super) async fn start(token: SecretString, stopping: CancellationToken) -> Result<Self, CliError> {
        let state = Arc::new(Mutex::new(Contacts { token, contacts: leads(), received: Vec::new() }));
        let router = Router::new()
            .route("/crm/v3/objects/contacts", get(list))
            .route("/crm/v3/objects/contacts/search", post(search))
            .route("/crm/v3/objects/contacts/{contact}", get(read).patch(update))
            .route_layer(middleware::from_fn_with_state(state.clone(), authorise))
            .with_state(state.clone());
        let failed = |error: std::io::Error| {
            CliError::Server(anyhow::Error::new(error).context("the stand-in CRM cannot start"))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tokio::spawn(crate::http::server::serve(
            listener,
            router,
            crate::http::client_address::TrustedProxies::default(),
            stopping,
        ));
        Ok(Self { address, state })
    }

    /// What was received so far, oldest first.
    pub(super) fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// A property of the lead with this e-mail address.
    pub(super) fn property(&self, email: &str, property: &str) -> Option<String> {
        let contacts = lock(&self.state);
        let (_, properties) = contacts.find("email", email)?;
        properties.get(property)?.as_str().map(str::to_owned)
    }
}

impl Contacts {
    fn find(&self, property: &str, value: &str) -> Option<(&String, &BTreeMap<String, Value>)> {
        self.contacts.iter().find(|(_, properties)| properties.get(property).and_then(Value::as_str) == Some(value))
    }

    /// The id of the contact that a path names, by id or, with `idProperty=email`, by e-mail address.
    fn resolve(&self, name: &str, query: &Lookup) -> Option<String> {
        match query.id_property.as_deref() {
            Some(property) => self.find(property, name).map(|(id, _)| id.clone()),
            None => self.contacts.contains_key(name).then(|| name.to_owned()),
        }
    }
}

fn leads() -> BTreeMap<String, BTreeMap<String, Value>> {
    let lead = |id: &str, first: &str, last: &str, status: &str| {
        let email = format!("{}@example.com", first.to_lowercase());
        let properties = [("firstname", first), ("lastname", last), ("email", &email), ("hs_lead_status", status)];
        let properties = properties.map(|(name, value)| (name.to_owned(), Value::from(value)));
        (id.to_owned(), BTreeMap::from(properties))
    };
    BTreeMap::from([
        lead("51", "Ada", "Lovelace", "NEW"),
        lead("52", "Grace", "Hopper", "OPEN"),
        lead("53", "Edsger", "Dijkstra", "IN_PROGRESS"),
    ])
}

async fn authorise(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let authorised = {
        let mut contacts = lock(&shared);
        let authorised = bearer(request.headers()) == Some(contacts.token.expose_secret());
        if contacts.received.len() == REMEMBERED {
            contacts.received.remove(0);
        }
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        contacts.received.push(Received { method, path, authorised });
        authorised
    };
    if authorised {
        next.run(request).await
    } else {
        let message = "Authentication credentials not found or not valid (stand-in).";
        problem(StatusCode::UNAUTHORIZED, "INVALID_AUTHENTICATION", message)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn problem(status: StatusCode, category: &str, message: &str) -> Response {
    let body = json!({"status": "error", "category": category, "message": message, "correlationId": "stand-in"});
    (status, Json(body)).into_response()
}

fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", "resource not found")
}

fn contact(id: &str, properties: &BTreeMap<String, Value>) -> Value {
    let time = "2026-01-02T03:04:05.000Z";
    json!({"id": id, "properties": properties, "createdAt": time, "updatedAt": time, "archived": false})
}

#[derive(Deserialize)]
struct Lookup {
    #[serde(rename = "idProperty")]
    id_property: Option<String>,
}

async fn list(State(shared): State<Shared>) -> Json<Value> {
    let contacts = lock(&shared);
    let results: Vec<_> = contacts.contacts.iter().map(|(id, properties)| contact(id, properties)).collect();
    Json(json!({"results": results}))
}

async fn read(State(shared): State<Shared>, Path(name): Path<String>, Query(lookup): Query<Lookup>) -> Response {
    let contacts = lock(&shared);
    match contacts.resolve(&name, &lookup) {
        Some(id) => Json(contact(&id, &contacts.contacts[&id])).into_response(),
        None => not_found(),
    }
}

#[derive(Deserialize)]
struct Update {
    properties: BTreeMap<String, Value>,
}

async fn update(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(lookup): Query<Lookup>,
    Json(update): Json<Update>,
) -> Response {
    let mut contacts = lock(&shared);
    let Some(id) = contacts.resolve(&name, &lookup) else { return not_found() };
    let properties = contacts.contacts.entry(id.clone()).or_default();
    properties.extend(update.properties);
    Json(contact(&id, properties)).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    #[serde(default)]
    filter_groups: Vec<FilterGroup>,
}

#[derive(Deserialize)]
struct FilterGroup {
    filters: Vec<Filter>,
}

/// The one operator the stand-in knows is `EQ`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    property_name: String,
    operator: String,
    value: String,
}

async fn search(State(shared): State<Shared>, Json(search): Json<Search>) -> Response {
    let fits = |properties: &BTreeMap<String, Value>, filter: &Filter| {
        properties.get(&filter.property_name).and_then(Value::as_str) == Some(&filter.value)
    };
    let groups = search.filter_groups;
    if groups.iter().flat_map(|group| &group.filters).any(|filter| filter.operator != "EQ") {
        return problem(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The stand-in knows the operator EQ only");
    }
    let contacts = lock(&shared);
    let found = contacts.contacts.iter().filter(|(_, properties)| {
        groups.is_empty() || groups.iter().any(|group| group.filters.iter().all(|filter| fits(properties, filter)))
    });
    let results: Vec<_> = found.map(|(id, properties)| contact(id, properties)).collect();
    Json(json!({"total": results.len(), "results": results})).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn call(crm: &Crm, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/crm/v3/objects/contacts{path}", crm.address);
        let request = client.request(method.parse().unwrap(), url).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    #[tokio::test]
    async fn it_answers_as_the_connector_expects() {
        let stopping = CancellationToken::new();
        let crm = Crm::start("right".into(), stopping.clone()).await.unwrap();
        let search = json!({"filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "ada@example.com"}]}]});
        let (status, found) = call(&crm, "POST", "/search", "right", search.clone()).await;
        assert_eq!((status, &found["total"], &found["results"][0]["id"]), (200, &json!(1), &json!("51")));
        let change = json!({"properties": {"hs_lead_status": "CONNECTED"}});
        let (status, _) = call(&crm, "PATCH", "/ada@example.com?idProperty=email", "right", change).await;
        assert_eq!((status, crm.property("ada@example.com", "hs_lead_status").as_deref()), (200, Some("CONNECTED")));
        assert_eq!(call(&crm, "GET", "/99", "right", Value::Null).await.0, 404);

        let (status, refused) = call(&crm, "POST", "/search", "wrong", search).await;
        assert_eq!((status, &refused["category"]), (401, &json!("INVALID_AUTHENTICATION")));
        let authorised: Vec<_> = crm.received().iter().map(|received| received.authorised).collect();
        assert_eq!(authorised, [true, true, true, false]);
        stopping.cancel();
    }
}
