//! Finding out whether a store's secrets could be opened, without changing anything.

use std::path::Path;

use secrecy::SecretString;

use super::kek::{Ring, Wrapped};
use super::{DATA_KEYS, KEY_LENGTH, SERVER_SECRETS, Source, VaultError, key_file, keys_of};
use crate::store::Store;

/// Checks the key from `variable` or from the file against a store: that it opens the keys of every group. Answers their
/// number.
pub fn examine(store: &dyn Store, file: &Path, variable: Option<SecretString>) -> Result<usize, VaultError> {
    /// Records read at a time.
    const PAGE: usize = 500;
    let (ring, source) = match variable {
        Some(text) => (keys_of(&text)?, Source::Variable),
        None => {
            let present = key_file::read(file)?.ok_or_else(|| VaultError::MissingKey(file.to_owned()))?;
            let next = key_file::read(&key_file::next_of(file))?;
            (Ring::new([Some(present), next].into_iter().flatten()), Source::File(file.to_owned()))
        }
    };
    let not_opened = |place: &str| VaultError::NotOpened { place: place.to_owned() };
    let sealed = store.get(SERVER_SECRETS)?.ok_or_else(|| not_opened(SERVER_SECRETS))?;
    let wrapped = Wrapped::parse(&sealed.value, SERVER_SECRETS)?;
    let ring = ring.wrapping_with(&wrapped.kek).ok_or_else(|| source.is_wrong(&wrapped.kek))?;
    ring.unwrap(SERVER_SECRETS, &wrapped)?;
    let (mut opened, mut after) = (0, None::<String>);
    loop {
        let page = store.scan(DATA_KEYS, after.as_deref(), PAGE)?;
        for (key, record) in &page {
            let wrapped = Wrapped::parse(&record.value, key)?;
            if !ring.has(&wrapped.kek) {
                return Err(VaultError::MissingNextKey(wrapped.kek));
            }
            if ring.unwrap(key, &wrapped)?.len() != KEY_LENGTH {
                return Err(not_opened(key));
            }
            opened += 1;
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => return Ok(opened),
        }
    }
}
