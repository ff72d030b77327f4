//! `headgate users`

use clap::Subcommand;
use http::Method;

use crate::cli::output::{facts, table, time};
use crate::cli::{CliError, Context};
use crate::domain::user::Email;
use crate::http::users::{InvitedUser, NewUser, UpdateUser, UserDetails, UserView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the users.
    List,
    /// Adds a user, and prints the one-time token with which they set their password.
    Create {
        /// Their address.
        email: Email,
        /// What they are called.
        #[arg(long, default_value = "")]
        name: String,
        /// They administer the server.
        #[arg(long)]
        operator: bool,
    },
    /// Shows a user, and the groups they belong to.
    Show {
        /// Their id or address.
        user: String,
    },
    /// Prints a new one-time token, for whoever forgot their password.
    Invite {
        /// Their id or address.
        user: String,
    },
    /// Changes a user.
    Update {
        /// Their id or address.
        user: String,
        /// What they are called.
        #[arg(long)]
        name: Option<String>,
        /// They administer the server from now on.
        #[arg(long, conflicts_with = "no_operator")]
        operator: bool,
        /// They no longer administer the server.
        #[arg(long)]
        no_operator: bool,
        /// They may not log in, and their sessions end.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// They may log in again.
        #[arg(long)]
        enable: bool,
    },
    /// Removes a user, with their memberships and sessions.
    Delete {
        /// Their id or address.
        user: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = &context.client;
        match self {
            Self::List => {
                let users: Vec<UserView> = client.get(&["users"]).await?;
                context.output.show(&users, |users| list(users))
            }
            Self::Create { email, name, operator } => {
                let new = NewUser { email, name, operator };
                let invited: InvitedUser = client.send(Method::POST, &["users"], &new).await?;
                context.output.show(&invited, invitation)
            }
            Self::Show { user } => {
                let user: UserDetails = client.get(&["users", &user]).await?;
                context.output.show(&user, |user| {
                    let groups = user.memberships.iter().map(|member| format!("{} ({})", member.group, member.role));
                    format!("{}\ngroups     {}", show(&user.user), groups.collect::<Vec<_>>().join(", "))
                })
            }
            Self::Invite { user } => {
                let invited: InvitedUser = client.post(&["users", &user, "invite"]).await?;
                context.output.show(&invited, invitation)
            }
            Self::Update { user, name, operator, no_operator, disable, enable } => {
                let switch = |on: bool, off: bool| (on || off).then_some(on);
                let change =
                    UpdateUser { name, operator: switch(operator, no_operator), disabled: switch(disable, enable) };
                let user: UserView = client.send(Method::PATCH, &["users", &user], &change).await?;
                context.output.show(&user, show)
            }
            Self::Delete { user } => {
                client.delete(&["users", &user]).await?;
                context.output.show(&serde_json::json!({"deleted": user}), |_| format!("{user} is deleted"))
            }
        }
    }
}

fn list(users: &[UserView]) -> String {
    let row = |user: &UserView| {
        let operator = if user.operator { "yes" } else { "" };
        let (id, email) = (user.id.to_string(), user.email.to_string());
        [id, email, user.name.clone(), operator.to_owned(), user.status.clone(), time(user.created)]
    };
    table(["id", "email", "name", "operator", "status", "created"], users.iter().map(row), "No users")
}

fn show(user: &UserView) -> String {
    facts([
        ("id", user.id.to_string()),
        ("email", user.email.to_string()),
        ("name", user.name.clone()),
        ("operator", if user.operator { "yes" } else { "no" }.to_owned()),
        ("status", user.status.clone()),
        ("created", time(user.created)),
    ])
}

fn invitation(invited: &InvitedUser) -> String {
    format!(
        "{}\n\nHand them this token. It is shown now and never again, and valid for 7 days; `headgate login --setup` takes it:\n\n  {}\n",
        show(&invited.user),
        invited.setup_token
    )
}
