//! New values of a key. Each is answered in clear once.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::domain::api_key::{ApiKey, KeySlot, Lapse, PlainApiKey};
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys::{KeyState, check_not_revoked};
use crate::service::error::ServiceError;
use crate::service::vault::random;

/// How long the old value stays valid after a rotation when nothing is said: a day suffices to change a sender.
const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// The longest overlap, the time after which production keys should be rotated: an old value that lives on is no rotation.
const MAX_OVERLAP_DAYS: i64 = 90;

impl Service {
    /// Makes a new value for a slot; the old one ends at once. Settings stay.
    pub async fn regenerate_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        slot: KeySlot,
    ) -> Result<(KeyState, PlainApiKey), ServiceError> {
        let (mut edit, mut key) = self.edit_key(actor, group, key, Action::RegenerateApiKey).await?;
        check_not_revoked(&key)?;
        let plain = new_value(&key);
        key.regenerate(slot, plain.hash(&self.pepper), self.now());
        let key = self.put_key(&mut edit, key);
        edit.save().await?;
        Ok((self.key_state(key), plain))
    }

    /// Makes a new primary value beside the old one, which stays valid for the time of the overlap.
    pub async fn rotate_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        overlap: Option<Lapse>,
    ) -> Result<(KeyState, PlainApiKey), ServiceError> {
        let (mut edit, mut key) = self.edit_key(actor, group, key, Action::RotateApiKey).await?;
        check_not_revoked(&key)?;
        let now = self.now();
        let old_ends = match overlap {
            Some(overlap) => overlap.after(now).map_err(ServiceError::Invalid)?,
            None => now + DEFAULT_OVERLAP,
        };
        if old_ends.duration_since(now) > SignedDuration::from_hours(24 * MAX_OVERLAP_DAYS) {
            let message = format!("Two values can overlap for {MAX_OVERLAP_DAYS} days at most. Name a shorter overlap");
            return Err(ServiceError::Invalid(message));
        }
        let plain = new_value(&key);
        key.rotate(plain.hash(&self.pepper), old_ends, now);
        let key = self.put_key(&mut edit, key);
        edit.save().await?;
        Ok((self.key_state(key), plain))
    }
}

fn new_value(key: &ApiKey) -> PlainApiKey {
    PlainApiKey::generate_for(key.id, &key.environment, random)
}
