//! The rules of the host's egress, as far as a connector's author can break them.

use serde_json::Value;

use super::exchange::Request;
use super::host::Grant;
use crate::manifest::{Placement, fill};
use crate::{Error, Result};

/// Headers that are the host's to set, whatever the authentication.
const HOSTS_OWN: [&str; 3] = ["authorization", "cookie", "host"];

/// Fails with `egress_denied` where the host would.
pub(super) fn check(grant: &Grant, request: &Request) -> Result<()> {
    let (headers, parameters) = placed(grant);
    for (name, _) in request.headers.iter() {
        let name = name.to_ascii_lowercase();
        if HOSTS_OWN.contains(&name.as_str()) || name.starts_with("proxy-") || headers.contains(&name) {
            let message = format!("The header {name} is not a connector's to set: the host sets it. Leave it out.");
            return Err(denied(message).details(serde_json::json!({ "header": name })));
        }
    }
    if let Some((name, _)) = request.query.iter().find(|(name, _)| parameters.contains(&name.to_ascii_lowercase())) {
        return Err(denied(format!("The query parameter {name} is not a connector's to set. Leave it out.")));
    }
    check_body(grant, request)?;
    if request.authority().contains('@') {
        return Err(denied("The URL holds a user name; the host sets credentials. Leave it out.".into()));
    }
    let allowed = allowed(grant)?;
    if allowed.as_ref().is_some_and(|urls| !urls.iter().any(|url| covers(url, &request.url))) {
        let urls = allowed.unwrap_or_default().join(", ");
        return Err(denied(format!("{} is not below the connection's base URLs ({urls}).", request.url)));
    }
    Ok(())
}

/// The host puts a credential into a JSON object only, and only where nothing is. It makes an object for a request that
/// usually has a body, and has no place for a credential in any other. A connection may use another of the connector's
/// ways to authenticate: what only this one wants is asked for where there is no other.
fn check_body(grant: &Grant, request: &Request) -> Result<()> {
    let auths = || grant.manifest.iter().flat_map(|manifest| &manifest.auth);
    let in_body = |placement: &Placement| matches!(placement, Placement::Body { .. });
    let always = auths().all(|auth| auth.kind.placements().iter().any(in_body));
    let pointers = auths().flat_map(|auth| auth.kind.placements()).filter_map(|placement| match placement {
        Placement::Body { pointer, .. } => Some(pointer.as_str()),
        _ => None,
    });
    let body = request.json();
    for pointer in pointers {
        match request.method.as_str() {
            _ if !always && !body.is_object() => continue,
            "POST" | "PUT" | "PATCH" if request.body.is_empty() => continue,
            method if request.body.is_empty() => {
                let message =
                    format!("The host sets the body's member {pointer}. Send the {method} with a JSON object.");
                return Err(denied(message));
            }
            _ if !is_json(request) => {
                let message =
                    format!("The host sets the body's member {pointer}. Let its content type be application/json.");
                return Err(denied(message));
            }
            _ => check_member(&body, pointer)?,
        }
    }
    Ok(())
}

/// Whether the one content type is JSON's, or one that is built on it.
fn is_json(request: &Request) -> bool {
    let mut types = request.headers.all("content-type");
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The last name is taken in any letter case, as some apps read names so.
fn check_member(body: &Value, pointer: &str) -> Result<()> {
    let no_object =
        || denied(format!("The host sets the body's member {pointer}; what it stands in has to be a JSON object."));
    let names: Vec<_> = pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, way)) = names.split_last() else { return Err(no_object()) };
    let mut object = body.as_object().ok_or_else(no_object)?;
    for name in way {
        let Some(inner) = object.get(name) else { return Ok(()) };
        object = inner.as_object().ok_or_else(no_object)?;
    }
    if object.keys().any(|name| name.eq_ignore_ascii_case(last)) {
        let message =
            format!("The body's member {pointer} is not a connector's to set: the host sets it. Leave it out.");
        return Err(denied(message));
    }
    Ok(())
}

/// The base URLs with their placeholders filled; none when everything is allowed.
fn allowed(grant: &Grant) -> Result<Option<Vec<String>>> {
    let Some(manifest) = &grant.manifest else { return Ok(None) };
    let config = grant.config.borrow();
    let values = config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
    let urls = manifest.base_urls.iter().map(|url| fill(url, &values)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(urls))
}

/// Whether a URL is the base or lies below it; `/a` does not cover `/ab`.
fn covers(base: &str, url: &str) -> bool {
    let base = base.trim_end_matches('/');
    url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// The names of headers and query parameters that some authentication of the connector uses, in lower case.
fn placed(grant: &Grant) -> (Vec<String>, Vec<String>) {
    let (mut headers, mut parameters) = (Vec::new(), Vec::new());
    let config = grant.config.borrow();
    let values = config.iter().map(|(name, value)| (format!("config.{name}"), value.clone())).collect();
    for auth in grant.manifest.iter().flat_map(|manifest| &manifest.auth) {
        for placement in auth.kind.placements() {
            // A name whose setting is missing belongs to an authentication that this connection does not use.
            match placement {
                Placement::Header { name, .. } => headers.extend(fill(name, &values)),
                Placement::Query { name, .. } => parameters.extend(fill(name, &values)),
                Placement::Bearer { .. } | Placement::Basic { .. } | Placement::Body { .. } => {}
            }
        }
    }
    let lower = |names: Vec<String>| names.iter().map(|name| name.to_ascii_lowercase()).collect();
    (lower(headers), lower(parameters))
}

fn denied(message: String) -> Error {
    Error::new("egress_denied", message)
}
