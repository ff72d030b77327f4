use headgate_manifest::{Auth, ConfigField, SecretField, Trigger};
use serde_json::{Value, json};

use super::*;
use crate::domain::connection::{ConnectionKind, Pins};
use crate::domain::id::Environment;

fn named(name: &str, idempotent: bool) -> Method {
    let json =
        json!({"name": name, "idempotent": idempotent, "input": {"type": "object"}, "output": {"type": "object"}});
    serde_json::from_value(json).unwrap()
}

fn manifest() -> Manifest {
    let mut manifest = Manifest::new("crm", "CRM").base_url("https://a.example").auth(Auth::header(
        "key",
        "Key",
        "x-key",
        SecretField::new("key", "Key"),
    ));
    manifest.methods = vec![named("get", true), named("send", false)];
    manifest.triggers =
        serde_json::from_value::<Vec<Trigger>>(json!([{"name": "new", "input": {}, "record": {}}])).unwrap();
    manifest
}

fn connection() -> Connection {
    let manifest = manifest();
    let pins = Pins::of(&manifest, &manifest.auth[0]);
    Connection {
        id: format!("con_{}", "a".repeat(20)).parse().unwrap(),
        group: "acme".parse().unwrap(),
        environment: Environment::production(),
        name: "sales".parse().unwrap(),
        connector: "crm".parse().unwrap(),
        auth: "key".to_owned(),
        kind: ConnectionKind::ApiKey,
        base_urls: pins.base_urls(&Default::default()).unwrap(),
        pins,
        config: Default::default(),
        secrets: Default::default(),
        oauth: None,
        created: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn flow(methods: Option<&[&str]>) -> FlowUse {
    let used = |methods: &[&str]| {
        let methods = methods.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        serde_json::from_value(json!([{"name": "crm", "connector": "crm", "methods": methods}])).unwrap()
    };
    FlowUse { what: "the flow \"leads\", version 3 in production".to_owned(), slots: methods.map(used) }
}

/// What breaks and what is warned of when everybody there is uses the connector.
fn consequences(flow: FlowUse, new: &Manifest) -> (Vec<String>, Vec<String>) {
    let connection = connection();
    let triggers = vec![TriggerUse { what: "the trigger \"t\"".to_owned(), trigger: "new".to_owned() }];
    let users = Users { connections: vec![&connection], flows: vec![flow], triggers, of_many_groups: false };
    let found = Consequences::of(&manifest(), new, &users);
    (found.breaks.into_iter().map(|broken| format!("{} {}", broken.what, broken.why)).collect(), found.warnings)
}

#[test]
fn the_same_and_more_breaks_nothing() {
    let mut more = manifest();
    more.methods.push(named("list", true));
    more.auth.push(Auth::none());
    more.config.push(ConfigField::new("region", "Region").default_value("eu"));
    for new in [manifest(), more] {
        assert_eq!(consequences(flow(Some(&["get", "send"])), &new), (vec![], vec![]));
    }
}

#[test]
fn what_is_gone_is_told_to_those_who_use_it() {
    let mut new = manifest();
    new.methods.remove(0);
    new.triggers.clear();
    let gone = "the flow \"leads\", version 3 in production calls the method \"get\" (slot crm), which is gone";
    let polled = "the trigger \"t\" polls \"new\", which is gone";
    assert_eq!(consequences(flow(Some(&["get"])), &new).0, [gone, polled]);
    assert_eq!(consequences(flow(Some(&["send"])), &new).0, [polled]);
    // What it never had does not break.
    assert_eq!(consequences(flow(Some(&["other"])), &new).0, [polled]);
    let (breaks, warnings) = consequences(flow(None), &new);
    assert_eq!(breaks, [polled]);
    assert!(warnings[0].contains("cannot be told") && warnings[0].ends_with("Gone: \"get\""), "{warnings:?}");
}

#[test]
fn a_method_that_does_not_fit_any_more_is_told() {
    let mut new = manifest();
    new.methods[0].input = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}});
    let sends = |input: Value| {
        let methods = json!([{"name": "get", "input": input}]);
        let slots = serde_json::from_value(json!([{"name": "crm", "connector": "crm", "methods": methods}])).unwrap();
        FlowUse { slots: Some(slots), ..flow(None) }
    };
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let (breaks, _) = consequences(sends(nothing), &new);
    assert!(breaks[0].contains("calls the method \"get\" (slot crm), which is another one"), "{breaks:?}");
    let id = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}});
    assert_eq!(consequences(sends(id), &new).0, [""; 0]);
    let (_, warnings) = consequences(flow(None), &new);
    assert!(warnings[0].ends_with("Changed: \"get\""), "{warnings:?}");
}

#[test]
fn an_authentication_or_a_setting_that_does_not_do_is_told() {
    let auth = Manifest { auth: vec![Auth::none()], ..manifest() };
    let told = "the connection \"sales\" in production authenticates by \"key\", which is gone";
    assert_eq!(consequences(flow(Some(&[])), &auth).0, [told]);
    let setting = manifest().config(ConfigField::new("region", "Region").required());
    let (breaks, _) = consequences(flow(Some(&[])), &setting);
    assert!(breaks.len() == 1 && breaks[0].contains("region"), "{breaks:?}");
}

#[test]
fn what_breaks_nothing_is_a_warning() {
    let mut new = manifest();
    new.methods[0].idempotent = false;
    new.base_urls = vec!["https://b.example".to_owned()];
    let (breaks, warnings) = consequences(flow(Some(&["get"])), &new);
    assert_eq!(breaks, [""; 0]);
    assert!(warnings[0].starts_with("The connection \"sales\" in production keeps its hosts"), "{warnings:?}");
    assert!(warnings[1].starts_with("The method \"get\" is not idempotent any more"), "{warnings:?}");
}
