use std::collections::BTreeMap;

use headgate_manifest::{FillError, Placement};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::*;

fn allows(prefix: &str, url: &str) -> bool {
    prefix.parse::<UrlPrefix>().unwrap().allows(&Url::parse(url).unwrap())
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), SecretString::from(*v))).collect()
}

#[test]
fn a_prefix_allows_what_is_below_it() {
    for (prefix, url) in [
        ("https://api.example.com", "https://api.example.com/"),
        ("https://api.example.com/", "https://api.example.com/a/b?c=d"),
        ("https://api.example.com", "https://API.EXAMPLE.COM:443/a"),
        ("https://API.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com/v1", "https://api.example.com/v1/a"),
        ("https://api.example.com/v1", "https://api.example.com/v1/a/../b"),
        ("https://api.example.com/v1", "https://api.example.com/v1//a"),
        ("https://api.example.com/v1", "https://api.example.com/v1/group%2Fproject"),
        ("https://api.example.com/v1", "https://api.example.com/v1/a..b/...;v=1/x.y"),
        ("http://localhost:8080", "http://localhost:8080/x"),
        ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/x"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
    ] {
        assert!(allows(prefix, url), "{prefix} should allow {url}");
    }
}

#[test]
fn a_prefix_denies_everything_else() {
    for url in [
        "http://api.example.com/v1/a",
        "https://api.example.com:8443/v1/a",
        "https://api.example.com./v1/a",
        "https://evil.example/v1/a",
        "https://x.api.example.com/v1/a",
        "https://api.example.com.evil.example/v1/a",
        "https://example.com/v1/a",
        "https://api.example.com@evil.example/v1/a",
        "https://evil.example/https://api.example.com/v1/a",
        "https://api.example.com/",
        "https://api.example.com/v10",
        "https://api.example.com/V1/a",
        "https://api.example.com//v1/a",
        "https://api.example.com/v1/../admin",
        "https://api.example.com/v1/%2e%2e/admin",
        "https://api.example.com/v1/.%2E/admin",
        "https://api.example.com/v1/..%2fadmin",
        "https://api.example.com/v1/..%5cadmin",
        "https://api.example.com/v1/a%2f%2e%2e%2f..%2fadmin",
        "https://api.example.com/v1/%252e%252e/admin",
        "https://api.example.com/v1/%25252e%25252e%25252fadmin",
        "https://api.example.com/v1/..;/admin",
        "https://api.example.com/v1/%2e%2e;x=y/admin",
        r"https://api.example.com/v1\..\admin",
        r"https://api.example.com\@evil.example/v1/",
        "https://user@api.example.com/v1/a",
        "https://:pass@api.example.com/v1/a",
        "ftp://api.example.com/v1/a",
    ] {
        assert!(!allows("https://api.example.com/v1", url), "{url}");
    }
}

#[test]
fn a_prefix_says_what_is_wrong_with_it() {
    for (text, said) in [
        ("api.example.com", "write it like https://"),
        ("https://", "write it like https://"),
        ("https://exa mple.com", "write it like https://"),
        ("ftp://example.com/", "scheme"),
        ("https://user:pw@example.com/", "user name or password"),
        ("https://example.com/?a=b", "without ? and #"),
        ("https://example.com/#a", "without ? and #"),
        ("https://example.com./", "dot"),
        ("https://example.com/a/%2e%2e%2fb", "segments"),
        ("https://example.com/a//b", "segments"),
    ] {
        let error = text.parse::<UrlPrefix>().unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn a_prefix_is_stored_as_it_is_written() {
    for (text, canonical) in [
        ("https://API.example.com", "https://api.example.com/"),
        ("https://api.example.com:443/v1", "https://api.example.com/v1/"),
        ("http://127.1:8080/v1/", "http://127.0.0.1:8080/v1/"),
    ] {
        let prefix: UrlPrefix = text.parse().unwrap();
        assert_eq!(prefix.to_string(), canonical);
        let json = serde_json::to_string(&prefix).unwrap();
        assert_eq!(serde_json::from_str::<UrlPrefix>(&json).unwrap(), prefix);
    }
}

#[test]
fn a_setting_cannot_move_the_host() {
    let zendesk = "https://${config.domain}.zendesk.com/api";
    let prefix = UrlPrefix::from_template(zendesk, &map(&[("domain", "acme")])).unwrap();
    assert_eq!(prefix.host(), "acme.zendesk.com");
    for domain in
        ["evil.example/", "evil.example#", "evil.example?", "a@evil.example", r"evil.example\", "a:1", "ä", "a b"]
    {
        let error = UrlPrefix::from_template(zendesk, &map(&[("domain", domain)])).unwrap_err();
        assert!(matches!(error, PrefixError::Setting { .. }), "{domain}: {error}");
    }
    let whole =
        UrlPrefix::from_template("${config.base_url}", &map(&[("base_url", "http://crm.internal:8080/v1")])).unwrap();
    assert_eq!((whole.scheme(), whole.host(), whole.port(), whole.path()), ("http", "crm.internal", 8080, "/v1"));
    assert!(matches!(UrlPrefix::from_template(zendesk, &map(&[])).unwrap_err(), PrefixError::Fill { .. }));
}

#[test]
fn placements_become_credentials() {
    let placements = [
        Placement::Basic { username: "${secret.user}".into(), password: "${secret.key}".into() },
        Placement::Header { name: "X-${config.brand}-Key".into(), value: "Token ${secret.key}".into() },
        Placement::Header { name: "Api-Version".into(), value: "2022-06-28".into() },
        Placement::Query { name: "k".into(), value: "${secret.key}".into() },
    ];
    let secrets = secrets(&[("user", "svc-user"), ("key", "k3y-of-acme")]);
    let placed = Credential::from_placements(&placements, &map(&[("brand", "Acme")]), &secrets).unwrap();
    let seen: Vec<_> = placed.iter().map(|c| (c.name(), c.value().expose_secret())).collect();
    assert_eq!(
        seen,
        [
            ("authorization", "Basic c3ZjLXVzZXI6azN5LW9mLWFjbWU="),
            ("x-acme-key", "Token k3y-of-acme"),
            ("api-version", "2022-06-28"),
            ("k", "k3y-of-acme"),
        ]
    );
    assert!(!format!("{placed:?}").contains("k3y"), "{placed:?}");

    let scrubber = Credential::scrubber(&placed, secrets.values());
    let answer = "c3ZjLXVzZXI6azN5LW9mLWFjbWU= Token k3y-of-acme, version 2022-06-28, svc-user";
    assert_eq!(scrubber.scrub_str(answer), "[redacted] [redacted], version 2022-06-28, [redacted]");
}

#[test]
fn placements_that_cannot_work_are_refused() {
    let header = |name: &str, value: &str| vec![Placement::Header { name: name.into(), value: value.into() }];
    let config = map(&[("name", "Host")]);
    let secrets = secrets(&[("key", "hunter\ntwo"), ("user", "a:b")]);
    let bearer = Placement::Bearer { value: "x".into() };
    for (placements, error) in [
        (header("a b", "x"), CredentialError::HeaderName("a b".into())),
        (header("${config.name}", "x"), CredentialError::HeaderName("Host".into())),
        (header("Transfer-Encoding", "x"), CredentialError::HeaderName("Transfer-Encoding".into())),
        (header("Proxy-Authorization", "x"), CredentialError::HeaderName("Proxy-Authorization".into())),
        (header("X-Key", "${secret.key}"), CredentialError::HeaderValue("X-Key".into())),
        (header("${secret.key}", "x"), CredentialError::Fill(FillError::Unknown("secret.key".into()))),
        (header("X-Key", "${secret.none}"), CredentialError::Fill(FillError::Unknown("secret.none".into()))),
        (
            vec![Placement::Basic { username: "${secret.user}".into(), password: String::new() }],
            CredentialError::ColonInUsername,
        ),
        (vec![Placement::Query { name: String::new(), value: "x".into() }], CredentialError::QueryName),
        (vec![bearer.clone(), bearer], CredentialError::Twice("authorization".into())),
    ] {
        let found = Credential::from_placements(&placements, &config, &secrets).unwrap_err();
        assert_eq!(found, error);
        assert!(!found.to_string().contains("hunter"), "{found}");
    }
}
