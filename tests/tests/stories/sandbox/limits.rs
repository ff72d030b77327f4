//! What a guest uses up is bounded, and its faults are told apart.

use std::time::Duration;

use headgate_tests::Hostile;
use serde_json::{Value, json};

const MEMORY: usize = 16 << 20;
const CPU: Duration = Duration::from_millis(500);

async fn hostile() -> Hostile {
    Hostile::start(|settings| {
        settings.wasm.memory_bytes = MEMORY;
        settings.wasm.cpu = CPU;
    })
    .await
}

#[tokio::test]
async fn each_fault_of_a_flow_has_its_code() {
    let hostile = hostile().await;
    for (order, code, said) in [
        (json!({"do": "loop"}), "cpu_limit", "the flow computed for more than 500ms"),
        (json!({"do": "memory"}), "memory_limit", "the flow needed more than 16777216 bytes of memory"),
        (json!({"do": "output", "bytes": 5 << 20}), "output_too_large", "handed over more than 4194304 bytes"),
        (json!({"do": "headers", "count": 5000}), "output_too_large", "bytes of headers; 16384 are allowed"),
        (json!({"do": "panic"}), "trap", "unreachable"),
        (json!({"do": "stack"}), "trap", "the flow trapped"),
        (json!({"do": "exit"}), "exit", "the flow called exit("),
    ] {
        let ended = hostile.order(order.clone()).await;
        assert_eq!(ended.status, 502, "{order}: {}", ended.body);
        assert_eq!(ended.body["code"], code, "{order}: {}", ended.body);
        assert!(ended.body["error"].as_str().unwrap().contains(said), "{order}: {}", ended.body);
        assert_eq!(ended.headers["content-type"], "application/problem+json");
        assert_eq!(ended.run["state"], "failed", "{order}");
        assert_eq!(ended.run["outcome"]["failure"]["code"], code, "{order}: {}", ended.run);
        assert_eq!(ended.body["run"], ended.run["id"]);
        let after = hostile.order(json!({"do": "log", "lines": 1, "bytes": 1})).await;
        assert_eq!(after.status, 200, "after {order} the flow answers again: {}", after.body);
    }
}

#[tokio::test]
async fn a_panic_tells_its_author_where_it_was() {
    let ended = hostile().await.order(json!({"do": "panic"})).await;
    let log = ended.run["log"].to_string();
    assert!(log.contains("the flow panics because it was told to") && log.contains("lib.rs"), "{log}");
    assert!(!ended.body.to_string().contains("lib.rs"), "the caller reads no source lines: {}", ended.body);
}

#[tokio::test]
async fn the_flows_own_error_is_no_fault_and_is_bounded() {
    let ended = hostile().await.order(json!({"do": "error", "bytes": 100_000})).await;
    assert_eq!((ended.status.as_u16(), &ended.body["code"]), (502, &json!("large")));
    assert!(ended.body["error"].as_str().unwrap().len() <= 4096, "the message is shortened");
    assert_eq!(ended.body["details"], Value::Null, "details beyond the bound are left out");
}

#[tokio::test]
async fn each_fault_of_a_connector_fails_its_call_and_not_the_flow() {
    let hostile = hostile().await;
    let config = json!({"base_url": "https://app.example"});
    let secrets = json!({"token": "not-used-here"});
    let connection = json!({"name": "app", "connector": "hostile", "config": config, "secrets": secrets});
    hostile.connect("hostile-connector", connection).await;
    for (method, input, fault, said) in [
        ("loop", json!({}), "cpu_limit", "the connector computed for more than 500ms"),
        ("bomb", json!({}), "memory_limit", "the connector needed more than 16777216 bytes"),
        ("panic", json!({}), "trap", "the connector trapped"),
        ("flood", json!(3 << 20), "output_too_large", "2097152 are allowed"),
    ] {
        let ended = hostile.call(method, input).await;
        assert_eq!(ended.status, 200, "{method}: {}", ended.body);
        let error = &ended.body["error"];
        assert_eq!(error["code"], "connector_fault", "{method}: {error}");
        assert_eq!(error["details"]["fault"], fault, "{method}: {error}");
        assert!(error["message"].as_str().unwrap().contains(said), "{method}: {error}");
        let step = &ended.run["steps"][0];
        assert_eq!(step["error"]["code"], "connector_fault", "{step}");
        assert_eq!((&step["method"], &step["slot"]), (&json!(method), &json!("app")));
    }
}

#[tokio::test]
async fn waiting_and_computing_end_with_the_triggers_time() {
    let hostile = Hostile::start(|_| {}).await;
    let trigger = hostile.app.trigger("hostile", json!({"timeout_ms": 300})).await;
    for order in [json!({"do": "sleep", "milliseconds": 600_000}), json!({"do": "loop"})] {
        let ended = hostile.order_by(&trigger, order.clone()).await;
        assert_eq!(ended.status, 504, "{order}: {}", ended.body);
        assert_eq!(ended.body["code"], "timeout");
        assert_eq!(ended.body["error"], "the flow did not end within 300ms");
        assert_eq!(ended.run["state"], "failed");
    }
}

#[tokio::test]
async fn a_log_is_capped_and_what_was_dropped_is_counted() {
    let hostile = hostile().await;
    // Each line is written to the log and to stderr.
    let many = hostile.order(json!({"do": "log", "lines": 3000, "bytes": 20})).await.run;
    assert_eq!(many["log"].as_array().unwrap().len(), 1000);
    assert_eq!(many["log_dropped"], 5000);

    let large = hostile.order(json!({"do": "log", "lines": 100, "bytes": 8000})).await.run;
    let lines = large["log"].as_array().unwrap();
    let bytes: usize = lines.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
    assert!(bytes <= (256 << 10) + " [cut]".len(), "{bytes} bytes are kept");
    assert_eq!(lines.len() as u64 + large["log_dropped"].as_u64().unwrap(), 200);

    let long = hostile.order(json!({"do": "log", "lines": 1, "bytes": 100_000})).await.run;
    for line in long["log"].as_array().unwrap() {
        let message = line["message"].as_str().unwrap();
        assert!(message.len() == (8 << 10) + " [cut]".len() && message.ends_with(" [cut]"), "{}", message.len());
    }
}

#[tokio::test]
async fn handles_and_blobs_are_bounded() {
    let hostile = Hostile::start(|settings| {
        settings.wasm.handles = 100;
        settings.wasm.blob_bytes = 1 << 20;
    })
    .await;
    let blobs = hostile.order(json!({"do": "blobs", "count": 50, "bytes": 100_000})).await;
    assert_eq!(blobs.body, json!({"written": 10, "error": "blob_too_large"}));
    let handles = hostile.order(json!({"do": "blobs", "count": 200, "bytes": 1})).await;
    assert_eq!((handles.status.as_u16(), &handles.body["code"]), (502, &json!("trap")), "{}", handles.body);
    assert!(handles.body["error"].as_str().unwrap().contains("handle"), "{}", handles.body);
}

#[tokio::test]
async fn a_fault_of_the_host_is_none_of_the_guest() {
    let hostile = Hostile::start(|_| {}).await;
    let (key, trigger) = (hostile.key.clone(), hostile.trigger.clone());
    let restarted = hostile.app.restart_after(|data| std::fs::remove_dir_all(data.join("modules")).unwrap()).await;
    // The port is another one after a restart.
    let url = format!("{}/hooks/{}", restarted.url(), trigger.routing_key);
    let answer = restarted.client().post(url).bearer_auth(&key.secret).body(r#"{"do": "probe"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("sha256"), "the caller reads nothing of the inside: {problem}");
}
