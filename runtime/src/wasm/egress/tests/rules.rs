use std::sync::Mutex;

use reqwest::dns::Resolve;

use super::super::address::AddressClass;
use super::super::resolver::{Blocked, Guarded, Reach};
use super::super::{EgressHooks, Exemption, Reason};
use super::*;
use wasmtime_wasi_http::WasiHttpHooks;

#[test]
fn addresses_have_their_class() {
    use AddressClass::*;
    for (class, addresses) in [
        (
            Public,
            "1.1.1.1 8.8.8.8 93.184.215.14 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 2606:4700:4700::1111 2a00::1",
        ),
        (Private, "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fd12:3456::1 fec0::1"),
        (Loopback, "127.0.0.1 127.255.255.254 ::1"),
        (LinkLocal, "169.254.0.1 fe80::1 febf::1"),
        (Metadata, "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254"),
        (SharedNat, "100.64.0.1 100.127.255.255"),
        (Multicast, "224.0.0.1 239.255.255.255 255.255.255.255 ff02::1"),
        (Example, "192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 2001:db8::1 3fff::1 2001:2::1"),
        (Reserved, "0.0.0.0 0.1.2.3 192.0.0.8 192.88.99.1 240.0.0.1 255.255.255.254 :: 100::1 5f00::1 4000::1 e000::1"),
        // Forms that stand for a version 4 address have that one's class.
        (Loopback, "::ffff:127.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::"),
        (Metadata, "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1"),
        (Private, "::ffff:10.0.0.1 64:ff9b::10.0.0.1 2002:c0a8:101::1"),
        (Public, "::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1"),
        (Reserved, "64:ff9b:1::a00:1 64:ff9b:1:0:0:0:1.1.1.1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1"),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(AddressClass::of(address.parse().unwrap()), class, "{address}");
        }
    }
}

#[test]
fn exemptions_are_read_and_written() {
    for (text, canonical) in [
        ("CRM.internal", "crm.internal"),
        ("localhost:8080", "localhost:8080"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("[::1]", "::1/128"),
        ("::1", "::1/128"),
        ("10.1.2.3/16", "10.1.0.0/16"),
    ] {
        let exemption: Exemption = text.parse().unwrap();
        assert_eq!(exemption.to_string(), canonical);
        assert_eq!(canonical.parse::<Exemption>().unwrap(), exemption);
    }
    for text in ["", "*.internal", "http://localhost", "a/b", "localhost:x", "10.0.0.0/33", "host."] {
        let error = text.parse::<Exemption>().unwrap_err().to_string();
        assert!(error.contains("egress.allow_private"), "{error}");
    }
}

#[test]
fn settings_are_read_from_text() {
    let json = r#"{"allow_private": ["localhost:9000"], "total_timeout": "3m"}"#;
    let settings: EgressSettings = serde_json::from_str(json).unwrap();
    assert_eq!(settings.total_timeout, Duration::from_secs(180));
    assert_eq!(settings.connect_timeout, Duration::from_secs(10));
    assert!(settings.exempts("localhost", 9000) && !settings.exempts("localhost", 9001));
    assert!(serde_json::from_str::<EgressSettings>(r#"{"allow_privat": []}"#).is_err());
}

#[tokio::test]
async fn no_way_of_writing_a_url_leaves_the_grant() {
    let egress = Egress::with_lookup(settings(&[]), lookup(&["127.0.0.1"])).unwrap();
    let grant = grant("acme", &["https://api.example.com/v1"], &bearer());
    for url in [
        "https://evil.example/v1/a",
        "http://api.example.com/v1/a",
        "https://api.example.com:8443/v1/a",
        "https://x.api.example.com/v1/a",
        "https://api.example.com.evil.example/v1/a",
        "https://api.example.com./v1/a",
        "https://api.example.com/",
        "https://api.example.com/V1/a",
        "https://api.example.com/v10",
        "https://api.example.com//evil.example/v1",
        "https://api.example.com/v1/../admin",
        "https://api.example.com/v1/%2e%2e/admin",
        "https://api.example.com/v1/..%2Fadmin",
        "https://api.example.com/v1/..%5Cadmin",
        "https://api.example.com/v1/%252e%252e/admin",
        "https://api.example.com/v1/..;/admin",
        r"https://api.example.com/v1\..\admin",
        "https://xn--api-example-com.evil/v1/a",
        "https://127.0.0.1/v1/a",
        "https://2130706433/v1/a",
        "https://0x7f.1/v1/a",
        "https://[::1]/v1/a",
    ] {
        let denial = denied(&egress, &grant, get(url)).await;
        assert_eq!(denial.reason, Reason::NotGranted, "{url}");
        assert!(denial.allowed_by.contains("Connection \"crm\" allows https://api.example.com/v1/"), "{denial}");
    }
    for url in [
        "https://user@api.example.com/v1/a",
        "https://api.example.com@evil.example/v1/a",
        "https://:p@api.example.com/v1",
    ] {
        let denial = denied(&egress, &grant, get(url)).await;
        assert_eq!(denial.reason, Reason::Userinfo, "{url}");
        assert!(!denial.to_string().contains("user@"), "{denial}");
    }
    for method in ["CONNECT", "TRACE"] {
        let mut request = get("https://api.example.com/v1/a");
        *request.method_mut() = method.parse().unwrap();
        assert_eq!(denied(&egress, &grant, request).await.reason, Reason::Method(method.into()));
    }
}

#[tokio::test]
async fn the_guest_cannot_set_what_the_host_sets() {
    let egress = Egress::with_lookup(settings(&[]), lookup(&["127.0.0.1"])).unwrap();
    let placements = [
        Placement::Header { name: "X-Api-Key".into(), value: "${secret.token}".into() },
        Placement::Query { name: "auth_token".into(), value: "${secret.token}".into() },
    ];
    let grant = grant("acme", &["https://api.example.com"], &placements);
    let mut hooks = EgressHooks::new(egress.clone(), under(&grant), Denials::default());
    for name in [
        "Authorization",
        "Cookie",
        "Host",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Anything",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
        "X-API-KEY",
        "x_api_key",
        "Range",
        "If-Range",
    ] {
        let mut request = get("https://api.example.com/a");
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name.clone(), "guests-own".parse().unwrap());
        let denial = denied(&egress, &grant, request).await;
        assert_eq!(denial.reason, Reason::Header(name.to_string()));
        assert!(!denial.to_string().contains("guests-own"), "{denial}");
        assert!(hooks.is_forbidden_header(&name) && hooks.forbidden_header_filter()(&name), "{name}");
    }
    assert!(!hooks.is_forbidden_header(&"content-type".parse().unwrap()));
    for query in
        ["auth_token=x", "a=b&AUTH_TOKEN=x", "auth%5ftoken=x", "%61uth_token", "a=b;auth_token=x", "+auth_token=x"]
    {
        let denial = denied(&egress, &grant, get(&format!("https://api.example.com/a?{query}"))).await;
        assert!(
            matches!(&denial.reason, Reason::Query(name) if name.trim().eq_ignore_ascii_case("auth_token")),
            "{denial}"
        );
    }
}

#[tokio::test]
async fn private_addresses_need_the_operator() {
    let places = ["http://127.0.0.1:1", "http://[::ffff:10.0.0.1]", "http://crm.test", "http://169.254.169.254"];
    let grant = grant("acme", &places, &bearer());
    for (addresses, allow, url, class, entry) in [
        (&["127.0.0.1"][..], &[][..], "http://2130706433:1/", AddressClass::Loopback, "\"127.0.0.1:1\""),
        (&["127.0.0.1"], &["127.0.0.1:2"], "http://0x7f.1:1/", AddressClass::Loopback, "\"127.0.0.1:1\""),
        (&["127.0.0.1"], &[], "http://[::ffff:a00:1]/", AddressClass::Private, "\"[::ffff:a00:1]\""),
        (&["10.0.0.1", "fd00::1"], &[], "http://crm.test/", AddressClass::Private, "\"crm.test\""),
        (&["10.0.0.1"], &["other.test", "10.1.0.0/16"], "http://crm.test/", AddressClass::Private, "\"crm.test\""),
        (&["169.254.169.254"], &["crm.test"], "http://crm.test/", AddressClass::Metadata, "its address"),
        (&["10.0.0.1"], &["169.254.169.254:80"], "http://169.254.169.254/", AddressClass::Metadata, "its address"),
    ] {
        let allow: Vec<_> = allow.iter().map(|exemption| (*exemption).to_owned()).collect();
        let egress = Egress::with_lookup(settings(&allow), lookup(addresses)).unwrap();
        let denial = denied(&egress, &grant, get(url)).await;
        assert_eq!(denial.reason, Reason::Address(class), "{url}");
        assert_eq!(
            denial.allowed_by,
            format!("The server's operator can allow it: add {entry} to the setting egress.allow_private.")
        );
    }
}

#[tokio::test]
async fn an_operator_opens_a_host_or_an_address() {
    let app = app::App::start().await;
    let port = app.address.port();
    let grant = grant("acme", &[&format!("http://crm.test:{port}"), &app.url("/")], &bearer());
    for (exemption, url) in [
        (format!("crm.test:{port}"), format!("http://crm.test:{port}/reflect")),
        ("crm.test".to_owned(), format!("http://CRM.test:{port}/reflect")),
        ("127.0.0.0/8".to_owned(), format!("http://crm.test:{port}/reflect")),
        ("127.0.0.1".to_owned(), app.url("/reflect")),
        (app.address.to_string(), app.url("/reflect")),
    ] {
        let egress = Egress::with_lookup(settings(&[exemption]), lookup(&["127.0.0.1"])).unwrap();
        assert_eq!(call(&egress, &grant, get(&url)).await.unwrap().0, StatusCode::OK, "{url}");
    }
}

#[tokio::test]
async fn the_resolver_that_connects_is_the_one_that_judges() {
    // A name whose answers change between look-ups (DNS rebinding).
    let answers = Mutex::new(vec![vec!["127.0.0.1"], vec!["10.0.0.1", "93.184.215.14", "::1"], vec!["93.184.215.14"]]);
    let lookup: Lookup = Arc::new(move |_| {
        let answer = answers.lock().unwrap().pop().unwrap();
        futures::future::ready(Ok(answer.iter().map(|a| a.parse().unwrap()).collect())).boxed()
    });
    let guarded = Guarded { lookup, reach: Reach::Public, exemptions: Arc::new([]) };
    for _ in 0..2 {
        let addresses: Vec<_> = guarded.resolve("crm.test".parse().unwrap()).await.unwrap().collect();
        assert_eq!(addresses, [SocketAddr::from(([93, 184, 215, 14], 0))]);
    }
    let error = guarded.resolve("crm.test".parse().unwrap()).await.err().unwrap();
    assert_eq!(error.downcast_ref::<Blocked>().unwrap().0, AddressClass::Loopback);
}

#[tokio::test]
async fn a_denied_request_opens_no_connection() {
    let app = app::App::start().await;
    let url = format!("http://crm.test:{}/reflect", app.address.port());
    let egress = Egress::with_lookup(settings(&[]), lookup(&["127.0.0.1"])).unwrap();
    denied(&egress, &grant("acme", &[&url], &bearer()), get(&url)).await;
    denied(&egress, &grant("acme", &[&app.url("/")], &bearer()), get(&app.url("/reflect"))).await;
    assert_eq!((app.accepted(), app.requests()), (0, 0));
}

#[tokio::test]
async fn denials_are_bounded() {
    let egress = Egress::with_lookup(settings(&[]), lookup(&[])).unwrap();
    let (grant, denials) = (grant("acme", &["https://api.example.com"], &bearer()), Denials::default());
    for _ in 0..20 {
        let _ = Box::into_pin(egress.send(&under(&grant), &denials, get("https://evil.example/"), None)).await;
    }
    assert_eq!(denials.list().len(), 16);
}

#[test]
fn credentials_are_marked_for_the_http_client() {
    let grant = grant("acme", &["https://api.example.com"], &bearer());
    let (parts, _) = get("https://api.example.com/a").into_parts();
    let headers = super::super::request::vet(&grant, &parts, &settings(&[])).unwrap().1;
    assert!(headers["authorization"].is_sensitive());
    assert!(!format!("{headers:?} {grant:?}").contains(SECRET));
}
