//! What a request carries to say who calls, and whose key that is.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::api_key::{ApiKey, AuthError, KEY_PREFIX, PlainApiKey};
use crate::domain::id::ApiKeyId;
use crate::domain::permission::Denial;
use crate::domain::secret::Pepper;
use crate::service::catalog::Catalog;

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
    /// A bearer's token that is no key.
    token: Option<SecretString>,
    /// Something was sent that is no key.
    malformed: bool,
    /// It was meant as one, or came where only keys come.
    mistyped: bool,
    ambiguous: bool,
}

impl Presented {
    /// Reads the value of `Authorization`: `Bearer KEY`, `Key=KEY`, or the bare key.
    pub fn add_header(&mut self, value: &str) -> bool {
        let value = value.trim();
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                let token = token.trim();
                if let Some(key) = PlainApiKey::parse(token) {
                    self.take(key, KeyPlace::Header);
                    return true;
                }
                // What cannot be an access token (RFC 7519) was meant as a key, in whatever form.
                self.mistyped |= token.split('.').count() != 3;
                self.token = Some(token.into());
                self.miss(token)
            }
            _ => match value.strip_prefix("Key=") {
                Some(key) => self.add_key_header(key),
                None => self.add(value, KeyPlace::Header),
            },
        }
    }

    /// Reads the value of `X-API-Key`: the bare key. Answers whether it was meant as one of ours: a sender may have
    /// keys of others in that header.
    pub fn add_key_header(&mut self, value: &str) -> bool {
        let ours = self.add(value.trim(), KeyPlace::Header);
        self.mistyped |= self.malformed;
        ours
    }

    /// Takes a text from a place where a key can be. Answers whether it was meant as one, and so must go no further.
    pub fn add(&mut self, text: &str, place: KeyPlace) -> bool {
        match PlainApiKey::parse(text) {
            Some(key) => {
                self.take(key, place);
                true
            }
            None => self.miss(text),
        }
    }

    fn take(&mut self, key: PlainApiKey, place: KeyPlace) {
        match &self.key {
            Some((present, _)) if *present != key => self.ambiguous = true,
            Some((_, present)) if *present <= place => {}
            _ => self.key = Some((key, place)),
        }
    }

    fn miss(&mut self, text: &str) -> bool {
        let meant = text.starts_with(KEY_PREFIX);
        self.malformed = true;
        self.mistyped |= meant;
        meant
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

    /// A bearer's token that is no key.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.expose_secret())
    }

    /// Whether something was meant as a key, or came where only keys come, and is none.
    pub(super) fn is_mistyped(&self) -> bool {
        self.mistyped
    }

    /// The public part of the one key of the request; nothing is proven by it.
    pub fn id(&self) -> Option<&ApiKeyId> {
        self.key().ok().map(PlainApiKey::id)
    }

    /// Where the key was found.
    pub fn place(&self) -> Option<KeyPlace> {
        self.key.as_ref().map(|(_, place)| *place)
    }
}

/// What decides about a request with an API key. All of it is in memory.
pub struct Door<'a> {
    /// The configuration by which it decides.
    pub catalog: Arc<Catalog>,
    /// Under which the hashes of keys were made.
    pub pepper: &'a Pepper,
    /// The time.
    pub now: Timestamp,
}

impl Door<'_> {
    /// Which key a request carries.
    pub fn authenticate(&self, presented: &Presented) -> Result<Arc<ApiKey>, AuthError> {
        let plain = presented.key()?;
        let hash = plain.hash(self.pepper);
        match self.catalog.api_keys.get(plain.id()) {
            Some(key) => key.verify(&hash, self.now).map(|()| key.clone()),
            None => {
                // The same work as for a known id, so that the time does not tell them apart.
                std::hint::black_box(hash.matches(&hash));
                Err(AuthError::Invalid)
            }
        }
    }
}

/// Whether a key may be used from where a request came from.
pub(in crate::service) fn check_network(key: &ApiKey, address: Option<IpAddr>) -> Result<(), Denial> {
    // Where nothing is known of the address it is in no network.
    let address = address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    if key.networks.is_empty() || key.networks.iter().any(|network| network.contains(&address)) {
        return Ok(());
    }
    Err(Denial::SourceNetwork { key: key.name.clone(), address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Environment;
    use crate::service::vault::random;

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
    fn what_was_meant_as_a_key_is_told_from_a_token() {
        let text = key().reveal().to_owned();
        let cut = &text[..text.len() - 1];
        for (authorization, api_key, token, mistyped) in [
            (Some("Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), None, Some("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), false),
            (Some("bearer  a b "), None, Some("a b"), true),
            (Some("Basic c2VuZGVyOnNlY3JldA=="), None, None, false),
            (Some("nonsense"), None, None, false),
            (Some(&format!("Bearer {cut}")), None, Some(cut), true),
            (Some(cut), None, None, true),
            (Some("Key=nonsense"), None, None, true),
            (None, Some("nonsense"), None, true),
            (None, Some(cut), None, true),
            (Some(&format!("Bearer {text}")), None, None, false),
            (None, Some(&text), None, false),
        ] {
            let mut presented = Presented::default();
            authorization.map(|value| presented.add_header(value));
            api_key.map(|value| presented.add_key_header(value));
            assert_eq!(
                (presented.token(), presented.is_mistyped()),
                (token, mistyped),
                "{authorization:?} {api_key:?}"
            );
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
