//! Blobs: bytes of one run that are passed by handle, in memory, bounded together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use crate::wasm::error::GuestError;

/// What a blob is counted for besides its contents, so that empty ones are bounded, too.
const OVERHEAD: usize = 256;

/// The blobs of one run.
pub(super) struct Blobs {
    by_id: Mutex<HashMap<String, Arc<Blob>>>,
    share: Arc<Share>,
}

/// What the blobs of a run may take, in bytes.
struct Share {
    used: AtomicUsize,
    most: usize,
}

impl Share {
    fn take(&self, bytes: usize) -> Result<(), GuestError> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Err(GuestError::lasting(
            "blob_too_large",
            format!("the blobs of one run may have {} bytes together", self.most),
        ))
    }
}

/// A blob, as guests hold it.
#[expect(unreachable_pub, reason = "bindgen re-exports it, within a private module")]
pub type HostBlob = Arc<Blob>;

/// One blob. Written by one guest, then read by any of the run that knows its id.
#[expect(unreachable_pub, reason = "bindgen re-exports it, within a private module")]
pub struct Blob {
    content_type: String,
    share: Arc<Share>,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    id: Option<String>,
}

impl Blobs {
    pub(super) fn new(most: usize) -> Self {
        Self { by_id: Mutex::default(), share: Arc::new(Share { used: AtomicUsize::new(0), most }) }
    }

    /// An empty blob; `blob_too_large` when the run has had its share.
    pub(super) fn create(&self, content_type: String) -> Result<Arc<Blob>, GuestError> {
        self.share.take(OVERHEAD + content_type.len())?;
        Ok(Arc::new(Blob { content_type, share: Arc::clone(&self.share), contents: Mutex::default() }))
    }

    /// The blob behind an id.
    pub(super) fn open(&self, id: &str) -> Result<Arc<Blob>, GuestError> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).cloned().ok_or_else(|| {
            GuestError::lasting("blob_not_found", "this run has no such blob; an id is worth nothing in another run")
        })
    }

    /// The id of a blob, made when it is first asked for. Closes the blob for writing.
    pub(super) fn publish(&self, blob: &Arc<Blob>) -> Result<String, getrandom::Error> {
        let mut contents = blob.contents();
        if let Some(id) = &contents.id {
            return Ok(id.clone());
        }
        // Random throughout: nobody comes upon it by guessing.
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let id = format!("blob_{}", Uuid::from_bytes(random).simple());
        contents.id = Some(id.clone());
        drop(contents);
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Arc::clone(blob));
        Ok(id)
    }
}

impl Blob {
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), GuestError> {
        let mut contents = self.contents();
        if contents.id.is_some() {
            return Err(GuestError::lasting(
                "blob_closed",
                "the blob was given to somebody else and cannot be written",
            ));
        }
        self.share.take(bytes.len())?;
        contents.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        let contents = self.contents();
        let rest = usize::try_from(offset).ok().and_then(|offset| contents.bytes.get(offset..)).unwrap_or_default();
        rest[..rest.len().min(len as usize)].to_vec()
    }

    pub(super) fn size(&self) -> u64 {
        self.contents().bytes.len() as u64
    }

    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// All of it.
    pub(super) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.contents().bytes)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let contents = self.contents.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = OVERHEAD + self.content_type.len() + contents.bytes.len();
        self.share.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written() {
        let blobs = Blobs::new(10_000);
        let blob = blobs.create("text/plain".into()).unwrap();
        blob.write(b"hello ").unwrap();
        blob.write(b"world").unwrap();
        assert_eq!(blob.size(), 11);
        assert_eq!(blob.read(6, 100), b"world");
        assert_eq!(blob.read(0, 5), b"hello");
        assert_eq!(blob.read(11, 1), b"");
        assert_eq!(blob.read(u64::MAX, 1), b"");
    }

    #[test]
    fn an_id_opens_it_in_its_run_only_and_closes_it_for_writing() {
        let blobs = Blobs::new(10_000);
        let blob = blobs.create("text/plain".into()).unwrap();
        blob.write(b"x").unwrap();
        let id = blobs.publish(&blob).unwrap();
        assert_eq!(blobs.publish(&blob).unwrap(), id);
        assert_eq!(blobs.open(&id).unwrap().read(0, 1), b"x");
        assert_eq!(blob.write(b"y").unwrap_err().code, "blob_closed");
        assert_eq!(Blobs::new(10_000).open(&id).err().unwrap().code, "blob_not_found");
    }

    #[test]
    fn blobs_share_one_bound_and_give_back() {
        let blobs = Blobs::new(2 * OVERHEAD + 100);
        let first = blobs.create(String::new()).unwrap();
        let second = blobs.create(String::new()).unwrap();
        first.write(&[0; 60]).unwrap();
        assert_eq!(second.write(&[0; 60]).unwrap_err().code, "blob_too_large");
        assert!(blobs.create(String::new()).is_err());
        drop(first);
        second.write(&[0; 100]).unwrap();
    }
}
