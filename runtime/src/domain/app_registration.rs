//! App registrations: OAuth clients that an operator or a group registered at an app.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId, Name};
use crate::domain::sealed::Sealed;

/// An OAuth client: its id and secret, for any number of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppRegistration {
    /// Its id.
    pub id: AppRegistrationId,
    /// Whose it is; absent for the server's, which every group uses by connections of the kind `oauth`.
    pub group: Option<GroupId>,
    /// Its name, unique in its group, or among the server's.
    pub name: Name,
    /// For which connector. The server has one for each.
    pub connector: ConnectorName,
    /// The client's id at the app.
    pub client_id: String,
    /// The client's secret; absent for a public client.
    pub client_secret: Option<Sealed>,
    /// The hosts the secret may be sent to. Connectors are their groups' own, and must not carry the server's secret
    /// elsewhere. Empty for a group's registration: it goes where the connection's pinned OAuth URLs say.
    #[serde(default)]
    pub token_hosts: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
}

impl AppRegistration {
    /// The group under which its secret is sealed. No group has the server's name.
    pub fn sealed_under(&self) -> &str {
        self.group.as_ref().map_or("(server)", GroupId::as_str)
    }

    /// Whether its secret may be sent to a host.
    pub fn may_send_to(&self, host: &str) -> bool {
        self.group.is_some() || self.token_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}
