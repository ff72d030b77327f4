//! The management API, as the commands call it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use jiff::Timestamp;
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use crate::cli::error::CliError;
use crate::cli::progress::Progress;
use crate::cli::sessions::{Sessions, StoredSession};
use crate::http::auth::SessionView;
use crate::http::export::PASSPHRASE;
use crate::http::problem::ProblemBody;
use crate::http::runs::NDJSON;

/// Where a server is looked for.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Beyond the longest run a server allows by default, and the compiling of a large module.
const TIMEOUT: Duration = Duration::from_secs(330);
/// Beyond what a server allows for sending an archive, and the compiling of its modules.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A connection to a server's management API.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
    sessions: Option<Sessions>,
}

impl Client {
    /// A client of the server at `url`. Nothing is sent yet.
    pub(super) fn new(url: &str, token: Option<SecretString>) -> Result<Self, CliError> {
        let wrong = || CliError::Usage(format!("\"{url}\" is not a server's address. Write one such as {DEFAULT_URL}"));
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong());
        }
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|source| CliError::Broken { url: url.to_owned(), source })?;
        Ok(Self { http, base, token, sessions: None })
    }

    /// The same, with the session that `headgate login` kept, where there is no token.
    pub(super) fn with_sessions(self, sessions: Option<Sessions>) -> Self {
        Self { sessions, ..self }
    }

    /// The server's name among the kept sessions.
    pub(super) fn server(&self) -> String {
        self.shown()
    }

    /// Reads what stands at a path below `/api/v1`; each part is encoded.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, CliError> {
        self.json(self.request(Method::GET, self.url(path))).await
    }

    /// [`Self::get`] with query parameters; those without a value are left out.
    pub(super) async fn get_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, CliError> {
        self.json(self.request(Method::GET, with_query(self.url(path), query))).await
    }

    /// [`Self::get_with`], where the answer is text.
    pub(super) async fn text_with(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Result<String, CliError> {
        let answer = self.answer(self.request(Method::GET, with_query(self.url(path), query))).await?;
        answer.text().await.map_err(|source| self.broken(source))
    }

    /// Sends JSON, and reads the answer.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.json(self.request(method, self.url(path)).json(body)).await
    }

    /// Posts without a body, and reads the answer.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, CliError> {
        self.json(self.request(Method::POST, self.url(path))).await
    }

    /// Sends JSON, and hands on each line of the answer as it comes.
    pub(super) async fn follow<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        mut told: impl FnMut(T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let request = self.request(Method::POST, self.url(path)).json(body).header(header::ACCEPT, NDJSON);
        let mut answer = self.answer(request).await?;
        let mut begun = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(|source| self.broken(source))? {
            begun.extend_from_slice(&part);
            while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
                let line = begun.split_to(end + 1);
                told(serde_json::from_slice(&line).map_err(|error| self.not_headgate(error.to_string()))?)?;
            }
        }
        Ok(())
    }

    /// Puts a component's bytes, shows how far it is, and reads the answer; beside it stands whether it made something new.
    pub(super) async fn put_module<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
        module: Bytes,
    ) -> Result<(T, bool), CliError> {
        let request = self.request(Method::PUT, with_query(self.url(path), query));
        let request =
            request.header(header::CONTENT_TYPE, "application/wasm").header(header::CONTENT_LENGTH, module.len());
        let progress = Progress::begin();
        let answer = self.answer(request.body(progress.upload(module))).await?;
        let is_new = answer.status() == StatusCode::CREATED;
        Ok((self.read(answer).await?, is_new))
    }

    /// Sends JSON, and reads an answer that is a file.
    pub(super) async fn bytes(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<Bytes, CliError> {
        let request = self.request(method, self.url(path)).json(body).timeout(ARCHIVE_TIMEOUT);
        self.answer(request).await?.bytes().await.map_err(|source| self.broken(source))
    }

    /// Posts an archive with the passphrase of its secrets, and reads the answer.
    pub(super) async fn post_archive<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
        passphrase: Option<SecretString>,
        archive: Bytes,
    ) -> Result<T, CliError> {
        let mut request = self.request(Method::POST, with_query(self.url(path), query)).timeout(ARCHIVE_TIMEOUT);
        if let Some(passphrase) = passphrase {
            request = request.header(PASSPHRASE, BASE64.encode(passphrase.expose_secret()));
        }
        self.json(request.header(header::CONTENT_TYPE, "application/octet-stream").body(archive)).await
    }

    /// Deletes what stands at a path.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), CliError> {
        self.answer(self.request(Method::DELETE, self.url(path))).await.map(drop)
    }

    /// [`Self::delete`] with query parameters; those without a value are left out.
    pub(super) async fn delete_with(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Result<(), CliError> {
        self.answer(self.request(Method::DELETE, with_query(self.url(path), query))).await.map(drop)
    }

    /// Posts without a body, where nothing is answered.
    pub(super) async fn post_only(&self, path: &[&str]) -> Result<(), CliError> {
        self.answer(self.request(Method::POST, self.url(path))).await.map(drop)
    }

    /// Sends JSON to an operation that is open to everybody, and reads the answer.
    pub(super) async fn send_openly<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        match self.exchange(self.request(Method::POST, self.url(path)).json(body)).await {
            // Logging in is what they are doing.
            Err(CliError::Refused { status, message, .. }) => Err(CliError::Refused { status, message, hint: None }),
            answer => self.read(answer?).await,
        }
    }

    /// A page of the API for the browser.
    pub(super) fn page(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Url {
        with_query(self.url(path), query)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the base was checked to be one")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        url
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// What proves who calls: the token that was given, or the access token of the kept session.
    async fn token(&self) -> Result<Option<SecretString>, CliError> {
        let Some(sessions) = self.sessions.as_ref().filter(|_| self.token.is_none()) else {
            return Ok(self.token.clone());
        };
        let server = self.server();
        let fresh = |session: &StoredSession| session.is_fresh(Timestamp::now());
        match sessions.get(&server)? {
            None => return Ok(None),
            Some(session) if fresh(&session) => return Ok(Some(session.access_token.into())),
            Some(_) => {}
        }
        let locked = sessions.lock().await?;
        // Another command may have refreshed it meanwhile.
        let Some(session) = sessions.get(&server)? else { return Ok(None) };
        if fresh(&session) {
            return Ok(Some(session.access_token.into()));
        }
        let body = serde_json::json!({"refresh_token": session.refresh_token});
        let refreshed = match self.send_openly::<SessionView>(&["auth", "refresh"], &body).await {
            Err(error @ CliError::Refused { status: 401, .. }) => {
                locked.put(&server, None)?;
                return Err(error);
            }
            refreshed => refreshed?,
        };
        locked.put(&server, Some(StoredSession::new(&refreshed, Timestamp::now())))?;
        Ok(Some(refreshed.access_token.into()))
    }

    async fn json<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, CliError> {
        let answer = self.answer(request).await?;
        self.read(answer).await
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, CliError> {
        let body = answer.bytes().await.map_err(|source| self.broken(source))?;
        serde_json::from_slice(&body).map_err(|error| self.not_headgate(error.to_string()))
    }

    /// The answer to whoever calls, if it is not an error.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response, CliError> {
        let request = match self.token().await? {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        self.exchange(request).await
    }

    /// The answer, if it is not an error.
    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Response, CliError> {
        let answer = request.send().await.map_err(|source| {
            let url = self.shown();
            if source.is_connect() { CliError::Unreachable { url } } else { CliError::Broken { url, source } }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|source| self.broken(source))?;
        match serde_json::from_slice::<ProblemBody>(&body) {
            Ok(problem) => {
                Err(CliError::Refused { status: status.as_u16(), message: problem.error, hint: hint(status) })
            }
            Err(_) => Err(self.not_headgate(format!("status {status}"))),
        }
    }

    /// The address as it is written.
    fn shown(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    fn broken(&self, source: reqwest::Error) -> CliError {
        CliError::Broken { url: self.shown(), source }
    }

    fn not_headgate(&self, reason: String) -> CliError {
        CliError::NotHeadgate { url: self.shown(), reason }
    }
}

/// A proxy of the environment would look for this machine's own address on another one.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn with_query(mut url: Url, query: &[(&str, Option<String>)]) -> Url {
    let given = query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let given: Vec<_> = given.collect();
    if !given.is_empty() {
        url.query_pairs_mut().extend_pairs(given);
    }
    url
}

fn hint(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some("Log in with `headgate login`, or set HEADGATE_TOKEN"),
        StatusCode::NOT_FOUND => Some("`list` shows what there is in the group; --group names another"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_encoded() {
        let client = Client::new("http://127.0.0.1:1/below/", None).unwrap();
        let url = client.url(&["groups", "a/b", "runs"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/below/api/v1/groups/a%2Fb/runs");
        let url = with_query(url, &[("flow", Some("x&y".into())), ("limit", None)]);
        assert_eq!(url.query(), Some("flow=x%26y"));
    }

    #[test]
    fn an_address_is_checked() {
        for wrong in ["", "127.0.0.1:8080", "ftp://host", "data:text/plain,x"] {
            assert!(matches!(Client::new(wrong, None), Err(CliError::Usage(_))), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Client::new(&url, None).unwrap().get::<serde_json::Value>(&["groups"]).await.unwrap_err();
        assert!(error.to_string().contains("headgate serve"), "{error}");
    }
}
