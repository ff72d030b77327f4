//! A guest is given nothing but its event, and leaves nothing behind.

use headgate_tests::Hostile;
use serde_json::{Value, json};

#[tokio::test]
async fn there_is_no_environment_no_file_and_no_network() {
    let hostile = Hostile::start(|_| {}).await;
    let ended = hostile.order(json!({"do": "probe"})).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let report = ended.body.as_object().unwrap();
    assert_eq!(report["environment"], json!([]));
    assert_eq!(report["arguments"], json!([]));
    assert_eq!(report["stdin"], json!({"got": 0}), "stdin is at its end");
    for (way, result) in report {
        let harmless = ["environment", "arguments", "stdin", "stdout", "stderr", "working_directory"];
        if !harmless.contains(&way.as_str()) {
            assert!(result["error"].is_string(), "{way} is a way out: {result}");
        }
    }
    let lines = ended.run["log"].as_array().unwrap();
    let line = |message: &str| lines.iter().find(|line| line["message"] == message);
    assert_eq!(line("to stdout").map(|line| &line["level"]), Some(&json!("info")));
    assert_eq!(line("to stderr").map(|line| &line["level"]), Some(&json!("warn")));
}

/// With one place for instances each, the second call gets the memory that the first one had.
async fn one_place() -> Hostile {
    Hostile::start(|settings| {
        settings.wasm.flow_instances = 1;
        settings.wasm.connector_instances = 1;
    })
    .await
}

#[tokio::test]
async fn nothing_of_one_call_is_visible_in_the_next() {
    let hostile = one_place().await;
    for text in ["first", "second"] {
        let ended = hostile.order(json!({"do": "remember", "text": text})).await;
        assert_eq!(ended.body, json!({"before": null}), "the static of an instance outlived its call");
    }
    let kept = hostile.order(json!({"do": "keep_blob", "text": "kept"})).await;
    let read = hostile.order(json!({"do": "read_blob", "id": kept.body["id"]})).await;
    assert_eq!(read.body["error"]["code"], "blob_not_found", "a blob outlived its run: {}", read.body);
}

#[tokio::test]
async fn a_place_is_wiped_before_it_is_used_again() {
    let hostile = one_place().await;
    let config = json!({"base_url": "https://app.example"});
    let connection =
        json!({"name": "app", "connector": "hostile", "config": config, "secrets": {"token": "not-used-here"}});
    hostile.connect("hostile-connector", connection).await;
    // As the guest wants it: each byte xored, so that the search does not find itself.
    let masked: Vec<u8> = b"left behind by the call before".iter().map(|byte| byte ^ 0x5A).collect();
    let found = async |plant: bool| {
        let dump = hostile.call("dump", json!({"masked": masked, "plant": plant})).await.body;
        dump["output"]["found_in_memory"].as_u64().unwrap_or_else(|| panic!("{dump}"))
    };
    assert!(found(true).await >= 1, "the search finds what is there");
    for _ in 0..3 {
        assert_eq!(found(false).await, 0, "a call's memory was visible in the next");
    }
}

#[tokio::test]
async fn a_connector_finds_none_of_its_credentials() {
    let hostile = one_place().await;
    let token = "canary-token-0123456789";
    let config = json!({"base_url": "https://app.example"});
    let connection = json!({"name": "app", "connector": "hostile", "config": config, "secrets": {"token": token}});
    hostile.connect("hostile-connector", connection).await;
    let masked: Vec<u8> = token.bytes().map(|byte| byte ^ 0x5A).collect();
    let dump = hostile.call("dump", json!({"masked": masked})).await.body;
    let output = &dump["output"];
    assert_eq!(output["config"], json!({}), "a secret is no setting: {dump}");
    assert_eq!((&output["environment"], &output["arguments"]), (&json!([]), &json!([])), "{dump}");
    assert_eq!(output["found_in_memory"], 0, "{dump}");
    assert_ne!(output, &Value::Null);
}
