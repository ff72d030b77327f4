//! Credentials that belong into the body. Where exactly they are put is told in `insertion`.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use http_body_util::StreamBody;

use super::super::Reason;
use super::super::body::MAX_PLACED;
use super::app::App;
use super::*;

fn in_body(pointer: &str) -> Vec<Placement> {
    vec![Placement::Body { pointer: pointer.into(), value: "${secret.token}".into() }]
}

fn json(url: &str, body: &str) -> http::Request<WasiBody> {
    let mut request = request(url, body);
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    request
}

#[tokio::test]
async fn a_key_is_put_into_the_body_and_taken_out_of_the_answer() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &in_body("/auth/key")));
    let mut announced = json(&app.url("/reflect"), r#"{"n":1.50}"#);
    announced.headers_mut().insert("content-length", "10".parse().unwrap());
    let text = call(&egress, &grant, announced).await.unwrap().2;
    assert!(text.ends_with("\n{\"n\":1.50,\"auth\":{\"key\":\"[redacted]\"}}"), "{text}");
    let length = format!(r#"{{"n":1.50,"auth":{{"key":"{SECRET}"}}}}"#).len();
    assert!(text.contains(&format!("\ncontent-length: {length}\n")), "{text}");

    // A POST that would have no body gets one.
    let mut empty = get(&app.url("/reflect"));
    *empty.method_mut() = Method::POST;
    let text = call(&egress, &grant, empty).await.unwrap().2;
    assert!(text.contains("\ncontent-type: application/json\n"), "{text}");
    assert!(text.ends_with("\n{\"auth\":{\"key\":\"[redacted]\"}}"), "{text}");
}

#[tokio::test]
async fn a_body_that_cannot_hold_the_key_is_refused() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &in_body("/key")));
    let url = app.url("/reflect");
    let plain = || {
        let mut request = json(&url, "{}");
        request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        request
    };
    let twice = || {
        let mut request = json(&url, "{}");
        request.headers_mut().append("content-type", "text/plain".parse().unwrap());
        request
    };
    for (request, why) in [
        (json(&url, r#"{"key":"guests-own"}"#), "its member \"/key\" is not the connector's to set"),
        (json(&url, r#"{"KEY":"guests-own"}"#), "its member \"/key\" is not the connector's to set"),
        (json(&url, "[1]"), "its JSON has no object where the server has to put \"/key\""),
        (json(&url, "guests-own"), "its JSON has no object where the server has to put \"/key\""),
        (plain(), "its content type is not application/json"),
        (twice(), "its content type is not application/json"),
        (request(&url, "{}"), "its content type is not application/json"),
        (get(&url), "a GET without one cannot be authenticated"),
    ] {
        let denial = denied(&egress, &grant, request).await;
        assert_eq!(denial.reason, Reason::Body(why.to_owned()));
        assert_eq!(denial.host, app.address.to_string());
        assert!(!denial.to_string().contains("guests-own"), "{denial}");
    }
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn a_body_that_is_too_large_for_it_is_refused() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &in_body("/key")));
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(MAX_PLACED as usize));
    let error = call(&egress, &grant, json(&app.url("/reflect"), &large)).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestBodySize(Some(MAX_PLACED))), "{error:?}");
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_request_body = 100;
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(80));
    let error = call(&Egress::new(settings).unwrap(), &grant, json(&app.url("/reflect"), &body)).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestBodySize(Some(100))), "{error:?}");
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn a_request_that_waits_for_a_place_at_its_host_holds_no_body() {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_connections_per_host = 1;
    settings.connect_timeout = Duration::from_millis(200);
    let egress = Egress::new(settings).unwrap();
    let bearer = grant("acme", &[&app.url("/")], &bearer());
    let in_body = grant("acme", &[&app.url("/")], &in_body("/key"));
    let read = Arc::new(AtomicUsize::new(0));
    let large = || {
        let read = read.clone();
        let chunks = ["{\"x\":\"", "y", "\"}"].into_iter().map(move |chunk| {
            read.fetch_add(1, Ordering::Relaxed);
            Ok(http_body::Frame::data(Bytes::from_static(chunk.as_bytes())))
        });
        let body = StreamBody::new(futures::stream::iter(chunks)).boxed_unsync();
        json(&app.url("/reflect"), "{}").map(|_| body)
    };
    let held = head(&egress, &bearer, get(&app.url("/stall-body"))).await.unwrap();
    let error = call(&egress, &in_body, large()).await.unwrap_err();
    assert!(matches!(error, WasiError::ConnectionLimitReached), "{error:?}");
    assert_eq!(read.load(Ordering::Relaxed), 0);
    drop(held);
    let text = call(&egress, &in_body, large()).await.unwrap().2;
    assert!(text.ends_with("{\"x\":\"y\",\"key\":\"[redacted]\"}"), "{text}");
    assert_eq!(read.load(Ordering::Relaxed), 3);
}
