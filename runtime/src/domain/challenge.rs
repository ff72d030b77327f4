//! Handshakes by which senders make sure that a URL belongs to whoever gave it to them. The server answers them; no flow is run.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::domain::sealed::Sealed;
use crate::domain::secret::hex;

/// The largest handshake, in bytes: larger bodies are events, and are not parsed.
const MAX_HANDSHAKE: usize = 4096;

/// Whose handshake a trigger answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// Slack's `url_verification`: the challenge comes back.
    Slack,
    /// Zoom's `endpoint.url_validation`: the plain token comes back with its HMAC under the signature's secret.
    Zoom,
    /// Meta's `hub.mode=subscribe`: the challenge comes back to whoever knows the verify token.
    Meta {
        /// The verify token, sealed.
        verify_token: Sealed,
    },
}

/// Whose handshake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    /// `POST` of `{"type": "url_verification", "challenge": ...}` (Slack, "url_verification event").
    Slack,
    /// `POST` of `{"event": "endpoint.url_validation", "payload": {"plainToken": ...}}` (Zoom, "Validate your webhook endpoint").
    Zoom,
    /// `GET` with `hub.mode`, `hub.verify_token` and `hub.challenge` (Meta, "Verification requests").
    Meta,
}

impl Challenge {
    /// Whose handshake it is.
    pub fn kind(&self) -> ChallengeKind {
        match self {
            Self::Slack => ChallengeKind::Slack,
            Self::Zoom => ChallengeKind::Zoom,
            Self::Meta { .. } => ChallengeKind::Meta,
        }
    }
}

/// The server's part of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// What the body is. Never a kind that browsers run: it repeats what the caller sent.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Handshake {
    fn text(body: String) -> Self {
        Self { content_type: "text/plain; charset=utf-8", body }
    }
}

#[derive(Deserialize)]
struct UrlVerification {
    r#type: String,
    challenge: String,
}

#[derive(Deserialize)]
struct UrlValidation {
    event: String,
    payload: PlainToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainToken {
    plain_token: String,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    (body.len() <= MAX_HANDSHAKE).then(|| serde_json::from_slice(body).ok()).flatten()
}

/// The answer to Slack, where a body is its handshake.
pub fn slack(body: &[u8]) -> Option<Handshake> {
    let asked: UrlVerification = read(body)?;
    (asked.r#type == "url_verification").then(|| Handshake::text(asked.challenge))
}

/// The answer to Zoom, where a body is its handshake. `secret` is the one the request was signed with.
pub fn zoom(body: &[u8], secret: &str) -> Option<Handshake> {
    let asked: UrlValidation = read(body)?;
    if asked.event != "endpoint.url_validation" {
        return None;
    }
    let plain = asked.payload.plain_token;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(plain.as_bytes());
    let encrypted = hex(&mac.finalize().into_bytes());
    let body = serde_json::json!({ "plainToken": plain, "encryptedToken": encrypted });
    Some(Handshake { content_type: "application/json", body: body.to_string() })
}

/// Meta's handshake, as it comes in the query.
#[derive(Clone, Copy)]
pub struct Subscription<'a> {
    verify_token: &'a str,
    challenge: &'a str,
}

impl<'a> Subscription<'a> {
    /// The handshake that a request is, if it is one. What is told twice tells nothing.
    pub fn of(method: &str, query: &'a [(String, String)]) -> Option<Self> {
        if method != "GET" {
            return None;
        }
        let one = |name: &str| {
            let mut values = query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let first = values.next()?;
            values.next().is_none().then_some(first)
        };
        let asked = one("hub.mode")? == "subscribe";
        let (verify_token, challenge) = (one("hub.verify_token")?, one("hub.challenge")?);
        (asked && challenge.len() <= MAX_HANDSHAKE).then_some(Self { verify_token, challenge })
    }

    /// The answer to somebody who knows the token.
    pub fn answer(&self, verify_token: &str) -> Option<Handshake> {
        let known = bool::from(self.verify_token.as_bytes().ct_eq(verify_token.as_bytes()));
        known.then(|| Handshake::text(self.challenge.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slacks_own_example() {
        // docs.slack.dev, "url_verification event".
        let body = br#"{"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"}"#;
        let answer = slack(body).unwrap();
        assert_eq!(answer.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        let long = format!(r#"{{"type": "url_verification", "challenge": "{}"}}"#, "x".repeat(MAX_HANDSHAKE));
        for event in
            [r#"{"type": "event_callback", "challenge": "x"}"#, r#"{"type": "url_verification"}"#, "{", "", &long]
        {
            assert_eq!(slack(event.as_bytes()), None, "{event}");
        }
    }

    #[test]
    fn zooms_own_example() {
        // developers.zoom.us, "Validate your webhook endpoint"; it names no secret, so the HMAC is Python's.
        let body = br#"{"payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1654503849680, "event": "endpoint.url_validation"}"#;
        let answer = zoom(body, "a zoom secret token").unwrap();
        let wanted = serde_json::json!({
            "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
            "encryptedToken": "2db539f3136c6cbe27c19aa6aa4d5c7367b1e233ad41bb2063d911490cf25e30",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), wanted);
        assert_eq!(zoom(br#"{"event": "meeting.started", "payload": {"plainToken": "x"}}"#, "s"), None);
        assert_eq!(zoom(br#"{"event": "endpoint.url_validation", "payload": {}}"#, "s"), None);
    }

    #[test]
    fn metas_handshake_wants_the_token() {
        let query = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        // developers.facebook.com, "Verification requests".
        let (mode, token) = (("hub.mode", "subscribe"), ("hub.verify_token", "meatyhamhock"));
        let challenge = ("hub.challenge", "1158201444");
        let asked = query(&[mode, challenge, token]);
        let subscription = Subscription::of("GET", &asked).unwrap();
        assert_eq!(subscription.answer("meatyhamhock").unwrap().body, "1158201444");
        for wrong in ["", "meatyhamhoc", "meatyhamhocks", "Meatyhamhock"] {
            assert_eq!(subscription.answer(wrong), None, "{wrong}");
        }
        for (method, pairs) in [
            ("POST", &[mode, challenge, token][..]),
            ("GET", &[("hub.mode", "unsubscribe"), challenge, token]),
            ("GET", &[challenge, token]),
            ("GET", &[mode, token]),
            ("GET", &[mode, challenge]),
            ("GET", &[mode, challenge, token, token]),
        ] {
            assert!(Subscription::of(method, &query(pairs)).is_none(), "{method} {pairs:?}");
        }
    }
}
