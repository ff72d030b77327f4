//! Why a connection was not authorized.

use thiserror::Error;

use crate::domain::connection::ConnectionError;
use crate::service::error::ServiceError;
use crate::service::oauth::OauthError;

/// The longest text of an app that is passed on, in characters.
const MAX_REASON: usize = 300;

/// Why a connection was not authorized. `Display` says what to do; it holds no secret.
#[derive(Debug, Error)]
pub enum AuthorizationError {
    /// No such authorization is under way.
    #[error(
        "This authorization was not begun here, was used before, or took longer than 10 minutes. Begin it again: headgate connections authorize"
    )]
    Unknown,
    /// The browser that came back is not the one that began.
    #[error(
        "This authorization was begun in another browser, so nothing was connected. If you began it yourself, begin it again in this browser; if somebody sent you a link, tell them that it does not work"
    )]
    AnotherBrowser,
    /// The person said no.
    #[error("Access was denied at the app, so nothing was connected. Begin again if that was a mistake{}", reason(.0))]
    Denied(String),
    /// The app knows another redirect URI.
    #[error(
        "The app does not accept this server's redirect URI. Enter it at the app, letter by letter, as `headgate app-registrations show` prints it, and begin again{}",
        reason(.0)
    )]
    WrongRedirect(String),
    /// The app answered an error.
    #[error("The app refused{}. Check the app registration and the connection's scopes, then begin again", reason(.0))]
    Refused(String),
    /// The app sent neither a code nor an error.
    #[error("The app sent no code. Begin again; if it goes on, check the connector's authorization URL")]
    NoCode,
    /// Something else was consented to than what is there now.
    #[error("The connection was changed meanwhile, so nothing was connected. Begin again")]
    Changed,
    /// What the app told does not fit the connector.
    #[error(
        "The app told a setting that the connector does not allow: {0}. Begin again, and tell who wrote the connector if it goes on"
    )]
    Setting(#[source] ConnectionError),
    /// What the app should have told.
    #[error(
        "The app did not tell the setting \"{0}\", which the connection needs. Begin again, and tell who wrote the connector if it goes on"
    )]
    Untold(String),
    /// The code could not be exchanged.
    #[error(
        "The app's answer could not be exchanged for a token: {0}. Begin again; if it goes on, check the app registration"
    )]
    NoToken(String),
    /// It could not be done here.
    #[error("{0}")]
    Service(#[source] Box<ServiceError>),
}

/// What an app says, as the end of a sentence.
fn reason(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (the app says: {said})") }
}

impl AuthorizationError {
    /// What an app's `error` and `error_description` mean (RFC 6749, section 4.1.2.1).
    pub(super) fn refused(error: &str, description: Option<&str>) -> Self {
        let said = match description.map(str::trim).filter(|text| !text.is_empty()) {
            Some(description) => format!("{error}: {description}"),
            None => error.to_owned(),
        };
        let said = said.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        match error {
            "access_denied" => Self::Denied(said),
            "redirect_uri_mismatch" => Self::WrongRedirect(said),
            _ => Self::Refused(said),
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "authorization_unknown",
            Self::AnotherBrowser => "another_browser",
            Self::Denied(_) => "access_denied",
            Self::WrongRedirect(_) => "wrong_redirect",
            Self::Refused(_) | Self::NoCode => "refused_by_app",
            Self::Changed => "connection_changed",
            Self::Setting(_) | Self::Untold(_) => "setting_refused",
            Self::NoToken(_) => "no_token",
            Self::Service(_) => "not_authorized",
        }
    }
}

impl From<OauthError> for AuthorizationError {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::Internal(error) => ServiceError::internal("exchanging a code")(error).into(),
            error => Self::NoToken(error.to_string()),
        }
    }
}

impl From<ServiceError> for AuthorizationError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Authorization(error) => error,
            error => Self::Service(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_says_is_told_within_bounds() {
        let told = |error: &str, description| AuthorizationError::refused(error, description).to_string();
        assert!(told("access_denied", None).starts_with("Access was denied at the app"));
        assert!(told("redirect_uri_mismatch", None).contains("redirect URI"));
        let text = told("invalid_scope", Some("no\u{1b}[2J such\nscope"));
        assert!(text.contains("(the app says: invalid_scope: no[2J suchscope)"), "{text}");
        assert!(told("server_error", Some(&"x".repeat(100_000))).len() < 2 * MAX_REASON);
        assert_eq!(AuthorizationError::refused("access_denied", Some("no")).code(), "access_denied");
    }
}
