//! A stand-in for an app that does OAuth: it gives tokens, rotates them, and misbehaves when it is told to.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The client's id.
pub const CLIENT_ID: &str = "the-client-of-the-story";
/// The client's secret.
pub const CLIENT_SECRET: &str = "the-secret-of-the-storys-client";

/// How the token endpoint behaves.
#[derive(Debug, Clone, Default)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It answers this status and body.
    Answers(u16, String),
    /// It sends the client elsewhere.
    Redirects(String),
    /// It does what it should, and answers only when it is released.
    Holds,
    /// The same, and it takes the token from before as well.
    Lingers,
}

/// An app with a token endpoint, on a port of this machine.
pub struct Oauth {
    /// Where it listens.
    pub address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    book: Mutex<Book>,
    asked: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Book {
    mood: Mood,
    /// How long an access token lives, in seconds; untold when absent.
    life: Option<i64>,
    /// Which scopes are granted; untold when absent.
    scope: Option<String>,
    /// Whether it gives access tokens alone.
    refreshes_nothing: bool,
    issued: u32,
    access: Option<String>,
    /// An older access token that it still takes.
    before: Option<String>,
    refresh: Option<String>,
    /// Everything it ever gave or was given that nobody else may see.
    secrets: HashSet<String>,
    requests: Vec<BTreeMap<String, String>>,
    revoked: Vec<String>,
    introspected: usize,
}

impl Oauth {
    /// Starts one whose tokens live for an hour.
    pub async fn start() -> Self {
        let book = Book { life: Some(3600), ..Book::default() };
        let (asked, open) = (watch::Sender::default(), watch::Sender::default());
        let desk = Arc::new(Desk { book: Mutex::new(book), asked, open });
        let router = Router::new()
            .route("/auth", get(authorize))
            .route("/token", post(token))
            .route("/token/revocation", post(revoke))
            .route("/token/introspection", post(introspect))
            .fallback(api)
            .with_state(desk.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk }
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Behaves like this from now on.
    pub fn be(&self, mood: Mood) {
        self.book().mood = mood;
    }

    /// How long access tokens live from now on; untold when absent.
    pub fn set_life(&self, seconds: Option<i64>) {
        self.book().life = seconds;
    }

    /// Which scopes it grants from now on.
    pub fn set_scope(&self, scope: &str) {
        self.book().scope = Some(scope.to_owned());
    }

    /// Gives no refresh tokens from now on.
    pub fn refresh_nothing(&self) {
        self.book().refreshes_nothing = true;
    }

    /// Takes no access token any more that it gave so far.
    pub fn forget_access(&self) {
        self.book().access = None;
    }

    /// Takes no refresh token any more that it gave so far.
    pub fn forget_refresh(&self) {
        self.book().refresh = None;
    }

    /// The requests to the token endpoint so far.
    pub fn requests(&self) -> Vec<BTreeMap<String, String>> {
        self.book().requests.clone()
    }

    /// The tokens it was asked to revoke, in order.
    pub fn revoked(&self) -> Vec<String> {
        self.book().revoked.clone()
    }

    /// How often it was asked about a token.
    pub fn introspected(&self) -> usize {
        self.book().introspected
    }

    /// Everything that nobody but it and the server may know.
    pub fn secrets(&self) -> Vec<String> {
        self.book().secrets.iter().cloned().chain([CLIENT_SECRET.to_owned()]).collect()
    }

    /// Waits until the token endpoint was asked so many times.
    pub async fn asked(&self, times: usize) {
        self.desk.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    /// Answers who waits at the token endpoint.
    pub fn release(&self) {
        self.desk.open.send_replace(true);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.desk.book.lock().unwrap()
    }
}

impl Book {
    /// What a request to the token endpoint gets.
    fn give(&mut self, form: &BTreeMap<String, String>, client: bool) -> Response {
        let refused = |error: &str| (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": error }))).into_response();
        if !client {
            return refused("invalid_client");
        }
        if form["grant_type"] == "refresh_token" && form.get("refresh_token") != self.refresh.as_ref() {
            return refused("invalid_grant");
        }
        self.issued += 1;
        let (access, refresh) =
            (format!("access-{}-of-the-story", self.issued), format!("refresh-{}-of-the-story", self.issued));
        self.secrets.extend([access.clone(), refresh.clone()]);
        let mut answer = json!({"access_token": access, "token_type": "bearer"});
        (self.access, self.refresh) = (Some(access), Some(refresh.clone()));
        if form["grant_type"] != "client_credentials" && !self.refreshes_nothing {
            answer["refresh_token"] = json!(refresh);
        }
        if let Some(life) = self.life {
            answer["expires_in"] = json!(life);
        }
        if let Some(scope) = &self.scope {
            answer["scope"] = json!(scope);
        }
        axum::Json(answer).into_response()
    }
}

/// Consents for everybody.
async fn authorize(uri: Uri) -> Redirect {
    let page = Url::parse(&format!("http://here{uri}")).unwrap();
    let asked = |name: &str| page.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
    let back =
        Url::parse_with_params(&asked("redirect_uri"), [("code", "a-code-of-the-story"), ("state", &asked("state"))]);
    Redirect::to(back.unwrap().as_str())
}

async fn token(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    let (answer, holds) = {
        let mut book = desk.book.lock().unwrap();
        let form = read(&body);
        book.requests.push(form.clone());
        let client = is_client(&headers);
        match book.mood.clone() {
            Mood::Well => (book.give(&form, client), false),
            Mood::Holds => (book.give(&form, client), true),
            Mood::Lingers => {
                book.before = book.access.clone();
                (book.give(&form, client), true)
            }
            Mood::Answers(status, body) => ((StatusCode::from_u16(status).unwrap(), body).into_response(), false),
            Mood::Redirects(to) => ((StatusCode::FOUND, [(header::LOCATION, to)]).into_response(), false),
        }
    };
    desk.asked.send_modify(|asked| *asked += 1);
    if holds {
        desk.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
    answer
}

async fn revoke(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_client(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    desk.book.lock().unwrap().revoked.push(read(&body)["token"].clone());
    StatusCode::OK
}

async fn introspect(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_client(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut book = desk.book.lock().unwrap();
    book.introspected += 1;
    let active = book.access.as_ref() == read(&body).get("token");
    axum::Json(json!({"active": active, "exp": 4_000_000_000_i64})).into_response()
}

/// Says what it was sent.
async fn api(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let book = desk.book.lock().unwrap();
    let known = book.access.iter().chain(&book.before).any(|access| authorization == format!("Bearer {access}"));
    if !known {
        let body: Value = json!({"error": "invalid_token", "you_sent": authorization});
        return (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
    }
    let token = authorization.split('-').nth(1).and_then(|number| number.parse::<u32>().ok());
    axum::Json(json!({"sub": "ada", "token": token, "you_sent": authorization})).into_response()
}

fn read(body: &[u8]) -> BTreeMap<String, String> {
    let form = Url::parse(&format!("http://here/?{}", String::from_utf8_lossy(body))).unwrap();
    form.query_pairs().into_owned().collect()
}

fn is_client(headers: &HeaderMap) -> bool {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    headers.get("authorization").is_some_and(|value| *value == format!("Basic {pair}"))
}
