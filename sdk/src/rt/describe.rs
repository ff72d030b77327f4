//! What a flow says about itself.

use schemars::JsonSchema;
use serde_json::Value;

use crate::connector::{schema_read, schema_written};
use crate::event::Unread;
use crate::manifest::{FlowManifest, MethodUse, SlotUse};
use crate::{Body, Error, Event, Response, Result};

/// A connector's typed client. `#[headgate_sdk::connector]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connector's typed client",
    label = "name a connector's `Client` here, such as `hubspot::Client(get_contact)`",
    note = "a connector without a Rust crate is named by a text: `slots(crm: \"hubspot\")`"
)]
pub trait Client {
    /// The connector's name.
    fn connector() -> String;
}

/// What a flow takes, as far as it can be described.
pub trait DescribedEvent {
    /// The schema of the event's body.
    fn schema() -> Option<Value>;
}

impl<T: EventSchema> DescribedEvent for Event<T> {
    fn schema() -> Option<Value> {
        T::schema()
    }
}

/// Data of an event that has a schema, or is not read.
#[diagnostic::on_unimplemented(
    message = "`schema` needs the JSON Schema of the event's data, and `{Self}` has none",
    label = "this type does not implement `schemars::JsonSchema`",
    note = "add `#[derive(JsonSchema)]` to it, or leave `schema` out"
)]
pub trait EventSchema {
    /// The schema; nothing for a body that is not read.
    fn schema() -> Option<Value>;
}

impl EventSchema for Unread {
    fn schema() -> Option<Value> {
        None
    }
}

impl<T: JsonSchema> EventSchema for T {
    fn schema() -> Option<Value> {
        Some(schema_read::<T>())
    }
}

/// What a flow returns, as far as it can be described.
pub trait DescribedResult {
    /// The schema of the answer's body.
    fn schema() -> Option<Value>;
}

impl<A: AnswerSchema, E: Into<Error>> DescribedResult for Result<A, E> {
    fn schema() -> Option<Value> {
        A::schema()
    }
}

/// An answer that has a schema, or is of no certain shape.
#[diagnostic::on_unimplemented(
    message = "`schema` needs the JSON Schema of the answer, and `{Self}` has none",
    label = "this type does not implement `schemars::JsonSchema`",
    note = "add `#[derive(JsonSchema)]` to it, or leave `schema` out"
)]
pub trait AnswerSchema {
    /// The schema; nothing for a complete answer, whose body may be anything.
    fn schema() -> Option<Value>;
}

impl AnswerSchema for Response {
    fn schema() -> Option<Value> {
        None
    }
}

impl AnswerSchema for Body {
    fn schema() -> Option<Value> {
        None
    }
}

impl<T: JsonSchema> AnswerSchema for T {
    fn schema() -> Option<Value> {
        Some(schema_written::<T>())
    }
}

/// The description as the export returns it.
pub fn describe(event: Option<Value>, answer: Option<Value>, slots: Option<Vec<SlotUse>>) -> String {
    // A manifest is plain data, which always serialises; an empty one is refused by the server.
    serde_json::to_string(&FlowManifest { event, answer, slots }).unwrap_or_default()
}

/// A slot for connections of a connector's typed client.
pub fn slot<C: Client>(name: &str, methods: Vec<MethodUse>) -> SlotUse {
    SlotUse { name: name.to_owned(), connector: C::connector(), methods }
}

/// A slot for connections of a connector without a typed client.
pub fn untyped_slot(name: &str, connector: &str, methods: &[&str]) -> SlotUse {
    let method = |name: &&str| MethodUse { name: (*name).to_owned(), input: None, output: None };
    let methods = methods.iter().map(method).collect();
    SlotUse { name: name.to_owned(), connector: connector.to_owned(), methods }
}

/// A method of a client, with the schemas of what is sent to it and of what is read from it.
pub fn method_use<C: Client, I: JsonSchema, O: JsonSchema>(name: &str, _: fn(&C, I) -> Result<O>) -> MethodUse {
    MethodUse { name: name.to_owned(), input: Some(schema_written::<I>()), output: Some(schema_read::<O>()) }
}
