//! What a connector is, below the macro.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::manifest::{Manifest, Method, Trigger};
use crate::polling::{self, Polled};
use crate::{Error, Result, json};

/// An app's methods. `#[headgate_sdk::connector]` implements it.
pub trait Connector {
    /// The manifest, with the methods' schemas.
    fn describe() -> Manifest;

    /// Performs a method; input and output are JSON texts.
    ///
    /// Besides the method's own errors: `method_not_found`, and `invalid_input`, naming the place.
    fn invoke(method: &str, input: &str) -> Result<String>;

    /// Polls a trigger; input and cursor are JSON texts, and the answer is a [`manifest::Polled`](crate::manifest::Polled)
    /// as one. Without a cursor it says where to begin.
    ///
    /// Besides the trigger's own errors: `trigger_not_found`, `invalid_input` and `invalid_cursor`, naming the place.
    fn poll(trigger: &str, input: &str, cursor: Option<&str>) -> Result<String> {
        let _ = (input, cursor);
        Err(trigger_not_found(trigger, &[]))
    }
}

/// Puts what the macro knows into the manifest that the connector wrote.
pub fn complete(mut manifest: Manifest, version: &str, methods: Vec<Method>, triggers: Vec<Trigger>) -> Manifest {
    if manifest.version.is_empty() {
        manifest.version = version.to_owned();
    }
    manifest.methods = methods;
    manifest.triggers = triggers;
    manifest
}

// Each of these asks of a type only what it needs itself, so that a missing derive is told once.

/// A method as the manifest has it.
pub fn method<I: JsonSchema, O: JsonSchema>(
    name: &str,
    description: &str,
    idempotent: bool,
    scopes: &[&str],
) -> Method {
    Method {
        name: name.to_owned(),
        description: description.to_owned(),
        idempotent,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        input: schema_read::<I>(),
        output: schema_written::<O>(),
        sample: None,
    }
}

/// The method with a sample of its output, which is of the output's type and so cannot differ from its schema.
pub fn sampled<O: Serialize>(mut method: Method, sample: fn() -> O) -> Method {
    method.sample = serde_json::to_value(sample()).ok();
    method
}

/// A trigger, as its author wrote it: input and cursor in, what is new out.
type Poll<I, R, C, E> = fn(I, Option<C>) -> Result<Polled<R, C>, E>;

/// A trigger as the manifest has it.
pub fn trigger<I: JsonSchema, C, R: JsonSchema + Serialize, E>(
    name: &str,
    description: &str,
    scopes: &[&str],
    _trigger: Poll<I, R, C, E>,
    sample: Option<fn() -> R>,
) -> Trigger {
    Trigger {
        name: name.to_owned(),
        description: description.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        input: schema_read::<I>(),
        record: schema_written::<R>(),
        sample: sample.and_then(|sample| serde_json::to_value(sample()).ok()),
    }
}

/// Reads the input, performs the method, writes the output.
pub fn perform<I: DeserializeOwned, O: Serialize, E: Into<Error>>(
    name: &str,
    input: &str,
    method: fn(I) -> Result<O, E>,
) -> Result<String> {
    let input = json::read(input.as_bytes())
        .map_err(|mismatch| mismatch.error("invalid_input", &format!("input of {name}")))?;
    let output = method(input).map_err(Into::into)?;
    serde_json::to_string(&output).map_err(|error| {
        Error::new("invalid_output", format!("The output of {name} cannot be written as JSON: {error}."))
    })
}

/// Reads input and cursor, polls, writes what there is.
pub fn poll<I: DeserializeOwned, C: Serialize + DeserializeOwned, R: Serialize, E: Into<Error>>(
    name: &str,
    input: &str,
    cursor: Option<&str>,
    trigger: Poll<I, R, C, E>,
) -> Result<String> {
    let input = json::read(input.as_bytes())
        .map_err(|mismatch| mismatch.error("invalid_input", &format!("input of {name}")))?;
    let cursor = cursor.map(|cursor| json::read(cursor.as_bytes())).transpose();
    let cursor = cursor.map_err(|mismatch| mismatch.error(polling::INVALID_CURSOR, &format!("cursor of {name}")))?;
    let polled = trigger(input, cursor).map_err(Into::into)?;
    serde_json::to_string(&polled).map_err(|error| {
        Error::new("invalid_output", format!("What {name} polled cannot be written as JSON: {error}."))
    })
}

/// The error for a trigger that does not exist.
pub fn trigger_not_found(trigger: &str, triggers: &[&str]) -> Error {
    let message = match triggers {
        [] => format!("There is no polling trigger {trigger}; this connector has none."),
        triggers => format!("There is no polling trigger {trigger}; there are {}.", triggers.join(", ")),
    };
    Error::new("trigger_not_found", message).details(serde_json::json!({ "triggers": triggers }))
}

/// The error for a method that does not exist.
pub fn method_not_found(method: &str, methods: &[&str]) -> Error {
    let message = format!("There is no method {method}; there are {}.", methods.join(", "));
    Error::new("method_not_found", message).details(serde_json::json!({ "methods": methods }))
}

/// The schema of what can be read as a type.
pub(crate) fn schema_read<T: JsonSchema>() -> Value {
    plain(SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>())
}

/// The schema of what a type is written as.
pub(crate) fn schema_written<T: JsonSchema>() -> Value {
    plain(SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>())
}

/// Every schema of a manifest is of the same dialect, which therefore need not be repeated.
fn plain(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}
