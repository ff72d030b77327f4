//! All that is known of a connection, for people who look at it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::connection::{Connection, ConnectionKind, Credentials, Health, HealthRecord, PinChange};
use crate::domain::flow::Flow;
use crate::domain::id::{ConnectionId, Environment, FlowId, Name, Slot, TriggerId};
use crate::domain::oauth::lacks_scopes;
use crate::domain::user::Email;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::oauth::{TokenState, TokenStatus};

/// A connection with what is known of it.
pub struct ConnectionDetails {
    /// The connection.
    pub connection: Arc<Connection>,
    /// How it stands.
    pub health: Health,
    /// Why, and what to do.
    pub reason: String,
    /// What is remembered of its use. The last error may be one of getting a token.
    pub record: HealthRecord,
    /// When its token was got last.
    pub refreshed: Option<Timestamp>,
    /// When its token ends.
    pub expires: Option<Timestamp>,
    /// Its scopes, where it is an OAuth connection.
    pub scopes: Option<ConnectionScopes>,
    /// Who consented at the app, where that is known.
    pub authorized_by: Option<Email>,
    /// Whether whoever consented is no member of the group any more.
    pub authorizer_left: bool,
    /// Where it is bound, as far as the actor sees the flows.
    pub used_by: Vec<ConnectionUse>,
    /// What its connector offers today instead of what is pinned.
    pub upgrade: Vec<PinChange>,
}

/// The scopes of a connection.
pub struct ConnectionScopes {
    /// Those it asks for.
    pub wanted: Vec<String>,
    /// Those the app granted; absent before it was asked.
    pub granted: Option<Vec<String>>,
    /// What methods that are in use need and do not have.
    pub missing: Vec<MissingScopes>,
}

/// A method that is in use without a scope it needs.
pub struct MissingScopes {
    /// The method.
    pub method: String,
    /// The scopes of which it needs one.
    pub any_of: Vec<String>,
}

/// A slot that is bound to a connection.
#[derive(Clone)]
pub struct ConnectionUse {
    /// The flow's id.
    pub flow: FlowId,
    /// Its name.
    pub name: Name,
    /// Where.
    pub environment: Environment,
    /// The slot.
    pub slot: Slot,
    /// The flow's triggers, the execute trigger last, with what they are for.
    pub triggers: Vec<(TriggerId, String)>,
}

/// What bindings there are, by connection.
type Uses = HashMap<ConnectionId, Vec<ConnectionUse>>;

impl Service {
    /// All that an actor may see of a connection.
    pub(super) fn connection_details(&self, actor: &Actor, connection: Arc<Connection>) -> ConnectionDetails {
        let catalog = self.catalog();
        let uses = flows(&catalog, actor, &connection).flat_map(|flow| uses_of(&catalog, flow, &connection.id));
        let uses = Uses::from([(connection.id.clone(), uses.collect())]);
        self.describe(&catalog, connection, uses)
    }

    /// The same for many connections of one group.
    pub(super) fn describe_connections(
        &self,
        catalog: &Catalog,
        actor: &Actor,
        connections: Vec<Arc<Connection>>,
    ) -> Vec<ConnectionDetails> {
        let mut uses = Uses::new();
        if let Some(first) = connections.first() {
            for flow in flows(catalog, actor, first) {
                let mut bound: Vec<_> = flow.slots.values().flat_map(|slots| slots.values()).collect();
                bound.sort_unstable();
                bound.dedup();
                for id in bound {
                    uses.entry(id.clone()).or_default().extend(uses_of(catalog, flow, id));
                }
            }
        }
        let describe = |connection: Arc<Connection>| {
            let own = uses.remove_entry(&connection.id).into_iter().collect();
            self.describe(catalog, connection, own)
        };
        connections.into_iter().map(describe).collect()
    }

    fn describe(&self, catalog: &Catalog, connection: Arc<Connection>, mut uses: Uses) -> ConnectionDetails {
        let mut record = self.health.get(&connection.id);
        let (token, credentials) = match self.token_status(&connection) {
            Ok(token) => (token.clone(), credentials(&connection, token.as_ref())),
            Err(error) => (None, unreadable(&connection, &error)),
        };
        let authorizer_left = super::authorizer::has_left(catalog, &connection);
        let ends = catalog.groups.get(&connection.group).is_some_and(|group| group.disconnect_when_authorizer_leaves);
        let refused = self.is_refused(&connection.id);
        let (health, reason) = record.judge(&credentials, refused, authorizer_left && ends);
        let connector = catalog.connector(&connection.group, &connection.connector);
        let failed = token.as_ref().and_then(|token| token.last_error.clone());
        if let Some((at, message)) = failed.filter(|(at, _)| record.last_error.as_ref().is_none_or(|e| e.at < *at)) {
            record.note_error(at, &message);
        }
        let mut used_by = uses.remove(&connection.id).unwrap_or_default();
        used_by.sort_by(|a, b| (&a.name, &a.environment, &a.slot).cmp(&(&b.name, &b.environment, &b.slot)));
        ConnectionDetails {
            health,
            reason,
            refreshed: token.as_ref().map(|token| token.refreshed),
            expires: token.as_ref().and_then(|token| token.expires),
            scopes: scopes(&connection, token.as_ref(), &record, connector.map(|connector| &connector.manifest)),
            record,
            authorized_by: connection
                .authorized_by()
                .and_then(|id| catalog.users.get(id))
                .map(|user| user.email.clone()),
            authorizer_left,
            used_by,
            upgrade: connector.map(|connector| connection.upgrade(&connector.manifest)).unwrap_or_default(),
            connection,
        }
    }
}

/// Whether a connection has what it authenticates with.
pub(super) fn credentials(connection: &Connection, token: Option<&TokenStatus>) -> Credentials {
    let id = &connection.id;
    match (connection.kind, token) {
        (ConnectionKind::None, _) => Credentials::Present { since: None },
        (ConnectionKind::ApiKey, _) if connection.is_disconnected() => {
            let message =
                format!("It is disconnected. Enter its secrets again: headgate connections update {id} --secret NAME");
            Credentials::Absent(message)
        }
        (ConnectionKind::ApiKey, _) => Credentials::Present { since: None },
        (_, Some(token)) if token.state == TokenState::Authorized => {
            Credentials::Present { since: Some(token.refreshed) }
        }
        (_, None) if connection.is_client_credentials() => Credentials::Present { since: None },
        (_, Some(token)) if connection.is_client_credentials() || connection.authorized_by().is_some() => {
            let reason = token.reason.as_deref().unwrap_or("the app ended the authorization");
            Credentials::Ended(format!(
                "It works no more: {reason}. Authorize it again: headgate connections authorize {id}"
            ))
        }
        _ => Credentials::Absent(format!("It is not authorized. Authorize it: headgate connections authorize {id}")),
    }
}

/// What is said of a connection whose token cannot be read. The others are told as usual.
fn unreadable(connection: &Connection, error: &ServiceError) -> Credentials {
    tracing::error!(connection = %connection.id, error = error as &dyn std::error::Error, "a connection's token cannot be read");
    Credentials::Ended(
        "Its stored token cannot be read; the server's log says why. Restore it from a backup, or make another connection: headgate connections create".to_owned(),
    )
}

fn scopes(
    connection: &Connection,
    token: Option<&TokenStatus>,
    record: &HealthRecord,
    manifest: Option<&headgate_manifest::Manifest>,
) -> Option<ConnectionScopes> {
    let wanted = connection.oauth.as_ref()?.scopes.clone();
    // RFC 6749, section 5.1: an answer without scopes grants those that were asked for.
    let granted = token.map(|token| token.scopes.clone().unwrap_or_else(|| wanted.clone()));
    let lacks = |method: &&headgate_manifest::Method| {
        let lacks = granted.as_ref().is_some_and(|granted| lacks_scopes(granted, &method.scopes));
        lacks && record.methods.contains(&method.name)
    };
    let methods = manifest.into_iter().flat_map(|manifest| &manifest.methods).filter(lacks);
    let missing =
        methods.map(|method| MissingScopes { method: method.name.clone(), any_of: method.scopes.clone() }).collect();
    Some(ConnectionScopes { wanted, granted, missing })
}

/// The flows of a connection's group that an actor sees.
fn flows<'a>(
    catalog: &'a Catalog,
    actor: &'a Actor,
    connection: &'a Connection,
) -> impl Iterator<Item = &'a Arc<Flow>> {
    catalog.flows.values().filter(move |flow| flow.group == connection.group && actor.sees_flow(&flow.id))
}

fn uses_of(catalog: &Catalog, flow: &Flow, connection: &ConnectionId) -> Vec<ConnectionUse> {
    let triggers = || {
        let own = catalog.triggers_of(&flow.id).map(|trigger| (trigger.id.clone(), trigger.description.clone()));
        let execute = (flow.execute.id.clone(), format!("POST /flows/{}/execute", flow.id));
        own.chain(std::iter::once(execute)).collect()
    };
    let uses = flow.bindings_of(connection).map(|(environment, slot)| ConnectionUse {
        flow: flow.id.clone(),
        name: flow.name.clone(),
        environment: environment.clone(),
        slot: slot.clone(),
        triggers: triggers(),
    });
    uses.collect()
}

/// Who uses a connection, for people; nothing when nobody does. Flows that the actor does not see are counted.
pub(super) fn users(catalog: &Catalog, actor: &Actor, connection: &Connection) -> Option<String> {
    let of_group = catalog.flows.values().filter(|flow| flow.group == connection.group);
    let mut users = Vec::new();
    let mut unseen = 0_usize;
    for flow in of_group {
        let uses = uses_of(catalog, flow, &connection.id);
        if !actor.sees_flow(&flow.id) {
            unseen += usize::from(!uses.is_empty());
            continue;
        }
        users.extend(uses.iter().map(|one| {
            let triggers = one.triggers.iter().map(|(id, about)| match about.as_str() {
                "" => id.to_string(),
                about => format!("{id} ({about})"),
            });
            let triggers = triggers.collect::<Vec<_>>().join(", ");
            format!("{} (slot {}, {}), fired by {triggers}", one.name, one.slot, one.environment)
        }));
    }
    users.sort_unstable();
    if unseen > 0 {
        users.push(format!("{unseen} flows that this key does not see"));
    }
    (!users.is_empty()).then(|| users.join("; "))
}
