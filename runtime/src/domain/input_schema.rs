//! A JSON Schema that inputs are checked against, an app's, a method's or a trigger's: bounded before it is taken, compiled
//! once, readable in what it refuses.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jsonschema::{PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The largest schema, in bytes of JSON. It lies in memory with the configuration, and twice in the audit log when it is changed.
const MAX_SCHEMA: usize = 24 << 10;

/// How deep a schema may be nested, references followed.
const MAX_DEPTH: usize = 64;

/// The most parts a schema may have, references followed: the work of one check is at most this, times the weight of the input.
const MAX_PARTS: usize = 2000;

/// The most errors that are told at once. Whoever has more of them reads the first ones.
const MAX_ERRORS: usize = 20;

/// How much work goes into finding all errors: parts of the schema times the weight of the input. Beyond it only the first
/// is told, and a check takes longer than other callers should wait: it is costly.
const MAX_WORK: usize = 200_000;

/// How much work a check may be at all: a second or two. Whatever is larger is refused unchecked.
const MOST_WORK: usize = 20_000_000;

/// How many bytes of a string are as much work as another part of the input.
const BYTES_OF_A_PART: usize = 16;

/// How many values of an `enum` are as much work as another part of the schema.
const VALUES_OF_A_PART: usize = 8;

/// The largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// How much of a path or a message is told, in bytes.
const MAX_TOLD: usize = 300;

/// A JSON Schema that inputs are checked against.
#[derive(Clone)]
pub struct InputSchema {
    schema: Value,
    /// How much work it is for each part of an input.
    weight: usize,
    compiled: OnceLock<Option<Arc<Validator>>>,
}

/// What is wrong with an input, at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputError {
    /// Where: a JSON Pointer (RFC 6901), empty for the whole input.
    #[schema(example = "/lines/0/quantity")]
    pub path: String,
    /// What was expected there.
    #[schema(example = "value is not of type \"integer\"")]
    pub message: String,
}

impl InputSchema {
    /// A schema that can be checked within bounds; otherwise what is wrong with it.
    pub fn new(schema: Value) -> Result<Self, String> {
        let size = schema.to_string().len();
        if size > MAX_SCHEMA {
            return Err(format!(
                "The schema has {size} bytes, and {MAX_SCHEMA} are allowed. Describe less of the input"
            ));
        }
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err("The schema must be a JSON object, such as {\"type\": \"object\"}".to_owned());
        }
        let mut size = Size::default();
        measure(&schema, &schema, 0, &mut size)?;
        let compiled = compile(&schema)?;
        Ok(Self { schema, weight: size.weight(), compiled: OnceLock::from(Some(Arc::new(compiled))) })
    }

    /// The schema itself.
    pub fn as_value(&self) -> &Value {
        &self.schema
    }

    /// Whether the check of an input takes so long that it belongs on a thread of its own.
    pub fn is_costly(&self, input: &Value) -> bool {
        (MAX_WORK + 1..=MOST_WORK).contains(&self.work(input))
    }

    fn work(&self, input: &Value) -> usize {
        weight_of(input).saturating_mul(self.weight)
    }

    /// What is wrong with an input; the first twenty errors at most. One that would take too long is wrong as a whole.
    pub fn check(&self, input: &Value) -> Result<(), Vec<InputError>> {
        let work = self.work(input);
        if work > MOST_WORK {
            let message =
                "the input is too large for this app's schema. Send it in several parts, or ask the app's owner for a schema with less in it"
                    .to_owned();
            return Err(vec![InputError { path: String::new(), message }]);
        }
        let compiled = self.compiled.get_or_init(|| compile(&self.schema).ok().map(Arc::new));
        let Some(validator) = compiled else {
            // A later server may compile less than the one that took the schema.
            let message = "the app's schema cannot be used any more. Ask its owner to set it again".to_owned();
            return Err(vec![InputError { path: String::new(), message }]);
        };
        let Err(first) = validator.validate(input) else { return Ok(()) };
        let told = |path: String, message: String| InputError { path: cut(path), message: cut(message) };
        if work > MAX_WORK {
            return Err(vec![told(first.instance_path().to_string(), first.masked().to_string())]);
        }
        let all = validator.iter_errors(input).take(MAX_ERRORS);
        Err(all.map(|error| told(error.instance_path().to_string(), error.masked().to_string())).collect())
    }
}

fn compile(schema: &Value) -> Result<Validator, String> {
    // The engine without look-around takes time in proportion to its input.
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    let options = jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns);
    options.build(schema).map_err(|error| {
        cut(format!("This is no JSON Schema that can be checked: {} (at {})", error, error.instance_path()))
    })
}

/// How large a schema is, references followed.
#[derive(Default)]
struct Size {
    parts: usize,
    /// Values that an input is compared with.
    values: usize,
}

impl Size {
    fn weight(&self) -> usize {
        self.parts + self.values / VALUES_OF_A_PART
    }
}

/// Counts a schema's parts as the check will meet them, and refuses what is not bounded: references to elsewhere, and
/// schemas within themselves.
fn measure(root: &Value, part: &Value, depth: usize, size: &mut Size) -> Result<(), String> {
    size.parts += 1;
    if depth > MAX_DEPTH {
        return Err(format!(
            "The schema is nested more than {MAX_DEPTH} deep, or refers to itself. Describe the deepest parts as any JSON: true"
        ));
    }
    if size.parts > MAX_PARTS {
        return Err(format!(
            "The schema has more than {MAX_PARTS} parts, references followed. Describe less of the input"
        ));
    }
    match part {
        Value::Object(fields) => {
            if let Some(target) = referred(root, fields)? {
                measure(root, target, depth + 1, size)?;
            }
            fields.iter().try_for_each(|(name, value)| match (name.as_str(), value) {
                ("enum", Value::Array(values)) => {
                    size.values += values.len();
                    Ok(())
                }
                // Definitions count where they are referred to, and the others are values, not schemas.
                ("$defs" | "definitions" | "const" | "enum" | "default" | "examples" | "example", _) => Ok(()),
                ("properties" | "patternProperties" | "dependentSchemas" | "dependencies", Value::Object(named)) => {
                    named.values().try_for_each(|schema| measure(root, schema, depth + 1, size))
                }
                _ => measure(root, value, depth + 1, size),
            })
        }
        Value::Array(items) => items.iter().try_for_each(|item| measure(root, item, depth + 1, size)),
        _ => Ok(()),
    }
}

/// What an object refers to, if it does.
fn referred<'a>(root: &'a Value, fields: &Map<String, Value>) -> Result<Option<&'a Value>, String> {
    if let Some(name) = ["$dynamicRef", "$recursiveRef", "$id", "id"]
        .iter()
        .find(|name| fields.get(**name).is_some_and(Value::is_string))
    {
        return Err(format!(
            "\"{name}\" cannot be used here. Refer with \"$ref\" to a place of the schema, such as \"#/$defs/line\""
        ));
    }
    let Some(Value::String(reference)) = fields.get("$ref") else { return Ok(None) };
    let elsewhere =
        || cut(format!("\"$ref\": \"{reference}\" is no place of this schema. Refer to one, such as \"#/$defs/line\""));
    let pointer = reference.strip_prefix('#').ok_or_else(elsewhere)?;
    let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().map_err(|_| elsewhere())?;
    root.pointer(&pointer).map(Some).ok_or_else(elsewhere)
}

/// How much there is to check in an input: its parts, and the bytes of its texts, which patterns go through.
fn weight_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight_of).sum::<usize>(),
        Value::Object(fields) => {
            1 + fields.iter().map(|(name, value)| name.len() / BYTES_OF_A_PART + weight_of(value)).sum::<usize>()
        }
        Value::String(text) => 1 + text.len() / BYTES_OF_A_PART,
        _ => 1,
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TOLD {
        text.truncate(text.floor_char_boundary(MAX_TOLD));
        text.push('…');
    }
    text
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schema.fmt(f)
    }
}

impl Serialize for InputSchema {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.schema.serialize(serializer)
    }
}

/// It was checked when it was taken, and is compiled at its first use: a server with many apps starts quickly.
impl<'de> Deserialize<'de> for InputSchema {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let schema = Value::deserialize(deserializer)?;
        let mut size = Size::default();
        measure(&schema, &schema, 0, &mut size).map_err(serde::de::Error::custom)?;
        Ok(Self { schema, weight: size.weight(), compiled: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order() -> InputSchema {
        let schema = json!({
            "type": "object",
            "required": ["customer", "lines"],
            "properties": {
                "customer": {"type": "string", "pattern": "^[a-z]+$"},
                "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
                "when": {"type": "string", "format": "date"},
            },
            "additionalProperties": false,
            "$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"quantity": {"type": "integer"}}}},
        });
        InputSchema::new(schema).unwrap()
    }

    #[test]
    fn every_error_is_told_with_its_place() {
        let good = json!({"customer": "ada", "lines": [{"sku": "a", "quantity": 1}], "when": "2026-11-22"});
        assert_eq!(order().check(&good), Ok(()));
        let bad =
            json!({"customer": "ADA", "lines": [{"sku": 1}, {"quantity": "two"}], "when": "soon", "secret": "hunter2"});
        let errors = order().check(&bad).unwrap_err();
        let at = |path: &str| -> Vec<&str> {
            errors.iter().filter(|error| error.path == path).map(|error| error.message.as_str()).collect()
        };
        assert_eq!(at("/customer"), ["value does not match \"^[a-z]+$\""]);
        assert_eq!(at("/lines/1"), ["\"sku\" is a required property"]);
        assert_eq!(at("/lines/1/quantity"), ["value is not of type \"integer\""]);
        assert_eq!(at("/when"), ["value is not a \"date\""]);
        assert_eq!(at("").len(), 1);
        // What was sent is not repeated.
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
        assert_eq!(order().check(&json!([1])).unwrap_err().len(), 1);
    }

    #[test]
    fn errors_are_bounded() {
        let schema = InputSchema::new(json!({"items": {"type": "string", "minLength": 2}})).unwrap();
        let errors = |count: usize| schema.check(&Value::from(vec![1; count])).unwrap_err().len();
        assert_eq!((errors(3), errors(21), errors(MAX_WORK)), (3, MAX_ERRORS, 1));
        let long = InputSchema::new(json!({"additionalProperties": {"type": "string"}})).unwrap();
        let errors = long.check(&json!({"x".repeat(10_000): 1})).unwrap_err();
        assert!(errors[0].path.len() <= MAX_TOLD + 3, "{}", errors[0].path.len());
    }

    #[test]
    fn the_work_of_a_check_is_bounded() {
        let schema = order();
        let order = |count| json!({"customer": "ada", "lines": vec![json!({"sku": "a"}); count]});
        assert!(!schema.is_costly(&order(3)));
        assert!(schema.is_costly(&order(50_000)));
        assert_eq!(schema.check(&order(50_000)), Ok(()));
        let refused = |input: &Value| schema.check(input).unwrap_err()[0].message.contains("too large");
        let (many, long) = (json!(vec![Value::Null; 1_000_000]), json!("x".repeat(BYTES_OF_A_PART * 1_000_000)));
        assert!(refused(&many) && !schema.is_costly(&many));
        assert!(refused(&long) && !schema.is_costly(&long));
        assert!(!refused(&json!([1])));
        // Values that an input is compared with are work too.
        let values = InputSchema::new(json!({"items": {"enum": (0..4000).collect::<Vec<_>>()}})).unwrap();
        assert!(values.is_costly(&json!(vec![Value::Null; 1000])));
    }

    #[test]
    fn what_is_not_bounded_is_refused() {
        let doubling: Map<String, Value> = (0..20)
            .map(|n| {
                let next = json!({"$ref": format!("#/$defs/n{}", n + 1)});
                (format!("n{n}"), json!({"allOf": [next, next]}))
            })
            .chain([("n20".to_owned(), json!(true))])
            .collect();
        let deep = (0..100).fold(json!(true), |inner, _| json!({"items": inner}));
        for (schema, told) in [
            (json!("string"), "must be a JSON object"),
            (json!({"type": "strnig"}), "no JSON Schema"),
            (json!({"$ref": "https://example.com/schema.json"}), "no place of this schema"),
            (json!({"$ref": "file:///etc/passwd"}), "no place of this schema"),
            (json!({"$ref": "#/$defs/gone"}), "no place of this schema"),
            (json!({"$id": "https://example.com/a"}), "cannot be used here"),
            (json!({"$dynamicRef": "#meta"}), "cannot be used here"),
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"items": {"$ref": "#"}}), "refers to itself"),
            (json!({"$ref": "#/$defs/n0", "$defs": doubling}), "more than 2000 parts"),
            (deep, "nested more than"),
            (json!({"pattern": "(a(?=b)c)"}), "no JSON Schema"),
            (json!({"pattern": "(((a{1000}){1000}){1000}){1000}"}), "no JSON Schema"),
            (json!({"description": "x".repeat(MAX_SCHEMA)}), "bytes"),
        ] {
            let error = InputSchema::new(schema.clone()).unwrap_err();
            assert!(error.contains(told) && error.len() < 1000, "{error}");
        }
    }

    #[test]
    fn examples_are_no_schemas_and_properties_are_named_as_they_like() {
        let schema = json!({
            "properties": {"const": {"type": "string"}, "id": {"type": "string"}, "$ref": {"type": "string"}},
            "examples": [{"id": "4711", "$ref": "https://example.com"}],
        });
        let schema = InputSchema::new(schema).unwrap();
        assert_eq!(schema.check(&json!({"const": "a", "id": "b", "$ref": "c"})), Ok(()));
        assert_eq!(schema.check(&json!({"const": 1, "id": 2, "$ref": 3})).unwrap_err().len(), 3);
        assert!(InputSchema::new(json!({"properties": {"const": {"$ref": "#"}}})).is_err());
    }

    #[test]
    fn a_pattern_takes_time_in_proportion_to_its_input() {
        let schema = InputSchema::new(json!({"pattern": "^(a+)+$"})).unwrap();
        assert!(schema.check(&json!("a".repeat(50_000) + "!")).is_err());
    }

    #[test]
    fn it_is_stored_as_it_was_given() {
        let text = serde_json::to_string(&order()).unwrap();
        let read: InputSchema = serde_json::from_str(&text).unwrap();
        assert_eq!(read.as_value(), order().as_value());
        assert!(read.check(&json!({})).is_err());
        assert!(serde_json::from_str::<InputSchema>(r##"{"$ref": "#"}"##).is_err());
    }
}
