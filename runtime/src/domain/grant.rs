//! What one call of a connector may do: where it may send requests, and what the host puts on them.

mod credential;
mod prefix;

use std::collections::BTreeMap;

use url::Url;

use super::id::{ConnectionId, GroupId};
use super::scrub::Scrubber;

pub use credential::{Credential, CredentialError, is_framing};
pub use prefix::{PrefixError, UrlPrefix};

/// A connection as it is granted to one call. It is the whole authority of the connector's instance.
///
/// `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The group that owns the connection. Network connections are never shared between groups.
    pub group: GroupId,
    /// The connection's id.
    pub connection: ConnectionId,
    /// The connection's name, for people.
    pub connection_name: String,
    /// The connector it was made from.
    pub connector: String,
    /// Where requests may go, as pinned when the connection was made.
    pub allow: Vec<UrlPrefix>,
    /// What the host puts on each request.
    pub credentials: Vec<Credential>,
    /// Non-secret settings, as the connector may read them.
    pub config: BTreeMap<String, String>,
    /// Takes the secrets out of what comes back; from [`Credential::scrubber`].
    pub scrub: Scrubber,
    /// Which generation of the connection's token it has, so that a refused one is renewed once; 0 where there is none.
    pub generation: u64,
}

impl Grant {
    /// Whether requests may go to this URL.
    pub fn allows(&self, url: &Url) -> bool {
        self.allow.iter().any(|prefix| prefix.allows(url))
    }
}

#[cfg(test)]
mod tests;
