//! Names and ids. Each is its own type, parsed at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name, in bytes: a DNS label's length, so that a name can become a host name.
pub const MAX_NAME: usize = 63;

/// A text is not an id or a name of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{text}\" is not a {what}: {rule}")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    rule: &'static str,
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && !text.ends_with('-')
}

fn is_random(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 20 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME + 1).collect()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($text:ty), $what:literal, $rule:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name($text);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(ParseIdError { text: shown(text), what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal) => {
        id!($(#[$doc])* $name(Arc<str>), $what, "it is the prefix and 20 letters or digits, as the server gave it", |text| is_random(text, $prefix));

        impl $name {
            /// A new id from 20 random letters and digits (119 bits).
            pub fn from_random(random: &str) -> Result<Self, ParseIdError> {
                format!("{}{random}", $prefix).parse()
            }
        }
    };
}

const NAME_RULE: &str = "use up to 63 lower-case letters, digits and hyphens, beginning with a letter";

id!(
    /// A group's name, unique on the server.
    GroupId(Arc<str>), "group name", NAME_RULE, is_name
);
id!(
    /// The name of an environment of a group; `production` and `test` exist in every group.
    Environment(Arc<str>), "environment name", NAME_RULE, is_name
);
id!(
    /// A connector's name, unique in its group.
    ConnectorName(Arc<str>), "connector name", NAME_RULE, is_name
);
id!(
    /// The name by which a flow's code refers to a connection.
    Slot(Arc<str>), "slot name", NAME_RULE, is_name
);
id!(
    /// A name a person chose for a flow, a key or a connection, unique among its kind in its group. It is held without
    /// counters, as a server may have a million of them and rarely copies one.
    Name(Box<str>), "name", NAME_RULE, is_name
);
random_id!(
    /// A flow's id, unique on the server: `flw_` and 20 letters or digits.
    FlowId, "flow id", "flw_"
);
random_id!(
    /// A trigger's id, unique on the server.
    TriggerId, "trigger id", "trg_"
);
random_id!(
    /// A connection's id, unique on the server.
    ConnectionId, "connection id", "con_"
);

random_id!(
    /// The id of an app registration: `app_` and 20 letters or digits.
    AppRegistrationId, "app registration id", "app_"
);
random_id!(
    /// A user's id.
    UserId, "user id", "usr_"
);
random_id!(
    /// The id of a session: one login and everything refreshed from it.
    SessionId, "session id", "ses_"
);
random_id!(
    /// An alert's id.
    AlertId, "alert id", "alr_"
);

const API_KEY_ID_LENGTH: usize = 12;

/// The public part of an API key: 12 letters or digits. Held in place, as a server may have a million of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiKeyId([u8; API_KEY_ID_LENGTH]);

impl ApiKeyId {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("letters and digits")
    }

    /// Which part of a table in so many parts it belongs to. Ids are random, so that the parts are of like size.
    pub fn part(&self, parts: usize) -> usize {
        self.0.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % parts
    }
}

impl FromStr for ApiKeyId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = text
            .as_bytes()
            .try_into()
            .ok()
            .filter(|bytes: &[u8; API_KEY_ID_LENGTH]| bytes.iter().all(u8::is_ascii_alphanumeric));
        bytes.map(Self).ok_or_else(|| ParseIdError {
            text: shown(text),
            what: "API key id",
            rule: "it is 12 letters or digits",
        })
    }
}

impl TryFrom<String> for ApiKeyId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<ApiKeyId> for String {
    fn from(id: ApiKeyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Environment {
    /// The environment `hg_live_` keys belong to.
    pub fn production() -> Self {
        Self("production".into())
    }

    /// The environment every group has for trying things.
    pub fn test() -> Self {
        Self("test".into())
    }

    /// Whether this is `production`.
    pub fn is_production(&self) -> bool {
        self.as_str() == "production"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "acme", "update-lead-status", "a1", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a-", "a/b", "a b", "ä", &"a".repeat(64)] {
            let error = bad.parse::<Name>().unwrap_err();
            assert!(error.to_string().contains(NAME_RULE), "{error}");
        }
    }

    #[test]
    fn random_ids() {
        let id = FlowId::from_random("abcdefghij0123456789").unwrap();
        assert_eq!(id.as_str(), "flw_abcdefghij0123456789");
        assert!("trg_abcdefghij0123456789".parse::<FlowId>().is_err());
        assert!("flw_abcdefghij012345678".parse::<FlowId>().is_err());
        assert!("flw_abcdefghij012345678/".parse::<FlowId>().is_err());
    }
}
