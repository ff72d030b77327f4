//! When keys are flagged.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::api_key::KeyClass;

/// When keys are flagged. All are settings under `keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// How long before its expiry a key is said to be expiring, in days. 14.
    pub expiring_days: u32,
    /// After how long without a request a key is said to be unused, in days. 90.
    pub unused_days: u32,
    /// After how long a production key should be rotated, in days. 90.
    pub rotate_production_days: u32,
    /// After how long a partner's key should be rotated, in days. 180.
    pub rotate_partner_days: u32,
    /// After how long a development key should be rotated, in days. 30.
    pub rotate_development_days: u32,
    /// After how long a pipeline's key should be rotated, in days. 90.
    pub rotate_ci_cd_days: u32,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            expiring_days: 14,
            unused_days: 90,
            rotate_production_days: 90,
            rotate_partner_days: 180,
            rotate_development_days: 30,
            rotate_ci_cd_days: 90,
        }
    }
}

impl KeySettings {
    pub(super) fn expiring(&self) -> SignedDuration {
        days(self.expiring_days)
    }

    pub(super) fn unused(&self) -> SignedDuration {
        days(self.unused_days)
    }

    pub(super) fn rotate_after(&self, class: KeyClass) -> SignedDuration {
        days(match class {
            KeyClass::Production => self.rotate_production_days,
            KeyClass::Partner => self.rotate_partner_days,
            KeyClass::Development => self.rotate_development_days,
            KeyClass::CiCd => self.rotate_ci_cd_days,
        })
    }
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}
