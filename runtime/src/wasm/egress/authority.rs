use std::sync::{Arc, Mutex, PoisonError};

use super::renewal::Renewal;
use crate::domain::grant::Grant;

/// What the requests of one call are sent under: a grant, whose credentials may be renewed meanwhile.
///
/// Clones share it, so that a request has the credentials that one before it was given anew.
#[derive(Clone)]
pub struct Authority {
    grant: Arc<Mutex<Arc<Grant>>>,
    renewal: Option<Arc<dyn Renewal>>,
}

impl Authority {
    /// For one call.
    pub fn new(grant: Arc<Grant>, renewal: Option<Arc<dyn Renewal>>) -> Self {
        Self { grant: Arc::new(Mutex::new(grant)), renewal }
    }

    /// The grant with the newest credentials the call has.
    pub(super) fn grant(&self) -> Arc<Grant> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether newer credentials can be asked for.
    pub(super) fn is_renewable(&self) -> bool {
        self.renewal.is_some()
    }

    /// The grant with other credentials than the refused ones, if there are any. It scrubs both.
    pub(super) async fn renew(&self, refused: &Arc<Grant>) -> Option<Arc<Grant>> {
        let renewal = self.renewal.as_ref()?;
        let present = self.grant();
        // Another request of this call was quicker.
        if present.generation != refused.generation {
            return Some(present);
        }
        let newer = renewal.renew(refused).await?;
        if (&newer.group, &newer.connection) != (&refused.group, &refused.connection) {
            tracing::error!(connection = %refused.connection, "a renewal gave another connection's grant; it is not used");
            return None;
        }
        let mut grant = self.grant.lock().unwrap_or_else(PoisonError::into_inner);
        let scrub = newer.scrub.and(&grant.scrub);
        *grant = Arc::new(Grant { scrub, ..Grant::clone(&newer) });
        Some(grant.clone())
    }
}
