use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use thiserror::Error;
use url::Url;

use super::address::AddressClass;
use crate::domain::grant::Grant;

/// How many denials of one call are kept; a guest that tries more learns nothing new.
const MAX_DENIALS: usize = 16;
/// How much of a name that the guest wrote is shown.
const MAX_SHOWN: usize = 255;

/// A request that was not let out. Nothing in it comes from a query, a header's value or userinfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("a request to {host} was denied: {reason}. {allowed_by}")]
pub struct Denial {
    /// The host, with its port if the URL said one.
    pub host: String,
    /// Why it was not let out.
    #[serde(serialize_with = "as_text")]
    pub reason: Reason,
    /// A sentence that says what would allow it: which connection's or operator's setting.
    pub allowed_by: String,
}

/// Why a request was not let out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// The URL is not below one of the connection's base URLs.
    #[error("it is not below the connection's base URLs")]
    NotGranted,
    /// The host is, or resolves to, an address that is not public.
    #[error("its address is not public ({0})")]
    Address(AddressClass),
    /// Only the host may set this header.
    #[error("the header \"{0}\" is not the connector's to set")]
    Header(String),
    /// The connection's authentication uses this query parameter.
    #[error("the query parameter \"{0}\" is not the connector's to set")]
    Query(String),
    /// The connection's authentication has its place in the body, and cannot be put there.
    #[error("the connection's key cannot be put into its body: {0}")]
    Body(String),
    /// A method that is not a request for a resource.
    #[error("the method {0} is not allowed")]
    Method(String),
    /// The URL holds a user name or password.
    #[error("its URL holds a user name or password")]
    Userinfo,
    /// The URL cannot be read.
    #[error("its URL cannot be read")]
    Url,
}

/// The denials of one call, shared between the host's side of it and whoever reports them.
#[derive(Debug, Clone, Default)]
pub struct Denials(Arc<Mutex<Vec<Denial>>>);

impl Denials {
    /// All of them, oldest first. At most 16 are kept.
    pub fn list(&self) -> Vec<Denial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a denial and logs it.
    pub(super) fn record(&self, grant: &Grant, denial: Denial) {
        tracing::warn!(
            host = %denial.host,
            reason = %denial.reason,
            allowed_by = %denial.allowed_by,
            connection = %grant.connection_name,
            group = %grant.group,
            "a connector's request was denied"
        );
        let mut denials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if denials.len() < MAX_DENIALS {
            denials.push(denial);
        }
    }
}

impl Denial {
    pub(super) fn not_granted(url: &Url, grant: &Grant) -> Self {
        let places: Vec<_> = grant.allow.iter().map(ToString::to_string).collect();
        let allowed_by = format!(
            "Connection \"{}\" allows {} only: use a connection whose base URL covers it.",
            grant.connection_name,
            places.join(", ")
        );
        Self { host: host(url), reason: Reason::NotGranted, allowed_by }
    }

    pub(super) fn address(url: &Url, class: AddressClass) -> Self {
        let host = host(url);
        let entry = match class {
            AddressClass::Metadata => "its address".to_owned(),
            _ => format!("\"{host}\""),
        };
        let allowed_by =
            format!("The server's operator can allow it: add {entry} to the setting egress.allow_private.");
        Self { host, reason: Reason::Address(class), allowed_by }
    }

    /// For a body that the connection's credentials cannot be put into.
    pub(super) fn body(url: &Url, grant: &Grant, why: String) -> Self {
        let allowed_by = format!(
            "Send a JSON object (application/json) without the key: the server sets it for connection \"{}\".",
            grant.connection_name
        );
        Self { host: host(url), reason: Reason::Body(why), allowed_by }
    }

    /// For a request that is wrong in itself.
    pub(super) fn request(authority: &str, reason: Reason, grant: &Grant) -> Self {
        let connection = &grant.connection_name;
        let allowed_by = match &reason {
            Reason::Header(_) | Reason::Query(_) | Reason::Userinfo => {
                format!("Leave it out: the server sets it for connection \"{connection}\" where it is needed.")
            }
            _ => format!("No setting of connection \"{connection}\" allows it: change the connector."),
        };
        let host = authority.rsplit('@').next().unwrap_or_default();
        Self { host: shown(host), reason, allowed_by }
    }
}

/// As much of a text of the guest as is shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    shown(&url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn as_text<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}
