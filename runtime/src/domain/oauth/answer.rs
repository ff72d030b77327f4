//! What a token endpoint answers (RFC 6749, sections 5.1 and 5.2), with the ways in which apps differ from it.

use std::collections::BTreeMap;

use headgate_manifest::{ExpiresUnit, MetadataSource, Oauth};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::domain::scrub::MIN_SECRET;

/// The longest token, in bytes: it has to fit into a header.
const MAX_TOKEN: usize = 16 << 10;
/// The longest life of a token that is believed. Longer ones are as good as none told.
const MAX_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Letters of an app's error that are kept.
const MAX_ERROR: usize = 300;
/// The most scopes that are kept, and the longest of them, in bytes.
const MAX_SCOPES: usize = 200;

/// Errors that say that a refresh token or code is worth nothing any more: the standard's, and those of Slack, GitHub,
/// HubSpot and Zoho, as their API documents have them.
const DEAD_GRANT: [&str; 10] = [
    "invalid_grant",
    "invalid_refresh_token",
    "token_revoked",
    "account_inactive",
    "bad_refresh_token",
    "bad_verification_code",
    "BAD_REFRESH_TOKEN",
    "BAD_AUTH_CODE",
    "invalid_code",
    "invalid_refresh_code",
];

/// What the token endpoint told. `Debug` shows no token.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The access token.
    pub access: SecretString,
    /// The refresh token.
    pub refresh: Option<SecretString>,
    /// How long the access token is valid.
    pub life: Option<SignedDuration>,
    /// Which scopes were granted.
    pub scopes: Option<Vec<String>>,
    /// Settings of the connection that it told.
    pub metadata: BTreeMap<String, String>,
}

/// Why there is no token. The texts hold what the app wrote about its error, and nothing else of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The app said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is no answer of a token endpoint.
    #[error("{0}")]
    Odd(String),
}

/// An app's no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{error}{}", .description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Refusal {
    /// Its word for it, such as `invalid_grant`.
    pub error: String,
    /// What it says to people.
    pub description: Option<String>,
}

impl Refusal {
    /// Whether the grant itself is worth nothing any more, so that only a person can help.
    pub fn is_final(&self) -> bool {
        DEAD_GRANT.contains(&self.error.as_str())
    }
}

impl TokenAnswer {
    /// Reads an answer.
    pub fn read(oauth: &Oauth, status: u16, body: &[u8]) -> Result<Self, AnswerError> {
        if (300..400).contains(&status) {
            let message = format!("it redirects ({status}), which is not followed");
            return Err(AnswerError::Odd(message));
        }
        let mut json: Value = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(_) if (200..300).contains(&status) => {
                return Err(AnswerError::Odd(format!("its answer ({status}) is not JSON")));
            }
            Err(_) => return Err(AnswerError::Odd(format!("it answers with the status {status}"))),
        };
        let read = Self::of_json(oauth, status, &json);
        wipe(&mut json);
        read
    }

    fn of_json(oauth: &Oauth, status: u16, json: &Value) -> Result<Self, AnswerError> {
        let fields = &oauth.token_fields;
        let access = json.pointer(&fields.access_token).and_then(Value::as_str);
        let access = access.filter(|_| (200..300).contains(&status) && json["ok"] != Value::Bool(false));
        let Some(access) = access else {
            // Some apps answer their errors with the status 200.
            return Err(match refusal(json) {
                Some(refusal) if status < 500 => refusal.into(),
                _ if (200..300).contains(&status) => {
                    AnswerError::Odd(format!("its answer has no access token at {}", fields.access_token))
                }
                _ => AnswerError::Odd(format!("it answers with the status {status}")),
            });
        };
        let metadata = oauth.metadata.iter().filter(|told| told.source == MetadataSource::Token);
        Ok(Self {
            access: token(access)?,
            refresh: json.pointer(&fields.refresh_token).and_then(Value::as_str).map(token).transpose()?,
            life: json.pointer(&fields.expires_in).and_then(|value| life(value, fields.expires_unit)),
            scopes: json.pointer(&fields.scope).and_then(|value| scopes(value, &oauth.scope_separator)),
            metadata: metadata
                .filter_map(|told| Some((told.config.clone(), text(json.pointer(&told.field)?)?)))
                .collect(),
        })
    }
}

/// The refusal that an answer tells, if it tells one.
pub fn refusal(json: &Value) -> Option<Refusal> {
    let told = &json["error"];
    // HubSpot's `{"status": "BAD_REFRESH_TOKEN", "message": ...}` is one too.
    let words = [told, &told["code"], &told["type"], &told["status"], &json["status"]];
    let error = words.into_iter().find_map(Value::as_str)?;
    let texts = [&json["error_description"], &json["message"], &told["message"], &json["errorDescription"]];
    let description = texts.into_iter().find_map(Value::as_str).map(clean).filter(|text| !text.is_empty());
    Some(Refusal { error: clean(error), description })
}

/// A text of an app as it may stand in a message.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_ERROR).collect()
}

fn token(text: &str) -> Result<SecretString, AnswerError> {
    let fits = (MIN_SECRET..=MAX_TOKEN).contains(&text.len()) && !text.chars().any(char::is_control);
    let odd = || AnswerError::Odd(format!("its token does not have {MIN_SECRET} to {MAX_TOKEN} bytes on one line"));
    fits.then(|| SecretString::from(text)).ok_or_else(odd)
}

fn life(value: &Value, unit: ExpiresUnit) -> Option<SignedDuration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let seconds = match unit {
        ExpiresUnit::Seconds => number,
        ExpiresUnit::Milliseconds => number / 1000.0,
    };
    // Apps whose tokens do not expire say 0.
    let life = SignedDuration::try_from_secs_f64(seconds).ok()?;
    (life > SignedDuration::ZERO && life <= MAX_LIFE).then_some(life)
}

fn scopes(value: &Value, separator: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = match value {
        Value::String(text) => text
            .split(separator)
            .flat_map(|part| part.split(|c: char| c == ',' || c.is_whitespace()))
            .filter(|word| !word.is_empty())
            .collect(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let words = words.into_iter().filter(|word| word.len() <= MAX_SCOPES).take(MAX_SCOPES);
    Some(words.map(str::to_owned).collect())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Overwrites the texts of an answer that was read.
fn wipe(json: &mut Value) {
    match json {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(values) => values.values_mut().for_each(wipe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use headgate_manifest::TokenFields;
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn plain() -> Oauth {
        Oauth::code("https://a.example/authorize", "https://a.example/token")
    }

    fn read(oauth: &Oauth, status: u16, json: &Value) -> Result<TokenAnswer, AnswerError> {
        TokenAnswer::read(oauth, status, json.to_string().as_bytes())
    }

    #[test]
    fn the_standard_answer_is_read() {
        let json = json!({"access_token": "access-1", "token_type": "bearer", "refresh_token": "refresh-1",
            "expires_in": 3600, "scope": "a b"});
        let answer = read(&plain(), 200, &json).unwrap();
        assert_eq!(answer.access.expose_secret(), "access-1");
        assert_eq!(answer.refresh.as_ref().unwrap().expose_secret(), "refresh-1");
        assert_eq!(answer.life, Some(SignedDuration::from_hours(1)));
        assert_eq!(answer.scopes.as_deref().unwrap(), ["a", "b"]);
        assert!(!format!("{answer:?}").contains("access-1"));
    }

    #[test]
    fn apps_name_things_their_own_way() {
        let fields = TokenFields {
            access_token: "/authed_user/access_token".into(),
            expires_in: "/expires".into(),
            expires_unit: ExpiresUnit::Milliseconds,
            scope: "/authed_user/scope".into(),
            ..TokenFields::default()
        };
        let oauth = plain().token_fields(fields).scope_separator(",").metadata_from_token("team", "/team/id");
        let json = json!({"ok": true, "expires": "1500", "team": {"id": 7},
            "authed_user": {"access_token": "xoxp-12", "scope": "chat:write,users:read"}});
        let answer = read(&oauth, 200, &json).unwrap();
        assert_eq!(answer.access.expose_secret(), "xoxp-12");
        assert_eq!(answer.life, Some(SignedDuration::from_millis(1500)));
        assert_eq!(answer.scopes.unwrap(), ["chat:write", "users:read"]);
        assert_eq!(answer.metadata["team"], "7");
    }

    #[test]
    fn a_life_is_believed_within_reason() {
        for (told, life) in [
            (json!(60), Some(60)),
            (json!("60"), Some(60)),
            (json!(60.0), Some(60)),
            (json!(0), None),
            (json!(-1), None),
            (json!("soon"), None),
            (json!(1e300), None),
            (json!(null), None),
        ] {
            let answer = read(&plain(), 200, &json!({"access_token": "access-1", "expires_in": told})).unwrap();
            assert_eq!(answer.life.map(|life| life.as_secs()), life, "{told}");
        }
    }

    #[test]
    fn errors_are_told_whatever_their_status() {
        let long = "x".repeat(1000);
        for (status, json, message, last) in [
            (400, json!({"error": "invalid_grant"}), "invalid_grant", true),
            (
                400,
                json!({"error": "invalid_client", "error_description": "no\r\nway"}),
                "invalid_client (noway)",
                false,
            ),
            (200, json!({"ok": false, "error": "invalid_refresh_token"}), "invalid_refresh_token", true),
            (200, json!({"error": "bad_refresh_token", "error_description": "old"}), "bad_refresh_token (old)", true),
            (400, json!({"status": "BAD_REFRESH_TOKEN", "message": "gone"}), "BAD_REFRESH_TOKEN (gone)", true),
            (401, json!({"error": {"code": "nope", "message": "no"}}), "nope (no)", false),
            (400, json!({"error": long}), &long[..300], false),
        ] {
            let AnswerError::Refused(refusal) = read(&plain(), status, &json).unwrap_err() else { panic!("{json}") };
            assert_eq!(refusal.to_string(), message);
            assert_eq!(refusal.is_final(), last, "{json}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_without_quoting_it() {
        for (status, body, message) in [
            (200, "<html>secret-1</html>", "its answer (200) is not JSON"),
            (302, "", "it redirects (302), which is not followed"),
            (500, "secret-1", "it answers with the status 500"),
            (503, r#"{"error": "secret-1"}"#, "it answers with the status 503"),
            (200, r#"{"token": "secret-1"}"#, "its answer has no access token at /access_token"),
            (200, r#"{"access_token": "x"}"#, "its token does not have 6 to 16384 bytes on one line"),
            (200, r#"{"access_token": "secret\n1"}"#, "its token does not have 6 to 16384 bytes on one line"),
        ] {
            let error = TokenAnswer::read(&plain(), status, body.as_bytes()).unwrap_err();
            assert_eq!(error, AnswerError::Odd(message.to_owned()));
        }
    }
}
