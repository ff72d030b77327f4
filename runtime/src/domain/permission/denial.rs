use thiserror::Error;

use super::{Role, Scope};
use crate::domain::id::{Environment, Name};
use crate::domain::signature::SignatureError;

/// Why somebody who is known may not do what they ask for. The texts are the ones callers read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denial {
    /// A person whose role is too small.
    #[error("This needs the role {needed} in the group, and yours is {role}. Ask an owner of the group")]
    Role {
        /// The role it takes.
        needed: Role,
        /// The role the caller has.
        role: Role,
    },
    /// Something for operators.
    #[error("Only an operator of the server may do this")]
    Operator,
    /// Something that people do and API keys do not.
    #[error("An API key cannot do this. Log in as a user: headgate login")]
    NotForKeys,
    /// A key without the scope.
    #[error("The API key \"{key}\" has no scope {scope}. Add the scope to the key, or use a key that has it")]
    MissingScope {
        /// The key's name.
        key: Name,
        /// The scope it takes.
        scope: Scope,
    },
    /// A key that only reads.
    #[error("The API key \"{key}\" is read-only. Give the key another permission, or use another key")]
    ReadOnly {
        /// The key's name.
        key: Name,
    },
    /// A key for other flows.
    #[error("The API key \"{key}\" has no permission for this flow. Add the flow to the key, or use another key")]
    Flow {
        /// The key's name.
        key: Name,
    },
    /// The trigger takes other keys.
    #[error("This trigger does not accept the API key \"{key}\". Add the key to the trigger, or use one of its keys")]
    Trigger {
        /// The key's name.
        key: Name,
    },
    /// Nothing is published where the key belongs.
    #[error("The flow \"{flow}\" is not published in {environment}. Publish a version of it there")]
    NotPublished {
        /// The flow's name.
        flow: Name,
        /// Where it is missing.
        environment: Environment,
    },
    /// The key belongs to another environment.
    #[error(
        "Wrong environment: the API key \"{key}\" belongs to {environment}. Use a key of the environment you name, or name {environment}"
    )]
    Environment {
        /// The key's name.
        key: Name,
        /// Where it belongs.
        environment: Environment,
    },
    /// The environment has to be named.
    #[error(
        "Wrong environment: this group wants every call outside production to name its environment. Add _profile={environment} to the URL's query"
    )]
    ProfileMissing {
        /// Where the key belongs.
        environment: Environment,
    },
    /// The caller's address is not among those the key may be used from.
    #[error("The API key \"{key}\" may not be used from {address}. Add the source network to the key")]
    SourceNetwork {
        /// The key's name.
        key: Name,
        /// Where the request came from.
        address: std::net::IpAddr,
    },
    /// A key gives away more than it has.
    #[error("An API key cannot give another key what it does not have itself: {what}")]
    Escalation {
        /// What it does not have.
        what: String,
    },
    /// A page whose scripts the trigger does not take requests from.
    #[error("This trigger takes no requests from the pages of {0}. Add the origin to the trigger's CORS rule")]
    Origin(String),
    /// A group's host name, which only an operator gives.
    #[error(
        "Only an operator of the server gives a group its host name, after making sure that the name is the group's. Ask one"
    )]
    HostName,
    /// The body's signature is missing or wrong.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Somebody shakes hands who does not know the trigger's token.
    #[error("hub.verify_token is not this trigger's. Set the same text at the sender and in the trigger's challenge")]
    VerifyToken,
}

impl Denial {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Role { .. } => "role_too_small",
            Self::Operator | Self::HostName => "operators_only",
            Self::NotForKeys => "not_for_api_keys",
            Self::MissingScope { .. } => "missing_scope",
            Self::ReadOnly { .. } => "read_only_key",
            Self::Flow { .. } => "no_permission_for_flow",
            Self::Trigger { .. } => "key_not_accepted",
            Self::NotPublished { .. } => "flow_not_published",
            Self::Environment { .. } | Self::ProfileMissing { .. } => "wrong_environment",
            Self::SourceNetwork { .. } => "source_network",
            Self::Escalation { .. } => "more_than_own_rights",
            Self::Origin(_) => "origin_not_allowed",
            Self::Signature(_) => "signature",
            Self::VerifyToken => "verify_token",
        }
    }
}
