//! `NAME=VALUE` on the command line.

use std::str::FromStr;

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
            _ => Err("write NAME=VALUE"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_sign_parts() {
        let pair: Pair = "url=https://x/?a=b".parse().unwrap();
        assert_eq!((pair.name.as_str(), pair.value.as_str()), ("url", "https://x/?a=b"));
        assert_eq!("k=".parse::<Pair>().unwrap().value, "");
        assert!("k".parse::<Pair>().is_err() && "=v".parse::<Pair>().is_err());
    }
}
