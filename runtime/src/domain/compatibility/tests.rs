use serde_json::json;

use super::*;

fn check(given: Value, expected: Value, misfit: &[&str]) {
    let found: Vec<String> = misfits(&given, &expected).iter().map(ToString::to_string).collect();
    assert_eq!(found, misfit, "{given} as {expected}");
}

fn text() -> Value {
    json!({"type": "string"})
}

fn of(properties: Value, required: Value) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

#[test]
fn kinds_have_to_agree() {
    for (given, expected, misfit) in [
        (text(), text(), &[][..]),
        (json!({"type": "integer"}), json!({"type": "number"}), &[]),
        (json!({"type": "number"}), json!({"type": "integer"}), &["$ may be a number, and a whole number is expected"]),
        (text(), json!({"type": "boolean"}), &["$ may be a text, and true or false is expected"]),
        (text(), json!({"type": ["string", "null"]}), &[]),
        (json!({"type": ["string", "null"]}), text(), &["$ may be null, and a text is expected"]),
        (json!({"type": "string", "nullable": true}), text(), &["$ may be null, and a text is expected"]),
        (text(), json!({"type": "string", "nullable": true}), &[]),
        (json!({"type": "array", "items": text()}), json!({"type": "array", "items": text()}), &[]),
        (
            json!({"type": "array", "items": text()}),
            json!({"type": "array", "items": {"type": "integer"}}),
            &["$[] may be a text, and a whole number is expected"],
        ),
        (
            json!({"type": "array", "prefixItems": [text(), text()]}),
            json!({"type": "array", "prefixItems": [text(), {"type": "null"}]}),
            &["$[1] may be a text, and null is expected"],
        ),
    ] {
        check(given, expected, misfit);
    }
}

#[test]
fn members_have_to_be_there_and_agree() {
    let email = json!({"email": text()});
    for (given, expected, misfit) in [
        (of(email.clone(), json!(["email"])), of(email.clone(), json!(["email"])), &[][..]),
        (of(email.clone(), json!(["email"])), of(email.clone(), json!([])), &[]),
        (
            of(email.clone(), json!([])),
            of(email.clone(), json!(["email"])),
            &["$.email may be left out, and is required"],
        ),
        (of(json!({}), json!([])), of(email.clone(), json!(["email"])), &["$.email is never given, and is required"]),
        (json!({"type": "object"}), of(email.clone(), json!(["email"])), &["$.email is never given, and is required"]),
        // A map may have any member.
        (json!({"type": "object", "additionalProperties": text()}), of(email.clone(), json!(["email"])), &[]),
        (
            of(json!({"email": {"type": "integer"}}), json!(["email"])),
            of(email.clone(), json!(["email"])),
            &["$.email may be a whole number, and a text is expected"],
        ),
        // What nobody asked for is left alone, unless it is forbidden.
        (of(email.clone(), json!([])), of(json!({}), json!([])), &[]),
        (
            of(email.clone(), json!([])),
            json!({"type": "object", "additionalProperties": false}),
            &["$.email may be given, and is not expected"],
        ),
        (
            of(email.clone(), json!([])),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            &["$.email may be a text, and a whole number is expected"],
        ),
        (
            json!({"type": "object", "additionalProperties": text()}),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            &["$.* may be a text, and a whole number is expected"],
        ),
        (
            of(json!({"to": of(email.clone(), json!([]))}), json!(["to"])),
            of(json!({"to": of(email, json!(["email"]))}), json!(["to"])),
            &["$.to.email may be left out, and is required"],
        ),
    ] {
        check(given, expected, misfit);
    }
}

#[test]
fn listed_values_have_to_be_among_those_expected() {
    let letters = json!({"type": "string", "enum": ["a", "b"]});
    let documented = json!({"oneOf": [{"type": "string", "const": "a"}, {"type": "string", "const": "b"}]});
    for (given, expected, misfit) in [
        (json!({"const": "a"}), letters.clone(), &[][..]),
        (letters.clone(), documented.clone(), &[]),
        (documented.clone(), letters.clone(), &[]),
        (letters.clone(), text(), &[]),
        (text(), letters.clone(), &["$ may be anything, and one of \"a\", \"b\" is expected"]),
        (json!({"enum": ["a", "c"]}), letters.clone(), &["$ may be \"c\", and one of \"a\", \"b\" is expected"]),
        (json!({"enum": ["a", 1]}), text(), &["$ may be a whole number, and a text is expected"]),
    ] {
        check(given, expected, misfit);
    }
}

#[test]
fn each_case_has_to_fit_one_that_is_expected() {
    let (id, email) = (of(json!({"id": text()}), json!(["id"])), of(json!({"email": text()}), json!(["email"])));
    let either = json!({"anyOf": [id, email]});
    for (given, expected, misfit) in [
        (either.clone(), either.clone(), &[][..]),
        (id.clone(), either.clone(), &[]),
        (either.clone(), id.clone(), &["$.id is never given, and is required"]),
        (json!({"type": ["string", "null"]}), json!({"anyOf": [text(), {"type": "null"}]}), &[]),
        (json!({"anyOf": [text(), {"type": "null"}]}), text(), &["$ may be null, and a text is expected"]),
        (json!({"allOf": [id, email]}), json!({"allOf": [id, email]}), &[]),
        (json!({"allOf": [id, email]}), id.clone(), &[]),
        (id.clone(), json!({"allOf": [id, email]}), &["$.email is never given, and is required"]),
    ] {
        check(given, expected, misfit);
    }
}

#[test]
fn references_are_followed_and_recursive_types_end() {
    let tree = |leaf: &str| {
        let node = json!({
            "type": "object",
            "properties": {"leaf": {"type": leaf}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
            "required": ["leaf", "children"],
        });
        json!({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    };
    check(tree("string"), tree("string"), &[]);
    let leaves =
        ["$.children[].leaf", "$.leaf"].map(|leaf| format!("{leaf} may be a text, and a whole number is expected"));
    check(tree("string"), tree("integer"), &leaves.each_ref().map(String::as_str));
    let endless = json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}});
    check(endless.clone(), endless, &[]);
}

#[test]
fn what_is_not_understood_fits() {
    for (given, expected) in [
        (json!(true), text()),
        (json!({}), text()),
        (text(), json!(true)),
        (json!({"title": "Anything"}), text()),
        (text(), json!({"type": "string", "pattern": "^a$", "minLength": 3})),
        (json!({"type": "integer"}), json!({"type": "integer", "minimum": 7})),
        (json!({"$ref": "https://example.com/schema"}), text()),
        (text(), json!({"type": "money"})),
        (text(), json!({"if": {}, "then": false})),
    ] {
        check(given, expected, &[]);
    }
    check(text(), json!(false), &["$ is not expected"]);
}

#[test]
fn schemas_that_multiply_end_in_time() {
    let deep = |leaf: Value| {
        let deeper = |schema: Value, _| json!({"anyOf": [{"type": "object", "properties": {"a": schema}}, {"type": "array", "items": schema}]});
        (0..12).fold(leaf, deeper)
    };
    check(deep(text()), deep(json!({"type": ["string", "null"]})), &[]);
    let endless = |kind: &str| {
        let alternatives = json!([{"type": kind}, {"type": "array", "items": {"$ref": "#"}}, {"$ref": "#/$defs/A"}]);
        json!({"anyOf": alternatives, "$defs": {"A": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}})
    };
    check(endless("string"), endless("integer"), &[]);
}

#[test]
fn references_that_multiply_end_in_time() {
    // Each level refers to the next one eight times: 8^15 places, if all were visited.
    let all_of = |leaf: Value| {
        let mut levels = json!({"d15": leaf});
        for level in 0..15 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            levels[format!("d{level}")] = json!({"allOf": vec![next; 8]});
        }
        json!({"$ref": "#/$defs/d0", "$defs": levels})
    };
    check(all_of(text()), json!({"type": "integer"}), &[]);
    check(json!({"type": "integer"}), all_of(text()), &[]);
    // The budget is one for all members: it is not begun anew at each of them.
    let bomb = all_of(text());
    let members = |of: Value| (0..1000).map(|n| (format!("m{n}"), of.clone())).collect::<Value>();
    let mut given = of(members(json!({"$ref": "#/$defs/d0"})), json!([]));
    given["$defs"] = bomb["$defs"].clone();
    check(given, of(members(json!({"type": "integer"})), json!([])), &[]);
}

#[test]
fn schemas_with_many_names_end_in_time() {
    let wide = |count: usize, kind: &str| {
        let names = (0..count).map(|n| format!("m{n}"));
        let members = names.clone().map(|name| (name, json!({"type": kind})));
        of(members.collect(), names.collect())
    };
    // Beyond the budget nothing is told; what people write stays far below it.
    check(wide(100_000, "string"), wide(100_000, "integer"), &[]);
    assert_eq!(misfits(&wide(1000, "string"), &wide(1000, "integer")).len(), MAX_MISFITS);
    assert_eq!(misfits(&of(json!({}), json!([])), &wide(1000, "integer")).len(), MAX_MISFITS);
    let choices = |from: usize| json!({"enum": (from..from + 100_000).collect::<Vec<_>>()});
    let found = misfits(&choices(0), &choices(50_000));
    assert!(found.len() == 1 && found[0].reason.starts_with("may be 0, and one of 50000, "), "{}", found.len());
}

#[test]
fn a_method_is_compared_in_both_directions() {
    let method = |input: Value, output: Value| Method {
        name: "get".into(),
        description: String::new(),
        idempotent: true,
        scopes: Vec::new(),
        input,
        output,
        sample: None,
    };
    let plain = || of(json!({"id": text()}), json!(["id"]));
    let wider = || of(json!({"id": text(), "name": text()}), json!(["id", "name"]));
    let before = whole_use(&method(plain(), plain()));
    assert!(method_misfits(&before, &method(plain(), wider())).is_empty(), "more is answered than before");
    assert_eq!(
        method_misfits(&before, &method(wider(), plain())),
        ["what is sent does not fit its input: $.name is never given, and is required"]
    );
    assert_eq!(
        method_misfits(&whole_use(&method(plain(), wider())), &method(plain(), plain())),
        ["its output is not what is read: $.name is never given, and is required"]
    );
    let unsaid = MethodUse { name: "get".into(), input: None, output: None };
    assert!(method_misfits(&unsaid, &method(wider(), plain())).is_empty(), "who says nothing is not checked");
}
