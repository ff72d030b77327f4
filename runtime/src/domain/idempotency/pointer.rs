//! Reads one value of a JSON text at a pointer (RFC 6901), and holds nothing else of it: bodies may be large.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What stands at a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or `null`.
    Nothing,
    /// A text or a number.
    Text(String),
    /// Something else.
    Other,
}

/// What stands at a pointer in a JSON text; nothing in what is no JSON.
pub(super) fn read(text: &[u8], pointer: &str) -> Found {
    let tokens: Vec<_> = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    let mut json = serde_json::Deserializer::from_slice(text);
    let found = Below(&tokens).deserialize(&mut json);
    found.and_then(|found| json.end().map(|()| found)).unwrap_or(Found::Nothing)
}

/// The value that these tokens lead to.
#[derive(Clone, Copy)]
struct Below<'t>(&'t [String]);

impl Below<'_> {
    /// A value that holds no others.
    fn leaf(self, found: Found) -> Found {
        if self.0.is_empty() { found } else { Found::Nothing }
    }
}

impl<'de> DeserializeSeed<'de> for Below<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Found, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let Some((token, rest)) = self.0.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::Other);
        };
        let mut found = Found::Nothing;
        while let Some(name) = map.next_key::<String>()? {
            if name == *token {
                found = map.next_value_seed(Below(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let Some((token, rest)) = self.0.split_first() else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Found::Other);
        };
        let wanted: Option<usize> = token.parse().ok().filter(|at: &usize| at.to_string() == *token);
        let mut found = Found::Nothing;
        for at in 0.. {
            if wanted == Some(at) {
                match seq.next_element_seed(Below(rest))? {
                    Some(element) => found = element,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(self.leaf(Found::Text(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found, E> {
        Ok(self.leaf(Found::Text(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found, E> {
        Ok(self.leaf(Found::Text(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Found, E> {
        Ok(self.leaf(Found::Text(number.to_string())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(self.leaf(Found::Other))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_where() {
        let text = br#"{"a": {"b/c": [null, {"~": "x"}, 7, -1, 1.5, true]}, "d": "", "a2": 1, "d2": {"a": 3}}"#;
        let found = |text: &str| Found::Text(text.to_owned());
        for (pointer, wanted) in [
            ("/a/b~1c/1/~0", found("x")),
            ("/a/b~1c/2", found("7")),
            ("/a/b~1c/3", found("-1")),
            ("/a/b~1c/4", found("1.5")),
            ("/a/b~1c/5", Found::Other),
            ("/a/b~1c/0", Found::Nothing),
            ("/a/b~1c/6", Found::Nothing),
            ("/a/b~1c/02", Found::Nothing),
            ("/a/b~1c/-", Found::Nothing),
            ("/a/b~1c", Found::Other),
            ("/a", Found::Other),
            ("/d", found("")),
            ("/d/x", Found::Nothing),
            ("/none/a", Found::Nothing),
        ] {
            assert_eq!(read(text, pointer), wanted, "{pointer}");
        }
        for broken in [&b"{\"a\": 1"[..], b"{\"a\": 1} x", b"", b"\xff"] {
            assert_eq!(read(broken, "/a"), Found::Nothing);
        }
    }
}
