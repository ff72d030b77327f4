//! Whether a flow's connections can be used, before it is run.

use std::sync::Arc;

use headgate_manifest::OauthGrant;

use crate::domain::connection::Connection;
use crate::domain::flow::Flow;
use crate::domain::id::{Environment, Slot};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::oauth::TokenState;

/// A connection in one of a flow's slots that cannot be used until somebody does something.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// The flow's name for it.
    pub slot: Slot,
    /// The connection.
    pub connection: Arc<Connection>,
    /// Why it cannot be used, as the rest of a sentence.
    pub cause: String,
    /// What to do, as a sentence.
    pub remedy: String,
}

impl Service {
    /// The connections of a flow in an environment that cannot be used. Whatever starts a flow looks here first.
    ///
    /// A slot that leads to no connection there is not among them: which slots a flow uses is known when it runs.
    pub(in crate::service) fn unusable_connections(
        &self,
        flow: &Flow,
        environment: &Environment,
    ) -> Result<Vec<Unusable>, ServiceError> {
        let catalog = self.catalog();
        let slots = flow.slots.get(environment).into_iter().flatten();
        let bound = slots.filter_map(|(slot, id)| Some((slot, catalog.connections.get(id)?)));
        let ours = bound.filter(|(_, found)| found.group == flow.group && found.environment == *environment);
        let unusable = ours.map(|(slot, connection)| {
            let trouble = self.trouble(connection)?;
            let unusable = |(cause, remedy)| Unusable {
                slot: slot.clone(),
                connection: connection.clone(),
                cause,
                remedy: format!(
                    "{remedy}. If the flow needs it no more: headgate connections unbind {} {slot} --env {environment}",
                    flow.name
                ),
            };
            Ok(trouble.map(unusable))
        });
        unusable.filter_map(Result::transpose).collect()
    }

    /// Refuses to start a flow whose connections cannot be used.
    pub(in crate::service) fn check_connections(
        &self,
        flow: &Flow,
        environment: &Environment,
    ) -> Result<(), ServiceError> {
        match self.unusable_connections(flow, environment)?.into_iter().next() {
            Some(unusable) => Err(ServiceError::ConnectionUnusable(Box::new(unusable))),
            None => Ok(()),
        }
    }

    /// Why a connection cannot be used, and what to do.
    pub(in crate::service) fn trouble(
        &self,
        connection: &Connection,
    ) -> Result<Option<(String, String)>, ServiceError> {
        let id = &connection.id;
        let Some(oauth) = &connection.pins.oauth else {
            let trouble = || {
                let remedy = format!("Give it its secrets again: headgate connections update {id}");
                ("it was disconnected".to_owned(), remedy)
            };
            return Ok(connection.is_disconnected().then(trouble));
        };
        let authorize = || format!("Authorize it: headgate connections authorize {id}");
        let trouble = match self.token_status(connection)? {
            // With client credentials the first call asks for the first token.
            None if oauth.grant == OauthGrant::ClientCredentials => None,
            None => Some(("nobody has authorized it yet".to_owned(), authorize())),
            Some(status) if status.state == TokenState::NeedsAuthorization => {
                Some((status.reason.unwrap_or_else(|| "it has to be authorized again".to_owned()), authorize()))
            }
            Some(_) => None,
        };
        Ok(trouble)
    }
}
