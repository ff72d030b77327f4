//! `headgate groups`

use clap::Subcommand;
use http::Method;

use crate::cli::output::{facts, table, time};
use crate::cli::{CliError, Context};
use crate::domain::id::{Environment, GroupId};
use crate::domain::user::Email;
use crate::http::groups::{GroupView, NewGroup};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the groups.
    List,
    /// Makes a group.
    Create {
        /// Its name: up to 63 lower-case letters, digits and hyphens.
        name: GroupId,
        /// Notes.
        #[arg(long, default_value = "")]
        description: String,
        /// An environment besides `production` and `test`; may be repeated.
        #[arg(long = "environment", value_name = "ENV")]
        environments: Vec<Environment>,
        /// The address of the user who becomes its first owner.
        #[arg(long, value_name = "EMAIL")]
        owner: Option<Email>,
    },
    /// Shows a group.
    Show {
        /// Its name.
        name: GroupId,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List => {
                let groups: Vec<GroupView> = context.client.get(&["groups"]).await?;
                context.output.show(&groups, |groups| {
                    let none = "No groups yet. Make one with `headgate groups create NAME`";
                    let row = |group: &GroupView| {
                        [group.name.to_string(), environments(group), time(group.created), group.description.clone()]
                    };
                    table(["name", "environments", "created", "description"], groups.iter().map(row), none)
                })
            }
            Self::Create { name, description, environments, owner } => {
                let new = NewGroup { name, description, environments, owner };
                let group: GroupView = context.client.send(Method::POST, &["groups"], &new).await?;
                context.output.show(&group, show)
            }
            Self::Show { name } => {
                let group: GroupView = context.client.get(&["groups", name.as_str()]).await?;
                context.output.show(&group, show)
            }
        }
    }
}

fn environments(group: &GroupView) -> String {
    group.environments.iter().map(Environment::as_str).collect::<Vec<_>>().join(", ")
}

fn show(group: &GroupView) -> String {
    facts([
        ("name", group.name.to_string()),
        ("environments", environments(group)),
        ("description", group.description.clone()),
        ("created", time(group.created)),
    ])
}
