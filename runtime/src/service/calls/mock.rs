//! Calls that are answered without the app, where a flow is only tried: by what the caller gave, by the method's sample,
//! or by a value made from its output schema.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use headgate_manifest::{Method, SlotUse};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::connector::Connector;
use crate::domain::id::{ConnectorName, Name};
use crate::domain::input_schema::{InputError, InputSchema};
use crate::domain::run::Step;
use crate::domain::stand_in::stand_in;
use crate::service::calls::{MAX_METHOD, MAX_OPENED, POISONED, RunCalls, failure};
use crate::service::error::ServiceError;
use crate::wasm::{Connections, GuestError, RunScope, SlotHandle};

/// Faults of an input that are told at most.
const MAX_FAULTS: usize = 5;
/// The member of an answer that makes the call fail with it.
const ERROR: &str = "$error";

/// What a mocked run's calls are answered by.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct Mock {
    /// Answers that the caller gave, by slot and method: `crm.get_contact`.
    pub(in crate::service) answers: BTreeMap<String, Value>,
    /// The slots that the flow's version declares; nothing where it does not say.
    pub(in crate::service) slots: Option<Vec<SlotUse>>,
}

/// How a call fails that was given `{"$error": ..}` as its answer.
#[derive(Deserialize)]
struct GivenError {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    retryable: bool,
}

/// A slot that was opened.
#[derive(Clone)]
struct MockSlot {
    name: String,
    /// As steps name it: the bound connection, or the slot itself.
    connection: Name,
    connector: ConnectorName,
}

/// The connections of a mocked run. Nothing they do leaves the server.
pub(in crate::service) struct MockCalls {
    calls: Arc<RunCalls>,
    mock: Mock,
    opened: Mutex<Vec<MockSlot>>,
}

impl MockCalls {
    /// Answers the calls of a run; `calls` records them.
    pub(in crate::service) fn new(calls: Arc<RunCalls>, mock: Mock) -> Self {
        Self { calls, mock, opened: Mutex::default() }
    }

    /// The slot as the flow's binding or its own declaration has it.
    fn slot(&self, slot: &str) -> Result<MockSlot, GuestError> {
        let RunCalls { service, flow, environment, .. } = &*self.calls;
        let declared = self.mock.slots.as_ref().map(|slots| slots.iter().find(|declared| declared.name == slot));
        if declared == Some(None) {
            let message =
                format!("the flow \"{}\" does not declare the slot \"{slot}\"; add it to slots(..)", flow.name);
            return Err(GuestError::lasting("slot_undeclared", message));
        }
        let catalog = service.catalog();
        if let Some(bound) = flow.bound(environment, slot).and_then(|id| catalog.connections.get(id)) {
            let (connection, connector) = (bound.name.clone(), bound.connector.clone());
            return Ok(MockSlot { name: slot.to_owned(), connection, connector });
        }
        let connection = slot.parse().ok();
        let connector = declared.flatten().and_then(|declared| declared.connector.parse().ok());
        let given =
            || self.mock.answers.keys().any(|name| name.strip_prefix(slot).is_some_and(|rest| rest.starts_with('.')));
        let connector = connector.or_else(|| given().then(|| slot.parse().ok()).flatten());
        match (connection, connector) {
            (Some(connection), Some(connector)) => Ok(MockSlot { name: slot.to_owned(), connection, connector }),
            _ => Err(GuestError::lasting(
                "slot_unbound",
                format!(
                    "the slot \"{slot}\" of the flow \"{0}\" is bound to no connection in {environment}, and the flow does not declare its connector; bind it, or give the answers of its calls: --mock-answer {slot}.METHOD=JSON",
                    flow.name
                ),
            )),
        }
    }

    fn answer(&self, slot: &MockSlot, name: &str, input: &str) -> Result<String, GuestError> {
        let catalog = self.calls.service.catalog();
        let given = self.mock.answers.get(&format!("{}.{name}", slot.name));
        match catalog.connector(&self.calls.flow.group, &slot.connector) {
            Some(connector) => {
                let method = method(connector, name)?;
                check_input(method, input)?;
                match given {
                    Some(given) => answered(given),
                    None => Ok(method.sample.clone().unwrap_or_else(|| stand_in(&method.output)).to_string()),
                }
            }
            None => given.map_or_else(
                || {
                    let message = format!(
                        "the connector \"{}\" is not installed, so that nobody knows what it would answer; install it, or give the answer: --mock-answer {}.{name}=JSON",
                        slot.connector, slot.name
                    );
                    Err(GuestError::lasting("connector_missing", message))
                },
                answered,
            ),
        }
    }
}

impl Connections for MockCalls {
    fn open(&self, slot: &str) -> Result<SlotHandle, GuestError> {
        let mut opened = self.opened.lock().expect(POISONED);
        if let Some(index) = opened.iter().position(|opened| opened.name == slot) {
            return Ok(SlotHandle(index));
        }
        if opened.len() >= MAX_OPENED {
            let message = format!("a run may open at most {MAX_OPENED} connections");
            return Err(GuestError::lasting("too_many_connections", message));
        }
        opened.push(self.slot(slot).map_err(|error| self.calls.refuse(error))?);
        Ok(SlotHandle(opened.len() - 1))
    }

    fn call<'a>(
        &'a self,
        _run: &'a Arc<RunScope>,
        slot: SlotHandle,
        method: &'a str,
        input: String,
    ) -> BoxFuture<'a, Result<String, GuestError>> {
        async move {
            let slot = self.opened.lock().expect(POISONED).get(slot.0).cloned();
            let slot = slot.ok_or_else(|| GuestError::lasting("slot_unbound", "this connection was never opened"))?;
            let (started, clock) = (self.calls.service.now(), Instant::now());
            let result = self.answer(&slot, method, &input);
            self.calls.push_step(Step {
                slot: slot.name,
                connection: slot.connection,
                connector: slot.connector,
                method: method.chars().take(MAX_METHOD).collect(),
                input: self.calls.record(input.as_bytes()),
                output: result.as_ref().ok().map(|output| self.calls.record(output.as_bytes())),
                error: result.as_ref().err().map(failure),
                mocked: true,
                started,
                duration_us: clock.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
            });
            result
        }
        .boxed()
    }
}

fn method<'a>(connector: &'a Connector, name: &str) -> Result<&'a Method, GuestError> {
    let methods = &connector.manifest.methods;
    methods.iter().find(|method| method.name == name).ok_or_else(|| {
        let names: Vec<_> = methods.iter().map(|method| method.name.as_str()).collect();
        let message =
            format!("the connector \"{}\" has no method \"{name}\"; it has: {}", connector.name, names.join(", "));
        GuestError::lasting("method_not_found", message)
    })
}

/// Refuses an input that the method would refuse, naming the places.
fn check_input(method: &Method, input: &str) -> Result<(), GuestError> {
    let invalid = |message: String| GuestError::lasting("invalid_input", message);
    let input: Value = serde_json::from_str(input)
        .map_err(|error| invalid(format!("the input of {} is not JSON: {error}", method.name)))?;
    // A schema that is none, or is no small one, cannot be checked by; the connector itself goes by its types.
    let Ok(schema) = InputSchema::new(method.input.clone()) else { return Ok(()) };
    let Err(faults) = schema.check(&input) else { return Ok(()) };
    let faults = faults
        .into_iter()
        .take(MAX_FAULTS)
        .map(|InputError { path, message }| if path.is_empty() { message } else { format!("at {path}: {message}") });
    let faults: Vec<_> = faults.collect();
    Err(invalid(format!("the input of {} does not fit its schema: {}", method.name, faults.join("; "))))
}

/// The answer that the caller gave, or the error: `{"$error": {"code": "..", "message": "..", "retryable": false}}`.
fn answered(given: &Value) -> Result<String, GuestError> {
    match given.get(ERROR).map(GivenError::deserialize) {
        Some(Ok(GivenError { code, message, retryable: true })) => Err(GuestError::passing(&code, message)),
        Some(Ok(GivenError { code, message, .. })) => Err(GuestError::lasting(&code, message)),
        _ => Ok(given.to_string()),
    }
}

impl Mock {
    /// Answers that somebody gave, for a flow's version that declares these slots, or none.
    pub(in crate::service) fn new(
        answers: BTreeMap<String, Value>,
        slots: Option<Vec<SlotUse>>,
    ) -> Result<Self, ServiceError> {
        for (name, answer) in &answers {
            if !name.split_once('.').is_some_and(|(slot, method)| !slot.is_empty() && !method.is_empty()) {
                return Err(ServiceError::Invalid(format!(
                    "\"{name}\" names no call. Write the slot and the method: crm.get_contact"
                )));
            }
            if let Some(Err(error)) = answer.get(ERROR).map(GivenError::deserialize) {
                return Err(ServiceError::Invalid(format!(
                    "The error that \"{name}\" is to answer cannot be read: {error}. Write {{\"$error\": {{\"code\": \"..\", \"message\": \"..\"}}}}"
                )));
            }
        }
        Ok(Self { answers, slots })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_is_checked_by_its_schema() {
        let method = |input: Value| -> Method {
            serde_json::from_value(json!({"name": "get", "input": input, "output": {}})).unwrap()
        };
        let get = method(json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}));
        assert!(check_input(&get, r#"{"id": "7"}"#).is_ok());
        for (input, said) in
            [("{}", "\"id\" is a required property"), (r#"{"id": 7}"#, "at /id: value is not"), ("{", "not JSON")]
        {
            let error = check_input(&get, input).unwrap_err();
            assert_eq!(error.code, "invalid_input");
            assert!(error.message.contains(said), "{}", error.message);
        }
        assert!(check_input(&method(json!({"type": "no-type"})), "1").is_ok());
        // What is checked is bounded.
        let doubled =
            |n: usize| (format!("n{n}"), json!({"allOf": vec![json!({"$ref": format!("#/$defs/n{}", n + 1)}); 9]}));
        let definitions = (0..15).map(doubled).chain([("n15".to_owned(), json!(false))]).collect::<Value>();
        assert!(check_input(&method(json!({"$ref": "#/$defs/n0", "$defs": definitions})), "1").is_ok());
        // Nothing is fetched for a schema.
        assert!(check_input(&method(json!({"$ref": "https://example.com/schema"})), "1").is_ok());
    }

    #[test]
    fn a_given_answer_may_be_an_error() {
        assert_eq!(answered(&json!({"a": 1})).unwrap(), r#"{"a":1}"#);
        let error = answered(&json!({"$error": {"code": "rate_limited", "retryable": true}})).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("rate_limited", true));
        let mock = |name: &str, answer| Mock::new(BTreeMap::from([(name.to_owned(), answer)]), None);
        assert!(mock("crm.get", json!({"$error": {"code": "gone"}})).is_ok());
        assert!(mock("crm.get", json!({"$error": 7})).is_err());
        assert!(mock("crm", json!(1)).is_err());
    }
}
