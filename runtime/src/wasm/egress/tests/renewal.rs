//! Newer credentials after a 401: asked for once, used from then on, scrubbed like the old ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use http_body_util::StreamBody;

use super::super::Renewal;
use super::super::body::MAX_REPEATED;
use super::app::App;
use super::*;

const NEWER: &str = "tok-newer/5f+31=b~";

/// Gives one newer grant, and counts how often it is asked.
struct Newer {
    grant: Option<Arc<Grant>>,
    asked: AtomicUsize,
}

impl Newer {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Renewal for Newer {
    fn renew<'a>(&'a self, _refused: &'a Arc<Grant>) -> BoxFuture<'a, Option<Arc<Grant>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(self.grant.clone()).boxed()
    }
}

struct Stage {
    app: App,
    egress: Arc<Egress>,
    newer: Arc<Newer>,
    authority: Authority,
}

/// A call whose token the app refuses; `token` is what it would be given instead.
async fn stage(token: Option<&str>) -> Stage {
    let app = App::start().await;
    let token = token.map(|token| grant_of(token, 2, "acme", &[&app.url("/")], &bearer()));
    let newer = Arc::new(Newer { grant: token, asked: AtomicUsize::new(0) });
    let old = grant_of(SECRET, 1, "acme", &[&app.url("/")], &bearer());
    let authority = Authority::new(old, Some(newer.clone()));
    Stage { egress: egress_to(app.address), app, newer, authority }
}

impl Stage {
    fn needs(&self, token: &str) -> String {
        let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        self.app.url(&format!("/needs/{token}"))
    }

    async fn send(&self, request: http::Request<WasiBody>) -> Result<(u16, String), WasiError> {
        let sending = self.egress.send(&self.authority, &Denials::default(), request, None);
        let response = Box::into_pin(sending).await?.0;
        Ok((response.status().as_u16(), body(response).await?))
    }
}

#[tokio::test]
async fn a_refused_request_is_sent_again_with_newer_credentials() {
    let stage = stage(Some(NEWER)).await;
    let (status, text) = stage.send(request(&stage.needs(NEWER), "the body")).await.unwrap();
    assert_eq!((status, stage.newer.asked(), stage.app.requests()), (200, 1, 2));
    assert!(text.ends_with("\nthe body") && text.contains("authorization: [redacted]"), "{text}");

    // The next request of the call has them from the start.
    let (status, _) = stage.send(get(&stage.needs(NEWER))).await.unwrap();
    assert_eq!((status, stage.newer.asked(), stage.app.requests()), (200, 1, 3));
    // The app may know either token by now.
    let (_, text) = stage.send(request(&stage.needs(NEWER), &format!("{SECRET} and {NEWER}"))).await.unwrap();
    assert!(text.ends_with("\n[redacted] and [redacted]"), "{text}");
}

#[tokio::test]
async fn a_second_refusal_is_the_answer() {
    let stage = stage(Some(NEWER)).await;
    let (status, _) = stage.send(get(&stage.needs("another"))).await.unwrap();
    assert_eq!((status, stage.newer.asked(), stage.app.requests()), (401, 1, 2));
}

#[tokio::test]
async fn without_newer_credentials_the_refusal_is_the_answer() {
    let stage = stage(None).await;
    let (status, text) = stage.send(request(&stage.needs(NEWER), "the body")).await.unwrap();
    assert_eq!((status, stage.newer.asked(), stage.app.requests()), (401, 1, 1));
    assert!(text.ends_with("\nthe body"), "{text}");
}

#[tokio::test]
async fn only_a_refusal_asks_for_newer_credentials() {
    let stage = stage(Some(NEWER)).await;
    let (status, _) = stage.send(get(&stage.needs(SECRET))).await.unwrap();
    assert_eq!((status, stage.newer.asked()), (200, 0));
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_not_sent_again() {
    let chunk = vec![b'x'; 64 << 10];
    let stream = |stage: &Stage, chunks: u64| {
        let frames = (0..chunks).map(|_| Ok(http_body::Frame::data(Bytes::copy_from_slice(&chunk))));
        let body = StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>())).boxed_unsync();
        http::Request::post(stage.needs(NEWER)).body(body).unwrap()
    };
    let chunks = MAX_REPEATED / chunk.len() as u64;
    let small = stage(Some(NEWER)).await;
    let (status, text) = small.send(stream(&small, chunks)).await.unwrap();
    assert_eq!((status, small.app.requests()), (200, 2));
    assert_eq!(text.bytes().rev().take_while(|byte| *byte == b'x').count() as u64, MAX_REPEATED);

    let large = stage(Some(NEWER)).await;
    let (status, text) = large.send(stream(&large, chunks + 1)).await.unwrap();
    assert_eq!((status, large.newer.asked(), large.app.requests()), (401, 1, 1));
    assert!(text.ends_with(&"x".repeat(chunk.len())), "the whole body arrives");
    let (status, _) = large.send(get(&large.needs(NEWER))).await.unwrap();
    assert_eq!((status, large.newer.asked()), (200, 1));
}

#[tokio::test]
async fn newer_credentials_go_no_further_than_their_grant() {
    let stage = stage(None).await;
    let elsewhere = grant_of(NEWER, 2, "acme", &["https://elsewhere.example"], &bearer());
    let newer = Arc::new(Newer { grant: Some(elsewhere), asked: AtomicUsize::new(0) });
    let authority = Authority::new(stage.authority.grant(), Some(newer));
    let denials = Denials::default();
    let sending = stage.egress.send(&authority, &denials, get(&stage.needs(NEWER)), None);
    assert!(matches!(Box::into_pin(sending).await, Err(WasiError::HttpRequestDenied)));
    assert_eq!((denials.list().len(), stage.app.requests()), (1, 1));

    // Another connection's grant is never used.
    let mut other = Grant::clone(&grant_of(NEWER, 2, "acme", &[&stage.app.url("/")], &bearer()));
    other.connection = "con_9999999999zzzzzzzzzz".parse().unwrap();
    let newer = Arc::new(Newer { grant: Some(Arc::new(other)), asked: AtomicUsize::new(0) });
    let authority = Authority::new(stage.authority.grant(), Some(newer));
    let sending = stage.egress.send(&authority, &denials, get(&stage.needs(NEWER)), None);
    assert_eq!(Box::into_pin(sending).await.unwrap().0.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(stage.app.requests(), 2);
}

#[tokio::test]
async fn requests_that_are_refused_together_all_go_on_at_a_busy_host() {
    let app = App::start().await;
    let newer = grant_of(NEWER, 2, "acme", &[&app.url("/")], &bearer());
    let newer = Arc::new(Newer { grant: Some(newer), asked: AtomicUsize::new(0) });
    let old = grant_of(SECRET, 1, "acme", &[&app.url("/")], &bearer());
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_connections_per_host = 2;
    let stage = Stage {
        egress: Egress::new(settings).unwrap(),
        authority: Authority::new(old, Some(newer.clone())),
        app,
        newer,
    };
    let all = futures::future::join_all((0..12).map(|_| stage.send(get(&stage.needs(NEWER))))).await;
    assert!(all.iter().all(|sent| sent.as_ref().is_ok_and(|(status, _)| *status == 200)), "{all:?}");
}
