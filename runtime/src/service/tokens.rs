//! Access tokens: JWTs (RFC 7519) signed with HS256, as the server that makes them is the only one that reads them.
//!
//! They say whose they are and by which session; whether both still exist is looked up with each request.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::id::{SessionId, UserId};
use crate::domain::permission::Action;
use crate::domain::sealed::Sealed;
use crate::domain::secret::{SECRET_LENGTH, random_text};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::service::vault::{Place, Vault, random};
use crate::store::{Batch, Store};

const SIGNING_KEYS: &str = "server/signing-keys";
/// What is sealed for the server itself lies under this name, which no group can have.
const SERVER: &str = "server/tokens";
const ISSUER: &str = "headgate";
const ALGORITHM: Algorithm = Algorithm::HS256;
/// Keys kept at most: with the usual lifetimes two are in use.
const MOST_KEYS: usize = 32;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
}

/// A signing key as it is stored.
#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    id: String,
    created: Timestamp,
    /// Until when it verifies; absent while it signs.
    not_after: Option<Timestamp>,
    secret: Sealed,
}

/// A signing key ready for use.
struct SigningKey {
    stored: StoredKey,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The keys that sign and verify. The last one signs.
pub(super) struct Tokens {
    lifetime: Duration,
    keys: ArcSwap<Vec<Arc<SigningKey>>>,
}

impl SigningKey {
    fn new(stored: StoredKey, secret: &SecretString) -> Arc<Self> {
        let bytes = secret.expose_secret().as_bytes();
        Arc::new(Self { stored, encoding: EncodingKey::from_secret(bytes), decoding: DecodingKey::from_secret(bytes) })
    }

    async fn generate(vault: &Vault, now: Timestamp) -> Result<Arc<Self>, ServiceError> {
        let id = format!("sig_{}", random_text(12, random));
        let secret = SecretString::from(random_text(SECRET_LENGTH, random));
        let sealed = vault.seal(place(&id), 1, secret.expose_secret()).await;
        let sealed = sealed.map_err(ServiceError::internal("sealing a signing key"))?;
        Ok(Self::new(StoredKey { id, created: now, not_after: None, secret: sealed }, &secret))
    }
}

fn place(id: &str) -> Place<'_> {
    Place { group: SERVER, record: id, field: "signing-key" }
}

impl Tokens {
    /// Reads the keys, or makes the first one.
    pub(super) async fn open(
        store: &dyn Store,
        vault: &Vault,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, ServiceError> {
        let doing = "reading the signing keys";
        let stored = store.get(SIGNING_KEYS).map_err(ServiceError::internal(doing))?;
        let mut keys = Vec::new();
        if let Some(record) = stored {
            for stored in decode::<Vec<StoredKey>>(&record.value)? {
                let opened = vault.open_secret(place(&stored.id), &stored.secret).await;
                let secret = opened.map_err(ServiceError::internal(doing))?;
                keys.push(SigningKey::new(stored, &secret));
            }
        }
        if keys.is_empty() {
            keys.push(SigningKey::generate(vault, now).await?);
            let batch = Batch::new().require_absent(SIGNING_KEYS).put(SIGNING_KEYS, encode_keys(&keys));
            store.commit(batch).await.map_err(ServiceError::internal("making the first signing key"))?;
        }
        Ok(Self { lifetime, keys: ArcSwap::from_pointee(keys) })
    }

    /// How long a token is valid.
    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Makes a token.
    pub(super) fn sign(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<SecretString, ServiceError> {
        let keys = self.keys.load();
        let key = keys.last().expect("there is always one that signs");
        let expires = now.checked_add(self.lifetime).unwrap_or(Timestamp::MAX);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.clone(),
            sid: session.clone(),
            iat: now.as_second(),
            exp: expires.as_second(),
        };
        let header = Header { kid: Some(key.stored.id.clone()), ..Header::new(ALGORITHM) };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding);
        token.map(SecretString::from).map_err(ServiceError::internal("signing a token"))
    }

    /// Whose a token is, when it is one of ours and has not expired.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Option<(UserId, SessionId)> {
        let id = jsonwebtoken::decode_header(token).ok()?.kid?;
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.stored.id == id)?;
        if key.stored.not_after.is_some_and(|end| end <= now) {
            return None;
        }
        // The time comes from the server's clock, not from the library's.
        let mut validation = Validation::new(ALGORITHM);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_issuer(&[ISSUER]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation).ok()?.claims;
        (claims.exp > now.as_second()).then_some((claims.sub, claims.sid))
    }

    /// Whether the key that signs is older than so many days.
    fn is_due(&self, days: u32, now: Timestamp) -> bool {
        let age = SignedDuration::from_hours(i64::from(days) * 24);
        self.keys.load().last().is_some_and(|key| now.duration_since(key.stored.created) >= age)
    }
}

fn encode_keys(keys: &[Arc<SigningKey>]) -> Vec<u8> {
    encode(&keys.iter().map(|key| &key.stored).collect::<Vec<_>>())
}

impl Service {
    /// Signs with a new key from now on. Tokens signed with the old one stay valid until they expire.
    pub async fn rotate_signing_key(self: &Arc<Self>, actor: &Actor) -> Result<(), ServiceError> {
        let (service, actor) = (self.clone(), actor.clone());
        // On its own, so that what is stored and what is in memory stay the same when the caller goes away.
        let rotated = tokio::spawn(async move { service.change_signing_key(&actor).await });
        rotated.await.map_err(ServiceError::internal("changing the signing key"))?
    }

    async fn change_signing_key(self: &Arc<Self>, actor: &Actor) -> Result<(), ServiceError> {
        let mut edit = self.edit_server(actor, Action::RotateSigningKey).await?;
        let (tokens, now) = (&self.login.tokens, self.now());
        let retired = now.checked_add(tokens.lifetime).unwrap_or(Timestamp::MAX);
        let mut keys = Vec::new();
        for key in tokens.keys.load().iter() {
            let not_after = key.stored.not_after.unwrap_or(retired);
            if not_after > now {
                let stored = StoredKey { not_after: Some(not_after), ..key.stored.clone() };
                let (encoding, decoding) = (key.encoding.clone(), key.decoding.clone());
                keys.push(Arc::new(SigningKey { stored, encoding, decoding }));
            }
        }
        if keys.len() >= MOST_KEYS {
            return Err(ServiceError::Conflict(format!(
                "{MOST_KEYS} signing keys are still in use. Wait until tokens signed with the oldest have expired"
            )));
        }
        keys.push(SigningKey::generate(&self.vault, now).await?);
        edit.put_beside(SIGNING_KEYS.to_owned(), encode_keys(&keys));
        edit.save().await?;
        tokens.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Changes the signing key when its time has come.
    pub(super) async fn rotate_due_signing_key(self: &Arc<Self>) -> Result<(), ServiceError> {
        if self.login.tokens.is_due(self.login.settings.signing_key_days, self.now()) {
            self.rotate_signing_key(&Actor::system()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::store::MemoryStore;

    const LIFETIME: Duration = Duration::from_secs(900);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    async fn tokens() -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let vault = Vault::open(store.clone(), &folder.path().join("key"), None).await.unwrap();
        let tokens = Tokens::open(store.as_ref(), &vault, LIFETIME, at(0)).await.unwrap();
        let again = Tokens::open(store.as_ref(), &vault, LIFETIME, at(0)).await.unwrap();
        let token = tokens.sign(&user(), &session(), at(0)).unwrap();
        assert!(again.verify(token.expose_secret(), at(1)).is_some(), "the keys are read back");
        tokens
    }

    fn user() -> UserId {
        UserId::from_random(&"a".repeat(20)).unwrap()
    }

    fn session() -> SessionId {
        SessionId::from_random(&"b".repeat(20)).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_valid_until_it_expires() {
        let tokens = tokens().await;
        let token = tokens.sign(&user(), &session(), at(100)).unwrap();
        assert_eq!(tokens.verify(token.expose_secret(), at(100)), Some((user(), session())));
        assert_eq!(tokens.verify(token.expose_secret(), at(999)), Some((user(), session())));
        assert_eq!(tokens.verify(token.expose_secret(), at(1000)), None);
    }

    #[tokio::test]
    async fn what_we_did_not_sign_is_no_token() {
        let tokens = tokens().await;
        let token = tokens.sign(&user(), &session(), at(100)).unwrap();
        let parts: Vec<_> = token.expose_secret().split('.').collect();
        let kid = jsonwebtoken::decode_header(token.expose_secret()).unwrap().kid.unwrap();
        let head = |text: &str| URL_SAFE_NO_PAD.encode(text.replace("KID", &kid));
        let none = format!("{}.{}.", head(r#"{"alg":"none","kid":"KID"}"#), parts[1]);
        let other_algorithm = format!("{}.{}.{}", head(r#"{"alg":"HS384","kid":"KID"}"#), parts[1], parts[2]);
        let no_key = format!("{}.{}.{}", head(r#"{"alg":"HS256"}"#), parts[1], parts[2]);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let later = String::from_utf8(claims).unwrap().replace("\"exp\":1000", "\"exp\":9999");
        let changed = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(later), parts[2]);
        let foreign = EncodingKey::from_secret(b"another server's");
        let claims = Claims { iss: ISSUER.to_owned(), sub: user(), sid: session(), iat: 100, exp: 1000 };
        let header = Header { kid: Some(kid), ..Header::new(ALGORITHM) };
        let foreign = jsonwebtoken::encode(&header, &claims, &foreign).unwrap();
        for wrong in [none, other_algorithm, no_key, changed, foreign, String::new(), "a.b.c".to_owned()] {
            assert_eq!(tokens.verify(&wrong, at(101)), None, "{wrong}");
        }
    }
}
