//! What a request says besides its body: credentials, what it addresses, and what is left for the flow.

use http::request::Parts;
use http::{HeaderMap, Uri, header};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::domain::api_key::KEY_PREFIX;
use crate::domain::id::GroupId;
use crate::domain::path_template::RESERVED;
use crate::http::extract::API_KEY;
use crate::service::access::{KeyPlace, Presented};
use crate::service::hooks::Target;

/// What a URL says, without the credentials that were in it.
pub(super) struct Address {
    /// What it addresses.
    pub(super) target: Target,
    /// Decoded query parameters.
    pub(super) query: Vec<(String, String)>,
    /// The value of `?_profile=`.
    pub(super) profile: Option<String>,
}

/// Headers for the flow. Keys are taken out, and so is whatever else authenticates the sender to somebody.
pub(super) fn take_headers(headers: &HeaderMap, presented: &mut Presented) -> Vec<(String, String)> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let kept_back = match name.as_str() {
            "authorization" => {
                presented.add_header(&text);
                true
            }
            API_KEY => presented.add_key_header(&text),
            "cookie" | "proxy-authorization" => true,
            _ => false,
        };
        if !kept_back {
            kept.push((name.as_str().to_owned(), text.into_owned()));
        }
    }
    kept
}

/// What a URL says. `group` tells whose host name the request was sent to.
pub(super) fn take_address(uri: &Uri, presented: &mut Presented, group: impl FnOnce() -> Option<GroupId>) -> Address {
    let mut profile = None;
    let mut query = Vec::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "api_key" | "auth-key" if presented.add(&value, KeyPlace::Query) => {}
            "_profile" => profile = Some(value.into_owned()),
            _ => query.push((name.into_owned(), value.into_owned())),
        }
    }
    let mut segments = uri.path().split('/').skip(1);
    let segments = [segments.next(), segments.next(), segments.next(), segments.next()];
    let target = match segments {
        [Some("hooks"), Some(routing_key), None, _] => Target::Hook(routing_key.parse().ok()),
        [Some("hooks"), Some(routing_key), Some(key), None] if presented.add(key, KeyPlace::Path) => {
            Target::Hook(routing_key.parse().ok())
        }
        [Some("flows"), Some(flow), Some("execute"), None] => Target::Execute(flow.parse().ok()),
        [Some("apps"), Some(slug), Some("execute"), None] => Target::App(slug.parse().ok()),
        [Some("g"), Some(group), Some(_), _] => {
            below_root(&uri.path()["/g/".len() + group.len()..], group.parse().ok(), presented)
        }
        // At the group's own host name its root is the host's. The server's own paths keep their meaning there.
        [Some(first), ..] if !first.is_empty() && !RESERVED.contains(&first) => match group() {
            Some(group) => below_root(uri.path(), Some(group), presented),
            None => Target::Nothing,
        },
        _ => Target::Nothing,
    };
    Address { target, query, profile }
}

/// A path below a group's root. A key is none of a template's parameters: where one stands among them, nothing runs.
fn below_root(path: &str, group: Option<GroupId>, presented: &mut Presented) -> Target {
    let mut holds_key = false;
    for segment in path.split('/') {
        let segment = percent_decode_str(segment).decode_utf8_lossy();
        holds_key |= segment.starts_with(KEY_PREFIX) && presented.add(&segment, KeyPlace::Path);
    }
    Target::Path { group, path: path.to_owned(), holds_key }
}

/// The host name that a request was sent to, without a port.
pub(super) fn host(parts: &Parts) -> Option<&str> {
    let host = match parts.uri.host() {
        Some(host) => host,
        None => parts.headers.get(header::HOST)?.to_str().ok()?,
    };
    host.split(':').next()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const KEY: &str = "hg_test_";

    #[test]
    fn credentials_go_no_further() {
        let mut presented = Presented::default();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Basic c2VuZGVyOnNlY3JldA=="));
        headers.insert("x-api-key", HeaderValue::from_static("hg_test_mistyped"));
        headers.insert("cookie", HeaderValue::from_static("session=1"));
        headers.insert("x-github-event", HeaderValue::from_static("push"));
        let kept = take_headers(&headers, &mut presented);
        assert_eq!(kept, [("x-github-event".to_owned(), "push".to_owned())]);

        let uri = format!("/hooks/abc?api_key={KEY}mistyped&a=1&_profile=test&b=%20x").parse().unwrap();
        let address = take_address(&uri, &mut presented, || None);
        assert_eq!(address.query, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), " x".to_owned())]);
        assert_eq!(address.profile.as_deref(), Some("test"));
    }

    #[test]
    fn paths_and_their_targets() {
        let routing_key = "a".repeat(24);
        let target = |path: &str| take_address(&path.parse().unwrap(), &mut Presented::default(), || None).target;
        for path in [format!("/hooks/{routing_key}"), format!("/hooks/{routing_key}/{KEY}mistyped")] {
            assert!(matches!(target(&path), Target::Hook(Some(_))), "{path}");
        }
        assert!(matches!(target("/hooks/short"), Target::Hook(None)));
        assert!(matches!(target("/flows/flw_abcdefghij0123456789/execute"), Target::Execute(Some(_))));
        assert!(matches!(target("/flows/other/execute"), Target::Execute(None)));
        assert!(matches!(target("/apps/order-entry/execute"), Target::App(Some(_))));
        assert!(matches!(target("/apps/Order%20Entry/execute"), Target::App(None)));
        let below = format!("/hooks/{routing_key}/no-key");
        for path in ["/", "/hooks", &below, "/hooks/a/b/c", "/flows/a", "/flows/a/execute/b", "/else"] {
            assert!(matches!(target(path), Target::Nothing), "{path}");
        }
    }

    #[test]
    fn paths_below_a_groups_root() {
        let acme: GroupId = "acme".parse().unwrap();
        let target = |path: &str, host: Option<&GroupId>| {
            take_address(&path.parse().unwrap(), &mut Presented::default(), || host.cloned()).target
        };
        let below = |target: Target| match target {
            Target::Path { group, path, holds_key } => Some((group.map(String::from), path, holds_key)),
            _ => None,
        };
        let at = |group: Option<&str>, path: &str| Some((group.map(str::to_owned), path.to_owned(), false));
        assert_eq!(below(target("/g/acme/orders/7?a=1", None)), at(Some("acme"), "/orders/7"));
        assert_eq!(below(target("/g/ACME/orders", None)), at(None, "/orders"));
        assert_eq!(below(target("/g/acme/a%2Fb/..", None)), at(Some("acme"), "/a%2Fb/.."));
        assert_eq!(below(target("/g/acme", None)), None);
        assert_eq!(below(target("/orders/7", Some(&acme))), at(Some("acme"), "/orders/7"));
        assert_eq!(below(target("/g/rival/orders/7", Some(&acme))), at(Some("rival"), "/orders/7"));
        for path in ["/orders/7", "/"] {
            assert_eq!(below(target(path, None)), None, "{path}");
        }
        for path in ["/", "/hooks/a", "/hooks", "/flows/x/y", "/apps/x", "/api", "/resume/x"] {
            assert_eq!(below(target(path, Some(&acme))), None, "{path}");
        }
        for path in [format!("/g/acme/orders/{KEY}mistyped"), "/g/acme/hg%5Ftest_x/y".to_owned()] {
            assert!(below(target(&path, None)).unwrap().2, "{path}");
        }
    }
}
