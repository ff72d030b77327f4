//! Takes secrets out of texts and byte streams, in every form an app is likely to reflect them.
//!
//! ```
//! use headgate::domain::scrub::Scrubber;
//!
//! let scrubber = Scrubber::new(["s3cr3t/token"]);
//! assert_eq!(scrubber.scrub_str("t=s3cr3t%2Ftoken&x=1"), "t=[redacted]&x=1");
//! ```

mod forms;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use bytes::Bytes;
use zeroize::{Zeroize as _, Zeroizing};

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// The shortest secret, in bytes, that is found in encoded forms too. A connection must not be made with a
/// shorter one: its encodings are short enough to occur in any text by chance.
pub const MIN_SECRET: usize = 6;

/// Finds secrets and replaces each by [`REDACTED`].
///
/// It looks for every secret as it is, in base64 (also inside a longer base64 text), in hex, percent-encoded,
/// and escaped as in JSON and HTML, always without regard to ASCII case. Of a secret shorter than
/// [`MIN_SECRET`] it looks for the secret itself only; an empty one is ignored. Overlapping finds become one.
///
/// Cloning is cheap. `Debug` shows nothing of the secrets.
#[derive(Clone, Default)]
pub struct Scrubber {
    patterns: Option<Arc<Patterns>>,
}

/// Scrubs a text that arrives in chunks: a secret is found wherever the chunks are split.
///
/// It holds back only bytes that may be the beginning of a secret; [`ScrubStream::finish`] gives them up.
#[derive(Debug)]
pub struct ScrubStream {
    scrubber: Scrubber,
    held: Vec<u8>,
    /// How many of the held bytes belong to a find whose mark was already given out.
    condemned: usize,
}

impl Scrubber {
    /// A scrubber for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts = BTreeSet::new();
        for secret in secrets {
            let forms = if secret.len() < MIN_SECRET { vec![secret.to_owned()] } else { forms::of(secret) };
            let forms = Zeroizing::new(forms);
            texts.extend(forms.iter().filter(|form| !form.is_empty()).map(|form| form.to_ascii_lowercase()));
        }
        let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        Self { patterns: (!texts.is_empty()).then(|| Arc::new(Patterns::new(texts))) }
    }

    /// A scrubber for what both look for.
    pub fn and(&self, other: &Self) -> Self {
        match (&self.patterns, &other.patterns) {
            (None, _) => other.clone(),
            (_, None) => self.clone(),
            (Some(one), Some(two)) if Arc::ptr_eq(one, two) => self.clone(),
            (Some(one), Some(two)) => {
                let texts: BTreeSet<_> = one.texts.iter().chain(&two.texts).cloned().collect();
                Self { patterns: Some(Arc::new(Patterns::new(texts.into_iter().collect()))) }
            }
        }
    }

    /// The text without secrets.
    pub fn scrub_str<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.scrub_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Every pattern is whole characters, so what is left is UTF-8.
            Cow::Owned(clean) => Cow::Owned(String::from_utf8_lossy(&clean).into_owned()),
        }
    }

    /// The bytes without secrets.
    pub fn scrub_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(patterns) = &self.patterns else { return Cow::Borrowed(text) };
        let finds = patterns.find(text, 0);
        if finds.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(redact(text, &finds, false))
    }

    /// Begins scrubbing a text that arrives in chunks.
    pub fn stream(&self) -> ScrubStream {
        ScrubStream { scrubber: self.clone(), held: Vec::new(), condemned: 0 }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_none()
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber")
    }
}

impl ScrubStream {
    /// Takes the next chunk; answers what can be given out by now, which may be empty.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let Some(patterns) = self.scrubber.patterns.clone() else { return chunk };
        let text = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            std::mem::take(&mut self.held).into()
        };
        let marked = self.condemned > 0;
        let mut finds = patterns.find(&text, self.condemned);
        let keep = patterns.hold_from(&text);
        // A find altogether in the held bytes is found again with them; one that reaches into them is marked now.
        finds.retain(|find| find.start < keep || (marked && find.start == 0));
        self.condemned = finds.last().map_or(0, |find| find.end.saturating_sub(keep));
        self.held = text[keep..].to_vec();
        finds.iter_mut().for_each(|find| find.end = find.end.min(keep));
        if finds.is_empty() { text.slice(..keep) } else { redact(&text[..keep], &finds, marked).into() }
    }

    /// The text has ended: answers what was held back.
    pub fn finish(self) -> Bytes {
        let Some(patterns) = &self.scrubber.patterns else { return self.held.into() };
        let finds = patterns.find(&self.held, self.condemned);
        if finds.is_empty() { self.held.into() } else { redact(&self.held, &finds, self.condemned > 0).into() }
    }
}

struct Patterns {
    automaton: AhoCorasick,
    /// In ASCII lower case.
    texts: Vec<Vec<u8>>,
    longest: usize,
    begins: [bool; 256],
}

impl Drop for Patterns {
    fn drop(&mut self) {
        self.texts.zeroize();
    }
}

impl Patterns {
    fn new(texts: Vec<Vec<u8>>) -> Self {
        // Standard semantics report overlapping finds; the contiguous automaton is small, as there is one per connection.
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("an automaton has room for two billion states, one per byte, and secrets are far smaller");
        let mut begins = [false; 256];
        for text in &texts {
            begins[usize::from(text[0])] = true;
        }
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        Self { automaton, texts, longest, begins }
    }

    /// Where secrets are, in order and disjoint; the first `condemned` bytes count as one.
    fn find(&self, text: &[u8], condemned: usize) -> Vec<Range<usize>> {
        let mut finds = Vec::new();
        if condemned > 0 {
            finds.push(0..condemned);
        }
        // They come in the order of their ends.
        for found in self.automaton.find_overlapping_iter(text) {
            let mut range = found.range();
            while let Some(last) = finds.pop_if(|last: &mut Range<usize>| last.end > range.start) {
                range = last.start.min(range.start)..last.end.max(range.end);
            }
            finds.push(range);
        }
        finds
    }

    /// The first byte from which on the text may be the beginning of a pattern.
    fn hold_from(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest - 1);
        let begins = |at: &usize| {
            let rest = &text[*at..];
            self.begins[usize::from(rest[0].to_ascii_lowercase())]
                && self.texts.iter().any(|t| t.len() > rest.len() && t[..rest.len()].eq_ignore_ascii_case(rest))
        };
        (from..text.len()).find(begins).unwrap_or(text.len())
    }
}

/// The text with a mark for each find; none for the first if it was already marked.
fn redact(text: &[u8], finds: &[Range<usize>], marked: bool) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut at = 0;
    for (i, find) in finds.iter().enumerate() {
        clean.extend_from_slice(&text[at..find.start]);
        if i > 0 || !marked {
            clean.extend_from_slice(REDACTED.as_bytes());
        }
        at = find.end;
    }
    clean.extend_from_slice(&text[at..]);
    clean
}

#[cfg(test)]
mod tests;
