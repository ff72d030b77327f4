//! `headgate members`

use clap::Subcommand;
use http::Method;

use crate::cli::output::{facts, table, time};
use crate::cli::{CliError, Context};
use crate::domain::permission::Role;
use crate::domain::user::Email;
use crate::http::members::{ChangeMember, MemberView, NewMember};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the group's members.
    List,
    /// Takes a user of the server into the group.
    Add {
        /// Their address.
        email: Email,
        /// What they may do: owner, editor or viewer.
        #[arg(long)]
        role: Role,
    },
    /// Changes what a member may do, from the next request on.
    Change {
        /// Their id or address.
        user: String,
        /// What they may do: owner, editor or viewer.
        #[arg(long)]
        role: Role,
    },
    /// Lets a member go, or leaves: they lose everything in the group from the next request on.
    Remove {
        /// Their id or address.
        user: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let [groups, group, members] = ["groups", context.group()?, "members"];
        match self {
            Self::List => {
                let members: Vec<MemberView> = context.client.get(&[groups, group, members]).await?;
                context.output.show(&members, |members| {
                    let row = |member: &MemberView| {
                        let (email, role) = (member.email.to_string(), member.role.to_string());
                        [email, member.name.clone(), role, time(member.since), member.user.to_string()]
                    };
                    let none = "No members yet. Add one with `headgate members add EMAIL --role owner`";
                    table(["email", "name", "role", "since", "id"], members.iter().map(row), none)
                })
            }
            Self::Add { email, role } => {
                let new = NewMember { email, role };
                let member: MemberView = context.client.send(Method::POST, &[groups, group, members], &new).await?;
                context.output.show(&member, show)
            }
            Self::Change { user, role } => {
                let path = [groups, group, members, user.as_str()];
                let member: MemberView = context.client.send(Method::PATCH, &path, &ChangeMember { role }).await?;
                context.output.show(&member, show)
            }
            Self::Remove { user } => {
                context.client.delete(&[groups, group, members, &user]).await?;
                let gone = serde_json::json!({"removed": user});
                context.output.show(&gone, |_| format!("{user} is no member of {group} any more"))
            }
        }
    }
}

fn show(member: &MemberView) -> String {
    facts([
        ("email", member.email.to_string()),
        ("name", member.name.clone()),
        ("role", member.role.to_string()),
        ("since", time(member.since)),
        ("id", member.user.to_string()),
    ])
}
