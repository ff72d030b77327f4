//! The client for URLs that somebody else wrote.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::super::guarded::{GuardedClient, GuardedError};
use super::app::App;
use super::{Egress, lookup, settings};

const SOON: Duration = Duration::from_secs(5);

fn to(url: &str) -> http::Request<Bytes> {
    http::Request::post(url).body(Bytes::from_static(b"{}")).unwrap()
}

fn client(allow_private: &[String], addresses: &[&str]) -> GuardedClient {
    let egress = Egress::with_lookup(settings(allow_private), lookup(addresses)).unwrap();
    egress.guarded_client().unwrap()
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let app = App::start().await;
    let port = app.address.port();
    let guarded = client(&[], &["127.0.0.1", "10.1.2.3"]);
    for url in [
        format!("http://127.0.0.1:{port}/reflect"),
        format!("http://[::ffff:127.0.0.1]:{port}/reflect"),
        format!("http://2130706433:{port}/reflect"),
        format!("http://rebound.example.com:{port}/reflect"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let error = guarded.send(to(&url), SOON, 1000).await.unwrap_err();
        assert!(matches!(&error, GuardedError::Denied(text) if text.contains("not public")), "{url}: {error}");
    }
    for url in ["ftp://example.com/", "http://user:password@example.com/"] {
        assert!(matches!(guarded.send(to(url), SOON, 1000).await, Err(GuardedError::Url)), "{url}");
    }
    assert_eq!(app.accepted(), 0);
}

#[tokio::test]
async fn an_exempted_host_answers_and_its_redirects_are_not_followed() {
    let app = App::start().await;
    let guarded = client(&[app.address.to_string()], &["127.0.0.1"]);
    let answer = guarded.send(to(&app.url("/reflect")), SOON, 1000).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.body().ends_with(b"{}"), "{answer:?}");
    let redirect = http::Request::get(app.url("/redirect")).body(Bytes::new()).unwrap();
    let answer = guarded.send(redirect, SOON, 1000).await.unwrap();
    assert_eq!((answer.status(), app.requests()), (StatusCode::FOUND, 2));
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let app = App::start().await;
    let guarded = client(&[app.address.to_string()], &["127.0.0.1"]);
    let get = |path| http::Request::get(app.url(path)).body(Bytes::new()).unwrap();
    let error = guarded.send(get("/endless"), SOON, 5000).await.unwrap_err();
    assert!(matches!(error, GuardedError::TooLarge(5000)), "{error}");
    for path in ["/stall-head", "/stall-body"] {
        let error = guarded.send(get(path), Duration::from_millis(50), 5000).await.unwrap_err();
        assert!(matches!(error, GuardedError::Timeout(_)), "{path}: {error}");
    }
}
