use std::io;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;

use super::app::App;
use super::*;

#[tokio::test]
async fn credentials_are_put_on_the_request_and_taken_out_of_the_answer() {
    let app = App::start().await;
    let placements = [
        Placement::Bearer { value: "${secret.token}".into() },
        Placement::Query { name: "k".into(), value: "${secret.token}".into() },
        Placement::Header { name: "Api-Version".into(), value: "2022-06-28".into() },
    ];
    let grant = grant("acme", &[&app.url("/")], &placements);
    let mut request = request(&app.url("/x/../reflect?a=b"), "the body");
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let (status, headers, body) = call(&egress_to(app.address), &grant, request).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["x-reflected"], "[redacted]");
    assert!(!headers.contains_key("content-length"));
    assert!(body.starts_with("POST /reflect?a=b&k=[redacted]\n"), "{body}");
    assert!(body.ends_with("\nthe body"), "{body}");
    for line in ["authorization: [redacted]", "api-version: 2022-06-28", "accept-encoding: identity"] {
        assert!(body.lines().any(|l| l == line), "{line} is not in {body}");
    }
    assert!(body.contains(&format!("host: {}", app.address)), "{body}");
}

#[tokio::test]
async fn every_form_of_the_secret_is_taken_out() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &bearer()));
    let body = call(&egress, &grant, get(&app.url("/forms"))).await.unwrap().2;
    let parts: Vec<_> = body.split(' ').collect();
    assert_eq!(parts.len(), 7, "{body}");
    for (i, part) in parts.iter().enumerate() {
        assert!(part.contains("[redacted]"), "{i}: {body}");
    }
    assert_eq!(parts[5], r#"{"token":"[redacted]"}"#);
}

#[tokio::test]
async fn a_secret_in_two_chunks_is_found() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &bearer()));
    for at in 0..=format!("before {SECRET} after").len() {
        let body = call(&egress, &grant, get(&app.url(&format!("/pieces/{at}")))).await.unwrap().2;
        assert_eq!(body, "before [redacted] after", "cut at {at}");
    }
}

#[tokio::test]
async fn a_redirect_is_handed_to_the_guest() {
    let app = App::start().await;
    let grant = grant("acme", &[&app.url("/")], &bearer());
    let (status, headers, body) = call(&egress_to(app.address), &grant, get(&app.url("/redirect"))).await.unwrap();
    assert_eq!((status, body.as_str()), (StatusCode::FOUND, "moved"));
    assert_eq!(headers["location"], "http://127.0.0.1:1/elsewhere?token=[redacted]");
}

#[tokio::test]
async fn headers_of_the_connection_and_cookies_stay_here() {
    let app = App::start().await;
    let placements = [Placement::Header { name: "X-Api-Key".into(), value: "${secret.token}".into() }];
    let grant = grant("acme", &[&app.url("/")], &placements);
    let headers = call(&egress_to(app.address), &grant, get(&app.url("/headers"))).await.unwrap().1;
    for hidden in ["set-cookie", "authorization", "x-api-key", "connection", "x-hop", "transfer-encoding"] {
        assert!(!headers.contains_key(hidden), "{hidden}");
    }
    assert_eq!(headers["x-end"], "1");
}

#[tokio::test]
async fn an_encoded_answer_is_refused() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &bearer()));
    let error = call(&egress, &grant, get(&app.url("/gzip"))).await.unwrap_err();
    assert!(matches!(&error, WasiError::HttpResponseContentCoding(Some(coding)) if coding == "gzip"), "{error:?}");
    assert!(call(&egress, &grant, get(&app.url("/gzip-empty"))).await.is_ok());
}

#[test]
fn no_log_line_holds_a_secret() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        // On one thread, so that the client's own tasks log here too.
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let app = App::start().await;
            let placements = [
                Placement::Bearer { value: "${secret.token}".into() },
                Placement::Query { name: "k".into(), value: "${secret.token}".into() },
            ];
            let grant = grant("acme", &[&app.url("/"), "http://127.0.0.1:1"], &placements);
            let egress = Egress::new(settings(&["127.0.0.1".to_owned()])).unwrap();
            call(&egress, &grant, get(&app.url("/reflect"))).await.unwrap();
            call(&egress, &grant, get("http://127.0.0.1:1/refused")).await.unwrap_err();
            denied(&egress, &grant, get("https://evil.example/?q=guests-query")).await;
        });
    });
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a connector's request was denied"), "{log}");
    assert!(log.contains("host=evil.example") && log.contains("connection=crm") && log.contains("group=acme"), "{log}");
    assert!(log.contains("a connector's request failed"), "{log}");
    assert!(!log.contains("guests-query"), "{log}");
    let scrub = grant("acme", &[], &bearer()).scrub.clone();
    assert_eq!(scrub.scrub_str(&log), log);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
