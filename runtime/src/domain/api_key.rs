//! API keys: their format, what is stored of them, and when they are valid.
//!
//! A key reads `hg_live_<id>_<secret><checksum>` (`hg_test_…` outside production): a public id of 12 letters or
//! digits, a secret of 43 (256 bits) and a checksum of 6 over everything before it.

mod expiry;
mod lifecycle;
mod network;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, Name};
use crate::domain::permission::{Denial, Scope, ScopeSet};
use crate::domain::secret::{self, Pepper, SECRET_LENGTH, SecretHash};

pub use expiry::{Expiry, Lapse};
pub use lifecycle::{KeySlot, KeyStatus};
pub use network::Network;

/// What every key begins with; the rest of the prefix tells production from other environments.
pub const KEY_PREFIX: &str = "hg_";

const ID_LENGTH: usize = 12;
const CHECKSUM_LENGTH: usize = 6;

/// A key in clear, as a caller sends it. It cannot be stored or printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainApiKey {
    text: Zeroizing<String>,
    id: ApiKeyId,
}

impl PlainApiKey {
    /// Makes a new key of an environment.
    pub fn generate(environment: &Environment, mut fill: impl FnMut(&mut [u8])) -> Self {
        let id = secret::random_text(ID_LENGTH, &mut fill).parse().expect("random texts are letters and digits");
        Self::generate_for(id, environment, fill)
    }

    /// Makes a new value of a key: its public part stays.
    pub fn generate_for(id: ApiKeyId, environment: &Environment, fill: impl FnMut(&mut [u8])) -> Self {
        let text = format!("{}_{}", public_text(&id, environment), secret::random_text(SECRET_LENGTH, fill));
        let checksum = secret::checksum(&text);
        let text = text + std::str::from_utf8(&checksum).expect("a checksum is ASCII");
        Self { text: text.into(), id }
    }

    /// Reads a text as a key; `None` when it is not one (so that a sender's own credentials are no key).
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("hg_live_").or_else(|| text.strip_prefix("hg_test_"))?;
        let (id, secret) = rest.split_once('_')?;
        let well_formed =
            secret.len() == SECRET_LENGTH + CHECKSUM_LENGTH && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        if !well_formed {
            return None;
        }
        let (body, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        if secret::checksum(body) != checksum.as_bytes() {
            return None;
        }
        Some(Self { text: text.to_owned().into(), id: id.parse().ok()? })
    }

    /// Its public part.
    pub fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// The whole key, to be shown once or to be compared.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored in its place.
    pub fn hash(&self, pepper: &Pepper) -> SecretHash {
        SecretHash::of(&self.text, pepper)
    }
}

fn public_text(id: &ApiKeyId, environment: &Environment) -> String {
    let class = if environment.is_production() { "live" } else { "test" };
    format!("{KEY_PREFIX}{class}_{id}")
}

impl fmt::Debug for PlainApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainApiKey({})", self.id)
    }
}

/// Which of a key's secrets this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSlot {
    /// The first one.
    Primary,
    /// The other one, for changing over without a gap.
    Secondary,
    /// An old value that stays valid until its `not_after`.
    Overlap,
}

/// One valid value of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeySecret {
    /// Which one.
    pub slot: SecretSlot,
    /// Its hash.
    pub hash: SecretHash,
    /// When it was made; with its key when absent. Boxed, as most keys have the value they were made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Box<Timestamp>>,
    /// When it stops to be valid on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Which flows a key is for, and the scopes it has when nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPermission {
    /// Every flow of its group.
    #[default]
    AllFlows,
    /// These flows, and their runs. What is of other flows looks like what does not exist.
    SelectedFlows(Box<BTreeSet<FlowId>>),
    /// Reads, and runs nothing.
    ReadOnly,
}

impl KeyPermission {
    /// The scopes a key of this permission gets when none are named.
    pub const fn default_scopes(&self) -> ScopeSet {
        match self {
            Self::AllFlows => ScopeSet::all().without(ScopeSet::of(&[Scope::KeysManage])),
            Self::SelectedFlows(_) => ScopeSet::of(&[Scope::FlowsExecute, Scope::AppsExecute, Scope::RunsRead]),
            Self::ReadOnly => ScopeSet::of(&[Scope::FlowsRead, Scope::RunsRead]),
        }
    }

    /// The scopes a key of this permission can have at all.
    pub const fn possible_scopes(&self) -> ScopeSet {
        use Scope::{AppsExecute, ConnectionsRead, FlowsExecute, FlowsRead, RunsRead, UsageRead};
        match self {
            Self::AllFlows => ScopeSet::all(),
            Self::SelectedFlows(_) => ScopeSet::of(&[FlowsRead, FlowsExecute, AppsExecute, RunsRead]),
            Self::ReadOnly => ScopeSet::of(&[FlowsRead, RunsRead, UsageRead, ConnectionsRead]),
        }
    }
}

/// What a key is used for: decides after how long it should be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyClass {
    /// A production integration.
    Production,
    /// Somebody outside the house.
    Partner,
    /// Development.
    Development,
    /// A build or deployment pipeline.
    CiCd,
}

impl KeyClass {
    /// The class of a key of an environment when nothing else is said.
    pub fn of(environment: &Environment) -> Self {
        if environment.is_production() { Self::Production } else { Self::Development }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Partner => "partner",
            Self::Development => "development",
            Self::CiCd => "ci_cd",
        }
    }
}

impl FromStr for KeyClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let class = [Self::Production, Self::Partner, Self::Development, Self::CiCd].into_iter();
        let mut class = class.filter(|class| class.as_str() == text.replace('-', "_"));
        class.next().ok_or_else(|| {
            format!("\"{text}\" is no class of keys. Choose among production, partner, development, ci_cd")
        })
    }
}

/// What is stored of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public part.
    pub id: ApiKeyId,
    /// Whose it is.
    pub group: GroupId,
    /// Where it works.
    pub environment: Environment,
    /// Its name, unique in the group; flows are told `Key: NAME`.
    pub name: Name,
    /// Notes of its owner.
    #[serde(default)]
    pub description: Box<str>,
    /// What it is used for; derived from the environment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<KeyClass>,
    /// Its values.
    pub secrets: Box<[KeySecret]>,
    /// When it was made.
    pub created: Timestamp,
    /// When it expires.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Switched off for now.
    #[serde(default)]
    pub disabled: bool,
    /// Ended for good.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
    /// Which flows it is for.
    #[serde(default)]
    pub permission: KeyPermission,
    /// What it may be used for. Keys made before there were scopes could run flows and nothing else.
    #[serde(default = "execute_only")]
    pub scopes: ScopeSet,
    /// Bounds of its own, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<KeyLimits>>,
    /// The networks it may be used from; from everywhere when empty.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub networks: Box<[IpNet]>,
}

/// Bounds of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Requests in any minute; the server's default when absent.
    #[serde(default)]
    pub rate_per_minute: Option<u32>,
    /// Requests in a day, which begins at midnight UTC; the server's default when absent.
    #[serde(default)]
    pub daily_quota: Option<u64>,
}

const fn execute_only() -> ScopeSet {
    ScopeSet::of(&[Scope::FlowsExecute])
}

/// Why a presented key does not let its bearer in. The texts are the ones callers read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// Nothing that could be a key was sent.
    #[error("Missing API key. Send it as: Authorization: Bearer hg_...")]
    Missing,
    /// Something was sent where a key belongs that is none.
    #[error("Invalid API key format. Expected: Bearer hg_...")]
    Malformed,
    /// Unknown id or wrong secret; which of them is not said.
    #[error("Invalid API key")]
    Invalid,
    /// Past its expiry.
    #[error("API key has expired")]
    Expired,
    /// Ended for good.
    #[error("API key has been revoked")]
    Revoked,
    /// Switched off.
    #[error("API key is disabled")]
    Disabled,
    /// A valid key sent in the query or the path, where the trigger wants it in a header.
    #[error(
        "This URL does not take the API key in its query or path. Send it as: Authorization: Bearer hg_..., or let the trigger accept it there"
    )]
    WrongPlace,
    /// Management without a token.
    #[error(
        "Missing token. Log in (POST /api/v1/auth/login) and send: Authorization: Bearer TOKEN; or send an API key: Authorization: Bearer hg_..."
    )]
    MissingToken,
    /// Management with a wrong token.
    #[error("Invalid token. It may have expired, or its session has ended. Log in again")]
    InvalidToken,
    /// Two different keys in one request.
    #[error("Two different API keys were sent. Send one")]
    Ambiguous,
}

impl ApiKey {
    /// Whether a presented hash lets its bearer in at a time. Expired, revoked and disabled are said only
    /// after the secret agreed, so that they tell nothing to somebody who merely knows an id.
    pub fn verify(&self, presented: &SecretHash, now: Timestamp) -> Result<(), AuthError> {
        // Every secret is compared, so that the time does not tell which one agreed.
        let matching = self.secrets.iter().fold(None, |found, secret| {
            let matches = secret.hash.matches(presented);
            if matches { Some(secret) } else { found }
        });
        let secret = matching.ok_or(AuthError::Invalid)?;
        if self.revoked.is_some() {
            return Err(AuthError::Revoked);
        }
        if self.disabled {
            return Err(AuthError::Disabled);
        }
        let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        if over(self.expires) || over(secret.not_after) {
            return Err(AuthError::Expired);
        }
        Ok(())
    }

    /// Whether it may be used for something.
    pub fn permits(&self, scope: Scope) -> Result<(), Denial> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        let key = self.name.clone();
        Err(match &self.permission {
            permission if permission.possible_scopes().has(scope) => Denial::MissingScope { key, scope },
            KeyPermission::ReadOnly => Denial::ReadOnly { key },
            _ => Denial::MissingScope { key, scope },
        })
    }

    /// Whether a flow of its group is one it is for.
    pub fn covers(&self, flow: &FlowId) -> bool {
        match &self.permission {
            KeyPermission::SelectedFlows(flows) => flows.contains(flow),
            KeyPermission::AllFlows | KeyPermission::ReadOnly => true,
        }
    }

    /// How its values begin.
    pub fn prefix(&self) -> String {
        public_text(&self.id, &self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0u8;
        move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    #[test]
    fn a_generated_key_parses_and_a_changed_one_does_not() {
        let key = PlainApiKey::generate(&Environment::production(), counting());
        assert!(key.reveal().starts_with("hg_live_"));
        assert_eq!(PlainApiKey::parse(key.reveal()).unwrap(), key);
        for position in 0..key.reveal().len() {
            let mut changed = key.reveal().to_owned().into_bytes();
            changed[position] = if changed[position] == b'x' { b'y' } else { b'x' };
            assert_eq!(PlainApiKey::parse(std::str::from_utf8(&changed).unwrap()), None, "position {position}");
        }
        assert!(PlainApiKey::generate(&Environment::test(), counting()).reveal().starts_with("hg_test_"));
        let next = PlainApiKey::generate_for(*key.id(), &Environment::production(), |bytes| bytes.fill(5));
        assert_eq!(PlainApiKey::parse(next.reveal()).unwrap().id(), key.id());
        assert_ne!(next, key);
    }

    #[test]
    fn foreign_credentials_are_no_keys() {
        for text in ["", "hg_", "hg_live_", "hg_live__", "sk-abc", "hg_live_abc_def", "ghp_0123456789", "é"] {
            assert_eq!(PlainApiKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn printing_a_key_shows_its_public_part_only() {
        let key = PlainApiKey::generate(&Environment::test(), counting());
        assert_eq!(format!("{key:?}"), format!("PlainApiKey({})", key.id()));
    }

    #[test]
    fn states_are_said_only_to_whoever_knows_the_secret() {
        let pepper = Pepper::new(&[9; 32]);
        let plain = PlainApiKey::generate(&Environment::test(), counting());
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let key = ApiKey {
            id: *plain.id(),
            group: "acme".parse().unwrap(),
            environment: Environment::test(),
            name: "crm".parse().unwrap(),
            description: "".into(),
            class: None,
            secrets: [KeySecret {
                slot: SecretSlot::Primary,
                hash: plain.hash(&pepper),
                created: None,
                not_after: None,
            }]
            .into(),
            created: at(0),
            expires: Some(at(100)),
            disabled: false,
            revoked: None,
            permission: KeyPermission::AllFlows,
            scopes: KeyPermission::AllFlows.default_scopes(),
            limits: None,
            networks: Box::default(),
        };
        let wrong = SecretHash::of("wrong", &pepper);
        let right = plain.hash(&pepper);
        assert_eq!(key.verify(&right, at(99)), Ok(()));
        assert_eq!(key.verify(&right, at(100)), Err(AuthError::Expired));
        let disabled = ApiKey { disabled: true, ..key.clone() };
        assert_eq!(disabled.verify(&right, at(1)), Err(AuthError::Disabled));
        let revoked = ApiKey { revoked: Some(at(1)), ..disabled };
        assert_eq!(revoked.verify(&right, at(1)), Err(AuthError::Revoked));
        for key in [key, revoked] {
            assert_eq!(key.verify(&wrong, at(1)), Err(AuthError::Invalid));
        }
    }
}
