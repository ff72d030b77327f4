//! Members: who belongs to a group, and what they may do there.

use std::sync::Arc;

use crate::domain::id::{GroupId, UserId};
use crate::domain::permission::{Action, Role};
use crate::domain::user::{Email, Member, User};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::users::find_user;

/// A member with the person.
pub struct MemberDetails {
    /// That they belong to the group.
    pub member: Arc<Member>,
    /// Who it is.
    pub user: Arc<User>,
}

impl Service {
    /// A group's members, by address.
    pub fn list_members(&self, actor: &Actor, group: &GroupId) -> Result<Vec<MemberDetails>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListMembers)?;
        let members = catalog.members_of(group).filter_map(|member| {
            let user = catalog.users.get(&member.user)?.clone();
            Some(MemberDetails { member: member.clone(), user })
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| a.user.email.cmp(&b.user.email));
        Ok(members)
    }

    /// Takes a user into a group.
    pub async fn add_member(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        email: &Email,
        role: Role,
    ) -> Result<MemberDetails, ServiceError> {
        let mut edit = self.edit(actor, group, Action::AddMember).await?;
        let user = known_user(edit.catalog(), email)?;
        if edit.catalog().member(group, &user.id).is_some() {
            let message = format!("{email} is a member of the group already. Change the role instead");
            return Err(ServiceError::Conflict(message));
        }
        let member = Member { group: group.clone(), user: user.id.clone(), role, since: self.now() };
        let member = Arc::new(member);
        edit.put(Record::Member(member.clone()));
        edit.save().await?;
        Ok(MemberDetails { member, user })
    }

    /// Changes what a member may do.
    pub async fn change_member(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        user: &str,
        role: Role,
    ) -> Result<MemberDetails, ServiceError> {
        let mut edit = self.edit(actor, group, Action::ChangeMember).await?;
        let (member, user) = find_member(edit.catalog(), group, user)?;
        if role != Role::Owner {
            keep_an_owner(edit.catalog(), actor, &member)?;
        }
        let member = Arc::new(Member { role, ..Member::clone(&member) });
        edit.put(Record::Member(member.clone()));
        edit.save().await?;
        Ok(MemberDetails { member, user })
    }

    /// Lets a member go, or leaves: whoever goes loses everything in the group with the next request.
    pub async fn remove_member(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        user: &str,
    ) -> Result<(), ServiceError> {
        let mut edit = self.edit_by(actor, Action::RemoveMember, Some(group.clone())).await;
        // Everybody may leave.
        let leaves = own_id(actor).is_some_and(|own| find_user(edit.catalog(), user).is_ok_and(|user| user.id == *own));
        let needed = if leaves { Action::ListMembers } else { Action::RemoveMember };
        actor.authorise(edit.catalog(), group, needed)?;
        let (member, _) = find_member(edit.catalog(), group, user)?;
        keep_an_owner(edit.catalog(), actor, &member)?;
        edit.remove(&Record::Member(member.clone()));
        edit.save().await?;
        self.authorizer_left(&member.user);
        Ok(())
    }
}

/// A user of the server who is to become a member.
pub(super) fn known_user(catalog: &Catalog, email: &Email) -> Result<Arc<User>, ServiceError> {
    catalog.user_by_email(email).cloned().ok_or_else(|| {
        ServiceError::Invalid(format!(
            "Nobody on this server has the address {email}. Ask an operator to add them first"
        ))
    })
}

fn own_id(actor: &Actor) -> Option<&UserId> {
    match actor.who() {
        Who::User { user, .. } => Some(&user.id),
        Who::Key(_) | Who::System => None,
    }
}

fn find_member(catalog: &Catalog, group: &GroupId, user: &str) -> Result<(Arc<Member>, Arc<User>), ServiceError> {
    let not_found = || ServiceError::NotFound { what: "Member" };
    let user = find_user(catalog, user).map_err(|_| not_found())?;
    let member = catalog.member(group, &user.id).cloned().ok_or_else(not_found)?;
    Ok((member, user))
}

/// Without an owner nobody could decide about the group; an operator can put it in order again.
fn keep_an_owner(catalog: &Catalog, actor: &Actor, leaving: &Member) -> Result<(), ServiceError> {
    let operator = match actor.who() {
        Who::User { user, .. } => user.operator,
        Who::System => true,
        Who::Key(_) => false,
    };
    let mut others = catalog.members_of(&leaving.group).filter(|member| member.user != leaving.user).peekable();
    let alone = others.peek().is_none();
    if operator || alone || leaving.role != Role::Owner || others.any(|member| member.role == Role::Owner) {
        return Ok(());
    }
    let message = "This is the group's last owner, and it has other members. Make one of them an owner first";
    Err(ServiceError::Conflict(message.to_owned()))
}
