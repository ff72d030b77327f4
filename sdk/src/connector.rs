//! What a connector is, below the macro.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::manifest::{Manifest, Method};
use crate::{Error, Result, json};

/// An app's methods. `#[headgate_sdk::connector]` implements it.
pub trait Connector {
    /// The manifest, with the methods' schemas.
    fn describe() -> Manifest;

    /// Performs a method; input and output are JSON texts.
    ///
    /// Besides the method's own errors: `method_not_found`, and `invalid_input`, naming the place.
    fn invoke(method: &str, input: &str) -> Result<String>;
}

/// Puts what the macro knows into the manifest that the connector wrote.
pub fn complete(mut manifest: Manifest, version: &str, methods: Vec<Method>) -> Manifest {
    if manifest.version.is_empty() {
        manifest.version = version.to_owned();
    }
    manifest.methods = methods;
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
    let settings = SchemaSettings::draft2020_12;
    Method {
        name: name.to_owned(),
        description: description.to_owned(),
        idempotent,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        input: plain(settings().for_deserialize().into_generator().into_root_schema_for::<I>()),
        output: plain(settings().for_serialize().into_generator().into_root_schema_for::<O>()),
        sample: None,
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

/// The error for a method that does not exist.
pub fn method_not_found(method: &str, methods: &[&str]) -> Error {
    let message = format!("There is no method {method}; there are {}.", methods.join(", "));
    Error::new("method_not_found", message).details(serde_json::json!({ "methods": methods }))
}

/// Every schema of a manifest is of the same dialect, which therefore need not be repeated.
fn plain(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}
