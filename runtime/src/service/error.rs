//! Why a use case failed: what the caller may read, and what the log says besides.

use std::error::Error as StdError;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::api_key::AuthError;
use crate::domain::connection::ConnectionError;
use crate::domain::id::{GroupId, ParseIdError};
use crate::domain::input_schema::InputError;
use crate::domain::permission::Denial;
use crate::domain::run::Failure;
use crate::domain::user::LoginError;
use crate::service::connections::Unusable;
use crate::service::connections::authorize::AuthorizationError;
use crate::service::connectors::Incompatible;
use crate::service::flows::NotPublishable;
use crate::service::idempotency::IdempotencyError;
use crate::service::limits::Limited;

/// Why a use case failed. `Display` is what the caller reads; it never holds a secret.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// Who calls could not be told.
    #[error("{0}")]
    Unauthenticated(#[from] AuthError),
    /// Somebody was not let in.
    #[error("{0}")]
    Login(#[from] LoginError),
    /// Somebody tried to get in too often.
    #[error("Too many attempts to log in. Try again in {} s", .retry_after.as_secs().max(1))]
    TooManyAttempts {
        /// When to try again.
        retry_after: Duration,
    },
    /// Who calls is known and may not do this.
    #[error("{0}")]
    Forbidden(#[from] Denial),
    /// There is no such thing, or it is another group's.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for, such as `Flow`.
        what: &'static str,
    },
    /// Something that this server is not set up for.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// The request cannot be understood or breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// An app's input is not what the app takes.
    #[error("The input does not fit the app's schema. {}", told(errors))]
    Input {
        /// What is wrong with it, at each place.
        errors: Vec<InputError>,
    },
    /// The thing exists already, or is used by another.
    #[error("{0}")]
    Conflict(String),
    /// A connection was not authorized.
    #[error("{0}")]
    Authorization(#[source] AuthorizationError),
    /// A request's idempotency key was used before, and there is no answer to give again.
    #[error("{0}")]
    Idempotency(#[from] IdempotencyError),
    /// A body is larger than allowed.
    #[error("The body is larger than the {limit} bytes allowed here")]
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The method is not one the trigger takes.
    #[error("This URL takes {allowed}")]
    MethodNotAllowed {
        /// The methods it takes, as the `Allow` header lists them.
        allowed: String,
    },
    /// A module was refused.
    #[error("{0}")]
    Module(String),
    /// No place was free within the bounded wait.
    #[error("{what}. Try again in {} s", .retry_after.as_secs().max(1))]
    Overloaded {
        /// What is full.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// An API key is used more often than it may be.
    #[error("{0}")]
    Limited(Limited),
    /// The group's monthly allowance is spent.
    #[error(
        "The group \"{group}\" has spent its monthly allowance of {what}. It begins anew at {until}; until then an owner of the group can raise it: headgate groups update {group}"
    )]
    AllowanceSpent {
        /// Whose allowance.
        group: GroupId,
        /// Which part of it, such as `1000 runs`.
        what: String,
        /// When the next month begins.
        until: Timestamp,
        /// How long that is away.
        retry_after: Duration,
    },
    /// A connection of the flow cannot be used, so that the flow is not run.
    #[error(
        "The flow is not run, as its connection \"{}\" (slot {}) cannot be used: {}. {}",
        .0.connection.name, .0.slot, .0.cause, .0.remedy
    )]
    ConnectionUnusable(Box<Unusable>),
    /// A version needs what is not there, so that it is not published.
    #[error("{0}")]
    NotPublishable(Box<NotPublishable>),
    /// A connector is not changed, as something would break by it.
    #[error("{0}")]
    Incompatible(Box<Incompatible>),
    /// The flow failed, by its own error or by a fault of its code.
    #[error("{}", .failure.message)]
    Flow {
        /// Which run.
        run: Uuid,
        /// Why.
        failure: Failure,
        /// Whether it was stopped at its time limit.
        timed_out: bool,
        /// Whether its code is one by which the server refused it a connection, and not only its own.
        refused: bool,
    },
    /// Our own fault. The caller learns nothing of it; the log does.
    #[error("Something went wrong on the server. Its log says what, under the id")]
    Internal {
        /// What was attempted.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl ServiceError {
    /// An [`ServiceError::Internal`] from whatever went wrong while `doing` something.
    pub fn internal<E: Into<Box<dyn StdError + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Internal { doing, source: source.into() }
    }
}

/// The first error, and how many there are.
fn told(errors: &[InputError]) -> String {
    let Some(first) = errors.first() else { return "Compare it with the app's sample".to_owned() };
    let place = if first.path.is_empty() { "The input" } else { &first.path };
    match errors.len() {
        1 => format!("{place}: {}", first.message),
        more => format!("{place}: {} (the first of {more}; errors lists them)", first.message),
    }
}

impl From<ParseIdError> for ServiceError {
    fn from(error: ParseIdError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<ConnectionError> for ServiceError {
    fn from(error: ConnectionError) -> Self {
        Self::Invalid(format!("The connection cannot be made: {error}"))
    }
}

impl From<AuthorizationError> for ServiceError {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::Service(error) => *error,
            error => Self::Authorization(error),
        }
    }
}
