//! The samples that other products' documents print, run by the programs they are written for: curl, Python's
//! `requests`, Node's `fetch`. Only host, path and the key's value are changed.
//!
//! A program that is not installed is said so and left out, but not where `CI` is set.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use headgate_tests::{Key, TestApp, Trigger};
use serde_json::{Value, json};
use tokio::process::Command;

/// What the documents print where the key stands.
const PRINTED_KEYS: [&str; 3] = ["sk-your-api-key", "ft_live_xxxx...", "your-auth-key"];

/// What the documents print where the URL stands.
const PRINTED_URLS: [&str; 6] = [
    "https://www.wireflow.ai/api/v1/workflows",
    "https://api.factorythread.com/flows/abc123/execute",
    "https://api.factorythread.com/flows/{flowId}/execute",
    "https://your-workspace.factorythread.io/api/orders",
    "https://mycompany.flowgear.net/customers/123/",
    "https://api.factorythread.com",
];

/// A server with the flow `mirror`, which says what it was given.
struct Server {
    app: TestApp,
    key: Key,
    execute: String,
}

impl Server {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let flow = app.publish("mirror", "mirror").await;
        let key = app.key("erp-order-sync-production").await;
        let execute = format!("{}/flows/{}/execute", app.url(), flow["id"].as_str().unwrap());
        Self { app, key, execute }
    }

    async fn trigger(&self) -> Trigger {
        self.app.trigger("mirror", json!({"key_in_query": true, "methods": ["GET", "POST"]})).await
    }

    /// A sample as it is printed, with another URL and another key.
    fn adapt(&self, sample: &str, url: &str) -> String {
        let sample = PRINTED_URLS.iter().fold(sample.to_owned(), |text, printed| text.replace(printed, url));
        let sample = PRINTED_KEYS.iter().fold(sample, |text, printed| text.replace(printed, &self.key.secret));
        for left in ["wireflow.ai", "factorythread", "flowgear", "..."] {
            assert!(!sample.contains(left), "{left} is left in: {sample}");
        }
        sample
    }

    /// The event of the newest run.
    async fn newest_event(&self) -> Value {
        let runs =
            self.app.until("/groups/acme/runs", |runs| runs.as_array().is_some_and(|runs| !runs.is_empty())).await;
        let run = runs[0]["id"].as_str().unwrap();
        self.app.ended(run).await
    }

    /// Checks that a sample ran the flow once, with this body.
    async fn ran(&self, output: Option<String>, body: &Value) {
        let Some(output) = output else { return };
        assert!(output.contains("\"caller\":\"Key: erp-order-sync-production\""), "{output}");
        let run = self.newest_event().await;
        assert_eq!(run["state"], "succeeded", "{run}");
        let recorded: Value = serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap_or("null")).unwrap();
        assert_eq!(&recorded, body, "{run}");
        assert!(!run.to_string().contains(&self.key.secret), "{run}");
    }
}

/// Runs a program; answers what it printed, or nothing when there is no such program here.
async fn run(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    // This machine's own address is not behind a proxy.
    command.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1");
    match command.output().await {
        Ok(Output { status, stdout, stderr }) => {
            let stderr = String::from_utf8_lossy(&stderr);
            assert!(status.success(), "{program}: {status}: {stderr}");
            Some(String::from_utf8(stdout).unwrap())
        }
        Err(error) => {
            missing(program, &error.to_string());
            None
        }
    }
}

fn missing(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value == OsStr::new("")), "{what} is needed here: {why}");
    println!("{what} is not installed, so its samples were not run: {why}");
}

async fn curl(sample: &str) -> Option<String> {
    run("bash", &["-c", &format!("set -e\n{sample} --silent --show-error")], &[]).await
}

async fn python(sample: &str) -> Option<String> {
    let probe = Command::new("python3").args(["-c", "import requests"]).output().await;
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        missing("python3 with the package requests", &format!("{probe:?}"));
        return None;
    }
    run("python3", &["-c", &format!("{sample}\nprint(response.status_code, response.text)")], &[]).await
}

async fn node(sample: &str, variables: &[(&str, &str)]) -> Option<String> {
    let sample = format!("{sample}\nconsole.log(response.status, await response.text());");
    run("node", &["--input-type=module", "--eval", &sample], variables).await
}

#[tokio::test]
async fn wireflow_curl_lists_flows() {
    let server = Server::start().await;
    let url = format!("{}/api/v1/groups/acme/flows", server.app.url());
    let sample = server.adapt(include_str!("../fixtures/samples/wireflow-list.sh"), &url);
    if let Some(output) = curl(sample.trim_end()).await {
        let flows: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(flows[0]["name"], "mirror", "{output}");
    }
}

#[tokio::test]
async fn wireflow_javascript_lists_flows_with_a_key_from_the_environment() {
    let server = Server::start().await;
    let url = format!("{}/api/v1/groups/acme/flows", server.app.url());
    let sample = server.adapt(include_str!("../fixtures/samples/wireflow-list.mjs"), &url);
    if let Some(output) = node(&sample, &[("WIREFLOW_API_KEY", &server.key.secret)]).await {
        assert!(output.starts_with("200 ") && output.contains("\"name\":\"mirror\""), "{output}");
    }
}

#[tokio::test]
async fn wireflow_answers_a_missing_or_invalid_key_with_401_and_a_readable_error() {
    let server = Server::start().await;
    let url = format!("{}/api/v1/groups/acme/flows", server.app.url());
    let sample = include_str!("../fixtures/samples/wireflow-list.sh").replace(PRINTED_URLS[0], &url);
    let status = " --write-out '%{http_code}'";
    if let Some(output) = curl(&format!("{}{status}", sample.trim_end())).await {
        let body = output.strip_suffix("401").unwrap_or_else(|| panic!("{output}"));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "Invalid API key format. Expected: Bearer hg_...");
    }
    let without = sample.lines().next().unwrap().trim_end_matches('\\').to_owned();
    if let Some(output) = curl(&format!("{without}{status}")).await {
        assert!(output.ends_with("401") && output.contains("\"error\":"), "{output}");
    }
}

#[tokio::test]
async fn factorythread_example_request_runs_a_flow() {
    let server = Server::start().await;
    let sample = server.adapt(include_str!("../fixtures/samples/factorythread-request.sh"), &server.execute);
    server.ran(curl(sample.trim_end()).await, &json!({"customerId": "C001"})).await;
}

#[tokio::test]
async fn factorythread_curl_runs_a_flow() {
    let server = Server::start().await;
    let sample = server.adapt(include_str!("../fixtures/samples/factorythread-curl.sh"), &server.execute);
    server.ran(curl(sample.trim_end()).await, &json!({"param1": "value1"})).await;
}

#[tokio::test]
async fn factorythread_python_runs_a_flow() {
    let server = Server::start().await;
    let sample = server.adapt(include_str!("../fixtures/samples/factorythread-python.py"), &server.execute);
    server.ran(python(&sample).await, &json!({"param1": "value1"})).await;
}

#[tokio::test]
async fn factorythread_javascript_runs_a_flow() {
    let server = Server::start().await;
    let sample = server.adapt(include_str!("../fixtures/samples/factorythread-javascript.mjs"), &server.execute);
    server.ran(node(&sample, &[]).await, &json!({"param1": "value1"})).await;
}

#[tokio::test]
async fn factorythread_key_in_the_query_runs_a_flow_that_opted_in() {
    let server = Server::start().await;
    let flow = server.app.get("/groups/acme/flows/mirror").await;
    let trigger = format!("/groups/acme/flows/mirror/triggers/{}", flow["execute_trigger"].as_str().unwrap());
    let url = server.adapt(include_str!("../fixtures/samples/factorythread-query.url"), &server.execute);
    let sample = format!("curl -X POST '{}' -d '{{\"a\": 1}}'", url.trim());
    if let Some(output) = curl(&sample).await {
        assert!(output.contains("api_key_in_wrong_place"), "{output}");
    }
    let opened = server.app.manage(reqwest::Method::PATCH, &trigger).json(&json!({"key_in_query": true}));
    assert_eq!(opened.send().await.unwrap().status(), 200);
    server.ran(curl(&sample).await, &json!({"a": 1})).await;
}

#[tokio::test]
async fn factorythread_key_in_the_query_of_a_custom_endpoint_runs_a_flow() {
    let server = Server::start().await;
    let trigger = server.trigger().await;
    let url = server.adapt(include_str!("../fixtures/samples/factorythread-custom.url"), &trigger.url);
    server.ran(curl(&format!("curl -X POST '{}' -d '{{\"a\": 1}}'", url.trim())).await, &json!({"a": 1})).await;
}

#[tokio::test]
async fn flowgear_authorization_header_runs_a_flow() {
    let server = Server::start().await;
    let header = server.adapt(include_str!("../fixtures/samples/flowgear-header.txt"), "");
    let sample = format!("curl '{}' -H '{}' -d '{{\"a\": 1}}'", server.execute, header.trim());
    server.ran(curl(&sample).await, &json!({"a": 1})).await;
}

#[tokio::test]
async fn flowgear_key_in_the_query_runs_a_flow_with_and_without_a_trailing_slash() {
    let server = Server::start().await;
    let trigger = server.trigger().await;
    for url in [trigger.url.clone(), format!("{}/", trigger.url)] {
        let url = server.adapt(include_str!("../fixtures/samples/flowgear-query.url"), &url);
        server.ran(curl(&format!("curl '{}' -d '{{\"a\": 1}}'", url.trim())).await, &json!({"a": 1})).await;
    }
}

#[tokio::test]
async fn flowgear_names_an_environment_that_is_not_production_in_the_query() {
    let server = Server::start().await;
    let trigger = server.trigger().await;
    server.app.post("/groups/acme/flows/mirror/publish", json!({"environment": "test"})).await;
    let made = json!({"name": "site-environment-test", "environment": "test"});
    let made = server.app.post("/groups/acme/api-keys", made).await;
    let changed = server.app.manage(reqwest::Method::PATCH, "/groups/acme").json(&json!({"profile_required": true}));
    assert_eq!(changed.send().await.unwrap().status(), 200);
    let call = async |query: &str| {
        let url = format!("{}?auth-key={}{query}", trigger.url, made["api_key"].as_str().unwrap());
        curl(&format!("curl '{url}' -d '{{}}'")).await
    };
    for (query, expected) in [
        ("&_profile=Test", "\"environment\":\"test\""),
        ("", "wrong_environment"),
        ("&_profile=Production", "wrong_environment"),
    ] {
        if let Some(output) = call(query).await {
            assert!(output.contains(expected), "{query}: {output}");
        }
    }
}
