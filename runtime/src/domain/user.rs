//! Users: people, the groups they belong to, and their sessions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::id::{GroupId, SessionId, UserId};
use crate::domain::permission::Role;
use crate::domain::secret::SecretHash;

/// The shortest password, in characters: NIST SP 800-63B-4, section 3.1.1.2, asks for 15 where it is all there is, and
/// for 8 at least; between them, as attempts are limited.
pub const MIN_PASSWORD: usize = 12;
/// The longest password, in bytes: hashing a longer one only costs time.
pub const MAX_PASSWORD: usize = 1024;
/// The longest name, in characters.
const MAX_NAME: usize = 200;

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
    /// Who they are to the OpenID provider: its address and the subject there, kept from their first login through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderIdentity>,
    /// When they were added.
    pub created: Timestamp,
}

/// Who somebody is to an OpenID provider. An address can change hands there; the subject does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderIdentity {
    /// The provider.
    pub issuer: String,
    /// The person's name there (`sub`).
    pub subject: String,
}

impl User {
    /// Whether they administer the server and can log in.
    pub fn is_active_operator(&self) -> bool {
        self.operator && !self.disabled && (self.password.is_some() || self.provider.is_some())
    }

    /// Checks what somebody is called.
    pub fn check_name(name: &str) -> Result<(), String> {
        if name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control) {
            return Ok(());
        }
        Err(format!("A person's name has at most {MAX_NAME} characters, and no line breaks"))
    }
}

/// A password, as it was entered. It cannot be printed.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

impl Password {
    /// A password that may be set.
    pub fn new(text: SecretString) -> Result<Self, String> {
        let password = Self::entered(text);
        let text = password.reveal();
        if text.chars().count() < MIN_PASSWORD {
            return Err(format!("The password is too short. Choose one of at least {MIN_PASSWORD} characters"));
        }
        if text.len() > MAX_PASSWORD {
            return Err(format!("The password is too long. Choose one of at most {MAX_PASSWORD} bytes"));
        }
        Ok(password)
    }

    /// A password to be compared: too short ones are wrong ones.
    pub fn entered(text: SecretString) -> Self {
        Self(text)
    }

    /// Whether comparing it is worth the time.
    pub fn is_possible(&self) -> bool {
        self.reveal().len() <= MAX_PASSWORD
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Why somebody was not let in. The texts are the ones callers read; which part was wrong is not told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The address is unknown, the password is wrong, or the user is disabled.
    #[error("The address or the password is wrong. Ask an operator for a new invitation if you forgot the password")]
    Credentials,
    /// The token is unknown, used, too old, or for another address.
    #[error(
        "The token is not valid for this address: it was used, it is too old, or a newer one was made. Ask an operator for a new one; `headgate serve` prints one while the server has no operator"
    )]
    SetupToken,
    /// The refresh token is unknown or was used before.
    #[error("The session has ended. Log in again: headgate login")]
    RefreshToken,
    /// The OpenID provider let somebody in whom this server does not.
    #[error("{0}")]
    Provider(String),
}

impl LoginError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Credentials => "wrong_credentials",
            Self::SetupToken => "invalid_setup_token",
            Self::RefreshToken => "invalid_refresh_token",
            Self::Provider(_) => "provider_login_failed",
        }
    }
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
    fn passwords() {
        let check = |text: &str| Password::new(text.to_owned().into()).map(drop);
        for good in [
            "correct horse",
            "aaaaaaaaaaaa",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
            &"a".repeat(MAX_PASSWORD),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "elevenchars", &"a".repeat(MAX_PASSWORD + 1)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let shown = format!("{:?}", Password::entered("a secret".to_owned().into()));
        assert!(!shown.contains("a secret"), "{shown}");
    }

    #[test]
    fn what_people_are_called() {
        assert!(User::check_name("Ada Lovelace").is_ok() && User::check_name("").is_ok());
        assert!(User::check_name("a\nb").is_err() && User::check_name(&"a".repeat(201)).is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(" Ada@Example.COM ".parse::<Email>().unwrap().as_str(), "ada@example.com");
        for wrong in ["", "ada", "@example.com", "ada@", "a b@example.com", &format!("{}@x", "a".repeat(300))] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong}");
        }
    }
}
