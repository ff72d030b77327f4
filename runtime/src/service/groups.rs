//! Groups.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::domain::group::{AlertEndpoint, EndpointSecret, Group, HostName};
use crate::domain::id::{Environment, FlowId, GroupId};
use crate::domain::permission::{Action, Denial, Role};
use crate::domain::signing_secret::SigningSecret;
use crate::domain::trigger::TriggerPath;
use crate::domain::usage::Allowance;
use crate::domain::user::{Email, Member};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::alerts::{OVERLAP, endpoint_place};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::members::known_user;
use crate::service::record::Record;
use crate::service::vault::random;

/// The most environments of a group.
const MAX_ENVIRONMENTS: usize = 50;

/// What is to be different about a group; what is absent stays.
#[derive(Debug, Default)]
pub struct GroupChange {
    /// Notes.
    pub description: Option<String>,
    /// All its environments.
    pub environments: Option<Vec<Environment>>,
    /// Whether calls with keys outside production have to name their environment.
    pub profile_required: Option<bool>,
    /// Whether a connection is disconnected when whoever authorized it leaves.
    pub disconnect_when_authorizer_leaves: Option<bool>,
    /// What it may use in a month.
    pub allowance: Option<Option<Allowance>>,
    /// Where its alerts are sent.
    pub alert_endpoint: Option<Option<NewAlertEndpoint>>,
    /// At which host name the paths of its triggers begin at the root.
    pub host: Option<Option<HostName>>,
}

/// Where a group's alerts are to be sent.
#[derive(Debug)]
pub struct NewAlertEndpoint {
    /// The URL.
    pub url: Url,
    /// The signing secret; when absent the present one stays, or the server makes one.
    pub secret: Option<SecretString>,
    /// Whether the server makes a new secret although there is one.
    pub new_secret: bool,
}

impl Service {
    /// All groups the actor may see, by name.
    pub fn list_groups(&self, actor: &Actor) -> Result<Vec<Arc<Group>>, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ListGroups)?;
        let catalog = self.catalog();
        let seen = |group: &&Arc<Group>| actor.authorise(&catalog, &group.id, Action::ListGroups).is_ok();
        let mut groups: Vec<_> = catalog.groups.values().filter(seen).cloned().collect();
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// One group.
    pub fn get_group(&self, actor: &Actor, group: &GroupId) -> Result<Arc<Group>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetGroup)?;
        catalog.groups.get(group).cloned().ok_or(ServiceError::NotFound { what: "Group" })
    }

    /// Makes a group with the environments `production` and `test`, and more where they are named; and with its first
    /// owner, where one is named.
    pub async fn create_group(
        self: &Arc<Self>,
        actor: &Actor,
        id: GroupId,
        description: String,
        more: Vec<Environment>,
        owner: Option<Email>,
    ) -> Result<Arc<Group>, ServiceError> {
        let mut environments = vec![Environment::production(), Environment::test()];
        for environment in more {
            if !environments.contains(&environment) {
                environments.push(environment);
            }
        }
        let mut edit = self.edit_server(actor, Action::CreateGroup).await?;
        if edit.catalog().groups.contains_key(&id) {
            return Err(ServiceError::Conflict(format!("A group named \"{id}\" exists already. Choose another name")));
        }
        let group = Arc::new(Group { description, ..Group::new(id, environments, self.now()) });
        edit.put(Record::Group(group.clone()));
        if let Some(owner) = owner {
            let user = known_user(edit.catalog(), &owner)?.id.clone();
            let member = Member { group: group.id.clone(), user, role: Role::Owner, since: group.created };
            edit.put(Record::Member(Arc::new(member)));
        }
        edit.save().await?;
        Ok(group)
    }

    /// Whether the actor may change a group.
    pub fn may_update_group(&self, actor: &Actor, group: &GroupId) -> bool {
        actor.authorise(&self.catalog(), group, Action::UpdateGroup).is_ok()
    }

    /// Changes a group. A new signing secret of its endpoint is answered here and never again.
    pub async fn update_group(
        self: &Arc<Self>,
        actor: &Actor,
        id: &GroupId,
        change: GroupChange,
    ) -> Result<(Arc<Group>, Option<SigningSecret>), ServiceError> {
        let mut edit = self.edit(actor, id, Action::UpdateGroup).await?;
        let group = edit.catalog().groups.get(id).cloned().ok_or(ServiceError::NotFound { what: "Group" })?;
        let mut group = Group::clone(&group);
        if let Some(environments) = change.environments {
            group.environments = checked_environments(edit.catalog(), &group, environments)?;
        }
        group.description = change.description.unwrap_or(group.description);
        group.profile_required = change.profile_required.unwrap_or(group.profile_required);
        let disconnects = &mut group.disconnect_when_authorizer_leaves;
        *disconnects = change.disconnect_when_authorizer_leaves.unwrap_or(*disconnects);
        group.allowance = change.allowance.unwrap_or(group.allowance);
        if let Some(host) = change.host {
            edit.actor().authorise_server(edit.catalog(), Action::SetGroupHost).map_err(|_| Denial::HostName)?;
            self.check_host(edit.catalog(), id, host.as_ref())?;
            group.host = host;
        }
        let mut shown = None;
        match change.alert_endpoint {
            None => {}
            Some(None) => group.alert_endpoint = None,
            Some(Some(new)) => {
                let (endpoint, made) = self.make_endpoint(&group, new).await?;
                (group.alert_endpoint, shown) = (Some(endpoint), made);
            }
        }
        let group = Arc::new(group);
        edit.put(Record::Group(group.clone()));
        edit.save().await?;
        Ok((group, shown))
    }

    /// A host name is one group's, and none is the server's own.
    pub(super) fn check_host(
        &self,
        catalog: &Catalog,
        id: &GroupId,
        host: Option<&HostName>,
    ) -> Result<(), ServiceError> {
        let Some(host) = host else { return Ok(()) };
        if self.public_host.as_ref() == Some(host) {
            let message =
                format!("\"{host}\" is the server's own host name (`public_url`). Take another one for the group");
            return Err(ServiceError::Conflict(message));
        }
        match catalog.group_at(host) {
            Some(other) if other != id => Err(ServiceError::Conflict(format!(
                "\"{host}\" is the host name of the group \"{other}\". Take it from there first"
            ))),
            _ => Ok(()),
        }
    }

    /// The group whose host name a request was sent to.
    pub fn group_at(&self, host: &str) -> Option<GroupId> {
        self.catalog.load().group_at(&host.parse().ok()?).cloned()
    }

    /// Where a group's root is: at its own host name, where it has one.
    pub fn root_of(&self, group: &GroupId) -> String {
        match self.catalog.load().groups.get(group).and_then(|group| group.host.as_ref()) {
            Some(host) => {
                let scheme = self.public_url.split_once("://").map_or("https", |(scheme, _)| scheme);
                format!("{scheme}://{host}")
            }
            None => format!("{}/g/{group}", self.public_url),
        }
    }

    /// An endpoint with the secrets it has from now on, and the one that the server made.
    async fn make_endpoint(
        &self,
        group: &Group,
        new: NewAlertEndpoint,
    ) -> Result<(AlertEndpoint, Option<SigningSecret>), ServiceError> {
        let usable = matches!(new.url.scheme(), "http" | "https") && new.url.has_host();
        if !usable || !new.url.username().is_empty() || new.url.password().is_some() {
            let message = "The URL of an alert endpoint begins with https:// and holds no user name or password";
            return Err(ServiceError::Invalid(message.to_owned()));
        }
        let now = self.now();
        let known = group.alert_endpoint.as_ref();
        let mut secrets = known.map(|known| known.secrets.clone()).unwrap_or_default();
        secrets.retain(|secret| secret.not_after.is_none_or(|end| end > now));
        let made =
            (new.secret.is_none() && (new.new_secret || secrets.is_empty())).then(|| SigningSecret::generate(random));
        let given = new.secret.map(|text| SigningSecret::parse(text.expose_secret())).transpose();
        let given = given.map_err(|error| ServiceError::Invalid(error.to_string()))?;
        if let Some(secret) = given.as_ref().or(made.as_ref()) {
            let version = secrets.iter().map(|secret| secret.sealed.version).max().unwrap_or_default() + 1;
            let sealed = self.vault.seal(endpoint_place(&group.id), version, &secret.reveal()).await;
            let sealed = sealed.map_err(ServiceError::internal("sealing the secret of an alert endpoint"))?;
            // Receivers change over while messages are signed with both; a change during a change ends the oldest.
            secrets.retain(|secret| secret.not_after.is_none());
            secrets.iter_mut().for_each(|secret| secret.not_after = Some(now + OVERLAP));
            secrets.insert(0, EndpointSecret { sealed, not_after: None });
        }
        Ok((AlertEndpoint { url: new.url, secrets }, made))
    }

    /// A group's environment, which must be one of it.
    pub(super) fn check_environment(&self, group: &GroupId, environment: &Environment) -> Result<(), ServiceError> {
        check_environment(&self.catalog(), group, environment)
    }
}

/// Checks that a group has an environment.
pub(super) fn check_environment(
    catalog: &Catalog,
    group: &GroupId,
    environment: &Environment,
) -> Result<(), ServiceError> {
    let group = catalog.groups.get(group).ok_or(ServiceError::NotFound { what: "Group" })?;
    if group.has(environment) {
        return Ok(());
    }
    let known: Vec<_> = group.environments.iter().map(Environment::as_str).collect();
    Err(ServiceError::Invalid(format!(
        "The group \"{}\" has no environment \"{environment}\". It has: {}",
        group.id,
        known.join(", ")
    )))
}

/// The environments a group is to have: `production` and `test` stay, and so does what is in use.
fn checked_environments(
    catalog: &Catalog,
    group: &Group,
    wanted: Vec<Environment>,
) -> Result<Vec<Environment>, ServiceError> {
    let mut environments = vec![Environment::production(), Environment::test()];
    for environment in wanted {
        if !environments.contains(&environment) {
            environments.push(environment);
        }
    }
    if environments.len() > MAX_ENVIRONMENTS {
        let message = format!("A group can have {MAX_ENVIRONMENTS} environments. Leave some out");
        return Err(ServiceError::Invalid(message));
    }
    for gone in group.environments.iter().filter(|known| !environments.contains(known)) {
        if let Some(used_by) = environment_user(catalog, &group.id, gone) {
            let message = format!("The environment \"{gone}\" is used by {used_by}. Move or delete that first");
            return Err(ServiceError::Conflict(message));
        }
    }
    Ok(environments)
}

/// What uses an environment, as a refusal to take it away names it.
fn environment_user(catalog: &Catalog, group: &GroupId, gone: &Environment) -> Option<String> {
    let flow_of =
        |flow: &FlowId| catalog.flows.get(flow).map_or_else(|| flow.to_string(), |flow| flow.name.to_string());
    let key = || {
        let used = catalog.keys_of(group).find(|key| key.environment == *gone)?;
        Some(format!("the API key \"{}\"", used.name))
    };
    let connection = || {
        let mut connections = catalog.connections.values();
        let used = connections.find(|connection| connection.group == *group && connection.environment == *gone)?;
        Some(format!("the connection \"{}\"", used.name))
    };
    let flow = || {
        let mut flows = catalog.flows.values();
        let used = flows.find(|flow| flow.group == *group && flow.published.contains_key(gone))?;
        Some(format!("the flow \"{}\", which is published there", used.name))
    };
    let path = || {
        let named = |path: &TriggerPath| path.environment.as_ref() == Some(gone);
        let used = catalog.paths.of(group).find_map(|trigger| trigger.path.as_ref().filter(|path| named(path)))?;
        Some(format!("the path \"{}\" of a trigger", used.template))
    };
    let schedule = || {
        let mut schedules = catalog.schedules.values();
        let used = schedules.find(|schedule| schedule.group == *group && schedule.environment == *gone)?;
        Some(format!("the schedule {} of the flow \"{}\"", used.id, flow_of(&used.flow)))
    };
    let app_trigger = || {
        let mut triggers = catalog.app_triggers.values();
        let used = triggers.find(|trigger| trigger.group == *group && trigger.environment == *gone)?;
        Some(format!("the app trigger {} of the flow \"{}\"", used.id, flow_of(&used.flow)))
    };
    key().or_else(connection).or_else(flow).or_else(path).or_else(schedule).or_else(app_trigger)
}
