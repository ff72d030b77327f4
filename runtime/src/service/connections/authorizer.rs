//! Connections that work by the consent of somebody who has left the group.

use std::sync::Arc;

use crate::domain::connection::Connection;
use crate::domain::id::UserId;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;

/// Whether whoever consented to a connection is no member of its group any more. Operators belong to every group.
pub(in crate::service) fn has_left(catalog: &Catalog, connection: &Connection) -> bool {
    let Some(by) = connection.authorized_by() else { return false };
    let is_operator = catalog.users.get(by).is_some_and(|user| user.operator);
    !is_operator && catalog.role(&connection.group, by).is_none()
}

impl Service {
    /// Sees to the connections of somebody who has just left: owners are told, or, where their group wants that, the
    /// connections are disconnected. That may take as long as the apps need to revoke their tokens, so it goes on beside
    /// the request.
    pub(in crate::service) fn authorizer_left(self: &Arc<Self>, user: &UserId) {
        let catalog = self.catalog();
        let theirs = catalog.connections.values().filter(|connection| connection.authorized_by() == Some(user));
        let left: Vec<_> = theirs.filter(|connection| has_left(&catalog, connection)).cloned().collect();
        if left.is_empty() {
            return;
        }
        let service = self.clone();
        self.background.spawn(async move {
            for connection in left {
                let group = catalog.groups.get(&connection.group);
                let done = if group.is_some_and(|group| group.disconnect_when_authorizer_leaves) {
                    let system = Actor::system();
                    service.disconnect_connection(&system, &connection.group, &connection.id).await.map(drop)
                } else {
                    service.alert_authorizer_left(&connection).await
                };
                if let Err(error) = done {
                    tracing::error!(connection = %connection.id, error = &error as &dyn std::error::Error, "the connection of somebody who left could not be seen to");
                }
            }
        });
    }
}
