//! What people say of an app trigger they want, and the checks of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::app_trigger::{AppTrigger, EVERY, EVERY_BOUNDS, MAX_INPUT};
use crate::domain::connection::Connection;
use crate::domain::flow::Flow;
use crate::domain::id::{ConnectionId, TriggerId};
use crate::domain::input_schema::{InputError, InputSchema};
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::check_description;
use crate::service::error::ServiceError;

/// Faults of an input that are told at once.
const MAX_FAULTS: usize = 5;

/// An app trigger to be made, or what is to become different about one. What is absent stays as it is, or as every app
/// trigger begins.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AppTriggerChanges {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Greets new contacts")]
    pub description: Option<String>,
    /// Through which connection the app is asked; its environment is where the flow runs. A new trigger needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "con_4fK2mQ9xLrT7vWb1ZcN8")]
    pub connection: Option<ConnectionId>,
    /// Which of the connector's triggers. A new trigger needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "new_contact")]
    pub trigger: Option<String>,
    /// What to look for, as the connector's schema of that trigger says; `{}` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({}))]
    pub input: Option<Value>,
    /// How often the app is asked, in seconds: 10 at least, 300 when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 300)]
    pub every_s: Option<u32>,
    /// Whether the app is asked at all. What comes meanwhile is found when it is enabled again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub enabled: Option<bool>,
    /// Forgets where the polls were: what the app has now is not new.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(example = false)]
    pub begin_anew: bool,
}

impl AppTriggerChanges {
    /// The trigger that is wanted. Checking its input may take long: this is done before others have to wait for it.
    pub(super) fn make(
        self,
        catalog: &Catalog,
        actor: &Actor,
        flow: &Flow,
        id: TriggerId,
        now: Timestamp,
    ) -> Result<AppTrigger, ServiceError> {
        let missing = |what: &str| {
            ServiceError::Invalid(format!(
                "An app trigger needs a connection and one of its connector's triggers. Name the {what}"
            ))
        };
        let connection = self.connection.clone().ok_or_else(|| missing("connection"))?;
        let trigger = self.trigger.clone().ok_or_else(|| missing("trigger"))?;
        let connection = find_connection(catalog, actor, flow, &connection)?;
        let new = AppTrigger {
            id,
            group: flow.group.clone(),
            flow: flow.id.clone(),
            description: String::new(),
            connection: connection.id.clone(),
            environment: connection.environment.clone(),
            trigger,
            input: json!({}),
            every_s: EVERY,
            enabled: true,
            starts: now,
            created: now,
        };
        self.apply(catalog, actor, &new, now)
    }

    /// A trigger after the changes, where they are possible. As [`Self::make`], before the edit.
    pub(super) fn apply(
        self,
        catalog: &Catalog,
        actor: &Actor,
        before: &AppTrigger,
        now: Timestamp,
    ) -> Result<AppTrigger, ServiceError> {
        let flow = catalog.flows.get(&before.flow).ok_or(ServiceError::NotFound { what: "Flow" })?;
        let mut trigger = before.clone();
        trigger.description = self.description.unwrap_or(trigger.description);
        trigger.connection = self.connection.unwrap_or(trigger.connection);
        trigger.trigger = self.trigger.unwrap_or(trigger.trigger);
        trigger.input = self.input.unwrap_or(trigger.input);
        trigger.every_s = self.every_s.unwrap_or(trigger.every_s);
        trigger.enabled = self.enabled.unwrap_or(trigger.enabled);

        check_description(&trigger.description)?;
        let (least, most) = EVERY_BOUNDS;
        if !(least..=most).contains(&trigger.every_s) {
            return Err(ServiceError::Invalid(format!("every_s must be between {least} and {most}")));
        }
        let connection = find_connection(catalog, actor, flow, &trigger.connection)?;
        trigger.environment = connection.environment.clone();
        let looks = |trigger: &AppTrigger| (trigger.connection.clone(), trigger.trigger.clone(), trigger.input.clone());
        let is_other = looks(&trigger) != looks(before);
        if is_other || before.starts == now {
            check_input(catalog, connection, &trigger)?;
        }
        if is_other || self.begin_anew {
            // Another one than before, also by a clock that stands or was put back: it tells whose state is whose.
            let least = before.starts.checked_add(SignedDuration::from_micros(1)).unwrap_or(now);
            trigger.starts = now.max(least);
        }
        Ok(trigger)
    }
}

/// Checks that what a trigger was made from is still there when it is put into the catalog.
pub(super) fn check_still_there(catalog: &Catalog, actor: &Actor, trigger: &AppTrigger) -> Result<(), ServiceError> {
    let flow = catalog.flows.get(&trigger.flow).ok_or(ServiceError::NotFound { what: "Flow" })?;
    find_connection(catalog, actor, flow, &trigger.connection).map(drop)
}

fn find_connection<'a>(
    catalog: &'a Catalog,
    actor: &Actor,
    flow: &Flow,
    id: &ConnectionId,
) -> Result<&'a Connection, ServiceError> {
    let found = catalog.connections.get(id).filter(|connection| connection.group == flow.group);
    let found = found.filter(|connection| actor.sees_environment(&connection.environment));
    found.map(|found| &**found).ok_or(ServiceError::NotFound { what: "Connection" })
}

/// Checks what is looked for against what the connector says of its trigger.
fn check_input(catalog: &Catalog, connection: &Connection, wanted: &AppTrigger) -> Result<(), ServiceError> {
    let connector = catalog.connector(&connection.group, &connection.connector).ok_or_else(|| {
        ServiceError::Invalid(format!("The connector \"{}\" is not installed. Push it first", connection.connector))
    })?;
    let triggers = &connector.manifest.triggers;
    let Some(offered) = triggers.iter().find(|trigger| trigger.name == wanted.trigger) else {
        let names: Vec<_> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(ServiceError::Invalid(format!(
            "The connector \"{}\" has no trigger \"{}\". It has: {names}",
            connector.name, wanted.trigger
        )));
    };
    let size = wanted.input.to_string().len();
    if size > MAX_INPUT {
        return Err(ServiceError::Invalid(format!(
            "The input has {size} bytes; {MAX_INPUT} are allowed. Look for less"
        )));
    }
    let schema = InputSchema::new(offered.input.clone()).map_err(|error| {
        ServiceError::Invalid(format!(
            "The connector \"{}\" has no usable schema for the input of \"{}\": {error}. Push a version that has",
            connector.name, offered.name
        ))
    })?;
    let Err(faults) = schema.check(&wanted.input) else { return Ok(()) };
    let told = |InputError { path, message }| if path.is_empty() { message } else { format!("{message} (at {path})") };
    let faults: Vec<_> = faults.into_iter().take(MAX_FAULTS).map(told).collect();
    Err(ServiceError::Invalid(format!(
        "The input is not as the trigger \"{}\" wants it: {}",
        offered.name,
        faults.join("; ")
    )))
}
