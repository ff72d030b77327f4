//! Connections that work by the consent of somebody who has left the group.

use std::sync::Arc;

use crate::domain::connection::Connection;
use crate::domain::id::{GroupId, UserId};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;

/// Whether whoever consented to a connection is no member of its group any more. Operators belong to every group.
pub(in crate::service) fn has_left(catalog: &Catalog, connection: &Connection) -> bool {
    let Some(by) = connection.authorized_by() else { return false };
    let is_operator = catalog.users.get(by).is_some_and(|user| user.operator);
    !is_operator && catalog.role(&connection.group, by).is_none()
}

/// The connections of a group to which a user consented.
fn authorized_by<'a>(
    catalog: &'a Catalog,
    group: &'a GroupId,
    user: &'a UserId,
) -> impl Iterator<Item = &'a Arc<Connection>> {
    let of_group = catalog.connections.values().filter(move |connection| connection.group == *group);
    of_group.filter(move |connection| connection.authorized_by() == Some(user))
}

impl Service {
    /// Sees to the connections of somebody who has just left a group: its owners are told, or, where the group wants
    /// that, the connections are disconnected. That may take as long as the apps need to revoke their tokens, so it
    /// goes on beside the request.
    pub(in crate::service) fn authorizer_left(self: &Arc<Self>, group: &GroupId, user: &UserId) {
        let catalog = self.catalog();
        let connections: Vec<_> = authorized_by(&catalog, group, user).cloned().collect();
        if connections.is_empty() {
            return;
        }
        let disconnects = catalog.groups.get(group).is_some_and(|group| group.disconnect_when_authorizer_leaves);
        let service = self.clone();
        self.background.spawn(async move {
            for connection in connections {
                let done = if disconnects {
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
