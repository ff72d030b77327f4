//! Connections that work by the consent of somebody who has left the group.

use std::sync::Arc;

use crate::domain::connection::Connection;
use crate::domain::id::UserId;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;

/// Whether whoever consented to a connection is no member of its group any more. Operators belong to every group.
pub(in crate::service) fn has_left(catalog: &Catalog, connection: &Connection) -> bool {
    let Some(by) = connection.authorized_by() else { return false };
    let is_operator = catalog.users.get(by).is_some_and(|user| user.operator);
    !is_operator && catalog.role(&connection.group, by).is_none()
}

impl Service {
    /// Sees to the connections of somebody who has just left: owners are told, or, where their group wants that, the
    /// connections are disconnected. That may take as long as the apps need to revoke their tokens, so it goes on beside
    /// the request. What fails, or is cut off by the server's end, is done by the watch.
    pub(in crate::service) fn authorizer_left(self: &Arc<Self>, user: &UserId) {
        let catalog = self.catalog();
        let theirs = catalog.connections.values().filter(|connection| connection.authorized_by() == Some(user));
        let left: Vec<_> = theirs.filter(|connection| has_left(&catalog, connection)).cloned().collect();
        if left.is_empty() {
            return;
        }
        let service = self.clone();
        self.background.spawn(async move {
            let turn = service.leaving.lock().await;
            for connection in left {
                if ends(&catalog, &connection) {
                    service.end_authorization(&connection).await;
                } else if let Err(error) = service.alert_authorizer_left(&connection).await {
                    note(&connection, &error);
                }
            }
            drop(turn);
        });
    }

    /// Disconnects what was not disconnected when its authorizer left, beside whoever asks; nothing while that is under way.
    pub(in crate::service) fn end_authorizations(self: &Arc<Self>, catalog: &Catalog) {
        let left = catalog.connections.values().filter(|found| ends(catalog, found) && has_left(catalog, found));
        let left: Vec<_> = left.cloned().collect();
        if left.is_empty() {
            return;
        }
        let service = self.clone();
        self.background.spawn(async move {
            let Ok(_turn) = service.leaving.try_lock() else { return };
            for connection in left {
                service.end_authorization(&connection).await;
            }
        });
    }

    async fn end_authorization(self: &Arc<Self>, connection: &Connection) {
        // Somebody else may have done it, or consented anew, while this one waited.
        let catalog = self.catalog();
        if !catalog.connections.get(&connection.id).is_some_and(|present| has_left(&catalog, present)) {
            return;
        }
        let done = self.disconnect_connection(&Actor::system(), &connection.group, &connection.id).await;
        if let Err(error) = done {
            note(connection, &error);
        }
    }
}

/// Whether a connection's group wants it disconnected when its authorizer leaves.
fn ends(catalog: &Catalog, connection: &Connection) -> bool {
    catalog.groups.get(&connection.group).is_some_and(|group| group.disconnect_when_authorizer_leaves)
}

fn note(connection: &Connection, error: &ServiceError) {
    tracing::error!(connection = %connection.id, error = error as &dyn std::error::Error, "the connection of somebody who left could not be seen to; it is tried again");
}
