//! Why something failed, in words for a person and in a form for a program.

use std::any::Any;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What flows and methods return.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a flow or a method failed.
///
/// ```
/// # use headgate_sdk::Error;
/// let error = Error::new("rate_limited", "The CRM allows 10 requests per second.").retry_after(1);
/// assert_eq!(error.to_string(), "rate_limited: The CRM allows 10 requests per second.");
/// assert_eq!((error.retryable, error.details.unwrap()["retry_after_seconds"].as_u64()), (true, Some(1)));
/// ```
///
/// Any [`std::error::Error`] becomes one through `?`: with the code `invalid_json` when it comes from serde_json,
/// otherwise with the code `failed`. For that reason `Error` itself does not implement that trait.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// A stable word for programs, `lower_snake_case`.
    pub code: String,
    /// One sentence for a person. Never a secret.
    pub message: String,
    /// Whether the same call may succeed later without a change.
    pub retryable: bool,
    /// Further facts, a JSON object.
    pub details: Option<Value>,
}

impl Error {
    /// An error that a repetition will not cure.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, details: None }
    }

    /// The same error, saying that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same error, saying that the same call may succeed after so many seconds and not before: `retry_after_seconds`
    /// in the details. A polling trigger is left alone so long.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retryable = true;
        match &mut self.details {
            Some(Value::Object(details)) => _ = details.insert("retry_after_seconds".to_owned(), seconds.into()),
            details => *details = Some(serde_json::json!({ "retry_after_seconds": seconds })),
        }
        self
    }

    /// The same error with further facts. What does not serialise to JSON is left out.
    #[must_use]
    pub fn details(mut self, details: impl Serialize) -> Self {
        self.details = serde_json::to_value(details).ok();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let code = if (&error as &dyn Any).is::<serde_json::Error>() { "invalid_json" } else { "failed" };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_errors_become_one_and_keep_their_causes() {
        fn parse() -> Result<u8> {
            Ok(serde_json::from_str("x")?)
        }
        fn number() -> Result<u8> {
            Ok("x".parse::<u8>()?)
        }
        assert_eq!(parse().unwrap_err().code, "invalid_json");
        assert_eq!(number().unwrap_err(), Error::new("failed", "invalid digit found in string"));
    }
}
