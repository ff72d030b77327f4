//! The OAuth part of a stand-in for an app: consent is given at once, and tokens are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::parameters;
use crate::crm::Received;

/// How an app wants its tokens asked for, and what it has given out.
pub struct Oauth {
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    authorize: String,
    token: String,
    basic: bool,
    json: bool,
    pkce: bool,
    separator: &'static str,
    granting: Option<Vec<String>>,
    redirect: Vec<(String, String)>,
    shape: fn(Value) -> (u16, Value),
    given: Mutex<Given>,
}

/// What was given out.
#[derive(Default)]
struct Given {
    codes: HashMap<String, Code>,
    access: HashMap<String, Grant>,
    refresh: HashMap<String, BTreeSet<String>>,
    asked: Vec<BTreeMap<String, String>>,
    tokens: usize,
}

struct Code {
    redirect_uri: String,
    challenge: Option<String>,
    scopes: BTreeSet<String>,
}

/// What a token allows.
#[derive(Debug, Clone)]
pub enum Grant {
    /// Everything: a token that a person copied.
    All,
    /// What these scopes allow.
    Scopes(BTreeSet<String>),
}

impl Grant {
    /// Whether it has one of these scopes.
    pub fn has(&self, scopes: &[&str]) -> bool {
        match self {
            Self::All => true,
            Self::Scopes(granted) => scopes.iter().any(|scope| granted.contains(*scope)),
        }
    }
}

impl Oauth {
    /// An app with these paths that takes forms, with the client's id and secret in them.
    pub fn new(authorize: &str, token: &str) -> Self {
        Self {
            client_id: "client-17".into(),
            client_secret: "client-secret-canary-0123456789".into(),
            authorize: authorize.into(),
            token: token.into(),
            basic: false,
            json: false,
            pkce: false,
            separator: " ",
            granting: None,
            redirect: Vec::new(),
            shape: |answer| (if answer["error"].is_null() { 200 } else { 400 }, answer),
            given: Mutex::default(),
        }
    }

    /// It takes the client's id and secret by `Authorization: Basic` only.
    #[must_use]
    pub fn basic(mut self) -> Self {
        self.basic = true;
        self
    }

    /// It takes JSON only.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.json = true;
        self
    }

    /// It insists on PKCE.
    #[must_use]
    pub fn pkce(mut self) -> Self {
        self.pkce = true;
        self
    }

    /// What stands between scopes.
    #[must_use]
    pub fn separator(mut self, separator: &'static str) -> Self {
        self.separator = separator;
        self
    }

    /// The person grants no more than these of the scopes that are asked for.
    #[must_use]
    pub fn granting(mut self, scopes: &[&str]) -> Self {
        self.granting = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        self
    }

    /// Its redirect has this parameter, too.
    #[must_use]
    pub fn redirecting_with(mut self, name: &str, value: &str) -> Self {
        self.redirect.push((name.into(), value.into()));
        self
    }

    /// Its token answers have another shape than the standard's; errors have the member `error`.
    #[must_use]
    pub fn shape(mut self, shape: fn(Value) -> (u16, Value)) -> Self {
        self.shape = shape;
        self
    }

    /// It takes this token, which a person copied.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.given.lock().unwrap().access.insert(token.into(), Grant::All);
        self
    }

    /// What the request's bearer token allows; nothing when it has none that is valid.
    pub fn grant(&self, request: &Received) -> Option<Grant> {
        let token = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        self.given.lock().unwrap().access.get(token).cloned()
    }

    /// No access token is valid any more; refresh tokens are.
    pub fn expire(&self) {
        self.given.lock().unwrap().access.clear();
    }

    /// The parameters of the authorizations so far.
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.given.lock().unwrap().asked.clone()
    }

    /// The answer to a request for consent or for a token; nothing when it is another request.
    pub fn answer(&self, request: &Received) -> Option<Response> {
        let path = request.uri.path();
        if path == self.authorize {
            Some(self.consent(parameters(request.uri.query().unwrap_or_default())))
        } else if path == self.token {
            let (status, body) = (self.shape)(self.issue(request).unwrap_or_else(|error| json!({ "error": error })));
            Some((StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response())
        } else {
            None
        }
    }

    fn consent(&self, asked: BTreeMap<String, String>) -> Response {
        let of = |name: &str| asked.get(name).cloned().unwrap_or_default();
        if of("client_id") != self.client_id || of("response_type") != "code" {
            return (StatusCode::BAD_REQUEST, "invalid_request").into_response();
        }
        let scopes = of("scope");
        let scopes = scopes.split(self.separator).filter(|scope| !scope.is_empty()).map(str::to_owned);
        let granted = |scope: &String| self.granting.as_ref().is_none_or(|granted| granted.contains(scope));
        let scopes = scopes.filter(granted).collect();
        let mut given = self.given.lock().unwrap();
        given.tokens += 1;
        let code = format!("code-{}", given.tokens);
        let mut back = Url::parse(&of("redirect_uri")).unwrap();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &of("state"));
        back.query_pairs_mut().extend_pairs(&self.redirect);
        let challenge = asked.get("code_challenge").cloned();
        given.codes.insert(code, Code { redirect_uri: of("redirect_uri"), challenge, scopes });
        given.asked.push(asked);
        Redirect::to(back.as_str()).into_response()
    }

    fn issue(&self, request: &Received) -> Result<Value, &'static str> {
        let fields = self.fields(request)?;
        let of = |name: &str| fields.get(name).map_or("", String::as_str);
        let mut given = self.given.lock().unwrap();
        let scopes = match of("grant_type") {
            "authorization_code" => {
                let code = given.codes.remove(of("code")).ok_or("invalid_grant")?;
                if code.redirect_uri != of("redirect_uri") || !self.verified(&code, of("code_verifier")) {
                    return Err("invalid_grant");
                }
                code.scopes
            }
            "refresh_token" => given.refresh.remove(of("refresh_token")).ok_or("invalid_grant")?,
            _ => return Err("unsupported_grant_type"),
        };
        given.tokens += 1;
        let (access, refresh) = (format!("access-canary-{}", given.tokens), format!("refresh-canary-{}", given.tokens));
        given.access.insert(access.clone(), Grant::Scopes(scopes.clone()));
        given.refresh.insert(refresh.clone(), scopes.clone());
        let scope = scopes.into_iter().collect::<Vec<_>>().join(self.separator);
        Ok(json!({
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": 3600,
            "token_type": "bearer",
            "scope": scope,
        }))
    }

    /// The fields of a token request, when it says in the app's manner who the client is.
    fn fields(&self, request: &Received) -> Result<BTreeMap<String, String>, &'static str> {
        let text = |name: header::HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
        let fields: BTreeMap<String, String> = if self.json && content_type.starts_with("application/json") {
            serde_json::from_slice(&request.body).map_err(|_| "invalid_request")?
        } else if !self.json && content_type.starts_with("application/x-www-form-urlencoded") {
            parameters(std::str::from_utf8(&request.body).map_err(|_| "invalid_request")?)
        } else {
            return Err("invalid_request");
        };
        let known = if self.basic {
            let pair = format!("{}:{}", self.client_id, self.client_secret);
            text(header::AUTHORIZATION) == Some(format!("Basic {}", STANDARD.encode(pair)).as_str())
        } else {
            fields.get("client_id") == Some(&self.client_id) && fields.get("client_secret") == Some(&self.client_secret)
        };
        if known { Ok(fields) } else { Err("invalid_client") }
    }

    fn verified(&self, code: &Code, verifier: &str) -> bool {
        match &code.challenge {
            Some(challenge) => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == *challenge,
            None => !self.pkce,
        }
    }
}
