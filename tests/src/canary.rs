//! Searching for a secret wherever it may have leaked to: memory of guests, answers, logs, files.

pub mod memory;

use std::collections::BTreeSet;
use std::path::Path;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// A text that is searched for in every form in which it could be written down.
pub struct Canary {
    forms: Vec<(&'static str, String)>,
    search: AhoCorasick,
}

impl Canary {
    /// Searches for a text.
    ///
    /// These forms are written apart from those that the server scrubs, so that one forgotten there is found here.
    pub fn new(text: &str) -> Self {
        let forms = forms(text);
        let search = AhoCorasick::new(forms.iter().map(|(_, form)| form)).unwrap();
        Self { forms, search }
    }

    /// The names of the forms in which the text stands in these bytes; empty when it does not.
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        self.search.find_overlapping_iter(bytes).map(|found| self.forms[found.pattern().as_usize()].0).collect()
    }

    /// Each form's name and text.
    pub fn forms(&self) -> &[(&'static str, String)] {
        &self.forms
    }

    /// The files below a folder that hold the text, with the forms in which they do, and how many files there are.
    pub fn found_below(&self, folder: &Path) -> (Vec<String>, usize) {
        let (mut found, mut files) = (Vec::new(), 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let (more, count) = self.found_below(&path);
                found.extend(more);
                files += count;
            } else {
                files += 1;
                let forms = self.found_in(&std::fs::read(&path).unwrap());
                if !forms.is_empty() {
                    found.push(format!("{} holds it in the forms {forms:?}", path.display()));
                }
            }
        }
        (found, files)
    }

    /// Fails when the text stands in `bytes`.
    ///
    /// # Panics
    /// When it does; `place` says where.
    #[track_caller]
    pub fn assert_absent(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let found = self.found_in(bytes);
        assert!(
            found.is_empty(),
            "{place} holds the canary in the forms {found:?}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

fn forms(text: &str) -> Vec<(&'static str, String)> {
    let bytes = text.as_bytes();
    let quoted = |text: &str| {
        let json = serde_json::to_string(text).unwrap();
        json[1..json.len() - 1].to_owned()
    };
    let json = quoted(text);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent = percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    let every: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let unicode: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let mut forms = vec![
        ("raw", text.to_owned()),
        // A record is JSON that holds JSON that a guest wrote.
        ("JSON-escaped twice", quoted(&json)),
        ("JSON-escaped three times", quoted(&quoted(&json))),
        ("JSON-escaped", json),
        ("JSON-escaped, every character", unicode),
        ("hex", hex.to_uppercase()),
        ("hex", hex),
        ("URL-encoded", percent.to_lowercase()),
        ("URL-encoded as RFC 3986", percent_unreserved(text)),
        ("URL-encoded as a form", percent_unreserved(text).replace("%20", "+")),
        ("URL-encoded", percent),
        ("URL-encoded, every byte", every.to_lowercase()),
        ("URL-encoded, every byte", every),
    ];
    let alignments = ["base64, first alignment", "base64, second alignment", "base64, third alignment"];
    for (before, name) in alignments.into_iter().enumerate() {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(bytes);
            // The characters that depend on the text alone, not on its neighbours.
            let own = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
            forms.push((name, engine.encode(&shifted)[own].to_owned()));
        }
    }
    forms
}

fn percent_unreserved(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encode(text.as_bytes(), RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const TEXT: &str = "pat/c4n4ry\"+& 9f8e-ü";

    #[test]
    fn finds_each_planted_form() {
        let canary = Canary::new(TEXT);
        for (name, form) in canary.forms() {
            let planted = format!("before{form}after");
            assert!(canary.found_in(planted.as_bytes()).contains(name), "{name}: {planted}");
        }
        let nothing = canary.found_in(b"pat/c4n4r pat%2Fc4n4r cGF0L2M0bjRy");
        assert!(nothing.is_empty(), "{nothing:?}");
    }

    #[test]
    fn finds_it_inside_a_longer_base64_text() {
        let canary = Canary::new(TEXT);
        for (before, name) in ["first", "second", "third"].into_iter().enumerate() {
            for after in ["", "x", "yz"] {
                let text = STANDARD.encode(format!("{}{TEXT}{after}", "u".repeat(before)));
                let name = format!("base64, {name} alignment");
                assert!(canary.found_in(text.as_bytes()).contains(name.as_str()), "{name} in {text}");
            }
        }
    }

    #[test]
    fn finds_it_in_the_files_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("clean"), b"nothing").unwrap();
        std::fs::write(folder.path().join("inner/dirty"), [b"\0\xff", TEXT.as_bytes()].concat()).unwrap();
        let (found, files) = Canary::new(TEXT).found_below(folder.path());
        assert_eq!(files, 2);
        assert!(found.len() == 1 && found[0].contains("inner/dirty") && found[0].contains("raw"), "{found:?}");
    }
}
