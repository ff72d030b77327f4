//! A request that comes again is answered again, and run once.

use std::sync::Arc;

use headgate_tests::clock::TestClock;
use headgate_tests::{Answer, Key, TestApp, Trigger, records};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Barrier;

const AGAIN: &str = "idempotency-replayed";

/// A server whose flow `mirror` has a trigger with idempotency keys.
struct Hook {
    app: TestApp,
    key: Key,
    trigger: Trigger,
}

impl Hook {
    async fn of(settings: Value) -> Self {
        Self::at(TestApp::start().await, settings).await
    }

    async fn at(app: TestApp, settings: Value) -> Self {
        app.publish("mirror", "mirror").await;
        let (key, trigger) = (app.key("sender").await, app.trigger("mirror", settings).await);
        Self { app, key, trigger }
    }

    fn post(&self, idempotency_key: &str, body: &str) -> RequestBuilder {
        let url = format!("{}/hooks/{}", self.app.url(), self.trigger.routing_key);
        let request = self.app.client().post(url).bearer_auth(&self.key.secret).body(body.to_owned());
        request.header("idempotency-key", idempotency_key)
    }

    async fn send(&self, idempotency_key: &str, body: &str) -> Answer {
        Answer::to(self.post(idempotency_key, body)).await
    }

    async fn runs(&self) -> usize {
        self.app.get("/groups/acme/runs?limit=500").await.as_array().unwrap().len()
    }
}

fn run_of(answer: &Answer) -> String {
    answer.header("headgate-run-id").to_owned()
}

/// An answer without what tells it from the first one.
fn compared(mut answer: Answer) -> String {
    answer.headers.remove(AGAIN);
    answer.bytes()
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_one_run() {
    let hook = Hook::of(json!({"idempotency": {}})).await;
    let headers = json!([["x-tea", "green"], ["x-tea", "black"], ["content-type", "text/plain"], [AGAIN, "true"]]);
    let order = json!({"answer": {"status": 418, "headers": headers, "body": "short and stout"}}).to_string();
    let first = hook.send("k-1", &order).await;
    assert_eq!((first.status, first.text(), first.header(AGAIN)), (418, "short and stout", ""));
    for _ in 0..3 {
        let again = hook.send("k-1", &order).await;
        assert_eq!(again.header(AGAIN), "true");
        assert_eq!(compared(again), compared(first.clone()));
    }
    assert_eq!(hook.runs().await, 1);

    // A flow's failure is an answer too.
    let order =
        json!({"fail": {"code": "no_tea", "message": "There is none.", "retryable": true, "details": {"a": 1}}});
    let failed = hook.send("k-2", &order.to_string()).await;
    assert_eq!(failed.status, 502);
    let again = hook.send("k-2", &order.to_string()).await;
    assert_eq!((again.header(AGAIN), compared(again.clone())), ("true", compared(failed)));

    let (status, code, message) = hook.send("k-1", "another body").await.problem();
    assert_eq!((status, code.as_str()), (422, "idempotency_mismatch"), "{message}");
    assert_eq!(hook.send("k-3", "another body").await.status, 200);
    // Another API key has keys of its own.
    let other = hook.app.key("other").await;
    let answer = Answer::to(
        hook.app.client().post(&hook.trigger.url).bearer_auth(&other.secret).header("idempotency-key", "k-1").body("x"),
    )
    .await;
    assert_eq!((answer.status, answer.header(AGAIN)), (200, ""));
    // Without a key there is nothing to go by.
    for _ in 0..2 {
        let plain = hook.app.fire(&hook.trigger, &hook.key, "x").await;
        assert_eq!(plain.status(), 200);
    }
    assert_eq!(hook.runs().await, 6);
}

#[tokio::test]
async fn two_hundred_at_once_make_one_run() {
    for respond in ["sync", "async"] {
        let hook = Arc::new(Hook::of(json!({"respond": respond, "idempotency": {}})).await);
        let barrier = Arc::new(Barrier::new(200));
        let send = |_| {
            let (hook, barrier) = (hook.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                hook.send("the same", "hello").await
            })
        };
        let answers = futures::future::join_all((0..200).map(send)).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let first = answers.iter().filter(|answer| answer.header(AGAIN).is_empty()).count();
        assert_eq!(first, 1, "{respond}");
        let wanted = compared(answers[0].clone());
        for answer in answers {
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            assert_eq!(compared(answer), wanted, "{respond}");
        }
        assert_eq!(hook.runs().await, 1, "{respond}");
    }
}

#[tokio::test]
async fn a_key_stands_where_the_trigger_says() {
    let by_body = json!({"idempotency": {"pointer": "/event/id", "required": true}});
    let hook = Hook::of(by_body).await;
    let send = async |body: Value| {
        Answer::to(hook.app.client().post(&hook.trigger.url).bearer_auth(&hook.key.secret).body(body.to_string())).await
    };
    let first = send(json!({"event": {"id": 7}})).await;
    assert_eq!(run_of(&send(json!({"event": {"id": 7}})).await), run_of(&first));
    // A sender that counts its attempts in the body sends the same event all the same.
    let again = send(json!({"event": {"id": 7}, "attempt": 1})).await;
    assert_eq!((again.status, again.header(AGAIN), run_of(&again)), (200, "true", run_of(&first)));
    let (status, _, message) = send(json!({"event": {}})).await.problem();
    assert_eq!(status, 400);
    assert!(message.contains("/event/id"), "{message}");

    let path = format!("/groups/acme/flows/mirror/triggers/{}", hook.trigger.id);
    for (rule, status) in [
        (json!({"header": "webhook-id", "window_seconds": 3600}), 200),
        (json!({"header": "a", "pointer": "/b"}), 400),
        (json!({"header": "Authorization"}), 400),
        (json!({"pointer": "b"}), 400),
        (json!({"window_seconds": 0}), 400),
        (json!({"window_seconds": 2_592_001}), 400),
    ] {
        let change = hook.app.manage(Method::PATCH, &path).json(&json!({ "idempotency": rule }));
        assert_eq!(Answer::to(change).await.status, status, "{rule}");
    }
    let shown = hook.app.get(&path).await;
    assert_eq!(shown["idempotency"], json!({"header": "webhook-id", "window_seconds": 3600, "required": false}));
}

#[tokio::test]
async fn what_was_not_run_leaves_the_key_free() {
    let hook = Hook::of(json!({"idempotency": {}})).await;
    let spent = json!({"allowance": {"runs_per_month": 0}});
    let group = |change: Value| hook.app.manage(Method::PATCH, "/groups/acme").json(&change);
    assert_eq!(Answer::to(group(spent)).await.status, 200);
    for _ in 0..2 {
        assert_eq!(hook.send("k", "x").await.status, 402);
    }
    assert_eq!(Answer::to(group(json!({"allowance": null}))).await.status, 200);
    let first = hook.send("k", "x").await;
    assert_eq!((first.status, first.header(AGAIN)), (200, ""));
    assert_eq!(hook.send("k", "x").await.header(AGAIN), "true");
}

#[tokio::test]
async fn a_window_ends_and_nothing_is_left() {
    let clock = TestClock::at(Timestamp::now());
    let app = TestApp::with_clock(clock.clock(), |_| {}).await;
    let mut hook = Hook::at(app, json!({"idempotency": {"window_seconds": 60}})).await;
    let first = run_of(&hook.send("k", "x").await);
    clock.forward(SignedDuration::from_secs(59));
    assert_eq!(run_of(&hook.send("k", "x").await), first);
    // What was answered is known to the next server.
    hook.app = hook.app.restart().await;
    assert_eq!(run_of(&hook.send("k", "x").await), first);
    clock.forward(SignedDuration::from_secs(2));
    let second = hook.send("k", "y").await;
    assert_eq!((second.status, second.header(AGAIN)), (200, ""));
    assert_ne!(run_of(&second), first);
    assert_eq!(run_of(&hook.send("k", "y").await), run_of(&second));

    clock.forward(SignedDuration::from_secs(3600));
    hook.app = hook.app.restart().await;
    // What is over is deleted when the server begins, beside its other work; it ends after that.
    assert!(hook.runs().await >= 2);
    let dir = hook.app.stop().await;
    let data = dir.path().join("data");
    let left = std::thread::spawn(move || {
        let mut found = Vec::new();
        records::tamper(&data, |database| {
            found = database.records.scan("idempotency", None, 100).unwrap().into_iter().map(|(key, _)| key).collect();
            headgate::store::Batch::new().delete("nothing")
        });
        found
    });
    assert_eq!(left.join().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_group_remembers_a_bounded_number_of_keys_and_bytes() {
    let app = TestApp::with(|settings| {
        settings.service.idempotency_keys = 2;
        settings.service.idempotency_bytes = 3000;
    })
    .await;
    let hook = Hook::at(app, json!({"idempotency": {}})).await;
    let large = json!({"answer": {"status": 201, "headers": [], "body": "x".repeat(4000)}}).to_string();
    assert_eq!(hook.send("large", &large).await.body.len(), 4000);
    let again = hook.send("large", &large).await;
    assert_eq!((again.status, again.json()["run"].as_str().unwrap()), (201, run_of(&again).as_str()));
    assert!(again.json()["message"].as_str().unwrap().contains("4000 bytes"), "{again:?}");
    assert_eq!(hook.send("small", "x").await.status, 200);
    let full = hook.send("one more", "x").await;
    assert_eq!((full.problem().0, full.header("retry-after")), (503, "30"));
    assert_eq!(hook.send("small", "x").await.header(AGAIN), "true");

    // A trigger that goes takes its keys along.
    let path = format!("/groups/acme/flows/mirror/triggers/{}", hook.trigger.id);
    assert_eq!(Answer::to(hook.app.manage(Method::DELETE, &path)).await.status, 204);
    let other = hook.app.trigger("mirror", json!({"idempotency": {}})).await;
    let send =
        || hook.app.client().post(&other.url).bearer_auth(&hook.key.secret).header("idempotency-key", "k").body("x");
    let waiting = async {
        while Answer::to(send()).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("the keys are not let go");
}
