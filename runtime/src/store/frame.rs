//! Frames: the unit in which everything of our own is written to files.
//!
//! ```text
//! crc u32 | length u32 | sequence u64 | synced u64 | format u8 | kind u8 | payload   (little endian)
//! ```
//!
//! `crc` covers all that follows it and starts from the file's salt, so that nobody who merely chooses a payload
//! can put a valid frame inside it. `synced` is how much of the file was known to be on disk when the frame was
//! written: a damaged place before the `synced` of a later frame cannot be a write that the power cut tore.

/// Bytes in front of the payload.
pub(super) const HEADER_BYTES: usize = 26;
/// The largest payload: a whole batch with room for its lengths.
pub(super) const MAX_PAYLOAD_BYTES: usize = 40 << 20;

const FORMAT: u8 = 1;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A commit of the log.
    Commit = 1,
    /// Records of a checkpoint.
    Records = 2,
    /// The end of a checkpoint.
    End = 3,
    /// An entry of the run history.
    Entry = 4,
    /// Nothing; written when a file is closed in order, it says that all before it is on disk.
    Mark = 5,
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) synced: u64,
    pub(super) length: usize,
}

/// Appends a frame to `buffer`; `payload` writes the payload behind what is there.
pub(super) fn push(
    buffer: &mut Vec<u8>,
    salt: u32,
    (kind, sequence, synced): (Kind, u64, u64),
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(&synced.to_le_bytes());
    buffer.extend_from_slice(&[FORMAT, kind as u8]);
    payload(buffer);
    let length = (buffer.len() - start - HEADER_BYTES) as u32;
    buffer[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(salt, &buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the head of the frame that `bytes` begins with. It may be wrong until [`verify`] has seen the whole frame.
pub(super) fn head(bytes: &[u8; HEADER_BYTES]) -> Result<Head, &'static str> {
    let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Err("a length that no frame has");
    }
    if bytes[24] != FORMAT {
        return Err("an unknown frame format");
    }
    let kind = match bytes[25] {
        1 => Kind::Commit,
        2 => Kind::Records,
        3 => Kind::End,
        4 => Kind::Entry,
        5 => Kind::Mark,
        _ => return Err("an unknown kind of frame"),
    };
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    Ok(Head { kind, sequence: number(8), synced: number(16), length })
}

/// Whether a frame, head and payload, is as it was written.
pub(super) fn verify(salt: u32, frame: &[u8]) -> bool {
    frame.len() >= HEADER_BYTES && frame[..4] == checksum(salt, &frame[4..]).to_le_bytes()
}

/// The CRC-32 of `bytes`, started from `salt`.
pub(super) fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut frame = Vec::new();
        push(&mut frame, 7, (Kind::Entry, 42, 9), |buffer| buffer.extend_from_slice(b"payload"));
        let bytes: &[u8; HEADER_BYTES] = frame[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(head(bytes), Ok(Head { kind: Kind::Entry, sequence: 42, synced: 9, length: 7 }));
        assert!(verify(7, &frame));
        assert!(!verify(8, &frame), "another file's salt");
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(7, &frame), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
