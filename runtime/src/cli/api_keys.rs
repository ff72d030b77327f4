//! `headgate keys`

mod show;

use std::fmt::Display;
use std::str::FromStr;

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::output::line;
use crate::cli::{CliError, Context};
use crate::domain::api_key::{Expiry, KeyClass, KeySlot, Lapse, Network};
use crate::domain::id::{Environment, Name};
use crate::domain::permission::Scope;
use crate::http::api_keys::{
    ApiKeyPage, ApiKeyView, CreatedApiKey, InvestigationView, KeyChanges, NewApiKey, Permission, Regenerate, Rotate,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's keys.
    List,
    /// Makes a key, and prints it this once.
    Create(Create),
    /// Shows a key, and which flows and triggers use it.
    Show {
        /// Its id or name.
        key: String,
    },
    /// Changes a key: what is not named stays.
    Update(Update),
    /// Makes a new value of a key, and prints it this once. The old value ends at once; settings stay.
    Regenerate {
        /// Its id or name.
        key: String,
        /// Makes the secondary value, and leaves the primary one alone.
        #[arg(long)]
        secondary: bool,
    },
    /// Makes a new value of a key, and prints it this once. The old value stays valid until the overlap ends.
    Rotate {
        /// Its id or name.
        key: String,
        /// How long both are valid, such as 24h or 7d; at most 90d.
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        overlap: Lapse,
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
    /// Removes a key from the list and from the triggers that name it. Its usage and its audit entries stay.
    Delete {
        /// Its id or name.
        key: String,
    },
    /// Shows everything about a key in one view, and what to do when it is in wrong hands.
    Investigate {
        /// Its id or name.
        key: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name, unique in the group.
    name: Name,
    /// Where it works.
    #[arg(long, default_value = "production")]
    env: Environment,
    /// Notes.
    #[arg(long, default_value = "")]
    description: String,
    /// What it is used for: production, partner, development or ci_cd. The environment says it when absent.
    #[arg(long)]
    class: Option<KeyClass>,
    /// When it expires: a time such as 2027-01-31T12:00:00Z, or a span from now such as 90d. Never when absent.
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    #[command(flatten)]
    permission: PermissionArgs,
    /// What it may be used for; what its permission gives when absent.
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    scopes: Option<Vec<Scope>>,
    /// Requests in any minute; the server's default when absent.
    #[arg(long, value_name = "REQUESTS")]
    rate_per_minute: Option<u32>,
    /// Requests in a day; the server's default when absent.
    #[arg(long, value_name = "REQUESTS")]
    daily_quota: Option<u64>,
    /// A network it may be used from, such as 203.0.113.0/24; may be repeated. From everywhere when absent.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<Network>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Its id or name.
    key: String,
    /// Another name.
    #[arg(long)]
    name: Option<Name>,
    /// Notes.
    #[arg(long)]
    description: Option<String>,
    /// What it is used for; `none` leaves it to the environment.
    #[arg(long)]
    class: Option<OrNone<KeyClass>>,
    /// When it expires: a time, a span from now, or `never`.
    #[arg(long, value_name = "WHEN")]
    expires: Option<OrNone<Expiry>>,
    #[command(flatten)]
    permission: PermissionArgs,
    /// For every flow of the group.
    #[arg(long, conflicts_with_all = ["flows", "read_only"])]
    all_flows: bool,
    /// What it may be used for.
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    scopes: Option<Vec<Scope>>,
    /// Requests in any minute; `none` for the server's default.
    #[arg(long, value_name = "REQUESTS")]
    rate_per_minute: Option<OrNone<u32>>,
    /// Requests in a day; `none` for the server's default.
    #[arg(long, value_name = "REQUESTS")]
    daily_quota: Option<OrNone<u64>>,
    /// A network it may be used from; may be repeated, and replaces those that were named before.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<Network>,
    /// Lets it be used from everywhere.
    #[arg(long, conflicts_with = "networks")]
    any_network: bool,
}

#[derive(Debug, Args)]
struct PermissionArgs {
    /// A flow it is for, by id or name; may be repeated.
    #[arg(long = "flow", value_name = "FLOW", conflicts_with = "read_only")]
    flows: Vec<String>,
    /// Reads, and runs nothing.
    #[arg(long)]
    read_only: bool,
}

/// A value, or `none`.
#[derive(Debug, Clone)]
struct OrNone<T>(Option<T>);

impl<T: FromStr<Err: Display>> FromStr for OrNone<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "never" => Ok(Self(None)),
            text => text.parse().map(|value| Self(Some(value))).map_err(|error: T::Err| error.to_string()),
        }
    }
}

impl PermissionArgs {
    fn permission(self) -> Option<Permission> {
        match self {
            Self { read_only: true, .. } => Some(Permission::ReadOnly {}),
            Self { flows, .. } if flows.is_empty() => None,
            Self { flows, .. } => Some(Permission::SelectedFlows { flows }),
        }
    }
}

impl From<Create> for NewApiKey {
    fn from(create: Create) -> Self {
        Self {
            name: create.name,
            description: create.description,
            environment: create.env,
            class: create.class,
            expires: create.expires,
            permission: create.permission.permission().unwrap_or_default(),
            scopes: create.scopes,
            rate_per_minute: create.rate_per_minute,
            daily_quota: create.daily_quota,
            networks: create.networks,
        }
    }
}

impl From<Update> for KeyChanges {
    fn from(update: Update) -> Self {
        let networks = (!update.networks.is_empty()).then_some(Some(update.networks));
        Self {
            name: update.name,
            description: update.description,
            class: update.class.map(|class| class.0),
            expires: update.expires.map(|expires| expires.0),
            permission: if update.all_flows { Some(Permission::default()) } else { update.permission.permission() },
            scopes: update.scopes.map(Some),
            rate_per_minute: update.rate_per_minute.map(|rate| rate.0),
            daily_quota: update.daily_quota.map(|quota| quota.0),
            networks: if update.any_network { Some(None) } else { networks },
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        let keys = ["groups", group, "api-keys"];
        match self {
            Self::List => {
                let keys: Vec<ApiKeyView> = context.client.get(&keys).await?;
                context.output.show(&keys, |keys| show::list(keys))
            }
            Self::Create(create) => {
                let made: CreatedApiKey = context.client.send(Method::POST, &keys, &NewApiKey::from(create)).await?;
                context.output.show(&made, show::made)
            }
            Self::Show { key } => {
                let page: ApiKeyPage = context.client.get(&["groups", group, "api-keys", &key]).await?;
                context.output.show(&page, show::page)
            }
            Self::Update(update) => {
                let key = update.key.clone();
                let path = ["groups", group, "api-keys", &key];
                let key: ApiKeyView = context.client.send(Method::PATCH, &path, &KeyChanges::from(update)).await?;
                context.output.show(&key, show::one)
            }
            Self::Regenerate { key, secondary } => {
                let slot = if secondary { KeySlot::Secondary } else { KeySlot::Primary };
                let path = ["groups", group, "api-keys", &key, "regenerate"];
                let made: CreatedApiKey = context.client.send(Method::POST, &path, &Regenerate { slot }).await?;
                context.output.show(&made, show::made)
            }
            Self::Rotate { key, overlap } => {
                let path = ["groups", group, "api-keys", &key, "rotate"];
                let overlap = Some(overlap);
                let made: CreatedApiKey = context.client.send(Method::POST, &path, &Rotate { overlap }).await?;
                context.output.show(&made, show::made)
            }
            Self::Disable { key } => switch(context, &key, "disable").await,
            Self::Enable { key } => switch(context, &key, "enable").await,
            Self::Revoke { key } => switch(context, &key, "revoke").await,
            Self::Delete { key } => {
                context.client.delete(&["groups", group, "api-keys", &key]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {key}.")) }
            }
            Self::Investigate { key } => {
                let path = ["groups", group, "api-keys", &key, "investigate"];
                let found: InvestigationView = context.client.get(&path).await?;
                context.output.show(&found, show::investigation)
            }
        }
    }
}

async fn switch(context: &Context, key: &str, switch: &str) -> Result<(), CliError> {
    let key: ApiKeyView = context.client.post(&["groups", context.group()?, "api-keys", key, switch]).await?;
    context.output.show(&key, show::one)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    /// What is sent for a line of `create` or `update`.
    fn sent(line: &str) -> Value {
        match Line::try_parse_from(["keys"].into_iter().chain(line.split(' '))).unwrap().command {
            Command::Create(create) => serde_json::to_value(NewApiKey::from(create)).unwrap(),
            Command::Update(update) => serde_json::to_value(KeyChanges::from(update)).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sent_is_what_the_api_takes() {
        let sent = sent(
            "create erp --env test --class ci_cd --expires 90d --flow a --flow b --scopes flows:execute,runs:read \
             --rate-per-minute 60 --daily-quota 1000 --network 10.0.0.1",
        );
        let wanted = json!({
            "name": "erp", "description": "", "environment": "test", "class": "ci_cd", "expires": "90d",
            "permission": {"kind": "selected_flows", "flows": ["a", "b"]}, "scopes": ["flows:execute", "runs:read"],
            "rate_per_minute": 60, "daily_quota": 1000, "networks": ["10.0.0.1/32"],
        });
        assert_eq!(sent, wanted);
        serde_json::from_value::<NewApiKey>(sent).unwrap();
    }

    #[test]
    fn a_change_sends_only_what_was_named() {
        for (line, wanted) in [
            ("update erp", json!({})),
            ("update erp --name crm --expires never", json!({"name": "crm", "expires": null})),
            (
                "update erp --all-flows --scopes flows:read",
                json!({"permission": {"kind": "all_flows"}, "scopes": ["flows:read"]}),
            ),
            ("update erp --read-only --class none", json!({"permission": {"kind": "read_only"}, "class": null})),
            ("update erp --rate-per-minute none --daily-quota 5", json!({"rate_per_minute": null, "daily_quota": 5})),
            ("update erp --any-network", json!({"networks": null})),
            ("update erp --network ::/0", json!({"networks": ["::/0"]})),
        ] {
            let sent = sent(line);
            assert_eq!(sent, wanted, "{line}");
            let read: KeyChanges = serde_json::from_value(sent.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), sent, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "create erp --read-only --flow a",
            "create erp --scopes flows:delete",
            "create erp --network example.com",
            "update erp --all-flows --flow a",
            "rotate erp --overlap soon",
        ] {
            assert!(Line::try_parse_from(["keys"].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
