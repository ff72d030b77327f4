//! Users: people, the groups they belong to, and their sessions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{GroupId, SessionId, UserId};
use crate::domain::permission::Role;
use crate::domain::secret::SecretHash;

/// The longest address: RFC 5321, section 4.5.3.1.3, less the angle brackets.
const MAX_EMAIL: usize = 254;

/// An email address, in lower case: people do not tell capitals apart in it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let parts = text.rsplit_once('@');
        let valid = text.len() <= MAX_EMAIL
            && !text.chars().any(|c| c.is_whitespace() || c.is_control())
            && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if valid {
            Ok(Self(text.to_lowercase()))
        } else {
            let shown: String = text.chars().take(MAX_EMAIL).collect();
            Err(format!("\"{shown}\" is not an email address. Write one such as ada@example.com"))
        }
    }
}

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their address, unique on the server.
    pub email: Email,
    /// What they are called.
    #[serde(default)]
    pub name: String,
    /// Administers the server.
    #[serde(default)]
    pub operator: bool,
    /// May not log in for now.
    #[serde(default)]
    pub disabled: bool,
    /// The password's argon2id hash, in PHC form; absent before it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// A one-time token with which the password can be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
    /// When they were added.
    pub created: Timestamp,
}

/// A password's hash. It cannot be printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// A one-time token, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invitation {
    /// The token's hash.
    pub hash: SecretHash,
    /// When it stops to be valid.
    pub not_after: Timestamp,
}

/// That a user belongs to a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub user: UserId,
    /// What they may do there.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

/// One login and everything refreshed from it: a family of refresh tokens, of which one is valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The hash of the refresh token that is valid.
    pub refresh: SecretHash,
    /// When it began.
    pub created: Timestamp,
    /// When it was refreshed last.
    pub refreshed: Timestamp,
    /// When it ends, unless it is refreshed before.
    pub expires: Timestamp,
    /// Where it began.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(" Ada@Example.COM ".parse::<Email>().unwrap().as_str(), "ada@example.com");
        for wrong in ["", "ada", "@example.com", "ada@", "a b@example.com", &format!("{}@x", "a".repeat(300))] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong}");
        }
    }
}
