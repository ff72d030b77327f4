//! The forms in which a secret can come back.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986, 2.3: everything but the unreserved characters.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &STRICT.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// A path, its slashes kept, as Python's `quote` does.
const SLASH: &AsciiSet = &STRICT.remove(b'/');
/// A path segment of RFC 3986, 3.3.
const SEGMENT: &AsciiSet =
    &COMPONENT.remove(b':').remove(b'@').remove(b'&').remove(b'=').remove(b'+').remove(b'$').remove(b',').remove(b';');
/// JavaScript's `encodeURI`.
const URI: &AsciiSet = &SEGMENT.remove(b'/').remove(b'?').remove(b'#');
/// The query of a WHATWG URL.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');

/// Every form of a secret, each in one letter case, some of them twice.
pub(super) fn of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex(secret.as_bytes())];
    forms.extend(percent(secret));
    forms.extend(escaped(secret));
    for form in base64(secret.as_bytes()) {
        forms.push(utf8_percent_encode(&form, STRICT).to_string());
        forms.push(form.replace('/', "\\/"));
        forms.push(form);
    }
    forms
}

fn percent(secret: &str) -> impl Iterator<Item = String> {
    let strict = utf8_percent_encode(secret, STRICT).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let every: String = secret.bytes().map(|b| format!("%{b:02x}")).collect();
    let twice = strict.replace('%', "%25");
    let sets = [NON_ALPHANUMERIC, COMPONENT, SLASH, SEGMENT, URI, QUERY];
    let in_sets = sets.map(|set| utf8_percent_encode(secret, set).to_string());
    let plus = strict.replace("%20", "+");
    in_sets.into_iter().chain([strict, plus, form, every, twice])
}

/// As in JSON text (RFC 8259, 7), whatever its writer escapes beyond need, and as in HTML.
fn escaped(secret: &str) -> impl Iterator<Item = String> {
    let json = json(secret, |_| false);
    let ascii = self::json(secret, |c| !c.is_ascii());
    let safe = self::json(secret, |c| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '\'' | '+' | '"' | '`'));
    let brackets = self::json(secret, |c| matches!(c, '<' | '>' | '&'));
    let symbols = self::json(secret, |c| !c.is_ascii_alphanumeric());
    let every = self::json(secret, |_| true);
    // JSON that stands in JSON as a text, and that once more: records of answers that apps relay look so.
    let nested = self::json(&json, |_| false);
    let nested_twice = self::json(&nested, |_| false);
    let html = html(secret, "&quot;", "&#39;");
    let html_hex = self::html(secret, "&#34;", "&#x27;");
    let slashes = [&json, &ascii, &safe, &brackets].map(|text| text.replace('/', "\\/"));
    slashes.into_iter().chain([json, ascii, safe, brackets, symbols, every, nested, nested_twice, html, html_hex])
}

/// The inside of a JSON string, with `\u` for whatever the writer prefers so.
fn json(text: &str, unicode: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if unicode(c) => {
                out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() && c != '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn html(text: &str, double: &str, single: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', double).replace('\'', single)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// On its own, and inside a longer base64 text, where the bytes before it shift it by 0, 8 or 16 bits: of those
/// only the characters that are the secret's alone, so that at most four of its bits stay at each end.
fn base64(secret: &[u8]) -> Vec<String> {
    let mut forms: Vec<String> =
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| engine.encode(secret)).into();
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(secret);
        let own = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&shifted)[own.clone()].to_owned());
        }
    }
    forms
}
