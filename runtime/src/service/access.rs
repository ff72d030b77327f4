//! Who calls: API keys for webhooks, the operator's token for management.

use std::sync::Arc;

use crate::domain::api_key::{ApiKey, AuthError, KEY_PREFIX, PlainApiKey};
use crate::domain::id::GroupId;
use crate::domain::secret::{self, Pepper, SECRET_LENGTH, SecretHash};
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::service::vault::random;
use crate::store::{Batch, Store};

const OPERATOR_TOKEN: &str = "server/operator-token";
const OPERATOR_PREFIX: &str = "hg_op_";

/// Somebody whose identity was proven, for management.
#[derive(Debug, Clone)]
pub enum Actor {
    /// Administers the server.
    Operator,
}

impl Actor {
    /// Whether this actor may manage a group that exists. Another group's things look like things that do not exist.
    pub fn authorise(&self, catalog: &Catalog, group: &GroupId) -> Result<(), ServiceError> {
        match self {
            Self::Operator if catalog.groups.contains_key(group) => Ok(()),
            Self::Operator => Err(ServiceError::NotFound { what: "Group" }),
        }
    }
}

/// The operator's token, as a hash.
pub(super) struct OperatorToken(SecretHash);

impl OperatorToken {
    /// Reads the token's hash, or makes a token and answers it in clear, once.
    pub(super) async fn load_or_create(
        store: &dyn Store,
        pepper: &Pepper,
    ) -> Result<(Self, Option<String>), ServiceError> {
        let doing = "reading the operator's token";
        if let Some(record) = store.get(OPERATOR_TOKEN).map_err(ServiceError::internal(doing))? {
            return Ok((Self(decode(&record.value)?), None));
        }
        let token = format!("{OPERATOR_PREFIX}{}", secret::random_text(SECRET_LENGTH, random));
        let hash = SecretHash::of(&token, pepper);
        let batch = Batch::new().require_absent(OPERATOR_TOKEN).put(OPERATOR_TOKEN, encode(&hash));
        store.commit(batch).await.map_err(ServiceError::internal(doing))?;
        Ok((Self(hash), Some(token)))
    }
}

/// Where in a request a key was found. What comes first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPlace {
    /// In a header.
    Header,
    /// In the query.
    Query,
    /// In the path.
    Path,
}

/// What a request carries where a key can be.
#[derive(Debug, Default)]
pub struct Presented {
    key: Option<(PlainApiKey, KeyPlace)>,
    malformed: bool,
    ambiguous: bool,
}

impl Presented {
    /// Reads a header's value: `Bearer KEY`, `Key=KEY`, or the bare key of `X-API-Key`. Answers whether it was a key.
    pub fn add_header(&mut self, value: &str) -> bool {
        let value = value.trim();
        let text = match value.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
            _ => value.strip_prefix("Key=").unwrap_or(value).trim(),
        };
        self.add(text, KeyPlace::Header)
    }

    /// Takes a text from a place where a key can be. Answers whether it was meant as one, and so must go no further.
    pub fn add(&mut self, text: &str, place: KeyPlace) -> bool {
        let Some(key) = PlainApiKey::parse(text) else {
            self.malformed = true;
            return text.starts_with(KEY_PREFIX);
        };
        match &self.key {
            Some((present, _)) if *present != key => self.ambiguous = true,
            Some((_, present)) if *present <= place => {}
            _ => self.key = Some((key, place)),
        }
        true
    }

    /// The one key of the request.
    fn key(&self) -> Result<&PlainApiKey, AuthError> {
        match &self.key {
            _ if self.ambiguous => Err(AuthError::Ambiguous),
            Some((key, _)) => Ok(key),
            None if self.malformed => Err(AuthError::Malformed),
            None => Err(AuthError::Missing),
        }
    }

    /// Takes out what repeats the key: proxies and browsers put whole URLs into headers such as `Referer`.
    pub fn keep_back(&self, pairs: &mut Vec<(String, String)>) {
        if let Some((key, _)) = &self.key {
            pairs.retain(|(_, value)| !value.contains(key.reveal()));
        }
    }

    /// Where the key was found.
    pub fn place(&self) -> Option<KeyPlace> {
        self.key.as_ref().map(|(_, place)| *place)
    }
}

impl Service {
    /// Which key a request carries. It reads memory only.
    pub fn authenticate(&self, catalog: &Catalog, presented: &Presented) -> Result<Arc<ApiKey>, AuthError> {
        let plain = presented.key()?;
        let hash = plain.hash(&self.pepper);
        match catalog.api_keys.get(plain.id()) {
            Some(key) => key.verify(&hash, self.now()).map(|()| key.clone()),
            None => {
                // The same work as for a known id, so that the time does not tell them apart.
                std::hint::black_box(hash.matches(&hash));
                Err(AuthError::Invalid)
            }
        }
    }

    /// Who manages, from the bearer token of a request.
    pub fn authenticate_actor(&self, token: Option<&str>) -> Result<Actor, AuthError> {
        let token = token.ok_or(AuthError::MissingToken)?;
        if self.operator.0.matches(&SecretHash::of(token, &self.pepper)) {
            Ok(Actor::Operator)
        } else {
            Err(AuthError::InvalidToken)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Environment;

    fn key() -> PlainApiKey {
        PlainApiKey::generate(&Environment::test(), random)
    }

    #[test]
    fn the_forms_of_a_header() {
        let key = key();
        let text = key.reveal();
        for form in ["Bearer {}", "bearer {}", "BEARER   {} ", "Key={}", "Key= {}", "{}", " {} "] {
            let mut presented = Presented::default();
            assert!(presented.add_header(&form.replace("{}", text)), "{form}");
            assert_eq!(presented.key(), Ok(&key), "{form}");
            assert_eq!(presented.place(), Some(KeyPlace::Header), "{form}");
        }
    }

    #[test]
    fn missing_and_malformed_are_told_apart() {
        assert_eq!(Presented::default().key(), Err(AuthError::Missing));
        let text = key().reveal().to_owned();
        let cut = &text[..text.len() - 1];
        for header in ["", "Bearer", "Bearer x", "Basic c2VuZGVyOnNlY3JldA==", &format!("Token {text}"), cut] {
            let mut presented = Presented::default();
            presented.add_header(header);
            assert_eq!(presented.key(), Err(AuthError::Malformed), "{header}");
        }
    }

    #[test]
    fn what_was_meant_as_a_key_goes_no_further() {
        let mut presented = Presented::default();
        assert!(presented.add_header("hg_live_mistyped"));
        assert!(presented.add("hg_test_", KeyPlace::Query));
        assert!(!presented.add_header("the-senders-own"));
        assert!(!presented.add("4711", KeyPlace::Query));
    }

    #[test]
    fn a_key_counts_beside_what_is_none_and_where_it_came_first() {
        let key = key();
        let mut presented = Presented::default();
        presented.add_header("Basic c2VuZGVyOnNlY3JldA==");
        presented.add(key.reveal(), KeyPlace::Path);
        assert_eq!((presented.key(), presented.place()), (Ok(&key), Some(KeyPlace::Path)));
        presented.add(key.reveal(), KeyPlace::Query);
        assert_eq!(presented.place(), Some(KeyPlace::Query));
        presented.add(key.reveal(), KeyPlace::Header);
        presented.add(key.reveal(), KeyPlace::Path);
        assert_eq!((presented.key(), presented.place()), (Ok(&key), Some(KeyPlace::Header)));
    }

    #[test]
    fn two_different_keys_are_refused_wherever_they_stand() {
        for places in [[KeyPlace::Header, KeyPlace::Header], [KeyPlace::Header, KeyPlace::Query]] {
            let mut presented = Presented::default();
            for place in places {
                presented.add(key().reveal(), place);
            }
            assert_eq!(presented.key(), Err(AuthError::Ambiguous));
        }
    }

    #[test]
    fn what_repeats_the_key_is_kept_back() {
        let key = key();
        let mut presented = Presented::default();
        presented.add(key.reveal(), KeyPlace::Query);
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let referer = pair("referer", format!("https://a.example/hooks/b?api_key={}", key.reveal()));
        let mut pairs = vec![pair("accept", "*/*".to_owned()), referer];
        presented.keep_back(&mut pairs);
        assert_eq!(pairs, [pair("accept", "*/*".to_owned())]);
    }
}
