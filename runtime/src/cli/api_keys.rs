//! `headgate keys`

use std::str::FromStr;

use clap::Subcommand;
use http::Method;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::cli::output::{facts, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{Environment, Name};
use crate::http::api_keys::{ApiKeyView, CreatedApiKey, NewApiKey};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's keys.
    List,
    /// Makes a key, and prints it this once.
    Create {
        /// Its name, unique in the group.
        name: Name,
        /// Where it works.
        #[arg(long, default_value = "production")]
        env: Environment,
        /// Notes.
        #[arg(long, default_value = "")]
        description: String,
        /// When it expires: a time such as 2027-01-31T12:00:00Z, or a span from now such as 90d. Never when absent.
        #[arg(long, value_name = "WHEN")]
        expires: Option<Expiry>,
    },
    /// Shows a key.
    Show {
        /// Its id or name.
        key: String,
    },
    /// Switches a key off, from the next request on.
    Disable {
        /// Its id or name.
        key: String,
    },
    /// Switches a key on again.
    Enable {
        /// Its id or name.
        key: String,
    },
    /// Ends a key for good, from the next request on.
    Revoke {
        /// Its id or name.
        key: String,
    },
}

/// When a key expires.
#[derive(Debug, Clone)]
pub(super) enum Expiry {
    At(Timestamp),
    In(Span),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = || text.parse::<Span>().ok().filter(|span| span.is_positive()).map(Self::In);
        text.parse()
            .ok()
            .map(Self::At)
            .or_else(span)
            .ok_or_else(|| "write a time such as 2027-01-31T12:00:00Z, or a span such as 90d".to_owned())
    }
}

impl Expiry {
    fn timestamp(self, now: Timestamp) -> Result<Timestamp, CliError> {
        match self {
            Self::At(time) => Ok(time),
            Self::In(span) => match now.to_zoned(TimeZone::UTC).checked_add(span) {
                Ok(time) => Ok(time.timestamp()),
                Err(error) => Err(CliError::Usage(format!("the key would expire beyond all calendars: {error}"))),
            },
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let keys = ["groups", context.group()?, "api-keys"];
        match self {
            Self::List => {
                let keys: Vec<ApiKeyView> = context.client.get(&keys).await?;
                context.output.show(&keys, |keys| list(keys))
            }
            Self::Create { name, env, description, expires } => {
                let expires = expires.map(|expires| expires.timestamp(Timestamp::now())).transpose()?;
                let new = NewApiKey { name, environment: env, description, expires };
                let key: CreatedApiKey = context.client.send(Method::POST, &keys, &new).await?;
                context.output.show(&key, |key| {
                    format!(
                        "{}\n\nThis is the key. It is shown now and never again:\n\n  {}\n",
                        show(&key.view),
                        key.api_key
                    )
                })
            }
            Self::Show { key } => {
                let [groups, group, keys] = keys;
                let key: ApiKeyView = context.client.get(&[groups, group, keys, &key]).await?;
                context.output.show(&key, show)
            }
            Self::Disable { key } => change(context, &key, "disable").await,
            Self::Enable { key } => change(context, &key, "enable").await,
            Self::Revoke { key } => change(context, &key, "revoke").await,
        }
    }
}

async fn change(context: &Context, key: &str, change: &str) -> Result<(), CliError> {
    let key: ApiKeyView = context.client.post(&["groups", context.group()?, "api-keys", key, change]).await?;
    context.output.show(&key, show)
}

fn expires(key: &ApiKeyView) -> String {
    key.expires.map_or_else(|| "never".to_owned(), time)
}

fn list(keys: &[ApiKeyView]) -> String {
    let head = ["id", "name", "environment", "status", "created", "expires", "begins with"];
    let row = |key: &ApiKeyView| {
        let (name, environment) = (key.name.to_string(), key.environment.to_string());
        [key.id.to_string(), name, environment, key.status.clone(), time(key.created), expires(key), key.prefix.clone()]
    };
    table(head, keys.iter().map(row), "No keys yet. Make one with `headgate keys create NAME`")
}

fn show(key: &ApiKeyView) -> String {
    facts([
        ("id", key.id.to_string()),
        ("name", key.name.to_string()),
        ("environment", key.environment.to_string()),
        ("status", key.status.clone()),
        ("description", key.description.clone()),
        ("created", time(key.created)),
        ("expires", expires(key)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_a_span() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("90d", "2026-04-01T00:00:00Z"),
            ("12h", "2026-01-01T12:00:00Z"),
        ] {
            let expiry: Expiry = text.parse().unwrap();
            assert_eq!(expiry.timestamp(now).unwrap().to_string(), at);
        }
        for wrong in ["", "soon", "-1d", "90"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
