//! Each sender's own example where it publishes one, and every change of a single byte of it.

use super::*;

/// A signed request.
struct Sample {
    scheme: SignatureScheme,
    secret: &'static str,
    method: &'static str,
    url: &'static str,
    headers: Vec<(String, String)>,
    body: &'static str,
    /// The server's time, in seconds.
    now: i64,
}

impl Sample {
    fn verify(&self) -> Result<usize, SignatureError> {
        self.verify_with(&[self.secret], self.now, DEFAULT_TOLERANCE)
    }

    fn verify_with(&self, secrets: &[&str], now: i64, tolerance: u64) -> Result<usize, SignatureError> {
        let now = Timestamp::from_second(now).unwrap();
        self.scheme.verify(secrets, &self.signed(self.body.as_bytes()), now, tolerance)
    }

    fn signed<'a>(&'a self, body: &'a [u8]) -> Signed<'a> {
        Signed { method: self.method, url: self.url, headers: &self.headers, body }
    }

    fn with_header(&self, name: &str, value: &str) -> Self {
        let headers = self.headers.iter().map(|(header, old)| {
            let value = if header == name { value } else { old };
            (header.clone(), value.to_owned())
        });
        Self { headers: headers.collect(), scheme: self.scheme.clone(), ..*self }
    }

    fn value(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str()).unwrap()
    }
}

fn sample(
    scheme: SignatureScheme,
    secret: &'static str,
    headers: &[(&str, &str)],
    body: &'static str,
    now: i64,
) -> Sample {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let url = "https://www.example.com/webhook_uri";
    Sample { scheme, secret, method: "POST", url, headers: headers.collect(), body, now }
}

fn hmac(hash: Hash, encoding: Encoding, signature: &'static str) -> Sample {
    let settings = HmacSettings {
        header: "x-signature".to_owned(),
        prefix: "mac=".to_owned(),
        hash,
        encoding,
        timestamp_header: Some("x-time".to_owned()),
        timestamp_unit: TimeUnit::Seconds,
        signed: "{timestamp}.{body}".to_owned(),
    };
    let headers = [("x-signature", signature), ("x-time", "1700000000")];
    sample(SignatureScheme::Hmac(settings), "a generic secret", &headers, "{\"n\":1}", 1_700_000_000)
}

fn standard(prefix: &str) -> Sample {
    let (id, time, signature) = (format!("{prefix}-id"), format!("{prefix}-timestamp"), format!("{prefix}-signature"));
    let headers = [
        (id.as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (&time, "1614265330"),
        (&signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    sample(SignatureScheme::StandardWebhooks, secret, &headers, r#"{"test": 2432232314}"#, 1_614_265_330)
}

/// Those of Stripe, Shopify, Zoom, Meta and the generic ones were computed with Python's `hmac`, as these senders' documents
/// print no secret beside their signatures; Stripe's secret and payload are those of its libraries' tests.
fn samples() -> Vec<(&'static str, Sample)> {
    use SignatureScheme as Of;
    let hub = "x-hub-signature-256";
    // docs.github.com, "Validating webhook deliveries".
    let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let stripe = "t=1614000000,v1=20fe66ec6ff590869b4e9d0b49b4d2a6e54e0c768f516f9b1eb88dc92dee4590";
    let stripes_event = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\",\n  \"data\": { \"object\": { \"id\": \"rdr_123\", \"object\": \"terminal.reader\" } }\n}";
    // docs.slack.dev, "Verifying requests from Slack".
    let slack = [
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("x-slack-request-timestamp", "1531420618"),
    ];
    let slacks_command = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    // The tests of HubSpot's Python client; the secret and the URL are those of its document.
    let hubspot = [
        ("x-hubspot-signature-v3", "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw="),
        ("x-hubspot-request-timestamp", "15000000"),
    ];
    let shopify = "D0UMXmhjwBRi4y66TmhJrDlhQABD7zI2fm3p6/QLMo8=";
    let zoom = [
        ("x-zm-signature", "v0=703cbb38cfd797e45e91079a9843203a78178404d8c87f221e65891b68fb6b0c"),
        ("x-zm-request-timestamp", "1654503849"),
    ];
    let zooms_event = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
    let meta = "sha256=53cc83f2185c5ba27d478f1b9e0d580a94fb911a72268e0ec32bd8d3159f6770";
    let metas_event = r#"{"object":"page","entry":[{"time":1520383571,"id":"0","changes":[{"field":"feed"}]}]}"#;
    let mut samples = vec![
        ("GitHub", sample(Of::Github, "It's a Secret to Everybody", &[(hub, github)], "Hello, World!", 0)),
        ("Standard Webhooks", standard("webhook")),
        ("Standard Webhooks, with Svix's headers", standard("svix")),
        (
            "Stripe",
            sample(Of::Stripe, "whsec_test_secret", &[("stripe-signature", stripe)], stripes_event, 1_614_000_000),
        ),
        ("Slack", sample(Of::Slack, "8f742231b10e8888abcd99yyyzzz85a5", &slack, slacks_command, 1_531_420_618)),
        (
            "HubSpot",
            sample(
                Of::Hubspot,
                "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
                &hubspot,
                "{'example_field':'example_value'}",
                15_000,
            ),
        ),
        (
            "Shopify",
            sample(
                Of::Shopify,
                "hush",
                &[("x-shopify-hmac-sha256", shopify)],
                "{\"id\":820982911946154508,\"email\":\"jon@example.com\"}",
                0,
            ),
        ),
        ("Zoom", sample(Of::Zoom, "a zoom secret token", &zoom, zooms_event, 1_654_503_849)),
        ("Meta", sample(Of::Meta, "an app secret", &[(hub, meta)], metas_event, 0)),
    ];
    samples.extend(samples_of_no_name());
    samples
}

/// Senders that have no scheme of their own.
fn samples_of_no_name() -> Vec<(&'static str, Sample)> {
    vec![
        ("HMAC-SHA-1", hmac(Hash::Sha1, Encoding::Hex, "mac=a0ca28a09fe80a10530a01b7c191826ac062b7e1")),
        (
            "HMAC-SHA-256 in base64",
            hmac(Hash::Sha256, Encoding::Base64, "mac=kQA5BVT9Upv0/eG76OiAg1NK9vtqiW6xATixBaZR0GY="),
        ),
        (
            "HMAC-SHA-256 in upper case",
            hmac(Hash::Sha256, Encoding::Hex, "mac=9100390554FD529BF4FDE1BBE8E88083534AF6FB6A896EB10138B105A651D066"),
        ),
        (
            "HMAC-SHA-512",
            hmac(
                Hash::Sha512,
                Encoding::Hex,
                "mac=f793914f0a76d02cda17a2f1cb502a5982ba7d7f297c654b5094cb28aff7ecfc39ef5f69293bb9aa5332810364ff8855cdc27d18c21f3a9ddbb77c24f660ad41",
            ),
        ),
    ]
}

/// Every text that differs in one byte, as headers arrive: bytes that are no UTF-8 are replaced.
fn changes(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len()).flat_map(move |at| {
        let bytes = bytes.clone();
        (1..=255_u8).map(move |flip| {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            changed
        })
    })
}

#[test]
fn each_senders_example_verifies() {
    for (name, sample) in samples() {
        assert_eq!(sample.verify(), Ok(0), "{name}");
    }
}

#[test]
fn every_single_byte_counts() {
    for (name, sample) in samples() {
        let now = Timestamp::from_second(sample.now).unwrap();
        for body in changes(sample.body) {
            let verified = sample.scheme.verify(&[sample.secret], &sample.signed(&body), now, 0);
            assert!(verified.is_err(), "{name}: body {body:?}");
        }
        for (header, value) in &sample.headers {
            for changed in changes(value) {
                let changed = String::from_utf8_lossy(&changed);
                let verified = sample.with_header(header, &changed).verify_with(&[sample.secret], sample.now, 0);
                assert!(verified.is_err(), "{name}: {header}: {changed}");
            }
        }
        for secret in changes(sample.secret) {
            let secret = String::from_utf8_lossy(&secret);
            assert!(sample.verify_with(&[&secret], sample.now, 0).is_err(), "{name}: {secret}");
        }
    }
}

#[test]
fn what_is_cut_off_or_added_counts_too() {
    for (name, sample) in samples() {
        for (header, value) in &sample.headers {
            for cut in 0..value.len() {
                assert!(sample.with_header(header, &value[..cut]).verify().is_err(), "{name}: {header} cut at {cut}");
            }
            let added = sample.with_header(header, &format!("{value}0"));
            assert!(added.verify().is_err(), "{name}: {header}");
        }
        for body in [&sample.body[1..], &sample.body[..sample.body.len() - 1], ""] {
            let now = Timestamp::from_second(sample.now).unwrap();
            let verified = sample.scheme.verify(&[sample.secret], &sample.signed(body.as_bytes()), now, 0);
            assert!(verified.unwrap_err().to_string().contains("does not fit"), "{name}");
        }
    }
}

#[test]
fn hubspot_signs_method_and_url_with_the_key_in_it() {
    let (_, sample) = samples().into_iter().find(|(name, _)| *name == "HubSpot").unwrap();
    for (method, url) in [
        ("PUT", sample.url),
        ("POST", "http://www.example.com/webhook_uri"),
        ("POST", "https://www.example.com/webhook_uri?api_key=hg_live_x"),
        ("POST", "https://www.example.com/webhook_uri/"),
    ] {
        let signed = Signed { method, url, ..sample.signed(sample.body.as_bytes()) };
        let verified = sample.scheme.verify(&[sample.secret], &signed, Timestamp::from_second(15_000).unwrap(), 300);
        assert_eq!(verified, Err(SignatureError::MismatchWithUrl("x-hubspot-signature-v3".to_owned())), "{url}");
    }
    let escaped = Signed { url: "https://www.example.com%2Fwebhook_uri", ..sample.signed(sample.body.as_bytes()) };
    assert!(sample.scheme.verify(&[sample.secret], &escaped, Timestamp::from_second(15_000).unwrap(), 300).is_ok());
}

#[test]
fn a_signature_is_good_for_a_window() {
    for (name, sample) in samples().into_iter().filter(|(_, sample)| sample.scheme.has_time()) {
        let at = |offset: i64, tolerance: u64| sample.verify_with(&[sample.secret], sample.now + offset, tolerance);
        for (offset, tolerance) in [(300, 300), (-300, 300), (5, 5), (1_000_000_000, 0), (-1_000, 0)] {
            assert_eq!(at(offset, tolerance), Ok(0), "{name}: {offset} s within {tolerance} s");
        }
        assert_eq!(at(301, 300), Err(SignatureError::TooOld { age: 301, tolerance: 300 }), "{name}");
        assert_eq!(at(-301, 300), Err(SignatureError::TooNew { ahead: 301, tolerance: 300 }), "{name}");
        // A time that is not signed is not talked about.
        let other = sample.verify_with(&["another secret"], sample.now + 301, 300).unwrap_err();
        assert!(other.to_string().contains("does not fit"), "{name}: {other}");
    }
}

#[test]
fn a_request_is_good_under_any_of_its_secrets() {
    for (name, sample) in samples() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let with = |secrets: &[&str]| sample.verify_with(secrets, sample.now, 300);
        assert_eq!(with(&[other, sample.secret]), Ok(1), "{name}");
        assert_eq!(with(&[sample.secret, other]), Ok(0), "{name}");
        assert!(with(&[other]).is_err() && with(&[]).is_err(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    use SignatureError as Why;
    for (name, sample) in samples() {
        let header = sample.scheme.header();
        let header = if name.contains("Svix") { "svix-signature" } else { header }.to_owned();
        let without = |gone: &str| {
            let headers = sample.headers.iter().filter(|(name, _)| name != gone).cloned().collect();
            Sample { headers, scheme: sample.scheme.clone(), ..sample }
        };
        assert!(matches!(without(&header).verify(), Err(Why::Missing(_))), "{name}");
        for (part, _) in sample.headers.iter().filter(|(name, _)| *name != header) {
            assert_eq!(without(part).verify(), Err(Why::MissingPart(part.clone())), "{name}");
        }
        for (repeated, value) in &sample.headers {
            let mut twice = sample.with_header("", "");
            twice.headers.push((repeated.clone(), value.clone()));
            assert_eq!(twice.verify(), Err(Why::Repeated(repeated.clone())), "{name}");
        }
        for value in ["", "nonsense", "sha256=", "v0=12", "v1,AA==", "t=1,v1=", "mac=é"] {
            let malformed = sample.with_header(&header, value).verify();
            assert!(matches!(malformed, Err(Why::Malformed { .. })), "{name}: {malformed:?}");
        }
    }
    let (_, stripe) = samples().into_iter().find(|(name, _)| *name == "Stripe").unwrap();
    let malformed = stripe.with_header("stripe-signature", "v1=00").verify().unwrap_err().to_string();
    let told = "The signature in stripe-signature is malformed. This trigger wants \"t=\" and the time, a comma, \"v1=\" and 64 hexadecimal digits";
    assert_eq!(malformed, told);
}

#[test]
fn several_signatures_may_be_listed() {
    let standard = standard("webhook");
    let good = standard.value("webhook-signature").to_owned();
    let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let listed = |value: &str| standard.with_header("webhook-signature", value).verify();
    for value in
        [format!("{other} {good}"), format!("{good} {other}"), format!("v1a,AAAA {good}"), format!("v1,x {good}")]
    {
        assert_eq!(listed(&value), Ok(0), "{value}");
    }
    for value in
        [format!("{other} {other}"), good.replace("v1,", "v2,"), format!("{} {good}", vec![other; 16].join(" "))]
    {
        assert!(listed(&value).is_err(), "{value}");
    }

    let (_, stripe) = samples().into_iter().find(|(name, _)| *name == "Stripe").unwrap();
    let good = stripe.value("stripe-signature").to_owned();
    let listed = |value: &str| stripe.with_header("stripe-signature", value).verify();
    let zeros = "0".repeat(64);
    for value in
        [format!("{good},v1={zeros}"), format!("{good},v0={zeros}"), good.replace(",v1", &format!(",v1={zeros},v1"))]
    {
        assert_eq!(listed(&value), Ok(0), "{value}");
    }
    for value in [good.replace(",v1=", ",v0="), format!("{good},t=1614000000"), good.replace("t=", "u=")] {
        assert!(listed(&value).is_err(), "{value}");
    }
}

#[test]
fn a_standard_secret_has_its_form() {
    let standard = SignatureScheme::StandardWebhooks;
    assert!(standard.check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    assert!(standard.check_secret("a secret of some length").unwrap_err().contains("whsec_"));
    assert!(SignatureScheme::Github.check_secret("a secret of some length").is_ok());
}

#[test]
fn what_an_earlier_server_wrote_reads() {
    let old = r#"{"scheme": "github", "secret": {"key": 1, "version": 3, "nonce": "", "ciphertext": ""}}"#;
    let read: Signature = serde_json::from_str(old).unwrap();
    assert_eq!((read.scheme.clone(), read.tolerance_secs), (SignatureScheme::Github, DEFAULT_TOLERANCE));
    assert_eq!(read.secrets(Timestamp::UNIX_EPOCH).count(), 1);
    let previous = PreviousSecret { secret: read.secret.clone(), until: Timestamp::from_second(10).unwrap() };
    let rotated = Signature { previous: vec![previous], ..read };
    for (second, count) in [(0, 2), (9, 2), (10, 1), (11, 1)] {
        assert_eq!(rotated.secrets(Timestamp::from_second(second).unwrap()).count(), count);
    }
}
