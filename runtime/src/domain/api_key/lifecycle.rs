//! What becomes of a key: how its values follow each other, what people see of its state, and what one key may give
//! to another.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::api_key::{ApiKey, KeyClass, KeyPermission, KeySecret, SecretSlot};
use crate::domain::permission::Denial;
use crate::domain::secret::SecretHash;

/// Old values that can be valid beside the new one after several rotations. Beyond it the oldest ends: nobody needs
/// more, and every one is compared at each request.
const MAX_OVERLAPPING: usize = 3;

/// The two values of a key that are made anew, each on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeySlot {
    /// The first one.
    #[default]
    Primary,
    /// The other one, for changing over without a gap.
    Secondary,
}

impl From<KeySlot> for SecretSlot {
    fn from(slot: KeySlot) -> Self {
        match slot {
            KeySlot::Primary => Self::Primary,
            KeySlot::Secondary => Self::Secondary,
        }
    }
}

/// What a person sees of a key in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// It lets its bearer in.
    Active,
    /// It does, and expires soon.
    Expiring,
    /// Past its expiry.
    Expired,
    /// Switched off for now.
    Disabled,
    /// Ended for good.
    Revoked,
}

impl KeyStatus {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the key lets its bearer in.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Active | Self::Expiring)
    }
}

impl ApiKey {
    /// What a person sees of it; `soon` is how long before its expiry a key is said to be expiring.
    pub fn status(&self, now: Timestamp, soon: SignedDuration) -> KeyStatus {
        let left = self.expires.map(|end| end.duration_since(now));
        match left {
            _ if self.revoked.is_some() => KeyStatus::Revoked,
            _ if self.disabled => KeyStatus::Disabled,
            Some(left) if !left.is_positive() => KeyStatus::Expired,
            Some(left) if left <= soon => KeyStatus::Expiring,
            _ => KeyStatus::Active,
        }
    }

    /// What it is used for.
    pub fn class(&self) -> KeyClass {
        self.class.unwrap_or_else(|| KeyClass::of(&self.environment))
    }

    /// When its primary value was made.
    pub fn primary_since(&self) -> Timestamp {
        let primary = self.secrets.iter().find(|secret| secret.slot == SecretSlot::Primary);
        primary.and_then(|secret| secret.created.as_deref().copied()).unwrap_or(self.created)
    }

    /// Puts a new value into a slot. The old one ends at once; with the primary those it took over from end as well.
    pub fn regenerate(&mut self, slot: KeySlot, hash: SecretHash, now: Timestamp) {
        let ends = |secret: &KeySecret| {
            secret.slot == slot.into() || (slot == KeySlot::Primary && secret.slot == SecretSlot::Overlap)
        };
        let mut secrets: Vec<_> = self.valid_secrets(now).filter(|secret| !ends(secret)).collect();
        let new = KeySecret { slot: slot.into(), hash, created: Some(Box::new(now)), not_after: None };
        let at = if slot == KeySlot::Primary { 0 } else { secrets.len() };
        secrets.insert(at, new);
        self.secrets = secrets.into();
    }

    /// Puts a new primary value beside the old one, which ends at a later time.
    pub fn rotate(&mut self, hash: SecretHash, old_ends: Timestamp, now: Timestamp) {
        let mut secrets =
            vec![KeySecret { slot: SecretSlot::Primary, hash, created: Some(Box::new(now)), not_after: None }];
        for mut secret in self.valid_secrets(now) {
            if secret.slot == SecretSlot::Primary {
                secret.slot = SecretSlot::Overlap;
                secret.created = secret.created.or_else(|| Some(Box::new(self.created)));
                secret.not_after = Some(old_ends);
            }
            secrets.push(secret);
        }
        // The newest stand first, whose place tells them from the oldest.
        let mut overlapping = 0;
        secrets.retain(|secret| {
            overlapping += usize::from(secret.slot == SecretSlot::Overlap);
            secret.slot != SecretSlot::Overlap || overlapping <= MAX_OVERLAPPING
        });
        self.secrets = secrets.into();
    }

    /// Drops the values that have ended.
    pub fn drop_ended(&mut self, now: Timestamp) {
        self.secrets = self.valid_secrets(now).collect();
    }

    fn valid_secrets(&self, now: Timestamp) -> impl Iterator<Item = KeySecret> + '_ {
        self.secrets.iter().filter(move |secret| secret.not_after.is_none_or(|end| now < end)).cloned()
    }

    /// Whether it can do nothing that another key cannot do as well.
    pub fn within(&self, rights: &Self) -> Result<(), Denial> {
        let beyond = self.scopes.without(rights.scopes);
        if !beyond.is_empty() {
            return Err(Denial::Escalation { what: format!("the scopes {beyond}") });
        }
        if self.environment != rights.environment {
            return Err(Denial::Escalation { what: format!("the environment {}", self.environment) });
        }
        let covered = match (&self.permission, &rights.permission) {
            (KeyPermission::SelectedFlows(flows), KeyPermission::SelectedFlows(own)) => flows.is_subset(own),
            (_, KeyPermission::SelectedFlows(_)) => false,
            _ => true,
        };
        let bounds = [
            (!covered, "flows it is not for"),
            (later(self.expires, rights.expires), "a later expiry"),
            (!self.is_within_networks(rights), "networks it may not be used from"),
            (self.has_wider_limits(rights), "a higher rate or quota"),
        ];
        match bounds.into_iter().find(|(beyond, _)| *beyond) {
            Some((_, what)) => Err(Denial::Escalation { what: what.to_owned() }),
            None => Ok(()),
        }
    }

    fn is_within_networks(&self, rights: &Self) -> bool {
        let covered = |network: &IpNet| rights.networks.iter().any(|own| own.contains(network));
        rights.networks.is_empty() || (!self.networks.is_empty() && self.networks.iter().all(covered))
    }

    fn has_wider_limits(&self, rights: &Self) -> bool {
        let of = |key: &Self| key.limits.as_deref().copied().unwrap_or_default();
        let (own, other) = (of(rights), of(self));
        own.rate_per_minute.is_some_and(|own| other.rate_per_minute.is_none_or(|rate| rate > own))
            || own.daily_quota.is_some_and(|own| other.daily_quota.is_none_or(|quota| quota > own))
    }
}

/// Whether one end comes after another; none is the latest.
fn later(end: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    other.is_some_and(|other| end.is_none_or(|end| end > other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::KeyLimits;
    use crate::domain::id::{Environment, FlowId};
    use crate::domain::permission::{Scope, ScopeSet};
    use crate::domain::secret::Pepper;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn hash(text: &str) -> SecretHash {
        SecretHash::of(text, &Pepper::new(&[9; 32]))
    }

    fn key() -> ApiKey {
        ApiKey {
            id: "abcdefghijkl".parse().unwrap(),
            group: "acme".parse().unwrap(),
            environment: Environment::production(),
            name: "crm".parse().unwrap(),
            description: "".into(),
            class: None,
            secrets: [KeySecret { slot: SecretSlot::Primary, hash: hash("0"), created: None, not_after: None }].into(),
            created: at(0),
            expires: Some(at(1000)),
            disabled: false,
            revoked: None,
            permission: KeyPermission::AllFlows,
            scopes: KeyPermission::AllFlows.default_scopes(),
            limits: None,
            networks: Box::default(),
        }
    }

    /// Which of the values `0`, `1`, ... let in at a time.
    fn valid(key: &ApiKey, seconds: i64) -> String {
        (0..9).map(|n| n.to_string()).filter(|n| key.verify(&hash(n), at(seconds)).is_ok()).collect()
    }

    #[test]
    fn primary_and_secondary_are_independent() {
        let mut key = key();
        key.regenerate(KeySlot::Secondary, hash("1"), at(1));
        assert_eq!(valid(&key, 1), "01");
        key.regenerate(KeySlot::Primary, hash("2"), at(2));
        assert_eq!(valid(&key, 2), "12");
        key.regenerate(KeySlot::Secondary, hash("3"), at(3));
        assert_eq!(valid(&key, 3), "23");
        assert_eq!(key.primary_since(), at(2));
        assert_eq!(key.secrets[0].slot, SecretSlot::Primary);
    }

    #[test]
    fn a_rotated_value_ends_when_it_was_said_to() {
        let mut key = key();
        key.regenerate(KeySlot::Secondary, hash("1"), at(1));
        key.rotate(hash("2"), at(110), at(10));
        assert_eq!([valid(&key, 109), valid(&key, 110)], ["012", "12"]);
        assert_eq!(key.verify(&hash("0"), at(110)), Err(crate::domain::api_key::AuthError::Expired));
        key.rotate(hash("3"), at(60), at(20));
        assert_eq!([valid(&key, 59), valid(&key, 60)], ["0123", "013"]);
        key.drop_ended(at(110));
        assert_eq!(key.secrets.len(), 2);
        assert_eq!(key.primary_since(), at(20));
    }

    #[test]
    fn the_oldest_value_ends_when_there_are_too_many_and_all_end_with_a_regeneration() {
        let mut key = key();
        for n in 1..=5 {
            key.rotate(hash(&n.to_string()), at(900), at(n));
        }
        assert_eq!(valid(&key, 10), "2345");
        key.regenerate(KeySlot::Primary, hash("6"), at(10));
        assert_eq!(valid(&key, 10), "6");
    }

    #[test]
    fn states_as_people_see_them() {
        let soon = SignedDuration::from_secs(100);
        let key = key();
        for (seconds, status) in [(899, "active"), (900, "expiring"), (999, "expiring"), (1000, "expired")] {
            assert_eq!(key.status(at(seconds), soon).as_str(), status, "{seconds}");
        }
        let disabled = ApiKey { disabled: true, ..key.clone() };
        let revoked = ApiKey { revoked: Some(at(1)), ..disabled.clone() };
        assert_eq!(
            (disabled.status(at(1), soon), revoked.status(at(1), soon)),
            (KeyStatus::Disabled, KeyStatus::Revoked)
        );
        assert!(!disabled.status(at(1), soon).is_live() && key.status(at(950), soon).is_live());
        let forever = ApiKey { expires: None, ..key };
        assert_eq!(forever.status(at(1 << 37), soon), KeyStatus::Active);
    }

    #[test]
    fn a_key_gives_nothing_that_it_does_not_have() {
        let flow = |letter: &str| FlowId::from_random(&letter.repeat(20)).unwrap();
        let for_flows =
            |letters: &[&str]| KeyPermission::SelectedFlows(Box::new(letters.iter().map(|l| flow(l)).collect()));
        let scopes = |scopes: &[Scope]| ScopeSet::of(scopes);
        let own = ApiKey { scopes: scopes(&[Scope::KeysManage, Scope::FlowsExecute]), ..key() };
        let other = |change: &dyn Fn(&mut ApiKey)| {
            let mut other = ApiKey { scopes: scopes(&[Scope::FlowsExecute]), ..key() };
            change(&mut other);
            other
        };
        assert_eq!(other(&|_| {}).within(&own), Ok(()));
        assert_eq!(other(&|key| key.permission = for_flows(&["a"])).within(&own), Ok(()));
        let some = ApiKey { permission: for_flows(&["a", "b"]), ..own.clone() };
        assert_eq!(other(&|key| key.permission = for_flows(&["a"])).within(&some), Ok(()));
        let network = |text: &str| -> Box<[IpNet]> { [text.parse().unwrap()].into() };
        let limits = |rate| Some(Box::new(KeyLimits { rate_per_minute: rate, daily_quota: None }));
        let bound =
            ApiKey { networks: network("10.0.0.0/8"), limits: limits(Some(60)), expires: Some(at(500)), ..own.clone() };
        let alike = |change: &dyn Fn(&mut ApiKey)| {
            let mut alike = bound.clone();
            change(&mut alike);
            alike
        };
        assert_eq!(alike(&|key| key.networks = network("10.1.0.0/16")).within(&bound), Ok(()));
        for (what, key, own) in [
            ("a later expiry", alike(&|key| key.expires = None), &bound),
            ("a later expiry", alike(&|key| key.expires = Some(at(501))), &bound),
            ("networks it may not be used from", alike(&|key| key.networks = Box::default()), &bound),
            ("networks it may not be used from", alike(&|key| key.networks = network("0.0.0.0/0")), &bound),
            ("a higher rate or quota", alike(&|key| key.limits = None), &bound),
            ("a higher rate or quota", alike(&|key| key.limits = limits(Some(61))), &bound),
            ("the scopes runs:read", other(&|key| key.scopes = scopes(&[Scope::RunsRead])), &own),
            ("the environment test", other(&|key| key.environment = Environment::test()), &own),
            ("flows it is not for", other(&|_| {}), &some),
            ("flows it is not for", other(&|key| key.permission = for_flows(&["a", "c"])), &some),
        ] {
            assert_eq!(key.within(own), Err(Denial::Escalation { what: what.to_owned() }));
        }
    }
}
