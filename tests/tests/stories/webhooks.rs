//! What callers of a trigger are answered, from the flow's own response to the server's own fault.

use std::time::Duration;

use headgate_tests::{Answer, Key, TestApp, Trigger, logs};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A server with a flow, a key and a trigger.
struct Hook {
    app: TestApp,
    key: Key,
    trigger: Trigger,
}

impl Hook {
    async fn of(guest: &str, settings: Value) -> Self {
        Self::at(TestApp::start().await, guest, settings).await
    }

    async fn at(app: TestApp, guest: &str, settings: Value) -> Self {
        app.publish(guest, guest).await;
        let (key, trigger) = (app.key("sender").await, app.trigger(guest, settings).await);
        Self { app, key, trigger }
    }

    fn post(&self, body: impl Into<Body>) -> RequestBuilder {
        let url = format!("{}/hooks/{}", self.app.url(), self.trigger.routing_key);
        self.app.client().post(url).bearer_auth(&self.key.secret).body(body)
    }

    async fn fire(&self, body: impl Into<Body>) -> Answer {
        Answer::to(self.post(body)).await
    }

    async fn tell(&self, order: Value) -> Answer {
        self.fire(order.to_string()).await
    }

    async fn run_of(&self, answer: &Answer) -> Value {
        self.app.get(&format!("/groups/acme/runs/{}", answer.header("headgate-run-id"))).await
    }
}

#[tokio::test]
async fn a_synchronous_caller_gets_the_flows_own_response() {
    let hook = Hook::of("mirror", json!({})).await;
    let headers = json!([["x-tea", "green"], ["x-tea", "black"], ["content-type", "text/plain"], ["connection", "x"]]);
    let answer = hook.tell(json!({"answer": {"status": 418, "headers": headers, "body": "short and stout"}})).await;
    assert_eq!((answer.status, answer.text()), (418, "short and stout"));
    assert_eq!(answer.headers.get_all("x-tea").iter().collect::<Vec<_>>(), ["green", "black"]);
    assert_eq!(answer.header("content-type"), "text/plain");
    assert_eq!(answer.header("connection"), "");

    let run = hook.run_of(&answer).await;
    assert_eq!((&run["state"], &run["respond"]), (&json!("succeeded"), &json!("sync")));
    let outcome = &run["outcome"]["response"];
    assert_eq!((&outcome["status"], &outcome["size"]), (&json!(418), &json!(15)));
    assert_eq!(outcome["body"]["text"], "short and stout");
    assert_eq!(run["trigger"], hook.trigger.id);
    assert!(run["event"]["body"]["text"].as_str().unwrap().contains("short and stout"));
}

#[tokio::test]
async fn a_flow_cannot_give_another_run_for_its_own() {
    let hook = Hook::of("mirror", json!({})).await;
    let headers = json!([["headgate-run-id", "0"]]);
    let answer = hook.tell(json!({"answer": {"status": 200, "headers": headers, "body": ""}})).await;
    assert_eq!(answer.headers.get_all("headgate-run-id").iter().count(), 1);
    assert_eq!(hook.run_of(&answer).await["id"], answer.header("headgate-run-id"));
}

#[tokio::test]
async fn an_asynchronous_caller_gets_the_runs_id_once_it_is_durable() {
    let hook = Hook::of("mirror", json!({"respond": "async"})).await;
    let answer = hook.fire("hello").await;
    assert_eq!(answer.status, 202);
    let accepted = answer.json();
    assert_eq!((&accepted["status"], &accepted["run"]), (&json!("queued"), &json!(answer.header("headgate-run-id"))));
    // It can be read at once, whatever stands it is in.
    assert_eq!(hook.run_of(&answer).await["event"]["body"]["text"], "hello");
    let run = hook.app.ended(accepted["run"].as_str().unwrap()).await;
    assert_eq!((&run["state"], &run["respond"]), (&json!("succeeded"), &json!("async")));
    let body = run["outcome"]["response"]["body"]["text"].as_str().unwrap();
    assert!(body.contains("\"size\":5"), "{body}");
    let listed = hook.app.get("/groups/acme/runs").await;
    assert_eq!(listed.as_array().unwrap().iter().filter(|listed| listed["id"] == run["id"]).count(), 1);
}

#[tokio::test]
async fn an_asynchronous_run_takes_what_it_can_keep() {
    let app = TestApp::with(|settings| settings.service.max_body = 20 << 20).await;
    let hook = Hook::at(app, "mirror", json!({"respond": "async", "max_body": 16 << 20})).await;
    let answer = hook.fire(vec![b'x'; 16 << 20]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = hook.app.ended(answer.header("headgate-run-id")).await;
    assert_eq!((&run["state"], &run["event"]["size"]), (&json!("succeeded"), &json!(16 << 20)));

    // Nor does it take more where the server's own bound would let it.
    let wide = hook.app.trigger("mirror", json!({"respond": "async"})).await;
    assert_eq!(hook.app.fire(&wide, &hook.key, vec![b'x'; (16 << 20) + 1]).await.status(), 413);
    let larger = json!({"respond": "async", "max_body": (16 << 20) + 1});
    let larger = hook.app.manage(Method::POST, "/groups/acme/flows/mirror/triggers").json(&larger);
    let (status, _, message) = Answer::to(larger).await.problem();
    assert_eq!((status, message.as_str()), (400, "max_body must be between 1 and 16777216"));
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_announced_or_not() {
    let hook = Hook::of("mirror", json!({"max_body": 1000})).await;
    let chunked = |size: usize| {
        let pieces =
            (0..size.div_ceil(1000)).map(move |n| Ok::<_, std::io::Error>(vec![b'x'; 1000.min(size - n * 1000)]));
        Body::wrap_stream(futures::stream::iter(pieces))
    };
    for size in [1000, 1001, 4 << 20] {
        for (manner, body) in [("announced", Body::from(vec![b'x'; size])), ("chunked", chunked(size))] {
            let answer = hook.fire(body).await;
            if size == 1000 {
                assert_eq!((answer.status, &answer.json()["size"]), (200, &json!(1000)), "{manner}");
                continue;
            }
            let message = "The body is larger than the 1000 bytes allowed here";
            assert_eq!(answer.problem(), (413, "body_too_large".into(), message.into()), "{manner}, {size} bytes");
        }
    }
    let default = hook.app.trigger("mirror", json!({})).await;
    for (size, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        assert_eq!(hook.app.fire(&default, &hook.key, vec![b'x'; size]).await.status(), status, "{size} bytes");
    }
}

#[tokio::test]
async fn whoever_is_refused_early_gets_to_read_why() {
    let hook = Hook::of("mirror", json!({})).await;
    let routing_key = &hook.trigger.routing_key;
    for (request, status) in [
        (format!("POST /hooks/{routing_key} HTTP/1.1"), "401"),
        (format!("POST /hooks/{routing_key} HTTP/1.1\r\nx-api-key: {}", hook.key.secret), "413"),
        ("PUT /api/v1/groups/acme/connectors HTTP/1.1".to_owned(), "401"),
    ] {
        // A plain sender: it sends all, more than the buffers between the two hold, before it reads anything.
        let mut socket = TcpStream::connect(hook.app.app().address()).await.unwrap();
        let body = vec![b'x'; 24 << 20];
        let head = format!("{request}\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_large_body_reaches_the_flow_as_a_blob() {
    let hook = Hook::of("mirror", json!({"max_body": 4 << 20})).await;
    for (size, form) in [(100_000, "inline"), (3 << 20, "blob")] {
        let event = hook.fire(vec![b'x'; size]).await.json();
        assert_eq!((&event["size"], &event["body"]), (&json!(size), &json!(form)));
    }
}

#[tokio::test]
async fn bodies_pass_byte_for_byte() {
    let hook = Hook::of("hash", json!({"max_body": 4 << 20, "methods": ["POST", "GET"]})).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for body in [every_byte.clone(), every_byte.repeat(10_000), Vec::new(), b"{\"a\": \"\\u0000\"}\n".to_vec()] {
        let answer = hook.fire(body.clone()).await;
        assert_eq!((answer.status, answer.body.len()), (200, body.len()));
        assert!(answer.body == body);
    }
    let get = Answer::to(hook.app.client().get(&hook.trigger.url).bearer_auth(&hook.key.secret)).await;
    assert_eq!((get.status, get.body.len()), (200, 0));
}

#[tokio::test]
async fn what_a_flow_says_went_wrong_is_handed_on() {
    let hook = Hook::of("mirror", json!({})).await;
    let order =
        json!({"code": "lead_unknown", "message": "There is no such lead.", "retryable": true, "details": {"n": 1}});
    let answer = hook.tell(json!({ "fail": order })).await;
    assert_eq!(answer.problem(), (502, "lead_unknown".into(), "There is no such lead.".into()));
    let body = answer.json();
    assert_eq!((&body["retryable"], &body["details"]), (&json!(true), &json!({"n": 1})));
    assert_eq!(body["run"], answer.header("headgate-run-id"));
    let run = hook.run_of(&answer).await;
    assert_eq!((&run["state"], &run["outcome"]["failure"]["code"]), (&json!("failed"), &json!("lead_unknown")));
}

#[tokio::test]
async fn a_flow_that_breaks_is_told_apart_from_one_that_fails_and_one_that_takes_too_long() {
    let hook = Hook::of("hostile-flow", json!({"timeout_ms": 500})).await;
    for (order, status, code, message) in [
        (json!({"do": "panic"}), 502, "trap", "the flow trapped: "),
        (json!({"do": "exit"}), 502, "exit", "the flow called exit(1)"),
        (json!({"do": "sleep", "milliseconds": 60_000}), 504, "timeout", "the flow did not end within 500ms"),
        (json!({"do": "loop"}), 504, "timeout", "the flow did not end within 500ms"),
    ] {
        let answer = hook.tell(order.clone()).await;
        let (got, got_code, text) = answer.problem();
        assert_eq!((got, got_code.as_str()), (status, code), "{order}: {text}");
        assert!(text.starts_with(message), "{text}");
        let run = hook.run_of(&answer).await;
        assert_eq!((&run["state"], &run["outcome"]["failure"]["message"]), (&json!("failed"), &json!(text)));
    }
    // The neighbours live on.
    assert_eq!(hook.tell(json!({"do": "open", "slot": "x"})).await.status, 200);
}

#[tokio::test]
async fn the_servers_own_fault_is_an_id_that_its_log_explains() {
    logs::capture();
    let hook = Hook::of("mirror", json!({})).await;
    let app = hook.app.restart_after(|data| std::fs::remove_dir_all(data.join("modules")).unwrap()).await;
    let hook = Hook { app, ..hook };
    let answer = hook.fire("hello").await;
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (500, "internal"));
    let told = "Something went wrong on the server. Its log says what, under the id: ";
    let id = message.strip_prefix(told).unwrap_or_else(|| panic!("{message}"));
    let lines = logs::lines_with(&[id]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains("is missing"), "{lines:?}");
    assert!(!answer.text().contains("missing") && !answer.text().contains("sha256"), "{}", answer.text());
}

#[tokio::test]
async fn callers_beyond_what_fits_wait_and_are_then_told_to_come_back() {
    let app = TestApp::with(|settings| {
        settings.wasm.flow_instances = 1;
        settings.wasm.queue_wait = Duration::from_millis(50);
    });
    let hook = Hook::at(app.await, "hostile-flow", json!({})).await;
    let slow = hook.app.trigger("hostile-flow", json!({"respond": "async", "timeout_ms": 60_000})).await;
    let sleep = json!({"do": "sleep", "milliseconds": 60_000}).to_string();
    assert_eq!(hook.app.fire(&slow, &hook.key, sleep).await.status(), 202);
    // Until the sleeper has the only place, callers are served.
    let quick = json!({"do": "open", "slot": "x"});
    let refused = async {
        loop {
            let answer = hook.tell(quick.clone()).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    let (status, code, message) = answer.problem();
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (503, "overloaded", "All instances are busy. Try again in 1 s")
    );
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_queue_that_is_full_says_so_and_drops_nothing() {
    let app = TestApp::with(|settings| {
        settings.service.queue = 1;
        settings.service.concurrent_async_runs = 1;
    });
    let hook = Hook::at(app.await, "hostile-flow", json!({"respond": "async", "timeout_ms": 1_000})).await;
    let first = hook.tell(json!({"do": "sleep", "milliseconds": 60_000})).await;
    assert_eq!(first.status, 202);
    let second = hook.tell(json!({"do": "open", "slot": "x"})).await;
    assert_eq!(second.problem().1, "overloaded");
    assert_eq!((second.status, second.header("retry-after")), (503, "5"));
    let ended = hook.app.ended(first.header("headgate-run-id")).await;
    assert_eq!(ended["outcome"]["failure"]["code"], "timeout");
    assert_eq!(hook.app.get("/groups/acme/runs").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn management_says_which_media_type_it_takes() {
    let app = TestApp::start().await;
    let post = app.manage(Method::POST, "/groups").body("{}");
    let message = "The body must be JSON. Send it with: Content-Type: application/json";
    assert_eq!(Answer::to(post).await.problem(), (415, "unsupported_media_type".into(), message.into()));
    let push = app.manage(Method::PUT, "/groups/acme/connectors").header("content-type", "text/plain").body("x");
    let message = "The body must be a component. Send it with: Content-Type: application/wasm";
    assert_eq!(Answer::to(push).await.problem(), (415, "unsupported_media_type".into(), message.into()));
    let large = app.manage(Method::POST, "/groups").json(&json!({"name": "x".repeat(3 << 20)}));
    let message = "The body is larger than the 2 MiB allowed here";
    assert_eq!(Answer::to(large).await.problem(), (413, "body_too_large".into(), message.into()));
}
