use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::ExposeSecret;
use url::Url;
use wasmtime_wasi_http::Error as WasiError;

use super::denial::{Denial, Reason, shown};
use super::failure::Failure;
use super::settings::EgressSettings;
use crate::domain::grant::{Credential, Grant};

/// Headers no guest may set: credentials, what names the receiver or frames the message (RFC 9110, 7.6.1), and
/// ranges, as a reflected secret that is cut in two by ranges would pass the scrubber.
const FORBIDDEN: [&str; 13] = [
    "authorization",
    "connection",
    "cookie",
    "cookie2",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a guest working under this grant may not set this header: credentials of every kind, those of the
/// connection, and what belongs to the HTTP connection.
///
/// Underscores count as hyphens, as some servers read them so.
pub fn is_forbidden_header(grant: &Grant, name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    let placed = |credential: &Credential| match credential {
        Credential::Header { name: used, .. } => used.as_str().replace('_', "-") == name,
        Credential::Query { .. } | Credential::Body { .. } => false,
    };
    FORBIDDEN.contains(&name.as_str()) || name.starts_with("proxy-") || grant.credentials.iter().any(placed)
}

/// Judges a request as the guest wrote it, then answers its URL, rebuilt, and its headers, both with the credentials.
/// Those that belong into the body are not among them.
pub(super) fn vet(
    grant: &Grant,
    parts: &http::request::Parts,
    settings: &EgressSettings,
) -> Result<(Url, HeaderMap), Failure> {
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let refuse = |reason| Failure::from(Denial::request(authority, reason, grant));
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(refuse(Reason::Method(parts.method.to_string())));
    }
    if let Some(name) = parts.headers.keys().find(|name| is_forbidden_header(grant, name)) {
        return Err(refuse(Reason::Header(shown(name.as_str()))));
    }
    check_sizes(&parts.headers, settings)?;
    if authority.contains('@') {
        return Err(refuse(Reason::Userinfo));
    }
    let mut url = rebuild(&parts.uri).ok_or_else(|| refuse(Reason::Url))?;
    if let Some(name) = forbidden_query(grant, &url) {
        return Err(refuse(Reason::Query(shown(&name))));
    }
    if !grant.allows(&url) {
        return Err(Denial::not_granted(&url, grant).into());
    }
    let mut headers = parts.headers.clone();
    // An encoded answer could not be scrubbed.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for credential in &grant.credentials {
        place(credential, &mut url, &mut headers)?;
    }
    Ok((url, headers))
}

fn check_sizes(headers: &HeaderMap, settings: &EgressSettings) -> Result<(), Failure> {
    if header_bytes(headers) > settings.max_header_bytes {
        return Err(WasiError::HttpRequestHeaderSectionSize(None).into());
    }
    match content_length(headers)? {
        Some(length) if length > settings.max_request_body => Err(WasiError::HttpRequestBodySize(Some(length)).into()),
        _ => Ok(()),
    }
}

/// The length a request announces. It frames the message, so that there is one reading of it only (RFC 9110, 8.6).
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, WasiError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.to_str().ok().filter(|length| length.bytes().all(|b| b.is_ascii_digit()));
    match (digits.and_then(|digits| digits.parse().ok()), lengths.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(WasiError::HttpProtocolError),
    }
}

/// The size of headers on the wire.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The URL read anew from its parts by the rules browsers use (WHATWG), so that it is compared in the form it is sent in.
fn rebuild(uri: &http::Uri) -> Option<Url> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let url = Url::parse(&format!("{scheme}://{authority}{path}")).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (path.starts_with(['/', '?']) && plain).then_some(url)
}

/// A query name that the connection's authentication uses, in any letter case; `;` separates too, as some servers read it so.
fn forbidden_query(grant: &Grant, url: &Url) -> Option<String> {
    let queries = || grant.credentials.iter().filter(|credential| matches!(credential, Credential::Query { .. }));
    url.query()?
        .split(['&', ';'])
        .flat_map(|pair| url::form_urlencoded::parse(pair.as_bytes()))
        .map(|(name, _)| name)
        .find(|name| queries().any(|credential| credential.name().eq_ignore_ascii_case(name.trim())))
        .map(std::borrow::Cow::into_owned)
}

fn place(credential: &Credential, url: &mut Url, headers: &mut HeaderMap) -> Result<(), Failure> {
    match credential {
        Credential::Header { name, value } => {
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| WasiError::ConfigurationError)?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        // It is put in when the body is here; see `body`.
        Credential::Body { .. } => {}
        Credential::Query { name, value } => {
            url.query_pairs_mut().append_pair(name, value.expose_secret());
        }
    }
    Ok(())
}
