//! Authorizing connections: `/api/v1/groups/{group}/connections/{connection}/authorize`, and the page to which apps send
//! browsers back, `/oauth/callback`.

mod page;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::domain::id::{ConnectionId, GroupId};
use crate::http::ApiState;
use crate::http::connections::ConnectionView;
use crate::http::extract::{Body, MaybeBody, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::connections::authorize::{AUTHORIZATION_TIME, Arrival, BrowserCookie, COOKIE_PREFIX, Callback};
use page::Page;

/// How a connection is to be authorized.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// Where the browser goes in the end, with a `code` to finish with or an `error`: a loopback address with a port.
    /// Without it, the browser that gets this answer's cookie is the one that finishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://127.0.0.1:49152/done")]
    pub return_to: Option<String>,
}

/// An authorization that began.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationView {
    /// The app's page, to be opened in a browser by whoever began.
    #[schema(example = "https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=...&state=...")]
    pub url: String,
    /// Until when it can be finished.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// The redirect URI that the app has to know.
    #[schema(example = "https://flows.example.com/oauth/callback")]
    pub redirect_uri: String,
}

/// The end of an authorization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishAuthorization {
    /// The code that the browser brought to the loopback address. It is good for one use, within a minute.
    #[schema(value_type = String, example = "b1Xk...")]
    pub code: SecretString,
}

/// Begins to authorize an OAuth connection: answers the app's page, where a person consents.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections/{connection}/authorize", tag = "connections", request_body = Authorize, params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, description = "The app's page. The cookie binds it to the browser", body = AuthorizationView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, description = "API keys cannot consent", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "There is nothing to authorize", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn authorize(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
    MaybeBody(Authorize { return_to }): MaybeBody<Authorize>,
) -> Result<(HeaderMap, Json<AuthorizationView>), Problem> {
    let begun = api.service.begin_authorization(&actor, &group, &connection, return_to.as_deref())?;
    let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    headers.extend(begun.cookie.iter().map(|cookie| (header::SET_COOKIE, set_cookie(cookie))));
    let redirect_uri = api.service.oauth_redirect_uri().to_owned();
    Ok((headers, Json(AuthorizationView { url: begun.url.into(), expires: begun.expires, redirect_uri })))
}

/// Finishes an authorization that was begun with a loopback address.
#[utoipa::path(post, path = "/api/v1/groups/{group}/connections/{connection}/authorize/finish", tag = "connections", request_body = FinishAuthorization, params(("group" = String, Path), ("connection" = String, Path)), responses(
    (status = OK, body = ConnectionView),
    (status = BAD_REQUEST, description = "The code is not valid, or the app gave no token", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn finish(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, connection)): Named<(GroupId, ConnectionId)>,
    Body(FinishAuthorization { code }): Body<FinishAuthorization>,
) -> Result<Json<ConnectionView>, Problem> {
    Ok(Json(api.service.finish_authorization(&actor, &group, &connection, &code).await?.into()))
}

/// Where apps send browsers back to. It is no part of the management API: a person reads its answer.
pub async fn callback(State(api): State<ApiState>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let callback = read(query.as_deref().unwrap_or_default(), cookies(&headers));
    match api.service.take_authorization(callback).await {
        Ok(Arrival::GoOn(address)) => go_on(address.as_str()),
        Ok(Arrival::Connected(connection)) => Page::connected(&connection).into_response(),
        Err(error) => Page::failed(error).into_response(),
    }
}

/// The parameters of the redirect. Of those that stand there twice the first counts.
fn read(query: &str, cookies: BTreeMap<String, SecretString>) -> Callback {
    let mut callback = Callback { cookies, ..Callback::default() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        match name.as_str() {
            "state" => drop(callback.state.get_or_insert(value)),
            "code" => drop(callback.code.get_or_insert_with(|| value.into())),
            "error" => drop(callback.error.get_or_insert(value)),
            "error_description" => drop(callback.error_description.get_or_insert(value)),
            _ => drop(callback.others.entry(name).or_insert(value)),
        }
    }
    callback
}

/// The browser's cookies for authorizations (RFC 6265, section 5.4).
fn cookies(headers: &HeaderMap) -> BTreeMap<String, SecretString> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let ours = pairs.filter(|(name, _)| name.starts_with(COOKIE_PREFIX));
    ours.map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// `Lax`: the cookie comes along when the app sends the browser back, and with no other request from elsewhere.
fn set_cookie(cookie: &BrowserCookie) -> HeaderValue {
    let secure = if cookie.secure { "; Secure" } else { "" };
    let (name, value, path) = (&cookie.name, cookie.value.expose_secret(), &cookie.path);
    let age = AUTHORIZATION_TIME.as_secs();
    let text = format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// What stands in the URL is told to nobody on the way, and kept nowhere.
fn go_on(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_read_whatever_stands_in_it() {
        let callback = read("state=a%2Bb&code=1&state=other&code=2&location=eu&%zz", BTreeMap::new());
        assert_eq!(callback.state.as_deref(), Some("a+b"));
        assert_eq!(callback.code.unwrap().expose_secret(), "1");
        assert_eq!(callback.others["location"], "eu");
        assert!(callback.error.is_none() && read("", BTreeMap::new()).state.is_none());
    }

    #[test]
    fn only_our_cookies_are_taken() {
        let mut headers = HeaderMap::new();
        let one = format!("session=x; {COOKIE_PREFIX}aa=1;{COOKIE_PREFIX}bb=2");
        headers.append(header::COOKIE, HeaderValue::from_str(&one).unwrap());
        headers.append(header::COOKIE, HeaderValue::from_static("nonsense"));
        let names: Vec<_> = cookies(&headers).into_keys().collect();
        assert_eq!(names, [format!("{COOKIE_PREFIX}aa"), format!("{COOKIE_PREFIX}bb")]);
    }

    #[test]
    fn a_cookie_is_for_the_browser_alone() {
        let cookie =
            |secure| BrowserCookie { name: "a".to_owned(), value: "b".into(), path: "/oauth".to_owned(), secure };
        let text = |secure| set_cookie(&cookie(secure)).to_str().unwrap().to_owned();
        assert_eq!(text(false), "a=b; Path=/oauth; Max-Age=600; HttpOnly; SameSite=Lax");
        assert!(text(true).ends_with("; Secure"));
    }
}
