use http_body_util::StreamBody;

use super::app::App;
use super::*;

/// Sends one request with these settings to an app that misbehaves; answers how it failed.
async fn failure(path: &str, change: impl FnOnce(&mut EgressSettings)) -> WasiError {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    change(&mut settings);
    let grant = grant("acme", &[&app.url("/")], &bearer());
    call(&Egress::new(settings).unwrap(), &grant, get(&app.url(path))).await.unwrap_err()
}

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let error = failure("/endless", |settings| settings.max_response_body = 10_000).await;
    assert!(matches!(error, WasiError::HttpResponseBodySize(Some(10_000))), "{error:?}");
    let error = failure("/trickle", |settings| settings.total_timeout = SOON).await;
    assert!(matches!(error, WasiError::HttpResponseTimeout), "{error:?}");
}

#[tokio::test]
async fn a_stalling_app_is_given_up() {
    let first_byte = |settings: &mut EgressSettings| {
        settings.connect_timeout = SOON;
        settings.first_byte_timeout = SOON;
    };
    let error = failure("/stall-head", first_byte).await;
    assert!(matches!(error, WasiError::HttpResponseTimeout), "{error:?}");
    let error = failure("/stall-body", |settings| settings.between_bytes_timeout = SOON).await;
    assert!(matches!(error, WasiError::ConnectionReadTimeout), "{error:?}");
}

#[tokio::test]
async fn the_guest_can_only_shorten_the_times() {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.between_bytes_timeout = SOON;
    let (egress, grant) = (Egress::new(settings).unwrap(), grant("acme", &[&app.url("/")], &bearer()));
    let day = Some(Duration::from_secs(86_400));
    let options = RequestOptions { connect_timeout: day, first_byte_timeout: day, between_bytes_timeout: day };
    let sending = egress.send(&under(&grant), &Denials::default(), get(&app.url("/stall-body")), Some(options));
    let error = body(Box::into_pin(sending).await.unwrap().0).await.unwrap_err();
    assert!(matches!(error, WasiError::ConnectionReadTimeout), "{error:?}");

    let options =
        RequestOptions { connect_timeout: Some(SOON), first_byte_timeout: Some(SOON), between_bytes_timeout: None };
    let sending = egress.send(&under(&grant), &Denials::default(), get(&app.url("/stall-head")), Some(options));
    let error = Box::into_pin(sending).await.err().unwrap();
    assert!(matches!(error, WasiError::HttpResponseTimeout), "{error:?}");
}

#[tokio::test]
async fn headers_are_bounded() {
    let error = failure("/many-headers", |settings| settings.max_header_bytes = 10_000).await;
    assert!(matches!(error, WasiError::HttpResponseHeaderSectionSize(_)), "{error:?}");
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_header_bytes = 100;
    let mut request = get(&app.url("/reflect"));
    request.headers_mut().insert("x-long", "x".repeat(100).parse().unwrap());
    let grant = grant("acme", &[&app.url("/")], &bearer());
    let error = call(&Egress::new(settings).unwrap(), &grant, request).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestHeaderSectionSize(_)), "{error:?}");
}

#[tokio::test]
async fn the_body_of_a_request_is_bounded() {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_request_body = 5_000;
    let (egress, grant) = (Egress::new(settings).unwrap(), grant("acme", &[&app.url("/")], &bearer()));
    let stream = |chunks: usize| {
        let frames = (0..chunks).map(|_| Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 1000]))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        http::Request::post(app.url("/reflect")).body(body).unwrap()
    };
    assert!(call(&egress, &grant, stream(5)).await.unwrap().2.ends_with(&"x".repeat(5_000)));
    let error = call(&egress, &grant, stream(6)).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestBodySize(Some(5_000))), "{error:?}");
    let mut announced = stream(5);
    announced.headers_mut().insert("content-length", "5001".parse().unwrap());
    let error = call(&egress, &grant, announced).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestBodySize(Some(5_001))), "{error:?}");
}

#[tokio::test]
async fn an_app_that_is_not_there() {
    let egress = Egress::new(settings(&["127.0.0.1".to_owned()])).unwrap();
    let grant = grant("acme", &["http://127.0.0.1:1"], &bearer());
    let error = call(&egress, &grant, get("http://127.0.0.1:1/")).await.unwrap_err();
    assert!(matches!(error, WasiError::ConnectionRefused), "{error:?}");

    let nowhere: Lookup = Arc::new(|_| futures::future::ready(Err(std::io::ErrorKind::NotFound.into())).boxed());
    let egress = Egress::with_lookup(settings(&[]), nowhere).unwrap();
    let grant = self::grant("acme", &["http://crm.test"], &bearer());
    let error = call(&egress, &grant, get("http://crm.test/")).await.unwrap_err();
    assert!(matches!(error, WasiError::DnsError { .. }), "{error:?}");
}

#[tokio::test]
async fn a_request_cannot_swallow_the_next_one() {
    let app = App::start().await;
    let (egress, grant) = (egress_to(app.address), grant("acme", &[&app.url("/")], &bearer()));
    let announced = |body: &str, lengths: &[&str]| {
        let mut request = request(&app.url("/reflect"), body);
        *request.method_mut() = http::Method::POST;
        for length in lengths {
            request.headers_mut().append("content-length", length.parse().unwrap());
        }
        request
    };
    let error = call(&egress, &grant, announced("", &["500"])).await.unwrap_err();
    assert!(matches!(error, WasiError::HttpRequestBodySize(Some(0))), "{error:?}");
    for lengths in [&["4", "400"][..], &["4", "4"], &["+4"], &["4, 4"], &["0x4"], &[""]] {
        let error = call(&egress, &grant, announced("body", lengths)).await.unwrap_err();
        assert!(matches!(error, WasiError::HttpProtocolError), "{lengths:?}: {error:?}");
    }
    assert_eq!(app.requests(), 0);
    // A body that ends too early breaks its connection, so that no other request follows on it.
    call(&egress, &grant, announced("body", &["400"])).await.unwrap_err();
    let swallowed = call(&egress, &grant, announced("next", &["4"])).await.unwrap().2;
    assert!(swallowed.starts_with("POST /reflect") && swallowed.ends_with("\nnext"), "{swallowed}");
    assert_eq!(app.accepted(), 2);
    // What is more than announced is not sent.
    let cut = call(&egress, &grant, announced("body and more", &["4"])).await.unwrap().2;
    assert!(cut.ends_with("\nbody"), "{cut}");
}
