//! Puts a text into a JSON object. All else in it stays as it was written: numbers, escapes, the order of members.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why nothing could be put in. The texts hold nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum InsertError {
    /// The body, or what is on the way to the place, is no object.
    #[error("its JSON has no object where the server has to put \"{0}\"")]
    NoObject(String),
    /// There is something already.
    #[error("its member \"{0}\" is not the connector's to set")]
    Taken(String),
    /// A member on the way is there twice, so that receivers differ in which one they read.
    #[error("its member \"{0}\" is there twice")]
    Twice(String),
}

/// The object with a text at a JSON pointer (RFC 6901). Objects that are missing on the way are made.
///
/// The last name is taken in any letter case, as some receivers read names so.
pub(super) fn insert(json: &[u8], pointer: &str, value: &str) -> Result<Zeroizing<Vec<u8>>, InsertError> {
    let segments: Vec<_> = pointer.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~")).collect();
    let no_object = || InsertError::NoObject(pointer.to_owned());
    let text = std::str::from_utf8(json).map_err(|_| no_object())?;
    // With room for what is put in, so that the buffer does not move and leave a copy.
    let mut out = Zeroizing::new(Vec::with_capacity(json.len() + pointer.len() * 6 + value.len() * 6 + 64));
    put(text, &segments, pointer, value, &mut out)?;
    Ok(out)
}

fn put(json: &str, segments: &[String], pointer: &str, value: &str, out: &mut Vec<u8>) -> Result<(), InsertError> {
    let Some((name, rest)) = segments.split_first() else { return Err(InsertError::NoObject(pointer.to_owned())) };
    let Members(members) = serde_json::from_str(json).map_err(|_| InsertError::NoObject(pointer.to_owned()))?;
    let same = |other: &str| if rest.is_empty() { other.eq_ignore_ascii_case(name) } else { other == name };
    let mut found = members.iter().filter(|(other, _)| same(other));
    let (first, second) = (found.next(), found.next());
    if rest.is_empty() && first.is_some() {
        return Err(InsertError::Taken(pointer.to_owned()));
    }
    if second.is_some() {
        return Err(InsertError::Twice(pointer.to_owned()));
    }
    out.push(b'{');
    for (other, raw) in members.iter().filter(|(other, _)| !same(other)) {
        member(other, out);
        out.extend_from_slice(raw.get().as_bytes());
        out.push(b',');
    }
    member(name, out);
    match rest.is_empty() {
        true => write(value, out),
        false => put(first.map_or("{}", |(_, raw)| raw.get()), rest, pointer, value, out)?,
    }
    out.push(b'}');
    Ok(())
}

fn member(name: &str, out: &mut Vec<u8>) {
    write(name, out);
    out.push(b':');
}

fn write(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text serialises, and memory takes it");
}

/// The members of an object, in their order, values as they were written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "s3cr3t \"key\"";

    fn check(json: &str, pointer: &str, expected: &str) {
        let inserted = insert(json.as_bytes(), pointer, KEY).map(|json| String::from_utf8(json.to_vec()).unwrap());
        let told = inserted.unwrap_or_else(|error| error.to_string());
        assert_eq!(told, expected.replace("KEY", r#""s3cr3t \"key\"""#), "{json} {pointer}");
    }

    #[test]
    fn a_text_is_put_where_the_pointer_says() {
        check("{}", "/key", r#"{"key":KEY}"#);
        check(r#" {"a" : 1 } "#, "/key", r#"{"a":1,"key":KEY}"#);
        check(r#"{"a":1}"#, "/auth/key", r#"{"a":1,"auth":{"key":KEY}}"#);
        check(r#"{"auth":{"b":[1, 2]},"a":1}"#, "/auth/key", r#"{"a":1,"auth":{"b":[1, 2],"key":KEY}}"#);
        check("{}", "/a~1b/c~0d", r#"{"a/b":{"c~d":KEY}}"#);
        check(r#"{"":{}}"#, "//key", r#"{"":{"key":KEY}}"#);
    }

    #[test]
    fn the_rest_stays_as_it_was_written() {
        let exact = r#"{"n":1.10000000000000000001e400,"big":123456789012345678901234567890,"e":"\u00e9\/","e":2"#;
        check(&format!("{exact}}}"), "/key", &format!("{exact},\"key\":KEY}}"));
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        check(&format!("{{\"d\":{deep}}}"), "/key", &format!("{{\"d\":{deep},\"key\":KEY}}"));
    }

    #[test]
    fn nothing_of_the_guest_stands_in_its_place() {
        let taken = "its member \"/key\" is not the connector's to set";
        for json in
            [r#"{"key":"own"}"#, r#"{"a":1,"key":null}"#, r#"{"KEY":1}"#, r#"{"\u006bey":1}"#, r#"{"key":1,"key":2}"#]
        {
            check(json, "/key", taken);
        }
        check(r#"{"auth":{"key":1}}"#, "/auth/key", "its member \"/auth/key\" is not the connector's to set");
        check(r#"{"auth":{},"auth":{}}"#, "/auth/key", "its member \"/auth/key\" is there twice");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let none = "its JSON has no object where the server has to put \"/a/b\"";
        for json in
            ["", "[]", "1", "\"x\"", "{", "{}x", "{} {}", "\u{feff}{}", r#"{"a":1}"#, r#"{"a":[{}]}"#, "{'a':1}"]
        {
            check(json, "/a/b", none);
        }
        assert!(insert(b"{\"x\":\"\xff\"}", "/key", KEY).is_err());
    }
}
