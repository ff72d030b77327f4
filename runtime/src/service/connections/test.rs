//! Testing a connection: the request that its connector names for that, sent by the server under the connection's grant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use headgate_manifest::{Verification, fill};
use http::{Request, StatusCode, header};
use serde_json::Value;

use crate::domain::connection::{Connection, Credentials, TestReport, TestResult};
use crate::domain::grant::Grant;
use crate::domain::id::{ConnectionId, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::connections::{details, find};
use crate::service::error::ServiceError;
use crate::service::oauth::{OauthError, TokenStatus};
use crate::wasm::egress::Renewal;

/// How long an app may take over the request: a person waits for it.
const WITHIN: Duration = Duration::from_secs(20);
/// The longest answer that is looked at, in bytes; such answers are small.
const MAX_ANSWER: usize = 1 << 20;
/// The longest text of an app that is passed on, in characters.
const MAX_TEXT: usize = 200;

/// What was found, before it is said when and how fast.
struct Found {
    result: TestResult,
    message: String,
    status: Option<u16>,
    account: Option<String>,
}

impl Found {
    fn new(result: TestResult, message: impl Into<String>) -> Self {
        Self { result, message: message.into(), status: None, account: None }
    }
}

impl Service {
    /// Tests a connection. Whatever is found, good or bad, is the answer, and is remembered.
    pub async fn test_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<TestReport, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::TestConnection)?;
        let connection = find(&catalog, actor, group, id)?;
        let clock = Instant::now();
        let Found { result, message, status, account } = self.try_out(&connection).await?;
        let duration_ms = clock.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let report = TestReport { result, message, status, account, duration_ms, at: self.now() };
        self.note_test(&connection, report.clone());
        Ok(report)
    }

    async fn try_out(self: &Arc<Self>, connection: &Arc<Connection>) -> Result<Found, ServiceError> {
        let token = self.token_status(connection)?;
        if let Credentials::Absent(remedy) = details::credentials(connection, token.as_ref()) {
            return Ok(Found::new(TestResult::NotConnected, remedy));
        }
        let Some(verification) = &connection.pins.verification else {
            let message =
                format!("The connector \"{}\" names no request to test with. Run a flow to see", connection.connector);
            return Ok(Found::new(TestResult::NotOffered, message));
        };
        let request = match request(connection, verification) {
            Ok(request) => request,
            Err(reason) => return Ok(Found::new(TestResult::Unexpected, reason)),
        };
        let grant = match self.grant(connection).await {
            Ok(grant) => grant,
            Err(OauthError::Internal(error)) => return Err(ServiceError::internal("granting a test")(error)),
            Err(error @ OauthError::NeedsAuthorization { .. }) => {
                return Ok(Found::new(ending(self.token_status(connection)?.as_ref()), error.to_string()));
            }
            Err(error @ OauthError::Unavailable { .. }) => {
                return Ok(Found::new(TestResult::Unreachable, error.to_string()));
            }
            Err(error) => return Ok(Found::new(TestResult::Refused, error.to_string())),
        };
        let answer = match self.wasm.probe(&grant, self.renewal(connection), request, WITHIN, MAX_ANSWER).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Found::new(TestResult::Unreachable, format!("The app gave no answer: {error}"))),
        };
        // Where the app refused the token, it was renewed meanwhile, or could not be.
        let token = self.token_status(connection)?;
        if let Credentials::Ended(remedy) = details::credentials(connection, token.as_ref()) {
            let found = Found::new(ending(token.as_ref()), remedy);
            return Ok(Found { status: Some(answer.status().as_u16()), ..found });
        }
        Ok(judge(verification, connection.oauth.is_some(), answer.status(), answer.body()))
    }

    /// Only tokens can be renewed.
    fn renewal(self: &Arc<Self>, connection: &Arc<Connection>) -> Option<Arc<dyn Renewal>> {
        connection.oauth.as_ref()?;
        Some(Arc::new(TestRenewal { service: self.clone(), connection: connection.clone() }))
    }
}

/// Renews the token of a connection that is being tested, once.
struct TestRenewal {
    service: Arc<Service>,
    connection: Arc<Connection>,
}

impl Renewal for TestRenewal {
    fn renew<'a>(&'a self, refused: &'a Arc<Grant>) -> BoxFuture<'a, Option<Arc<Grant>>> {
        let renewed = self.service.grant_after_refusal(&self.connection, refused.generation);
        renewed.map(Result::ok).boxed()
    }
}

/// How an authorization came to its end.
fn ending(token: Option<&TokenStatus>) -> TestResult {
    if token.is_some_and(|token| token.expired) { TestResult::Expired } else { TestResult::Revoked }
}

/// The request to test with.
fn request(connection: &Connection, verification: &Verification) -> Result<Request<Bytes>, String> {
    let unfit = |reason: String| format!("The connector's request to test with cannot be made: {reason}");
    let base = connection.base_urls.first().ok_or_else(|| unfit("the connection reaches nothing yet".to_owned()))?;
    let config = connection.config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
    let path = fill(&verification.path, &config).map_err(|error| unfit(error.to_string()))?;
    let url = format!("{}/{}", base.to_string().trim_end_matches('/'), path.trim_start_matches('/'));
    let mut request = Request::builder().method(verification.http_method.as_str()).uri(url);
    if verification.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = verification.body.as_ref().map(Value::to_string).unwrap_or_default();
    request.body(Bytes::from(body)).map_err(|error| unfit(error.to_string()))
}

/// What an app's answer says about a connection.
fn judge(verification: &Verification, is_oauth: bool, status: StatusCode, body: &[u8]) -> Found {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let refused = verification.refused.as_ref();
    let refused =
        refused.filter(|refused| json.pointer(&refused.pointer).and_then(Value::as_str) == Some(&refused.value));
    let (result, message) = match status {
        _ if refused.is_some() || status == StatusCode::UNAUTHORIZED => {
            refusal(is_oauth, refused.map_or("401", |refused| &refused.value))
        }
        status if status.is_success() => match verification.ok.as_ref().map(|pointer| json.pointer(pointer)) {
            None | Some(Some(Value::Bool(true))) => (TestResult::Valid, "The app took the credentials".to_owned()),
            Some(_) => said_no(&json),
        },
        StatusCode::FORBIDDEN => {
            let message = "The app knows the credentials, but they may not do this (403). Give them the scope or permission they lack";
            (TestResult::MissingScope, message.to_owned())
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            (TestResult::Unreachable, format!("The app cannot answer at present ({status}). Try again later"))
        }
        status => {
            let message = format!(
                "The app answered {status}, which says nothing about the credentials. Check the connection's settings"
            );
            (TestResult::Unexpected, message)
        }
    };
    let account = verification.account.as_ref().filter(|_| result == TestResult::Valid);
    let account = account.and_then(|pointer| match json.pointer(pointer)? {
        Value::String(text) => Some(shown(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    Found { result, message, status: Some(status.as_u16()), account }
}

/// An app that does not take the credentials, and how it says so.
fn refusal(is_oauth: bool, said: &str) -> (TestResult, String) {
    if is_oauth {
        let message = format!(
            "The app refuses the token ({said}), a new one too. Authorize the connection again: headgate connections authorize"
        );
        return (TestResult::Revoked, message);
    }
    let message = format!("The app refuses the credentials ({said}). Enter them again: headgate connections update");
    (TestResult::Refused, message)
}

/// An app that tells errors with the status 200, as Slack does: `{"ok": false, "error": "token_revoked"}`.
fn said_no(json: &Value) -> (TestResult, String) {
    let error = shown(json["error"].as_str().unwrap_or("no reason given"));
    let known =
        [("expired", TestResult::Expired), ("revoked", TestResult::Revoked), ("scope", TestResult::MissingScope)];
    let found = known.iter().find(|(word, _)| error.contains(word));
    (found.map_or(TestResult::Refused, |(_, result)| *result), format!("The app refuses the credentials: {error}"))
}

/// A text of an app, bounded and on one line.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_status_and_by_what_it_says() {
        let verification = |ok: Option<&str>| Verification {
            ok: ok.map(Into::into),
            ..Verification::new("GET", "/me").refused("/name", "Invalid_Key").account("/user")
        };
        for (ok, is_oauth, status, body, result) in [
            (None, false, 200, r#"{"user": "ada"}"#, TestResult::Valid),
            (None, false, 204, "", TestResult::Valid),
            (Some("/ok"), true, 200, r#"{"ok": true}"#, TestResult::Valid),
            (Some("/ok"), true, 200, r#"{"ok": false, "error": "token_revoked"}"#, TestResult::Revoked),
            (Some("/ok"), true, 200, r#"{"ok": false, "error": "token_expired"}"#, TestResult::Expired),
            (Some("/ok"), true, 200, r#"{"ok": false, "error": "missing_scope"}"#, TestResult::MissingScope),
            (Some("/ok"), true, 200, r#"{"ok": "true"}"#, TestResult::Refused),
            (Some("/ok"), true, 200, "not JSON", TestResult::Refused),
            (None, false, 401, "", TestResult::Refused),
            (None, true, 401, "", TestResult::Revoked),
            (None, false, 500, r#"{"name": "Invalid_Key"}"#, TestResult::Refused),
            (None, true, 500, r#"{"name": "Invalid_Key"}"#, TestResult::Revoked),
            (None, false, 200, r#"{"name": "Invalid_Key"}"#, TestResult::Refused),
            (None, false, 500, r#"{"name": "GeneralError"}"#, TestResult::Unreachable),
            (None, true, 403, "", TestResult::MissingScope),
            (None, true, 429, "", TestResult::Unreachable),
            (None, true, 503, "", TestResult::Unreachable),
            (None, true, 404, "", TestResult::Unexpected),
            (None, true, 302, "", TestResult::Unexpected),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = judge(&verification(ok), is_oauth, status, body.as_bytes());
            assert_eq!(found.result, result, "{status} {body}");
            assert_eq!(found.status, Some(status.as_u16()));
        }
        let account = |body: &str| judge(&verification(None), false, StatusCode::OK, body.as_bytes()).account;
        assert_eq!(account(r#"{"user": "ada\nb"}"#).as_deref(), Some("adab"));
        assert_eq!(account(r#"{"user": 7}"#).as_deref(), Some("7"));
        assert_eq!(account(&format!(r#"{{"user": "{}"}}"#, "a".repeat(999))).unwrap().len(), MAX_TEXT);
        assert_eq!(account(r#"{"user": []}"#), None);
    }
}
