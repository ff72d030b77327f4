//! `headgate groups`

use clap::{Args, Subcommand};
use http::Method;
use secrecy::ExposeSecret as _;
use url::Url;

use crate::cli::output::{facts, table, time};
use crate::cli::secrets::Source;
use crate::cli::{CliError, Context};
use crate::domain::group::HostName;
use crate::domain::id::{Environment, GroupId};
use crate::domain::usage::Allowance;
use crate::domain::user::Email;
use crate::http::groups::{ChangedGroup, GroupChange, GroupView, NewAlertEndpoint, NewGroup};

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
    /// Changes a group.
    Update(Update),
}

/// Changes a group: its environments, its monthly allowance, where its alerts are sent.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// Its name.
    name: GroupId,
    /// Notes.
    #[arg(long)]
    description: Option<String>,
    /// Takes another environment in; may be repeated.
    #[arg(long = "add-environment", value_name = "ENV")]
    add: Vec<Environment>,
    /// Takes an environment out that nothing uses; may be repeated.
    #[arg(long = "remove-environment", value_name = "ENV")]
    remove: Vec<Environment>,
    /// Whether calls with keys outside production have to name their environment (`?_profile=`).
    #[arg(long, value_name = "BOOL")]
    profile_required: Option<bool>,
    /// Whether a connection is disconnected when whoever authorized it leaves the group; otherwise an alert is raised.
    #[arg(long, value_name = "BOOL")]
    disconnect_when_authorizer_leaves: Option<bool>,
    /// Runs in a month; beyond them callers get 402.
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_allowance")]
    runs_per_month: Option<u64>,
    /// Seconds that runs may take together in a month; beyond them callers get 402.
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_allowance")]
    run_seconds_per_month: Option<u64>,
    /// Takes the bounds of a month away.
    #[arg(long)]
    no_allowance: bool,
    /// Sends alerts to this URL, signed after Standard Webhooks.
    #[arg(long, value_name = "URL", conflicts_with = "no_alerts")]
    alerts_to: Option<Url>,
    /// Where the signing secret comes from: `ask`, `-` (a line of standard input) or `env:VARIABLE`. The server makes one
    /// when there is none.
    #[arg(long, value_name = "SOURCE", requires = "alerts_to")]
    alert_secret: Option<Source>,
    /// Lets the server make a new signing secret; the old one signs beside it for 24 hours.
    #[arg(long, requires = "alerts_to", conflicts_with = "alert_secret")]
    new_alert_secret: bool,
    /// Sends alerts nowhere.
    #[arg(long)]
    no_alerts: bool,
    /// Lets the paths of its triggers begin at the root of this host name. For operators.
    #[arg(long, value_name = "NAME", conflicts_with = "no_host")]
    host: Option<HostName>,
    /// Takes its host name away. For operators.
    #[arg(long)]
    no_host: bool,
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
            Self::Update(update) => update.run(context).await,
        }
    }
}

impl Update {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let path = ["groups", self.name.as_str()];
        let present: GroupView = context.client.get(&path).await?;
        let change = self.change(&present)?;
        let changed: ChangedGroup = context.client.send(Method::PATCH, &path, &change).await?;
        context.output.show(&changed, |changed| {
            let secret = changed.alert_secret.as_ref();
            let secret = secret.map(|secret| format!("\n\nThe signing secret, shown only now: {secret}"));
            format!("{}{}", show(&changed.group), secret.unwrap_or_default())
        })
    }

    /// What is to be different from the present state.
    fn change(&self, present: &GroupView) -> Result<GroupChange, CliError> {
        let environments = (!self.add.is_empty() || !self.remove.is_empty()).then(|| {
            let kept = present.environments.iter().filter(|environment| !self.remove.contains(environment));
            kept.chain(&self.add).cloned().collect()
        });
        let bounded = self.runs_per_month.is_some() || self.run_seconds_per_month.is_some();
        let before = present.allowance.unwrap_or_default();
        let allowance = Allowance {
            runs_per_month: self.runs_per_month.or(before.runs_per_month),
            run_seconds_per_month: self.run_seconds_per_month.or(before.run_seconds_per_month),
        };
        let secret = self.alert_secret.as_ref().map(|source| source.read("the signing secret")).transpose()?;
        let endpoint = self.alerts_to.as_ref().map(|url| NewAlertEndpoint {
            url: url.clone(),
            secret: secret.map(|secret| secret.expose_secret().to_owned()),
            new_secret: self.new_alert_secret,
        });
        Ok(GroupChange {
            description: self.description.clone(),
            environments,
            profile_required: self.profile_required,
            disconnect_when_authorizer_leaves: self.disconnect_when_authorizer_leaves,
            allowance: (bounded || self.no_allowance).then_some(bounded.then_some(allowance)),
            alert_endpoint: (endpoint.is_some() || self.no_alerts).then_some(endpoint),
            host: (self.host.is_some() || self.no_host).then(|| self.host.clone()),
        })
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
        ("profile required", if group.profile_required { "yes" } else { "no" }.to_owned()),
        ("this month", month(group)),
        ("host", group.host.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("alerts to", group.alert_endpoint.clone().unwrap_or_default()),
    ])
}

fn month(group: &GroupView) -> String {
    let Some(month) = &group.month else { return String::new() };
    let allowance = group.allowance.unwrap_or_default();
    let of = |bound: Option<u64>| bound.map(|bound| format!(" of {bound}")).unwrap_or_default();
    let (runs, seconds) = (of(allowance.runs_per_month), of(allowance.run_seconds_per_month));
    format!("{}{runs} runs, {:.1}{seconds} run-seconds", month.runs, month.run_seconds)
}
