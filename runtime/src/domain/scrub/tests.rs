use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

/// With everything that encoders treat differently.
const SECRET: &str = r#"pat-eu1/AbC+d=e&f "g"\h<i>~j'k.l*m%n(ö)"#;

/// The forms an app may reflect, each made by other code than what is tested.
fn reflections(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    let quoted = |text: &str| {
        let json = serde_json::to_string(text).unwrap();
        json[1..json.len() - 1].to_owned()
    };
    let json = quoted(secret);
    vec![
        secret.to_owned(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        utf8_percent_encode(&STANDARD.encode(secret), NON_ALPHANUMERIC).to_string(),
        hex.to_uppercase(),
        hex,
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().to_lowercase(),
        secret.bytes().map(|b| format!("%{b:02X}")).collect(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        json.replace('/', "\\/"),
        quoted(&json),
        quoted(&quoted(&json)),
        json,
        escaped.to_lowercase(),
        escaped,
    ]
}

/// What scrubbing the text in two chunks gives, having held back nothing without need.
fn in_two(scrubber: &Scrubber, text: &[u8], at: usize) -> Vec<u8> {
    let mut stream = scrubber.stream();
    let mut clean = stream.push(Bytes::copy_from_slice(&text[..at])).to_vec();
    clean.extend_from_slice(&stream.push(Bytes::copy_from_slice(&text[at..])));
    clean.extend_from_slice(&stream.finish());
    clean
}

fn in_single_bytes(scrubber: &Scrubber, text: &[u8]) -> Vec<u8> {
    let mut stream = scrubber.stream();
    let mut clean: Vec<u8> = text.iter().flat_map(|b| stream.push(Bytes::copy_from_slice(&[*b]))).collect();
    clean.extend_from_slice(&stream.finish());
    clean
}

#[test]
fn every_form_becomes_the_mark_at_every_split() {
    let scrubber = Scrubber::new([SECRET]);
    for form in reflections(SECRET) {
        let text = format!("before {form} after");
        assert_eq!(scrubber.scrub_str(&text), "before [redacted] after", "{form}");
        for at in 0..=text.len() {
            assert_eq!(in_two(&scrubber, text.as_bytes(), at), b"before [redacted] after", "{form} split at {at}");
        }
        assert_eq!(in_single_bytes(&scrubber, text.as_bytes()), b"before [redacted] after", "{form}");
    }
}

#[test]
fn every_alignment_inside_longer_base64_is_found() {
    let secret = "pat-eu1-0123456789";
    let scrubber = Scrubber::new([secret]);
    for before in 0..7 {
        for after in 0..4 {
            let text = STANDARD.encode(format!("{}{secret}{}", "x".repeat(before), "y".repeat(after)));
            let clean = scrubber.scrub_str(&text).into_owned();
            assert!(clean.contains(REDACTED), "{before} {after}: {text}");
            let left: String = clean.split(REDACTED).flat_map(|part| part.chars()).collect();
            assert!(left.len() <= (before + after + 1) * 4 / 3 + 5, "{before} {after}: {clean}");
        }
    }
}

#[test]
fn texts_without_secrets_are_not_copied_or_held_back() {
    let scrubber = Scrubber::new([SECRET]);
    assert!(matches!(scrubber.scrub_str("an ordinary answer"), Cow::Borrowed(_)));
    let mut stream = scrubber.stream();
    assert_eq!(stream.push(Bytes::from_static(b"an ordinary chunk.")), "an ordinary chunk.");
    assert_eq!(stream.push(Bytes::from_static(b"a chunk, then pat-e")), "a chunk, then ");
    assert_eq!(stream.push(Bytes::from_static(b"verywhere.")), "pat-everywhere.");
    assert_eq!(stream.finish(), "");
    assert!(Scrubber::new([""]).is_empty());
    assert!(Scrubber::new([]).scrub_str("").is_empty());
}

#[test]
fn a_short_secret_is_found_as_it_is_only() {
    let scrubber = Scrubber::new(["x/y"]);
    assert_eq!(scrubber.scrub_str("a x/y b x%2Fy c eC95"), "a [redacted] b x%2Fy c eC95");
}

#[test]
fn overlapping_secrets_leave_nothing_behind() {
    let scrubber = Scrubber::new(["abcdefgh", "efghijkl", "aaaaaa"]);
    assert_eq!(scrubber.scrub_str("-abcdefghijkl-"), "-[redacted]-");
    for (text, clean) in [
        (&b"-abcdefghijkl-"[..], &b"-[redacted]-"[..]),
        (b"aaaaaaaaaaaaaaaaa!", b"[redacted]!"),
        (b"abcdefghabcdefgh", b"[redacted][redacted]"),
        (b"abcdefghijk", b"[redacted]ijk"),
    ] {
        assert_eq!(*scrubber.scrub_bytes(text), *clean);
        assert_eq!(in_single_bytes(&scrubber, text), clean);
        for at in 0..=text.len() {
            assert_eq!(in_two(&scrubber, text, at), clean, "split at {at}");
        }
    }
}

#[test]
fn debug_shows_nothing() {
    let scrubber = Scrubber::new(["hunter2hunter2"]);
    let mut stream = scrubber.stream();
    stream.push(Bytes::from_static(b"ordinary"));
    assert!(!format!("{scrubber:?} {stream:?}").contains("hunter"));
}

proptest! {
    #[test]
    fn no_secret_survives_in_any_form_at_any_split(
        secret in r#"[a-zA-Z0-9+/=_.~%&"\\ <>':-]{6,40}"#,
        other in "[a-z0-9]{6,20}",
        before in "[ -~]{0,20}",
        after in "[ -~]{0,20}",
        split in 0.0..1.0_f64,
    ) {
        prop_assume!(!REDACTED.contains(&secret.to_lowercase()) && !REDACTED.contains(&other));
        let scrubber = Scrubber::new([secret.as_str(), other.as_str()]);
        for form in reflections(&secret) {
            let text = format!("{before}{form}{other}{after}");
            let whole = scrubber.scrub_bytes(text.as_bytes()).into_owned();
            let at = (text.len() as f64 * split) as usize;
            prop_assert_eq!(&in_two(&scrubber, text.as_bytes(), at), &whole);
            prop_assert_eq!(&in_single_bytes(&scrubber, text.as_bytes()), &whole);
            let clean = String::from_utf8(whole).unwrap().replace(REDACTED, "\n");
            prop_assert!(!clean.contains(&form), "{form} is left in {clean}");
            prop_assert!(!clean.contains(&other), "{other} is left in {clean}");
        }
    }

    #[test]
    fn no_secret_survives_inside_base64(secret in "[a-zA-Z0-9]{8,40}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
        let scrubber = Scrubber::new([secret.as_str()]);
        let text = STANDARD.encode(format!("{before}{secret}{after}"));
        let clean = scrubber.scrub_str(&text).replace(REDACTED, "");
        prop_assert!(text.len() - clean.len() >= secret.len() * 4 / 3 - 3, "{clean} is left of {text}");
    }
}
