//! The table of schemes: where a signature stands, how it is written, and what it is made over.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;

use super::{Encoding, Hash, HmacSettings, MAX_LISTED, SignatureError, SignatureScheme, Signed, TimeUnit, one};
use crate::domain::secret;

/// The longest header name, prefix or template that people can set, in bytes: several times what senders have.
const LONGEST_TEXT: usize = 200;

/// The characters whose percent-encoding HubSpot undoes before it signs a URL (its page on v3 signatures lists them).
const HUBSPOT_DECODES: [(&str, char); 12] = [
    ("3A", ':'),
    ("2F", '/'),
    ("3F", '?'),
    ("40", '@'),
    ("21", '!'),
    ("24", '$'),
    ("27", '\''),
    ("28", '('),
    ("29", ')'),
    ("2A", '*'),
    ("2C", ','),
    ("3B", ';'),
];

/// How a signature's header is laid out.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// One signature behind a prefix.
    One(&'a str),
    /// Several, with spaces between them; those behind another prefix are not for us.
    Several(&'a str),
    /// `t=TIME,v1=SIGNATURE,...`
    Fields,
}

/// Where a signed time stands, and what it is counted in.
#[derive(Clone, Copy)]
pub(super) struct Time<'a> {
    header: &'a str,
    unit: TimeUnit,
}

/// How a request is signed.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub(super) header: &'a str,
    pub(super) hash: Hash,
    pub(super) time: Option<Time<'a>>,
    pub(super) signed: &'a str,
    form: Form<'a>,
    encoding: Encoding,
}

/// One manner per line: header, layout, encoding, time, what is signed.
const fn line(
    header: &'static str,
    form: Form<'static>,
    encoding: Encoding,
    time: Option<(&'static str, TimeUnit)>,
    signed: &'static str,
) -> Manner<'static> {
    let time = match time {
        Some((header, unit)) => Some(Time { header, unit }),
        None => None,
    };
    Manner { header, form, encoding, time, signed, hash: Hash::Sha256 }
}

use Encoding::{Base64, Hex};
use Form::{Fields, One, Several};
use TimeUnit::{Milliseconds, Seconds};

const HUB: Manner<'_> = line("x-hub-signature-256", One("sha256="), Hex, None, "{body}");
const STANDARD: Manner<'_> = line(
    "webhook-signature",
    Several("v1,"),
    Base64,
    Some(("webhook-timestamp", Seconds)),
    "{header:webhook-id}.{timestamp}.{body}",
);
const SVIX: Manner<'_> = line(
    "svix-signature",
    Several("v1,"),
    Base64,
    Some(("svix-timestamp", Seconds)),
    "{header:svix-id}.{timestamp}.{body}",
);
const STRIPE: Manner<'_> =
    line("stripe-signature", Fields, Hex, Some(("stripe-signature", Seconds)), "{timestamp}.{body}");
const SLACK: Manner<'_> =
    line("x-slack-signature", One("v0="), Hex, Some(("x-slack-request-timestamp", Seconds)), "v0:{timestamp}:{body}");
const HUBSPOT: Manner<'_> = line(
    "x-hubspot-signature-v3",
    One(""),
    Base64,
    Some(("x-hubspot-request-timestamp", Milliseconds)),
    "{method}{url_decoded}{body}{timestamp}",
);
const SHOPIFY: Manner<'_> = line("x-shopify-hmac-sha256", One(""), Base64, None, "{body}");
const ZOOM: Manner<'_> =
    line("x-zm-signature", One("v0="), Hex, Some(("x-zm-request-timestamp", Seconds)), "v0:{timestamp}:{body}");

impl<'a> Manner<'a> {
    /// A scheme's manner. Senders of Standard Webhooks name their headers in one of two ways, which the request tells.
    pub(super) fn of(scheme: &'a SignatureScheme, headers: &[(String, String)]) -> Self {
        let has = |name: &str| headers.iter().any(|(header, _)| header == name);
        match scheme {
            SignatureScheme::Github | SignatureScheme::Meta => HUB,
            SignatureScheme::StandardWebhooks if has(SVIX.header) && !has(STANDARD.header) => SVIX,
            SignatureScheme::StandardWebhooks => STANDARD,
            SignatureScheme::Stripe => STRIPE,
            SignatureScheme::Slack => SLACK,
            SignatureScheme::Hubspot => HUBSPOT,
            SignatureScheme::Shopify => SHOPIFY,
            SignatureScheme::Zoom => ZOOM,
            SignatureScheme::Hmac(settings) => Self {
                header: &settings.header,
                hash: settings.hash,
                time: settings.timestamp_header.as_deref().map(|header| Time { header, unit: settings.timestamp_unit }),
                signed: &settings.signed,
                form: One(&settings.prefix),
                encoding: settings.encoding,
            },
        }
    }

    /// Whether the URL is signed.
    pub(super) fn covers_url(&self) -> bool {
        self.signed.contains("{url")
    }

    /// The text of the signed time, empty where none is signed, and the signatures, of which one has to fit.
    pub(super) fn read<'r>(
        &self,
        value: &'r str,
        headers: &'r [(String, String)],
    ) -> Result<(&'r str, Vec<Vec<u8>>), SignatureError> {
        let mut listed = Vec::new();
        let mut time = None;
        match self.form {
            One(prefix) => listed.extend(value.strip_prefix(prefix)),
            Several(prefix) => listed.extend(value.split(' ').filter_map(|part| part.strip_prefix(prefix))),
            Fields => {
                for field in value.split(',') {
                    match field.split_once('=') {
                        Some(("t", _)) if time.is_some() => return Err(self.malformed()),
                        Some(("t", text)) => time = Some(text),
                        Some(("v1", tag)) => listed.push(tag),
                        _ => {}
                    }
                }
                time = Some(time.ok_or_else(|| self.malformed())?);
            }
        }
        let tags: Vec<_> = listed.iter().take(MAX_LISTED).filter_map(|tag| self.decode(tag)).collect();
        if tags.is_empty() {
            return Err(self.malformed());
        }
        let time = match (time, self.time) {
            (Some(time), _) => time,
            (None, None) => "",
            (None, Some(Time { header, .. })) => {
                one(headers, header)?.ok_or_else(|| SignatureError::MissingPart(header.to_owned()))?
            }
        };
        Ok((time, tags))
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = match self.encoding {
            Hex => {
                let has = |of: fn(&u8) -> bool| text.as_bytes().iter().any(of);
                // No sender mixes them, so a changed case is a changed signature.
                let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
                secret::unhex(text).filter(|_| !mixed)
            }
            Base64 => BASE64.decode(text).ok(),
        };
        bytes.filter(|bytes| bytes.len() == self.hash.length())
    }

    /// The moment that a signed time names.
    pub(super) fn instant(&self, text: &str) -> Result<Option<Timestamp>, SignatureError> {
        let Some(Time { header, unit }) = self.time else { return Ok(None) };
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let instant = digits.and_then(|digits| digits.parse().ok()).and_then(|number| match unit {
            Seconds => Timestamp::from_second(number).ok(),
            Milliseconds => Timestamp::from_millisecond(number).ok(),
        });
        match instant {
            Some(instant) => Ok(Some(instant)),
            None => Err(SignatureError::MalformedTime { header: header.to_owned(), unit }),
        }
    }

    fn malformed(&self) -> SignatureError {
        let length = self.hash.length();
        let written = match self.encoding {
            Hex => format!("{} hexadecimal digits", 2 * length),
            Base64 => format!("the base64 of {length} bytes"),
        };
        let form = match self.form {
            One("") => written,
            One(prefix) | Several(prefix) => format!("\"{prefix}\" and {written}"),
            Fields => format!("\"t=\" and the time, a comma, \"v1=\" and {written}"),
        };
        SignatureError::Malformed { header: self.header.to_owned(), form }
    }

    pub(super) fn mismatch(&self) -> SignatureError {
        let header = self.header.to_owned();
        if self.covers_url() { SignatureError::MismatchWithUrl(header) } else { SignatureError::Mismatch(header) }
    }
}

impl HmacSettings {
    /// Why a manner of signing cannot be checked, if so.
    pub fn check(&self) -> Result<(), String> {
        let names = [Some(&self.header), self.timestamp_header.as_ref()];
        names.into_iter().flatten().try_for_each(|name| check_header(name))?;
        if self.prefix.len() > LONGEST_TEXT || !self.prefix.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err(format!("The prefix must be up to {LONGEST_TEXT} printable ASCII characters"));
        }
        if self.signed.len() > LONGEST_TEXT {
            return Err(format!("What is signed must be told in up to {LONGEST_TEXT} bytes"));
        }
        let signed = pieces(&self.signed).map_err(|unknown| {
            format!(
                "\"{unknown}\" is nothing that can be signed. There are {{body}}, {{timestamp}}, {{method}}, {{url}}, {{url_decoded}} and {{header:NAME}}"
            )
        })?;
        signed
            .iter()
            .try_for_each(|piece| if let Piece::Header(name) = piece { check_header(name) } else { Ok(()) })?;
        let covers = |wanted: fn(&Piece<'_>) -> bool| signed.iter().any(wanted);
        if !covers(|piece| matches!(piece, Piece::Body)) {
            return Err("The signature must cover the body. Put {body} into what is signed".to_owned());
        }
        match (covers(|piece| matches!(piece, Piece::Timestamp)), &self.timestamp_header) {
            (true, None) => Err("A time is signed. Say in timestamp_header which header carries it".to_owned()),
            (false, Some(_)) => {
                Err("The time must be signed to be believed. Put {timestamp} into what is signed".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Headers that carry callers' credentials are taken out before anything is checked.
fn check_header(name: &str) -> Result<(), String> {
    let lower =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    if name.is_empty() || name.len() > LONGEST_TEXT || !lower {
        return Err(format!("\"{name}\" is no name of a header. Write it in lower-case letters, digits and hyphens"));
    }
    match name {
        "authorization" | "x-api-key" | "cookie" | "proxy-authorization" => {
            Err(format!("The header {name} is for credentials, and no signature is looked for in it. Use another one"))
        }
        _ => Ok(()),
    }
}

/// A part of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Method,
    Url,
    UrlDecoded,
    Timestamp,
    Body,
    Header(&'a str),
}

impl Piece<'_> {
    /// Feeds it to the hash.
    pub(super) fn feed(&self, request: &Signed<'_>, time: &str, hash: &mut hmac::Context) {
        match self {
            Self::Text(text) => hash.update(text.as_bytes()),
            Self::Method => hash.update(request.method.as_bytes()),
            Self::Url => hash.update(request.url.as_bytes()),
            Self::UrlDecoded => hash.update(decode_url(request.url).as_bytes()),
            Self::Timestamp => hash.update(time.as_bytes()),
            Self::Body => hash.update(request.body),
            Self::Header(name) => {
                let value = request.headers.iter().find(|(header, _)| header == name);
                hash.update(value.map_or("", |(_, value)| value).as_bytes());
            }
        }
    }
}

/// The parts that a template tells; an unknown placeholder is the error.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, &str> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (text, behind) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let Some(end) = behind.find('}') else {
            rest = if behind.is_empty() { "" } else { return Err(behind) };
            continue;
        };
        let placeholder = &behind[..=end];
        pieces.push(match &placeholder[1..end] {
            "body" => Piece::Body,
            "timestamp" => Piece::Timestamp,
            "method" => Piece::Method,
            "url" => Piece::Url,
            "url_decoded" => Piece::UrlDecoded,
            name => Piece::Header(name.strip_prefix("header:").ok_or(placeholder)?),
        });
        rest = &behind[end + 1..];
    }
    Ok(pieces)
}

/// A URL as HubSpot signs it.
fn decode_url(url: &str) -> Cow<'_, str> {
    if !url.contains('%') {
        return Cow::Borrowed(url);
    }
    let mut parts = url.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escape = part.get(..2).unwrap_or_default();
        match HUBSPOT_DECODES.iter().find(|(code, _)| code.eq_ignore_ascii_case(escape)) {
            Some((_, character)) => {
                decoded.push(*character);
                decoded.push_str(&part[2..]);
            }
            None => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_read_from_a_template() {
        let all = "v0:{timestamp}.{body}{method}{url}{url_decoded}{header:x-id}!";
        let wanted = [
            Piece::Text("v0:"),
            Piece::Timestamp,
            Piece::Text("."),
            Piece::Body,
            Piece::Method,
            Piece::Url,
            Piece::UrlDecoded,
            Piece::Header("x-id"),
            Piece::Text("!"),
        ];
        assert_eq!(pieces(all).unwrap(), wanted);
        assert_eq!(pieces("").unwrap(), []);
        for (template, unknown) in [("a{b}c", "{b}"), ("{body}{", "{"), ("{body", "{body"), ("{}", "{}")] {
            assert_eq!(pieces(template), Err(unknown), "{template}");
        }
    }

    #[test]
    fn hubspot_decodes_some_characters_and_leaves_the_others() {
        for (url, decoded) in [
            ("https://a.example/hooks/b?c=d", "https://a.example/hooks/b?c=d"),
            ("https://a.example/%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B", "https://a.example/:/?@!$'()*,;"),
            ("https://a.example/?q=%20%25%3D%26%23%2B", "https://a.example/?q=%20%25%3D%26%23%2B"),
            ("%2f%2F%zz%2", "//%zz%2"),
            ("%é%40", "%é@"),
        ] {
            assert_eq!(decode_url(url), decoded);
        }
    }

    #[test]
    fn a_manner_that_proves_nothing_is_refused() {
        let good = HmacSettings {
            header: "x-signature".to_owned(),
            prefix: "sha256=".to_owned(),
            hash: Hash::Sha256,
            encoding: Hex,
            timestamp_header: Some("x-time".to_owned()),
            timestamp_unit: Seconds,
            signed: "{timestamp}.{body}".to_owned(),
        };
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut HmacSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.check().unwrap_err()
        };
        for (error, told) in [
            (with(|settings| settings.header.clear()), "no name of a header"),
            (with(|settings| settings.header = "X-Signature".to_owned()), "lower-case"),
            (with(|settings| settings.header = "authorization".to_owned()), "for credentials"),
            (with(|settings| settings.timestamp_header = Some("a b".to_owned())), "no name of a header"),
            (with(|settings| settings.prefix = "\n".to_owned()), "printable"),
            (with(|settings| settings.signed = "{timestamp}".to_owned()), "must cover the body"),
            (with(|settings| settings.signed = "{body}".to_owned()), "The time must be signed"),
            (with(|settings| settings.timestamp_header = None), "timestamp_header"),
            (with(|settings| settings.signed = "{id}{body}".to_owned()), "\"{id}\" is nothing"),
            (with(|settings| settings.signed = "{header:cookie}{body}".to_owned()), "for credentials"),
            (with(|settings| settings.signed = "x".repeat(201)), "up to 200 bytes"),
        ] {
            assert!(error.contains(told), "{error}");
        }
    }
}
