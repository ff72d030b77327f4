//! Groups.

use std::sync::Arc;

use crate::domain::group::Group;
use crate::domain::id::{Environment, GroupId};
use crate::domain::permission::{Action, Role};
use crate::domain::user::{Email, Member};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::members::known_user;
use crate::service::record::Record;

impl Service {
    /// All groups the actor may see, by name.
    pub fn list_groups(&self, actor: &Actor) -> Result<Vec<Arc<Group>>, ServiceError> {
        actor.authorise_server(Action::ListGroups)?;
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
        let group = Arc::new(Group { id, description, environments, profile_required: false, created: self.now() });
        edit.put(Record::Group(group.clone()));
        if let Some(owner) = owner {
            let user = known_user(edit.catalog(), &owner)?.id.clone();
            let member = Member { group: group.id.clone(), user, role: Role::Owner, since: group.created };
            edit.put(Record::Member(Arc::new(member)));
        }
        edit.save().await?;
        Ok(group)
    }

    /// A group's environment, which must be one of it.
    pub(super) fn check_environment(&self, group: &GroupId, environment: &Environment) -> Result<(), ServiceError> {
        let catalog = self.catalog();
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
}
