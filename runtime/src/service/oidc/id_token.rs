//! ID tokens: which ones are believed (OpenID Connect Core 1.0, section 3.1.3.7).

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::provider::ProviderError;

/// Signatures with a public key only: a token cannot choose an algorithm under which the public key is a shared secret.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the provider's clock may be off, in seconds.
const LEEWAY: i64 = 60;

/// What an ID token says.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Verified>,
    pub(super) name: Option<String>,
}

/// What the user info endpoint says (section 5.3.2).
#[derive(Debug, Deserialize)]
pub(super) struct UserInfo {
    pub(super) sub: String,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Verified>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// `true`; some providers write it as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Verified {
    Flag(bool),
    Text(String),
}

impl Verified {
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Text(text) => text == "true",
        }
    }
}

/// A key set, in which there may be keys of kinds that are not known here.
#[derive(Deserialize)]
pub(super) struct Keys {
    keys: Vec<Value>,
}

impl Keys {
    /// Those that are known.
    pub(super) fn known(self) -> JwkSet {
        let keys = self.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        JwkSet { keys: keys.filter(|key| !matches!(key.algorithm, AlgorithmParameters::Other(_))).collect() }
    }
}

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// Whether the key that a token names is among these.
pub(super) fn has_key(token: &str, keys: &JwkSet) -> bool {
    jsonwebtoken::decode_header(token).is_ok_and(|header| find(keys, header.kid.as_deref()).is_some())
}

/// The key of a name; the only one, where a token names none.
fn find<'a>(keys: &'a JwkSet, id: Option<&str>) -> Option<&'a Jwk> {
    let mut signing = keys
        .keys
        .iter()
        .filter(|key| !matches!(&key.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature));
    match id {
        Some(id) => signing.find(|key| key.common.key_id.as_deref() == Some(id)),
        None => signing.next().filter(|_| signing.next().is_none()),
    }
}

/// What a token says, if it is to be believed.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Claims, ProviderError> {
    let wrong = |reason| Err(ProviderError::Claims(reason));
    let not_signed = ProviderError::Claims("its ID token is not signed as it should be");
    let Ok(header) = jsonwebtoken::decode_header(token) else { return Err(not_signed) };
    if !ALGORITHMS.contains(&header.alg) {
        return wrong("its ID token is signed with an algorithm that is not accepted");
    }
    let Some(key) = find(keys, header.kid.as_deref()) else {
        return wrong("its ID token is signed with a key that it does not publish");
    };
    let Ok(key) = DecodingKey::from_jwk(key) else { return Err(not_signed) };
    // Times are compared below, by the server's clock.
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    let Ok(token) = jsonwebtoken::decode::<Claims>(token, &key, &validation) else {
        return wrong("its ID token is not signed as it should be, or is for somebody else");
    };
    let (claims, now) = (token.claims, expected.now.as_second());
    let several = matches!(&claims.aud, Audience::Several(all) if all.len() > 1);
    match &claims.azp {
        Some(party) if party != expected.client_id => return wrong("its ID token was made for another client"),
        None if several => return wrong("its ID token is for several clients and names none"),
        _ => {}
    }
    if let Audience::One(audience) = &claims.aud
        && audience != expected.client_id
    {
        return wrong("its ID token is for another client");
    }
    if claims.exp <= now - LEEWAY || claims.nbf.is_some_and(|from| from > now + LEEWAY) {
        return wrong("its ID token has expired, or the clocks differ");
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return wrong("its ID token is not for this login");
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    /// RFC 8410's example keys, as PKCS #8 (section 10.3) and its public part (RFC 8037, appendix A.2, has the same form).
    const PRIVATE: [u8; 48] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, 0x9d, 0x61,
        0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69,
        0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn keys() -> JwkSet {
        let keys = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "kid": "one", "use": "sig"},
            {"kty": "of a later day"},
        ]});
        serde_json::from_value::<Keys>(keys).unwrap().known()
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "sub": "4711", "aud": "headgate", "exp": NOW + 60, "nonce": "n",
            "email": "ada@example.com", "email_verified": true})
    }

    fn token(alg: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(alg) };
        let key = match alg {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&PRIVATE),
            // The public key as a shared secret.
            _ => EncodingKey::from_secret(PUBLIC.as_bytes()),
        };
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    fn check(token: &str) -> Result<String, String> {
        let now = Timestamp::from_second(NOW).unwrap();
        let expected = Expected { issuer: "https://id.example", client_id: "headgate", nonce: "n", now };
        verify(token, &keys(), &expected).map(|claims| claims.sub).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_for_this_login_is_believed() {
        for kid in [Some("one"), None] {
            assert_eq!(check(&token(Algorithm::EdDSA, kid, &claims())), Ok("4711".to_owned()));
        }
        let mut several = claims();
        several["aud"] = json!(["headgate", "other"]);
        several["azp"] = json!("headgate");
        assert!(check(&token(Algorithm::EdDSA, Some("one"), &several)).is_ok());
    }

    #[test]
    fn any_other_token_is_not() {
        for (field, value) in [
            ("iss", json!("https://evil.example")),
            ("iss", Value::Null),
            ("aud", json!("another")),
            ("aud", json!(["another"])),
            ("aud", json!(["headgate", "other"])),
            ("azp", json!("another")),
            ("exp", json!(NOW - 61)),
            ("exp", Value::Null),
            ("nbf", json!(NOW + 61)),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("sub", Value::Null),
        ] {
            let mut claims = claims();
            claims[field] = value.clone();
            assert!(check(&token(Algorithm::EdDSA, Some("one"), &claims)).is_err(), "{field} {value}");
        }
        assert!(check(&token(Algorithm::EdDSA, Some("two"), &claims())).unwrap_err().contains("publish"));
        assert!(check(&token(Algorithm::HS256, Some("one"), &claims())).unwrap_err().contains("algorithm"));
        let good = token(Algorithm::EdDSA, Some("one"), &claims());
        let (body, signature) = good.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
        assert!(check(&format!("{body}.{flipped}{}", &signature[1..])).is_err());
        assert!(check(&format!("{body}.")).is_err());
    }
}
