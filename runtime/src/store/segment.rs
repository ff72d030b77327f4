//! Segment files: a header and frames behind it. The commit log, checkpoints and the run history consist of them.
//!
//! ```text
//! header: magic 8 bytes | format u16 | purpose u16 | base u64 | salt u32 | crc u32   (little endian)
//! ```

use std::path::{Path, PathBuf};

use super::StoreError;
use super::files::{AppendFile, Files, ReadFile};
use super::frame::{self, HEADER_BYTES, Head, Kind};

const MAGIC: &[u8; 8] = b"HEADGATE";
const FORMAT: u16 = 1;
/// Bytes in front of the first frame.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 28;
/// Read in one go by a reader that goes through a file.
const WINDOW_BYTES: usize = 256 << 10;

/// What a segment file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Purpose {
    /// Commits; `base` is the sequence of the first.
    Log = 1,
    /// All records as of a commit; `base` is its sequence.
    Checkpoint = 2,
    /// Run history; `base` is the number of the first entry.
    Runs = 3,
}

/// A frame as it was read.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Where it begins, in bytes from the start of the file.
    pub(super) offset: u64,
    pub(super) head: Head,
    pub(super) payload: &'a [u8],
}

/// A place where no valid frame begins.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) offset: u64,
    pub(super) reason: &'static str,
}

/// What reading a frame can fail with.
pub(super) enum ReadError {
    /// The bytes are not those that were written.
    Flaw(Flaw),
    /// The system could not read them.
    Store(StoreError),
}

/// Writes one segment file.
pub(super) struct SegmentWriter {
    file: Box<dyn AppendFile>,
    path: PathBuf,
    salt: u32,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
}

impl SegmentWriter {
    /// Makes the file, and its header and name durable.
    pub(super) fn create(files: &dyn Files, path: &Path, purpose: Purpose, base: u64) -> Result<Self, StoreError> {
        let salt = getrandom::u32().map_err(|error| StoreError::Io {
            action: "draw a random number for",
            path: path.to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&(purpose as u16).to_le_bytes());
        header.extend_from_slice(&base.to_le_bytes());
        header.extend_from_slice(&salt.to_le_bytes());
        let crc = frame::checksum(0, &header);
        header.extend_from_slice(&crc.to_le_bytes());
        let file = files.append(path).map_err(StoreError::io("create", path))?;
        let mut writer = Self { file, path: path.to_owned(), salt, buffer: header, written: 0, synced: 0 };
        writer.sync()?;
        sync_parent(files, path)?;
        Ok(writer)
    }

    /// Goes on behind the frames that `reader` found valid, up to `end`; what follows is cut off.
    pub(super) fn resume(files: &dyn Files, reader: &SegmentReader, end: u64) -> Result<Self, StoreError> {
        let path = reader.path.clone();
        if end < reader.length {
            files.truncate(&path, end).map_err(StoreError::io("truncate", &path))?;
        }
        let file = files.append(&path).map_err(StoreError::io("open", &path))?;
        let mut writer = Self { file, path, salt: reader.salt, buffer: Vec::new(), written: end, synced: 0 };
        // A process that died may have left frames that only the page cache holds.
        writer.sync()?;
        sync_parent(files, &writer.path)?;
        Ok(writer)
    }

    /// The file's length with what is not written yet, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Bytes that wait for [`Self::write`].
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a frame, in memory; returns where it begins and its length with the head, in bytes.
    pub(super) fn push(&mut self, kind: Kind, sequence: u64, payload: impl FnOnce(&mut Vec<u8>)) -> (u64, usize) {
        let (offset, start) = (self.len(), self.buffer.len());
        frame::push(&mut self.buffer, self.salt, (kind, sequence, self.synced), payload);
        (offset, self.buffer.len() - start)
    }

    /// Hands the frames to the system.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        self.file.append(&self.buffer).map_err(StoreError::io("write to", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what waits, and makes all of the file durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.write()?;
        self.file.sync_data().map_err(StoreError::io("make durable", &self.path))?;
        self.synced = self.written;
        Ok(())
    }

    /// Makes all durable and says so in a last frame, so that later damage is told from a torn write.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.push(Kind::Mark, 0, |_| {});
        self.sync()
    }
}

/// Reads one segment file.
pub(super) struct SegmentReader {
    file: Box<dyn ReadFile>,
    path: PathBuf,
    base: u64,
    salt: u32,
    length: u64,
    /// Where the next frame begins.
    position: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl SegmentReader {
    /// Opens a file and reads its header. `None` when there is no whole header and nothing behind it: its
    /// maker died there, and nothing in it was ever acknowledged.
    pub(super) fn open(files: &dyn Files, path: &Path, purpose: Purpose) -> Result<Option<Self>, StoreError> {
        let file = files.read(path).map_err(StoreError::io("open", path))?;
        let length = file.len().map_err(StoreError::io("read", path))?;
        if length < SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        file.read_at(0, &mut header).map_err(StoreError::io("read", path))?;
        let (format, base, salt) = match parse_header(&header, purpose) {
            Ok(fields) => fields,
            // The header is durable before any frame is written.
            Err(_) if length == SEGMENT_HEADER_BYTES => return Ok(None),
            Err(reason) => return Err(corrupt(path, 0, reason)),
        };
        if format > FORMAT {
            return Err(StoreError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
        }
        let path = path.to_owned();
        let (position, window) = (SEGMENT_HEADER_BYTES, Vec::new());
        Ok(Some(Self { file, path, base, salt, length, position, window, window_start: 0 }))
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The length of the file when it was opened, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Where the next frame begins: the end of the valid frames after [`Self::next`] has failed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next frame; `None` at the end of the file. Marks are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        while self.position < self.length {
            let head = self.check(self.position)?;
            let offset = self.position;
            self.position += (HEADER_BYTES + head.length) as u64;
            if head.kind != Kind::Mark {
                return Ok(Some(self.frame(offset, head)));
            }
        }
        Ok(None)
    }

    /// The frame that begins at `offset`.
    pub(super) fn at(&mut self, offset: u64) -> Result<Frame<'_>, ReadError> {
        let head = self.check(offset)?;
        Ok(self.frame(offset, head))
    }

    /// Goes on at `offset`.
    pub(super) fn seek(&mut self, offset: u64) {
        self.position = offset;
    }

    /// The first valid frame behind `offset` that `wanted` takes, tried at every byte.
    pub(super) fn find(&mut self, offset: u64, wanted: impl Fn(&Head) -> bool) -> Result<Option<u64>, StoreError> {
        for candidate in offset + 1..self.length {
            let Ok(bytes) = self.bytes(candidate, HEADER_BYTES)?.try_into() else {
                break;
            };
            let Ok(head) = frame::head(bytes) else {
                continue;
            };
            let end = candidate + (HEADER_BYTES + head.length) as u64;
            if end > self.length || head.synced > candidate || !wanted(&head) {
                continue;
            }
            if self.check(candidate).is_ok() {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Whether the flaw at `offset` is in a part of the file that had been made durable: a later frame says so.
    /// Otherwise it is where the last, unacknowledged write was torn.
    pub(super) fn was_durable(&mut self, offset: u64) -> Result<bool, StoreError> {
        Ok(self.find(offset, |head| head.synced > offset)?.is_some())
    }

    fn frame(&self, offset: u64, head: Head) -> Frame<'_> {
        let start = (offset - self.window_start) as usize + HEADER_BYTES;
        Frame { offset, head, payload: &self.window[start..start + head.length] }
    }

    /// Brings the frame at `offset` into the window and verifies it.
    fn check(&mut self, offset: u64) -> Result<Head, ReadError> {
        let flaw = |reason| ReadError::Flaw(Flaw { offset, reason });
        let (salt, length) = (self.salt, self.length);
        let bytes = self.bytes(offset, HEADER_BYTES).map_err(ReadError::Store)?;
        let bytes = bytes.try_into().map_err(|_| flaw("the file ends inside a frame"))?;
        let head = frame::head(bytes).map_err(flaw)?;
        let size = HEADER_BYTES + head.length;
        if offset + size as u64 > length {
            return Err(flaw("the file ends inside a frame"));
        }
        if !frame::verify(salt, self.bytes(offset, size).map_err(ReadError::Store)?) {
            return Err(flaw("a checksum does not match"));
        }
        Ok(head)
    }

    /// `count` bytes from `offset`, fewer at the end of the file.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8], StoreError> {
        let held = self.window_start..self.window_start + self.window.len() as u64;
        if !(held.contains(&offset) && offset + count as u64 <= held.end) {
            let available = self.length.saturating_sub(offset);
            let size = (count.max(WINDOW_BYTES) as u64).min(available) as usize;
            self.window.resize(size, 0);
            let read = self.file.read_at(offset, &mut self.window).map_err(StoreError::io("read", &self.path))?;
            self.window.truncate(read);
            self.window_start = offset;
        }
        let start = (offset - self.window_start) as usize;
        Ok(&self.window[start..(start + count).min(self.window.len())])
    }
}

/// The error for damage in a file, with the general way out.
pub(super) fn corrupt(path: &Path, offset: u64, reason: &str) -> StoreError {
    let remedy = "restore the data folder from a backup".to_owned();
    StoreError::Corrupt { path: path.to_owned(), offset, reason: reason.to_owned(), remedy }
}

/// Makes the name of a file durable.
pub(super) fn sync_parent(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    files.sync_dir(dir).map_err(StoreError::io("make durable", dir))
}

fn parse_header(header: &[u8], purpose: Purpose) -> Result<(u16, u64, u32), &'static str> {
    let (magic, rest) = header.split_at(8);
    let mut rest = super::codec::Reader::new(rest);
    let fields = (rest.u16(), rest.u16(), rest.u64(), rest.u32(), rest.u32());
    let (Some(format), Some(found), Some(base), Some(salt), Some(crc)) = fields else {
        return Err("the header is too short");
    };
    if magic != MAGIC || crc != frame::checksum(0, &header[..header.len() - 4]) {
        return Err("the header is not as it was written");
    }
    if found != purpose as u16 {
        return Err("it is a file of another purpose");
    }
    Ok((format, base, salt))
}
