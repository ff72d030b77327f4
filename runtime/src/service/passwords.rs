//! Passwords: argon2id, off the async threads, and only so many at once.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::PasswordVerifier as _;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::domain::user::{Password, PasswordHash};
use crate::service::error::ServiceError;

/// OWASP's Password Storage Cheat Sheet: argon2id with 19 MiB of memory, two passes and one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 4;
/// How long a caller waits for a turn.
const WAIT: Duration = Duration::from_secs(10);
/// Compared with where there is no password, so that the time does not tell. No password has this hash.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Where passwords are hashed.
pub(super) struct Passwords {
    permits: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Passwords {
    /// Hashes a password with a new salt.
    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, ServiceError> {
        let hash = self.work(move || argon2()?.hash_password(password.reveal().as_bytes())).await?;
        let hash = hash.map_err(|error| ServiceError::internal("hashing a password")(error.to_string()))?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether a password is the one that was hashed; without a hash it takes the same time and says no.
    pub(super) async fn matches(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, ServiceError> {
        if !password.is_possible() {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.map_or_else(|| NOBODYS.to_owned(), |hash| hash.0);
        let matched = self.work(move || argon2()?.verify_password(password.reveal().as_bytes(), hash.as_str())).await?;
        Ok(matched.is_ok() && known)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
        let busy = ServiceError::Overloaded { what: "Too many people log in at once", retry_after: WAIT };
        let Ok(Ok(permit)) = timeout(WAIT, self.permits.clone().acquire_owned()).await else { return Err(busy) };
        // The work goes on when its caller goes away, and keeps its place until it ends.
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(ServiceError::internal("hashing a password"))
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::entered(text.to_owned().into())
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::default();
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert_ne!(hash.0, passwords.hash(password("correct horse")).await.unwrap().0, "each has its own salt");
        assert!(passwords.matches(password("correct horse"), Some(hash.clone())).await.unwrap());
        for (text, hash) in [("correct hors", Some(hash.clone())), ("", Some(hash)), ("correct horse", None)] {
            assert!(!passwords.matches(password(text), hash).await.unwrap(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_any_other_costs() {
        let parsed = argon2::password_hash::phc::PasswordHash::new(NOBODYS).unwrap();
        assert_eq!(parsed.params, Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap().try_into().unwrap());
        let wrong = argon2().unwrap().verify_password(b"x", NOBODYS).unwrap_err();
        assert_eq!(wrong, argon2::password_hash::Error::PasswordInvalid, "it was hashed and compared");
    }
}
