//! Whether methods and triggers are in order.

use serde_json::Value;

use crate::Manifest;

/// How many methods, or triggers, a connector may have: more than any app's API has use for, and few enough to be shown.
const MOST: usize = 1_000;
/// How long the name of a method or trigger may be: it stands in runs, in logs and in paths.
const LONGEST_NAME: usize = 63;
/// How large a sample may be as JSON, in bytes. It is kept with the connector and shown to people.
const LARGEST_SAMPLE: usize = 64 * 1024;

impl Manifest {
    pub(super) fn check_entries(&self, faults: &mut Vec<String>) {
        for (kind, count) in [("methods", self.methods.len()), ("triggers", self.triggers.len())] {
            if count > MOST {
                faults.push(format!("there are {count} {kind}, and at most {MOST} are allowed"));
            }
        }
        for method in &self.methods {
            let schemas = [("input", &method.input), ("output", &method.output)];
            check_entry(&format!("the method \"{}\"", method.name), &method.name, schemas, &method.sample, faults);
        }
        for trigger in &self.triggers {
            let schemas = [("input", &trigger.input), ("record", &trigger.record)];
            check_entry(&format!("the trigger \"{}\"", trigger.name), &trigger.name, schemas, &trigger.sample, faults);
        }
    }
}

fn check_entry(
    subject: &str,
    name: &str,
    schemas: [(&str, &Value); 2],
    sample: &Option<Value>,
    faults: &mut Vec<String>,
) {
    if name.len() > LONGEST_NAME {
        faults.push(format!("{subject} has a name of {} characters; {LONGEST_NAME} are allowed", name.len()));
    }
    for (what, schema) in schemas {
        if !(schema.is_object() || schema.is_boolean()) {
            faults.push(format!("{subject} has a schema of its {what} that is no JSON Schema: make it an object"));
        }
    }
    let size = sample.as_ref().map_or(0, |sample| sample.to_string().len());
    if size > LARGEST_SAMPLE {
        faults.push(format!("{subject} has a sample of {size} bytes; {LARGEST_SAMPLE} are allowed"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Auth, Manifest, Method, Trigger};

    fn method(name: &str, output: Value, sample: Option<Value>) -> Method {
        let (name, description) = (name.to_owned(), String::new());
        Method { name, description, idempotent: false, scopes: vec![], input: json!({}), output, sample }
    }

    fn trigger(name: &str, input: Value, sample: Option<Value>) -> Trigger {
        let (name, description) = (name.to_owned(), String::new());
        Trigger { name, description, scopes: vec![], input, record: json!(true), sample }
    }

    #[test]
    fn names_each_fault() {
        let sound = Manifest::new("acme", "Acme").version("1.0.0").base_url("https://acme.example").auth(Auth::none());
        let large = Some(Value::from("x".repeat(70_000)));
        let long = "a".repeat(64);
        let cases = [
            (vec![method("get", json!({}), None)], vec![trigger("get", json!({}), Some(json!({})))], None),
            (vec![], vec![trigger("newOne", json!({}), None)], Some("the trigger \"newOne\" is not")),
            (vec![], vec![trigger("a", json!({}), None), trigger("a", json!({}), None)], Some("stands there twice")),
            (vec![], vec![trigger("a", json!("text"), None)], Some("the trigger \"a\" has a schema of its input")),
            (vec![method("a", json!([1]), None)], vec![], Some("the method \"a\" has a schema of its output")),
            (vec![method("a", json!({}), large.clone())], vec![], Some("has a sample of 70002 bytes; 65536 are")),
            (vec![], vec![trigger("a", json!({}), large)], Some("the trigger \"a\" has a sample")),
            (vec![method(&long, json!({}), None)], vec![], Some("a name of 64 characters; 63 are allowed")),
            (
                (0..1_001).map(|number| method(&format!("m{number}"), json!({}), None)).collect(),
                vec![],
                Some("there are 1001 methods, and at most 1000"),
            ),
        ];
        for (methods, triggers, expected) in cases {
            let faults = Manifest { methods, triggers, ..sound.clone() }.faults();
            match expected {
                Some(expected) => assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:?}"),
                None => assert_eq!(faults, Vec::<String>::new()),
            }
        }
    }
}
