//! Reading JSON so that an error names the place.

use serde::de::DeserializeOwned;

use crate::Error;

/// Where and why a JSON text does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The place, as a JSONPath (RFC 9535) such as `$.contact.emails[0]`.
    pub path: String,
    /// What was found and what was expected there.
    pub reason: String,
}

impl Mismatch {
    /// The error that says so, about a `subject` such as `body`.
    pub(crate) fn error(&self, code: &str, subject: &str) -> Error {
        let Self { path, reason } = self;
        Error::new(code, format!("The {subject} does not fit at {path}: {reason}."))
            .details(serde_json::json!({ "path": path }))
    }
}

/// Reads a JSON text into a type.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Mismatch> {
    if text.is_empty() {
        // A body that is not there is `null`, so that an optional event fits.
        return serde_json::from_slice(b"null")
            .map_err(|_| Mismatch { path: "$".into(), reason: "JSON is expected, and there is nothing".into() });
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = json_path(&error.path().to_string());
        Mismatch { path, reason: reason(error.inner()) }
    })?;
    reader.end().map_err(|error| Mismatch { path: "$".into(), reason: error.to_string() })?;
    Ok(value)
}

fn json_path(path: &str) -> String {
    // A place whose name was not read yet ends in a question mark.
    let path = path.strip_suffix('?').unwrap_or(path);
    match path.strip_suffix('.').unwrap_or(path) {
        "" => "$".to_owned(),
        indexed if indexed.starts_with('[') => format!("${indexed}"),
        named => format!("$.{named}"),
    }
}

/// For text that is not JSON the line and column are what helps; for JSON of another shape the path says more.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) if error.is_data() => reason.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Deal {
        #[serde(rename = "items")]
        _items: Vec<Item>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Item {
        #[serde(rename = "price")]
        _price: f64,
    }

    #[test]
    fn names_the_place_of_a_mismatch() {
        let cases = [
            (
                r#"{"items":[{"price":1},{"price":"x"}]}"#,
                "$.items[1].price",
                "invalid type: string \"x\", expected f64",
            ),
            (r#"{"items":[{}]}"#, "$.items[0]", "missing field `price`"),
            ("{}", "$", "missing field `items`"),
            (r#"{"items":"#, "$.items", "EOF while parsing a value at line 1 column 9"),
            (r#"{"items":[]} x"#, "$", "trailing characters at line 1 column 14"),
            ("{", "$", "EOF while parsing an object at line 1 column 1"),
            ("", "$", "JSON is expected, and there is nothing"),
        ];
        for (text, path, reason) in cases {
            let mismatch = read::<Deal>(text.as_bytes()).unwrap_err();
            assert_eq!((mismatch.path.as_str(), mismatch.reason.as_str()), (path, reason), "{text}");
        }
        assert_eq!(read::<Option<u8>>(b""), Ok(None));
    }
}
