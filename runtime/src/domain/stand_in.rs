//! Values that stand in for those an app would give: made from a JSON Schema, where nobody wrote a sample.

use serde_json::{Map, Number, Value, json};

/// Schemas nested deeper than this stand in as `null`: recursive ones end somewhere.
const MAX_DEPTH: usize = 32;
/// Members and elements of one value at most. A schema may ask for more than anybody wants to see.
const MAX_PARTS: usize = 2000;
/// How many bytes of a text or of a value that is given cost as much as one part.
const PART: usize = 64;
/// The longest text that is made, in letters.
const MAX_TEXT: u64 = 10_000;

/// A small value that is valid under a schema: required members only, as few elements and letters as it allows. An
/// example, a default or a constant that the schema names comes first. What it does not know (patterns, conditions) it
/// leaves out of account.
///
/// ```
/// # use headgate::domain::stand_in::stand_in;
/// let schema = serde_json::json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer", "minimum": 1}}});
/// assert_eq!(stand_in(&schema), serde_json::json!({"id": 1}));
/// ```
pub fn stand_in(schema: &Value) -> Value {
    Maker { whole: schema, parts: 0 }.make(schema, 0)
}

/// The first example that a schema has as a whole.
pub fn example(schema: &Value) -> Option<&Value> {
    let examples = schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first());
    examples.or_else(|| schema.get("example"))
}

struct Maker<'a> {
    whole: &'a Value,
    parts: usize,
}

impl<'a> Maker<'a> {
    fn make(&mut self, schema: &'a Value, depth: usize) -> Value {
        self.parts += 1;
        let Some(members) = schema.as_object().filter(|_| depth < MAX_DEPTH && self.parts < MAX_PARTS) else {
            return Value::Null;
        };
        if let Some(given) = example(schema).or_else(|| members.get("default")).or_else(|| members.get("const")) {
            return self.copied(given);
        }
        if let Some(first) = members.get("enum").and_then(Value::as_array).and_then(|choices| choices.first()) {
            return self.copied(first);
        }
        if let Some(path) = members.get("$ref").and_then(Value::as_str) {
            let target = path.strip_prefix('#').and_then(|path| self.whole.pointer(path));
            return target.map_or(Value::Null, |target| self.make(target, depth + 1));
        }
        for alternatives in ["anyOf", "oneOf"] {
            if let Some(alternatives) = members.get(alternatives).and_then(Value::as_array) {
                let real = alternatives.iter().find(|alternative| alternative["type"] != "null");
                let chosen = real.or(alternatives.first()).map(|alternative| self.make(alternative, depth + 1));
                return self.joined(chosen.unwrap_or_default(), schema, depth);
            }
        }
        if let Some(all) = members.get("allOf").and_then(Value::as_array) {
            let parts = all.iter().map(|part| self.make(part, depth + 1)).collect::<Vec<_>>();
            let whole = parts.into_iter().reduce(merged).unwrap_or_default();
            return self.joined(whole, schema, depth);
        }
        self.of_type(kind(schema), schema, depth)
    }

    /// A value that the schema gives. The one that goes beyond the bound is the last one: what comes after is `null`.
    fn copied(&mut self, given: &Value) -> Value {
        self.parts += given.to_string().len() / PART;
        given.clone()
    }

    /// A value with the members that stand beside `anyOf`, `oneOf` or `allOf`.
    fn joined(&mut self, value: Value, schema: &'a Value, depth: usize) -> Value {
        if schema.get("properties").is_none() {
            return value;
        }
        merged(value, self.of_type("object", schema, depth))
    }

    fn of_type(&mut self, kind: &str, schema: &'a Value, depth: usize) -> Value {
        match kind {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => {
                let text = text(schema);
                self.parts += text.as_str().map_or(0, str::len) / PART;
                text
            }
            "integer" => number(schema, true),
            "number" => number(schema, false),
            "boolean" => Value::Bool(false),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let mut object = Map::new();
        for name in required.filter_map(Value::as_str) {
            if self.parts >= MAX_PARTS {
                break;
            }
            self.parts += name.len() / PART;
            let of_all = schema.get("additionalProperties");
            let member = schema.get("properties").and_then(|properties| properties.get(name)).or(of_all);
            let value = if let Some(member) = member {
                self.make(member, depth + 1)
            } else {
                self.parts += 1;
                Value::Null
            };
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let places = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rest = schema.get("items");
        let mut items = Vec::new();
        for at in 0..usize::try_from(least).unwrap_or(usize::MAX).max(places.len()) {
            if self.parts >= MAX_PARTS {
                break;
            }
            items.push(places.get(at).or(rest).map_or(Value::Null, |item| self.make(item, depth + 1)));
            self.parts += 1;
        }
        Value::Array(items)
    }
}

/// The type of the values to make: the first that is not null, where there are several.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() || schema.get("required").is_some() => "object",
        _ if schema.get("items").is_some() || schema.get("prefixItems").is_some() => "array",
        _ => "null",
    }
}

fn merged(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (Value::Null, other) => other,
        (one, _) => one,
    }
}

fn text(schema: &Value) -> Value {
    let text = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "date-time" => "2026-01-01T00:00:00Z",
        "date" => "2026-01-01",
        "time" => "00:00:00Z",
        "duration" => "PT1S",
        "email" => "ada@example.com",
        "hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "uri-reference" | "url" => "https://example.com/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => "",
    };
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(MAX_TEXT);
    let missing = usize::try_from(least).unwrap_or_default().saturating_sub(text.chars().count());
    json!(format!("{text}{}", "x".repeat(missing)))
}

/// The smallest number that is not below the least one; 0 where it is allowed.
fn number(schema: &Value, whole: bool) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let step = bound("multipleOf").filter(|step| *step > 0.0).or(whole.then_some(1.0));
    let above = bound("exclusiveMinimum");
    let below = bound("exclusiveMaximum");
    let least = bound("minimum").unwrap_or(f64::MIN).max(above.unwrap_or(f64::MIN));
    let most = bound("maximum").unwrap_or(f64::MAX).min(below.unwrap_or(f64::MAX));
    let mut number = 0.0_f64.clamp(least.min(most), most.max(least));
    if let Some(step) = step {
        number =
            if number >= 0.0 && least > 0.0 { (number / step).ceil() * step } else { (number / step).floor() * step };
    }
    let step = step.unwrap_or(1.0);
    if above.is_some_and(|above| number <= above) {
        number += step;
    }
    if below.is_some_and(|below| number >= below) {
        number -= step;
    }
    if number.fract() == 0.0 && number.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "it was just seen to be whole and small")]
        return json!(number as i64);
    }
    Number::from_f64(number).map_or(json!(0), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_small_and_valid() {
        for (schema, value) in [
            (json!({"type": "string"}), json!("")),
            (json!({"type": "string", "minLength": 3}), json!("xxx")),
            (json!({"type": "string", "format": "date-time"}), json!("2026-01-01T00:00:00Z")),
            (json!({"type": ["null", "boolean"]}), json!(false)),
            (json!({"type": "null"}), json!(null)),
            (json!({"type": "integer"}), json!(0)),
            (json!({"type": "integer", "minimum": 7}), json!(7)),
            (json!({"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}), json!(10)),
            (json!({"type": "integer", "maximum": -3}), json!(-3)),
            (json!({"type": "number", "minimum": 0.5}), json!(0.5)),
            (json!({"type": "number", "exclusiveMaximum": 0}), json!(-1)),
            (json!({"enum": ["a", "b"]}), json!("a")),
            (json!({"const": 4}), json!(4)),
            (json!({"type": "string", "default": "d", "examples": ["e"]}), json!("e")),
            (json!({"type": "array", "items": {"type": "string"}}), json!([])),
            (json!({"type": "array", "minItems": 2, "items": {"type": "integer"}}), json!([0, 0])),
            (json!({"prefixItems": [{"type": "string"}, {"type": "boolean"}]}), json!(["", false])),
            (
                json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
                json!({"a": ""}),
            ),
            (
                json!({"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}}),
                json!({"x": 0}),
            ),
            (json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}), json!(0)),
            (
                json!({"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"type": "string"}}}),
                json!(""),
            ),
            (
                json!({"allOf": [{"required": ["a"], "properties": {"a": {"type": "integer"}}}], "required": ["b"], "properties": {"b": {"type": "boolean"}}}),
                json!({"a": 0, "b": false}),
            ),
            (json!(true), json!(null)),
        ] {
            let made = stand_in(&schema);
            assert_eq!(made, value, "{schema}");
            assert!(jsonschema::is_valid(&schema, &made), "{made} under {schema}");
        }
    }

    #[test]
    fn schemas_that_ask_for_everything_get_little() {
        let recursive = json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}});
        assert!(stand_in(&recursive).is_object());
        let wide =
            json!({"type": "array", "minItems": 1_000_000_000_u64, "items": {"type": "array", "minItems": 1_000_000}});
        assert!(stand_in(&wide).to_string().len() < 100_000);
        assert_eq!(stand_in(&json!({"type": "string", "minLength": u64::MAX})).as_str().map(str::len), Some(10_000));
        assert_eq!(stand_in(&json!({"$ref": "#/nowhere"})), json!(null));
    }

    #[test]
    fn what_is_large_is_not_multiplied() {
        let large = "x".repeat(200_000);
        let many = |items: Value| stand_in(&json!({"type": "array", "minItems": 2000, "items": items})).to_string();
        let names = (0..50_000).map(|n| format!("member{n}")).collect::<Value>();
        for items in [
            json!({"example": large}),
            json!({"default": [large]}),
            json!({"enum": [large]}),
            json!({"type": "string", "minLength": 10_000}),
            json!({"type": "object", "required": names}),
            json!({"type": "object", "required": [large]}),
        ] {
            let made = many(items);
            assert!(made.len() < 500_000, "{}", made.len());
        }
        // A single one is given as it is.
        assert_eq!(stand_in(&json!({"example": large})), json!(large));
        assert!(many(json!({"example": "x".repeat(20)})).len() > 10_000);
    }
}
