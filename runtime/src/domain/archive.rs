//! Archives: everything of a group in one file, to be brought to another server.
//!
//! ```text
//! headgate-archive 1
//! {"group":"acme","records":{"length":...,"sha256":...},"secrets":...,"modules":[...]}   one line
//! records | sealed secrets | modules, each as long as the line above says
//! <SHA-256 of everything before, hexadecimal>
//! ```
//!
//! The line describes all that follows, and is associated data of the sealed secrets: whoever changes anything in the
//! file, such as where a connection sends its secrets, makes them unreadable.

mod ids;
mod secrets;

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::domain::digest::ModuleDigest;
use crate::domain::id::{AppRegistrationId, ConnectorName, GroupId};
use crate::domain::permission::Role;
use crate::domain::secret::hex;

pub use ids::{each_text, is_random_id, rename};
pub use secrets::{Marker, Replacement, SecretPlace, Taken, TakenSecret, markers, put_back, take_secrets};

const MAGIC: &str = "headgate-archive ";
/// The version of the format.
const FORMAT: u32 = 1;
/// The longest description, in bytes: it names a module in about 100.
const MAX_HEADER: usize = 4 << 20;
/// The checksum at the end: 64 digits and the end of the line.
const CHECKSUM: usize = 65;

/// What an archive is, and how long its parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which group was exported.
    pub group: GroupId,
    /// When.
    pub exported: Timestamp,
    /// The version of the server that wrote it.
    pub server: String,
    /// The records: [`Contents`] as JSON.
    pub records: RecordsPart,
    /// The sealed secrets; absent where they stayed behind.
    pub secrets: Option<SecretsPart>,
    /// The modules, in the order in which they follow.
    pub modules: Vec<ModulePart>,
}

/// Where the records end, and what they must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsPart {
    /// In bytes.
    pub length: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// How the secrets are sealed: XChaCha20-Poly1305 under a key that argon2id (RFC 9106) makes of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsPart {
    /// In bytes, with the 16 of the tag.
    pub length: u64,
    /// Memory that argon2id takes, in KiB.
    pub memory_kib: u32,
    /// How often it passes over that.
    pub passes: u32,
    /// 16 bytes, hexadecimal.
    pub salt: String,
    /// 24 bytes, hexadecimal.
    pub nonce: String,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulePart {
    /// Which.
    pub digest: ModuleDigest,
    /// In bytes.
    pub length: u64,
}

/// The records of a group, and what somebody who imports them should know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The records, without their secrets.
    pub entries: Vec<Entry>,
    /// App registrations of the server that connections of the group use.
    pub server_registrations: Vec<ServerRegistration>,
    /// Who belonged to the group, for information: nobody is made a member by an import.
    pub members: Vec<MemberNote>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The noun of its key in the store, such as `flow`.
    pub kind: String,
    /// The rest of its key, behind noun and group; empty for the group itself.
    pub key: String,
    /// Its fields. Where a secret stood, there is a [`Marker`].
    pub record: Value,
}

/// An app registration of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRegistration {
    /// Its id there.
    pub id: AppRegistrationId,
    /// For which connector.
    pub connector: ConnectorName,
    /// The client's id at the app. A token is of use to the same client only.
    pub client_id: String,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberNote {
    /// Their address.
    pub email: String,
    /// Their role.
    pub role: Role,
}

/// An archive that was read, whole and as it was written.
#[derive(Debug, Clone)]
pub struct Archive {
    /// What it is.
    pub header: Header,
    /// The line with the description, byte by byte.
    pub header_line: Bytes,
    /// The records, as JSON.
    pub records: Bytes,
    /// The sealed secrets.
    pub secrets: Option<Bytes>,
    /// The modules.
    pub modules: Vec<(ModuleDigest, Bytes)>,
}

/// Why something cannot be read as an archive. Nothing of it is used then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArchiveError {
    /// It is something else.
    #[error("This is not an archive of a group. Name a file that `headgate export` wrote")]
    NotAnArchive,
    /// A later server wrote it.
    #[error("The archive has format {0}, and this server reads up to {FORMAT}. Import it on a newer server")]
    NewerFormat(u32),
    /// It is not whole.
    #[error("The archive is cut off: it has {found} bytes, and should have {expected}. Copy it again")]
    Cut {
        /// Its length.
        found: u64,
        /// What it should be, as far as is known.
        expected: u64,
    },
    /// Some of it was changed.
    #[error("The archive is damaged: {what} (bytes {} to {}) is not as it was written. Copy it again, or export anew", .at.start, .at.end)]
    Damaged {
        /// Which part.
        what: String,
        /// Where, in bytes from the beginning of the file.
        at: Range<u64>,
    },
}

/// The first two lines of an archive.
pub fn header_line(header: &Header) -> Bytes {
    let json = serde_json::to_string(header).expect("a header has text keys only");
    format!("{MAGIC}{FORMAT}\n{json}\n").into()
}

/// The parts of an archive in the order of the file, its checksum included.
pub fn assemble(header_line: Bytes, records: Bytes, secrets: Option<Bytes>, modules: Vec<Bytes>) -> Vec<Bytes> {
    let mut parts = vec![header_line, records];
    parts.extend(secrets);
    parts.extend(modules);
    let mut sum = Sha256::new();
    parts.iter().for_each(|part| sum.update(part));
    parts.push(format!("{}\n", hex(&sum.finalize())).into());
    parts
}

/// The digest of records as a header names it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl Archive {
    /// Reads an archive, and checks every byte of it.
    pub fn read(bytes: &Bytes) -> Result<Self, ArchiveError> {
        let (header, mut at) = read_header(bytes)?;
        let header_line = bytes.slice(..at);
        let secrets = header.secrets.as_ref().map_or(0, |part| part.length);
        let modules = header.modules.iter().map(|module| module.length);
        let parts = [at as u64, header.records.length, secrets, CHECKSUM as u64].into_iter().chain(modules);
        let expected = parts.fold(0, u64::saturating_add);
        let found = bytes.len() as u64;
        if found < expected {
            return Err(ArchiveError::Cut { found, expected });
        }
        let mut next = |length: u64| {
            // It fits: the sum of all was compared with what is there.
            let end = at + length as usize;
            let part = bytes.slice(at..end);
            at = end;
            (part, at as u64 - length..at as u64)
        };
        let (records, place) = next(header.records.length);
        if sha256(&records) != header.records.sha256 {
            return Err(damaged("the part with the records", place));
        }
        let (sealed, sealed_place) = next(secrets);
        let mut modules = Vec::with_capacity(header.modules.len());
        for module in &header.modules {
            let (part, place) = next(module.length);
            if ModuleDigest::of(&part) != module.digest {
                return Err(damaged(&format!("the module {}", module.digest), place));
            }
            modules.push((module.digest, part));
        }
        let (checksum, place) = next(CHECKSUM as u64);
        if place.end != found {
            return Err(damaged("what follows the end", place.end..found));
        }
        let body = &bytes[..place.start as usize];
        if checksum != format!("{}\n", sha256(body)) {
            let what = match sealed_place.is_empty() {
                true => "the description, or the checksum at the end,",
                false => "the description, the part with the secrets, or the checksum at the end,",
            };
            return Err(damaged(what, 0..found));
        }
        let secrets = header.secrets.is_some().then_some(sealed);
        Ok(Self { header, header_line, records, secrets, modules })
    }
}

fn damaged(what: &str, at: Range<u64>) -> ArchiveError {
    ArchiveError::Damaged { what: what.to_owned(), at }
}

/// The description, and where it ends.
fn read_header(bytes: &[u8]) -> Result<(Header, usize), ArchiveError> {
    let found = bytes.len() as u64;
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.as_bytes().starts_with(start) {
        return Err(ArchiveError::NotAnArchive);
    }
    let line = |from: usize| {
        let rest = &bytes[from.min(bytes.len())..];
        let end = rest.iter().take(MAX_HEADER).position(|byte| *byte == b'\n');
        end.map(|end| (&rest[..end], from + end + 1))
    };
    let cut = || ArchiveError::Cut { found, expected: found + 1 };
    let (format, at) = line(MAGIC.len()).ok_or_else(cut)?;
    let format = std::str::from_utf8(format).ok().and_then(|format| format.parse().ok());
    match format.ok_or(ArchiveError::NotAnArchive)? {
        FORMAT => {}
        format => return Err(ArchiveError::NewerFormat(format)),
    }
    let (json, end) = line(at).ok_or_else(cut)?;
    let header = serde_json::from_slice(json).map_err(|_| damaged("the description", at as u64..end as u64))?;
    Ok((header, end))
}

#[cfg(test)]
mod tests;
