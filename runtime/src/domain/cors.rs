//! CORS: which pages' scripts may call a trigger (WHATWG Fetch, "HTTP-CORS protocol").

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// The most origins a trigger allows.
const MAX_ORIGINS: usize = 50;
/// The most headers of its own a trigger exposes.
const MAX_EXPOSED: usize = 50;

/// Which origins may call a trigger, and which headers of the answer their scripts may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Allowed origins, such as `https://shop.example.com`; every origin when it holds `*`.
    pub origins: BTreeSet<String>,
    /// Headers of the flow's answer that scripts may read, in lower case.
    #[serde(default)]
    pub expose: BTreeSet<String>,
}

/// What was asked for breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorsError {
    /// A text is no origin.
    #[error(
        "\"{0}\" is no origin. Write the scheme and the host, such as https://shop.example.com, or * for every origin"
    )]
    Origin(String),
    /// No origin is named.
    #[error("CORS needs an origin. Name one, write * for every origin, or null to do without CORS")]
    NoOrigin,
    /// A text is no header's name.
    #[error("\"{0}\" is no name of a header")]
    Header(String),
    /// There are too many of something.
    #[error("CORS takes at most {MAX_ORIGINS} origins and {MAX_EXPOSED} headers. Leave some out")]
    TooMany,
}

impl Cors {
    /// Checks what was asked for.
    pub fn new(origins: &[String], expose: &[String]) -> Result<Self, CorsError> {
        if origins.is_empty() {
            return Err(CorsError::NoOrigin);
        }
        if origins.len() > MAX_ORIGINS || expose.len() > MAX_EXPOSED {
            return Err(CorsError::TooMany);
        }
        let header = |name: &String| match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(name.as_str().to_owned()),
            Err(_) => Err(CorsError::Header(name.clone())),
        };
        Ok(Self {
            origins: origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?,
            expose: expose.iter().map(header).collect::<Result<_, _>>()?,
        })
    }

    /// Whether every origin is allowed.
    pub fn is_open(&self) -> bool {
        self.origins.contains("*")
    }

    /// Whether an origin is allowed, as the header `Origin` writes it.
    pub fn allows(&self, origin: &str) -> bool {
        self.is_open() || self.origins.contains(origin)
    }
}

/// An origin as browsers write it: in lower case, without the scheme's own port.
fn origin(text: &str) -> Result<String, CorsError> {
    let wrong = || CorsError::Origin(text.to_owned());
    if text == "*" {
        return Ok(text.to_owned());
    }
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_bare = url.path().trim_end_matches('/').is_empty() && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    let is_bare = is_bare && !text.contains('*');
    match url.origin() {
        origin if origin.is_tuple() && is_bare && nobody => Ok(origin.ascii_serialization()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for (text, read) in [
            ("https://Shop.Example.com", Some("https://shop.example.com")),
            ("https://shop.example.com/", Some("https://shop.example.com")),
            ("https://shop.example.com:443", Some("https://shop.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("*", Some("*")),
            ("https://*.example.com", None),
            ("shop.example.com", None),
            ("null", None),
            ("https://shop.example.com/path", None),
            ("https://user@shop.example.com", None),
            ("https://shop.example.com?x", None),
            ("file:///a", None),
            ("", None),
        ] {
            assert_eq!(origin(text).ok().as_deref(), read, "{text}");
        }
    }

    #[test]
    fn who_is_allowed() {
        let cors = Cors::new(&["https://shop.example.com".to_owned()], &["X-Order".to_owned()]).unwrap();
        assert!(cors.allows("https://shop.example.com"));
        for other in ["http://shop.example.com", "https://shop.example.com.evil.example", "null", "", "*"] {
            assert!(!cors.allows(other), "{other}");
        }
        assert!(cors.expose.contains("x-order"));
        let open = Cors::new(&["*".to_owned()], &[]).unwrap();
        assert!(open.allows("null") && open.allows("https://a.example"));
    }

    #[test]
    fn what_cannot_be() {
        let many = vec!["https://a.example".to_owned(); MAX_ORIGINS + 1];
        assert_eq!(Cors::new(&[], &[]), Err(CorsError::NoOrigin));
        assert_eq!(Cors::new(&many, &[]), Err(CorsError::TooMany));
        assert_eq!(Cors::new(&["*".to_owned()], &["a b".to_owned()]), Err(CorsError::Header("a b".to_owned())));
    }
}
