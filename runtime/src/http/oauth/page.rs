//! What a person reads when an app has sent their browser back: what happened, and what to do.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::domain::connection::TestResult;
use crate::http::problem::Problem;
use crate::service::connections::ConnectionDetails;
use crate::service::connections::authorize::AuthorizationError;
use crate::service::error::ServiceError;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem;color:#222}\
h1{font-size:1.5rem}@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}}";

/// A page without scripts and without anything from elsewhere.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    text: String,
}

impl Page {
    /// It worked.
    pub(super) fn connected(details: &ConnectionDetails) -> Self {
        let connection = &details.connection;
        let account = details.record.account.as_ref().map(|account| format!(" with the account {account}"));
        let doubt = details.record.last_test.as_ref().and_then(|test| match test.result {
            TestResult::Valid | TestResult::NotOffered => None,
            _ => Some(format!("A test of it found something to look at, though: {}. ", test.message)),
        });
        let text = format!(
            "The connection \"{}\" ({}, {}) of the group \"{}\" is authorized{}. {}Flows can use it from now on. This page can be closed.",
            connection.name,
            connection.connector,
            connection.environment,
            connection.group,
            account.unwrap_or_default(),
            doubt.unwrap_or_default()
        );
        Self { status: StatusCode::OK, title: "Connected", text }
    }

    /// It did not, and why.
    pub(super) fn failed(error: AuthorizationError) -> Self {
        let (status, title) = match &error {
            AuthorizationError::Unknown => (StatusCode::BAD_REQUEST, "This page has expired"),
            AuthorizationError::AnotherBrowser => (StatusCode::FORBIDDEN, "Begun in another browser"),
            AuthorizationError::Denied(_) => (StatusCode::OK, "Access was denied"),
            AuthorizationError::WrongRedirect(_) => {
                (StatusCode::BAD_REQUEST, "The redirect URI is not known to the app")
            }
            AuthorizationError::Refused(_) | AuthorizationError::NoCode | AuthorizationError::NoToken(_) => {
                (StatusCode::BAD_GATEWAY, "The app did not connect")
            }
            AuthorizationError::Changed => (StatusCode::CONFLICT, "The connection was changed meanwhile"),
            AuthorizationError::Setting(_) | AuthorizationError::Untold(_) => {
                (StatusCode::BAD_GATEWAY, "The app's answer does not fit")
            }
            AuthorizationError::Service(_) => return Self::refused(error.into()),
        };
        Self { status, title, text: error.to_string() }
    }

    fn refused(error: ServiceError) -> Self {
        let (status, title, text) = match error {
            ServiceError::Unauthenticated(_) => (
                StatusCode::FORBIDDEN,
                "No longer logged in",
                "Whoever began this has logged out meanwhile, so nothing was connected. Log in and begin again."
                    .to_owned(),
            ),
            ServiceError::Forbidden(denial) => (StatusCode::FORBIDDEN, "Not allowed any more", denial.to_string()),
            ServiceError::NotFound { .. } => (
                StatusCode::NOT_FOUND,
                "The connection is gone",
                "The connection was deleted meanwhile, or you no longer belong to its group. Nothing was connected."
                    .to_owned(),
            ),
            error => {
                let problem = Problem::from(error);
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", problem.message().to_owned())
            }
        };
        Self { status, title, text }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let (title, text) = (escaped(self.title), escaped(&self.text));
        let body = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        );
        let style = BASE64.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).expect("it is ASCII")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (self.status, headers, body).into_response()
    }
}

/// A text as HTML shows it: nothing in it is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_app_says_is_markup() {
        assert_eq!(escaped("<b a=\"'&\">"), "&lt;b a=&quot;&#39;&amp;&quot;&gt;");
        let page = Page::failed(AuthorizationError::Denied("<script>alert(1)</script>".to_owned()));
        assert_eq!((page.status, page.title), (StatusCode::OK, "Access was denied"));
        let answer = page.into_response();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    }
}
