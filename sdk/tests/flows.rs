//! Flows, from the raw event to the complete answer.

#![expect(unexpected_cfgs, reason = "the SDK itself has no feature `component`")]

use headgate_sdk::prelude::*;
use headgate_sdk::testing::{Host, fire};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Deal {
    stage: String,
}

#[headgate_sdk::flow]
fn stage(event: Event<Deal>) -> Result<String> {
    Ok(event.data.stage)
}

#[test]
fn a_typed_answer_is_json() {
    let answer = fire(stage, Event::post(r#"{"stage": "won"}"#)).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers.get("Content-Type"), Some("application/json"));
    assert_eq!(*answer.body.bytes(), *b"\"won\"");
}

#[test]
fn a_body_that_does_not_fit_is_the_senders_fault() {
    for (body, path) in [(r#"{"stage": 1}"#, "$.stage"), ("{", "$"), ("", "$"), ("[1]", "$[0]")] {
        let answer = fire(stage, Event::post(body)).unwrap();
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.headers.get("content-type"), Some("application/problem+json"));
        let problem: Value = answer.body.json().unwrap();
        assert_eq!((&problem["code"], &problem["path"]), (&json!("invalid_event"), &json!(path)), "{problem}");
        assert_eq!(problem["error"], problem["detail"]);
    }
}

#[test]
fn an_optional_event_takes_an_empty_body() {
    fn optional(event: Event<Option<Deal>>) -> Result<bool> {
        Ok(event.data.is_some())
    }
    assert_eq!(*fire(optional, Event::post("")).unwrap().body.bytes(), *b"false");
    assert_eq!(*fire(optional, Event::post(r#"{"stage": ""}"#)).unwrap().body.bytes(), *b"true");
}

#[test]
fn an_untyped_event_and_answer_pass_a_blob_through() {
    fn pass(event: Event) -> Result<Body> {
        Ok(event.body)
    }
    let _host = Host::new();
    let blob = Blob::from_bytes("image/png", &[1; 100_000]).unwrap();
    let answer = fire(pass, Event::post(blob)).unwrap();
    assert!(matches!(answer.body, Body::Blob(_)));
    assert_eq!(answer.headers.get("content-type"), Some("image/png"));
    assert_eq!(answer.body.len(), 100_000);
}

#[test]
fn an_error_passes_through_as_it_is() {
    fn fail(_: Event) -> Result<()> {
        Err(Error::new("told", "I was told to.").retryable().details(json!({"n": 1})))
    }
    let error = fire(fail, Event::post("")).unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable, error.details), ("told", true, Some(json!({"n": 1}))));
}

#[test]
fn calls_of_different_types_are_made_at_once() {
    let host = Host::new();
    host.slot("a").on("double", |n: i64| Ok(n * 2)).answers("name", "Ada").answers("list", json!({"not": "a list"}));
    let a = Connection::open("a").unwrap();
    let (number, name, list) = call_all((
        a.prepare::<i64>("double", &21),
        a.prepare::<String>("name", &()),
        a.prepare::<Vec<String>>("list", &()),
    ));
    assert_eq!((number.unwrap(), name.unwrap().as_str()), (42, "Ada"));
    assert_eq!(list.unwrap_err().code, "invalid_output");
    let [one, two] = call_all([1, 2].map(|n| a.prepare::<i64>("double", &n)));
    assert_eq!((one.unwrap(), two.unwrap()), (2, 4));
    let inputs: Vec<Value> = host.slot("a").calls().into_iter().map(|call| call.input).collect();
    assert_eq!(inputs, [json!(21), json!(null), json!(null), json!(1), json!(2)]);
}

#[test]
fn an_input_that_is_no_json_keeps_its_place() {
    use std::collections::HashMap;
    let host = Host::new();
    host.slot("a").on("double", |n: i64| Ok(n * 2));
    let a = Connection::open("a").unwrap();
    let no_json: HashMap<Vec<u8>, u8> = HashMap::from([(vec![1], 1)]);
    let results =
        call_all(vec![a.prepare::<i64>("double", &1), a.prepare("double", &no_json), a.prepare("double", &3)]);
    let codes: Vec<_> = results.into_iter().map(|result| result.map_err(|error| error.code)).collect();
    assert_eq!(codes, [Ok(2), Err("invalid_input".to_owned()), Ok(6)]);
}

#[test]
fn a_blob_has_a_limit() {
    let host = Host::new();
    host.blob_limit(10);
    let blob = Blob::new("text/plain");
    blob.write(b"0123456789").unwrap();
    assert_eq!(blob.write(b"x").unwrap_err().code, "blob_too_large");
    assert_eq!(blob.size(), 10);
}

mod shop {
    use headgate_sdk::prelude::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(crate) struct GetOrder {
        pub(crate) number: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(crate) currency: Option<String>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Order {
        pub(crate) total: f64,
    }

    pub(crate) struct Shop;

    #[headgate_sdk::connector]
    impl Shop {
        fn manifest() -> Manifest {
            Manifest::new("shop", "Shop")
        }

        /// Gets one order.
        #[method]
        fn get_order(input: GetOrder) -> Result<Order> {
            Ok(Order { total: input.number.len() as f64 })
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct Paid {
    number: String,
}

/// Opens the slot that it declares, and then one that it does not.
#[headgate_sdk::flow(schema, slots(shop: shop::Client(get_order), "other-app": "other"(send)))]
fn total(event: Event<Paid>) -> Result<f64> {
    let shop = shop::Client::open("shop")?;
    let order = shop.get_order(shop::GetOrder { number: event.data.number, currency: None })?;
    if order.total > 3.0 {
        Connection::open("crm")?;
    }
    Ok(order.total)
}

#[test]
fn a_declared_slot_opens_and_no_other() {
    let host = Host::new();
    host.slot("shop").connector::<shop::Shop>();
    host.slot("crm").answers("get", json!({}));
    let answer = |number: &str| fire(total, Event::post(json!({ "number": number }).to_string()));
    assert_eq!(*answer("A-7").unwrap().body.bytes(), *b"3.0");
    let error = answer("A-77").unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("slot_undeclared", false));
    assert!(error.message.contains("slots(crm: ...)"), "{error}");
    // Other flows declare nothing.
    fn open(_: Event) -> Result<bool> {
        Connection::open("crm").map(|_| true)
    }
    assert_eq!(fire(open, Event::post("")).unwrap().status, 200);
}

#[test]
fn what_a_flow_says_of_itself_has_the_schemas_of_both_directions() {
    use headgate_sdk::rt;
    let event = <Event<Paid> as rt::DescribedEvent>::schema();
    let answer = <Result<f64> as rt::DescribedResult>::schema();
    let method = rt::method_use("get_order", shop::Client::get_order);
    let slots = vec![rt::slot::<shop::Client>("shop", vec![method]), rt::untyped_slot("other-app", "other", &["send"])];
    let said: Value = serde_json::from_str(&rt::describe(event, answer, Some(slots))).unwrap();
    assert_eq!(said["event"]["required"], json!(["number"]));
    assert_eq!(said["answer"]["type"], "number");
    let shop = &said["slots"][0];
    assert_eq!((&shop["name"], &shop["connector"]), (&json!("shop"), &json!("shop")));
    let method = &shop["methods"][0];
    assert_eq!((&method["name"], &method["input"]["required"]), (&json!("get_order"), &json!(["number"])));
    assert_eq!(method["output"]["required"], json!(["total"]));
    assert_eq!(said["slots"][1], json!({"name": "other-app", "connector": "other", "methods": [{"name": "send"}]}));
    assert_eq!(<Event as rt::DescribedEvent>::schema(), None);
    assert_eq!(<Result<Response> as rt::DescribedResult>::schema(), None);
    assert_eq!(<Result<Body> as rt::DescribedResult>::schema(), None);
}
