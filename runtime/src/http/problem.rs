//! Errors as answers: `application/problem+json` (RFC 9457) with a member `error` that repeats the message.

use std::error::Error as _;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::domain::api_key::AuthError;
use crate::domain::input_schema::InputError;
use crate::domain::permission::Denial;
use crate::domain::run::Failure;
use crate::http::limits;
use crate::service::connections::Unusable;
use crate::service::error::ServiceError;
use crate::service::flows::{Missing, NotPublishable};
use crate::service::idempotency::IdempotencyError;
use crate::service::limits::LimitKind;

/// The header that names the run a response came from.
pub const RUN_ID: &str = "headgate-run-id";

/// The body of an error.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// What kind of problem; always `about:blank`: the status and `code` say it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    pub title: String,
    /// The status.
    #[schema(example = 404)]
    pub status: u16,
    /// What went wrong and what to do.
    pub detail: String,
    /// The same as `detail`.
    #[schema(example = "Flow not found")]
    pub error: String,
    /// A stable word for programs.
    #[schema(example = "not_found")]
    pub code: String,
    /// The run that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// Whether the same request may succeed later; said of failed runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What is wrong with an app's input, at each place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<InputError>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
}

/// Marks an answer as an error of the server's, as flows may answer with any status.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

/// An error on its way to the caller.
#[derive(Debug)]
pub struct Problem {
    body: Box<ProblemBody>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem with a status, a word and a message.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let body = ProblemBody {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            error: detail.clone(),
            detail,
            code: code.to_owned(),
            run: None,
            retryable: None,
            errors: Vec::new(),
            details: None,
        };
        Self { body: Box::new(body), headers: HeaderMap::new() }
    }

    /// What the caller reads.
    pub fn message(&self) -> &str {
        &self.body.detail
    }

    /// The body alone, for answers that have begun already.
    pub(super) fn into_body(self) -> ProblemBody {
        *self.body
    }

    fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn retry_after(self, after: Duration) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
    }

    fn of_run(mut self, run: Uuid, failure: Failure) -> Self {
        self.body.run = Some(run);
        self.body.retryable = Some(failure.retryable);
        self.body.details = failure.details;
        let value = HeaderValue::from_str(&run.to_string()).expect("a UUID is a header value");
        self.with(header::HeaderName::from_static(RUN_ID), value)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.body).expect("a problem has text keys only");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(Refused);
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        // RFC 6750, section 3.1: no error code where no credentials were sent.
        let (code, challenge) = match &error {
            AuthError::Missing => ("missing_api_key", "Bearer"),
            AuthError::MissingToken => ("missing_token", "Bearer"),
            AuthError::Malformed => ("malformed_api_key", "Bearer error=\"invalid_token\""),
            AuthError::Invalid => ("invalid_api_key", "Bearer error=\"invalid_token\""),
            AuthError::InvalidToken => ("invalid_token", "Bearer error=\"invalid_token\""),
            AuthError::Expired => ("expired_api_key", "Bearer error=\"invalid_token\""),
            AuthError::Revoked => ("revoked_api_key", "Bearer error=\"invalid_token\""),
            AuthError::Disabled => ("disabled_api_key", "Bearer error=\"invalid_token\""),
            AuthError::WrongPlace => ("api_key_in_wrong_place", "Bearer error=\"invalid_request\""),
            AuthError::Ambiguous => ("ambiguous_api_key", "Bearer error=\"invalid_request\""),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, error.to_string())
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

/// RFC 6750, section 3.1: a missing scope is named in the challenge.
fn denied(denial: &Denial) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, denial.code(), denial.to_string());
    match denial {
        Denial::MissingScope { scope, .. } => {
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            let challenge = HeaderValue::from_str(&challenge).expect("scopes are ASCII");
            problem.with(header::WWW_AUTHENTICATE, challenge)
        }
        _ => problem,
    }
}

fn repeated(error: &IdempotencyError, message: String) -> Problem {
    match error {
        IdempotencyError::OtherRequest => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", message)
        }
        IdempotencyError::InProgress { retry_after } => {
            Problem::new(StatusCode::CONFLICT, "idempotency_in_progress", message).retry_after(*retry_after)
        }
        IdempotencyError::Unknown { run } => {
            let mut problem = Problem::new(StatusCode::CONFLICT, "idempotency_unknown", message);
            problem.body.run = Some(*run);
            problem
        }
    }
}

fn unusable_connection(unusable: &Unusable, message: String) -> Problem {
    let mut problem = Problem::new(StatusCode::FAILED_DEPENDENCY, "connection_broken", message);
    problem.body.details = Some(json!({
        "slot": unusable.slot,
        "connection": unusable.connection.id,
        "name": unusable.connection.name,
        "cause": unusable.cause,
        "remedy": unusable.remedy,
    }));
    problem
}

/// The status for a run that failed.
fn status_of(failure: &Failure, timed_out: bool, refused: bool) -> StatusCode {
    match failure.code.as_str() {
        _ if timed_out => StatusCode::GATEWAY_TIMEOUT,
        // Somebody has to mend the flow's connections.
        "slot_unbound" if refused => StatusCode::CONFLICT,
        "connection_broken" if refused => StatusCode::FAILED_DEPENDENCY,
        _ => StatusCode::BAD_GATEWAY,
    }
}

fn not_publishable(not: &NotPublishable) -> Problem {
    let mut problem = Problem::new(StatusCode::CONFLICT, "not_publishable", not.to_string());
    let missing = not.missing.iter().map(|Missing { slot, method, cause, remedy }| {
        json!({"slot": slot, "method": method, "cause": cause, "remedy": remedy})
    });
    problem.body.details = Some(json!({ "missing": missing.collect::<Vec<_>>() }));
    problem
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            ServiceError::Unauthenticated(error) => error.into(),
            ServiceError::Login(error) => Self::new(StatusCode::UNAUTHORIZED, error.code(), message)
                .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            ServiceError::TooManyAttempts { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message).retry_after(retry_after)
            }
            ServiceError::Forbidden(denial) => denied(&denial),
            ServiceError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            ServiceError::NotConfigured(_) => Self::new(StatusCode::NOT_FOUND, "not_configured", message),
            ServiceError::Invalid(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_request", message),
            ServiceError::Input { errors } => {
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "invalid_input", message);
                problem.body.errors = errors;
                problem
            }
            ServiceError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            ServiceError::Authorization(error) => Self::new(StatusCode::BAD_REQUEST, error.code(), message),
            ServiceError::Idempotency(error) => repeated(&error, message),
            ServiceError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message),
            ServiceError::MethodNotAllowed { allowed } => {
                let allow = HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(""));
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).with(header::ALLOW, allow)
            }
            ServiceError::Module(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "module_refused", message),
            ServiceError::Overloaded { retry_after, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message).retry_after(retry_after)
            }
            ServiceError::Limited(limited) => {
                let code = match limited.kind {
                    LimitKind::Rate => "rate_limited",
                    LimitKind::Quota => "quota_exceeded",
                };
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, message);
                limits::write(&mut problem.headers, &limited.standing);
                problem.retry_after(limited.retry_after)
            }
            ServiceError::AllowanceSpent { retry_after, .. } => {
                Self::new(StatusCode::PAYMENT_REQUIRED, "allowance_spent", message).retry_after(retry_after)
            }
            ServiceError::ConnectionUnusable(unusable) => unusable_connection(&unusable, message),
            ServiceError::Incompatible(found) => {
                let mut problem = Self::new(StatusCode::CONFLICT, "connector_incompatible", message);
                problem.body.details = Some(json!({"breaks": found.breaks, "warnings": found.warnings}));
                problem
            }
            ServiceError::NotPublishable(not) => not_publishable(&not),
            ServiceError::Flow { run, failure, timed_out, refused } => {
                Self::new(status_of(&failure, timed_out, refused), &failure.code, message).of_run(run, failure)
            }
            ServiceError::Internal { doing, .. } => {
                let id = Uuid::now_v7();
                let source = error.source();
                tracing::error!(request = %id, doing, error = source, "internal error");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("{message}: {id}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::LoginError;
    use crate::service::limits::{Limited, Standing};

    fn parts(error: ServiceError) -> (u16, String, ProblemBody, http::HeaderMap) {
        let problem = Problem::from(error);
        let body = (*problem.body).clone();
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(body.error, body.detail);
        (response.status().as_u16(), body.code.clone(), body, response.headers().clone())
    }

    fn spent() -> ServiceError {
        ServiceError::AllowanceSpent {
            group: "acme".parse().unwrap(),
            what: "5 runs".to_owned(),
            until: jiff::Timestamp::UNIX_EPOCH,
            retry_after: Duration::from_secs(3600),
        }
    }

    #[test]
    fn each_error_has_its_status_and_its_code() {
        let text = || "why".to_owned();
        for (error, status, code) in [
            (ServiceError::Forbidden(Denial::Operator), 403, "operators_only"),
            (ServiceError::Login(LoginError::Credentials), 401, "wrong_credentials"),
            (ServiceError::TooManyAttempts { retry_after: Duration::from_secs(5) }, 429, "too_many_attempts"),
            (ServiceError::NotFound { what: "Flow" }, 404, "not_found"),
            (ServiceError::NotConfigured("Set it up"), 404, "not_configured"),
            (ServiceError::Invalid(text()), 400, "invalid_request"),
            (ServiceError::Input { errors: Vec::new() }, 400, "invalid_input"),
            (ServiceError::Conflict(text()), 409, "conflict"),
            (ServiceError::TooLarge { limit: 7 }, 413, "body_too_large"),
            (ServiceError::MethodNotAllowed { allowed: "GET".to_owned() }, 405, "method_not_allowed"),
            (ServiceError::Module(text()), 422, "module_refused"),
            (ServiceError::Overloaded { what: "Full", retry_after: Duration::from_secs(5) }, 503, "overloaded"),
            (spent(), 402, "allowance_spent"),
            (ServiceError::internal("testing")("a secret reason"), 500, "internal"),
        ] {
            let message = error.to_string();
            let (got, got_code, body, _) = parts(error);
            assert_eq!((got, got_code.as_str()), (status, code));
            assert_eq!(body.status, status);
            assert!(body.error.starts_with(&message), "{}", body.error);
            assert!(!body.error.contains("a secret reason"));
        }
    }

    #[test]
    fn a_challenge_has_an_error_only_where_credentials_were_sent() {
        for (error, code, challenge) in [
            (AuthError::Missing, "missing_api_key", "Bearer"),
            (AuthError::MissingToken, "missing_token", "Bearer"),
            (AuthError::Malformed, "malformed_api_key", "Bearer error=\"invalid_token\""),
            (AuthError::Invalid, "invalid_api_key", "Bearer error=\"invalid_token\""),
            (AuthError::Expired, "expired_api_key", "Bearer error=\"invalid_token\""),
            (AuthError::WrongPlace, "api_key_in_wrong_place", "Bearer error=\"invalid_request\""),
        ] {
            let (status, got, _, headers) = parts(error.into());
            assert_eq!((status, got.as_str()), (401, code));
            assert_eq!(headers[header::WWW_AUTHENTICATE], challenge);
        }
    }

    #[test]
    fn headers_say_when_to_come_back_and_which_methods_there_are() {
        let overloaded = |millis| ServiceError::Overloaded { what: "Full", retry_after: Duration::from_millis(millis) };
        assert_eq!(parts(overloaded(5000)).3[header::RETRY_AFTER], "5");
        assert_eq!(parts(overloaded(10)).3[header::RETRY_AFTER], "1");
        assert_eq!(parts(spent()).3[header::RETRY_AFTER], "3600");
        let (.., headers) = parts(ServiceError::MethodNotAllowed { allowed: "GET, POST".to_owned() });
        assert_eq!(headers[header::ALLOW], "GET, POST");
    }

    #[test]
    fn a_limit_says_how_it_stands() {
        for (kind, code) in [(LimitKind::Rate, "rate_limited"), (LimitKind::Quota, "quota_exceeded")] {
            let standing = Standing { limit: 60, remaining: 0, reset: 1_800_000_012 };
            let (key, retry_after) = ("crm".parse().unwrap(), Duration::from_secs(12));
            let (status, got, body, headers) =
                parts(ServiceError::Limited(Limited { key, kind, standing, retry_after }));
            assert_eq!((status, got.as_str()), (429, code));
            assert!(
                body.error.contains("\"crm\" may make 60 requests") && body.error.contains("12 s"),
                "{}",
                body.error
            );
            let named = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
            assert_eq!(named.map(|name| headers[name].to_str().unwrap()), ["12", "60", "0", "1800000012"]);
        }
    }

    #[test]
    fn a_failed_run_is_named_with_what_it_said() {
        let run = Uuid::now_v7();
        for (code, timed_out, refused, status) in [
            ("lead_unknown", false, false, 502),
            ("lead_unknown", true, false, 504),
            ("slot_unbound", false, true, 409),
            ("slot_unbound", true, true, 504),
            ("connection_broken", false, true, 424),
            // The flow's own words.
            ("slot_unbound", false, false, 502),
            ("connection_broken", false, false, 502),
            ("conflict", false, true, 502),
        ] {
            let failure = Failure {
                code: code.to_owned(),
                message: "There is no such lead.".to_owned(),
                retryable: true,
                details: Some(serde_json::json!({"email": "ada@example.com"})),
            };
            let (got, got_code, body, headers) = parts(ServiceError::Flow { run, failure, timed_out, refused });
            assert_eq!((got, got_code.as_str(), body.error.as_str()), (status, code, "There is no such lead."));
            assert_eq!((body.run, body.retryable), (Some(run), Some(true)));
            assert_eq!(body.details.unwrap()["email"], "ada@example.com");
            assert_eq!(headers[RUN_ID], run.to_string().as_str());
        }
    }
}
