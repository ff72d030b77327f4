//! Users: operators add them, change them and let them go.

use std::sync::Arc;

use secrecy::SecretString;

use crate::domain::permission::Action;
use crate::domain::user::{Email, Member, User};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::Record;
use crate::service::sessions::end_sessions;
use crate::service::setup::new_user;

/// A user to be added.
#[derive(Debug)]
pub struct NewUser {
    /// Their address.
    pub email: Email,
    /// What they are called.
    pub name: String,
    /// Whether they administer the server.
    pub operator: bool,
}

/// What is to change about a user; `None` leaves it.
#[derive(Debug, Default)]
pub struct UserChange {
    /// What they are called.
    pub name: Option<String>,
    /// Whether they administer the server.
    pub operator: Option<bool>,
    /// Whether they may not log in.
    pub disabled: Option<bool>,
}

/// A user who was invited, and the token, which is shown once.
pub struct Invited {
    /// Who.
    pub user: Arc<User>,
    /// Sets their password, once.
    pub token: SecretString,
}

impl Service {
    /// All users, by address.
    pub fn list_users(&self, actor: &Actor) -> Result<Vec<Arc<User>>, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ListUsers)?;
        let mut users: Vec<_> = self.catalog().users.values().cloned().collect();
        users.sort_by(|a, b| a.email.cmp(&b.email));
        Ok(users)
    }

    /// One user, by id or address, and where they belong.
    pub fn get_user(&self, actor: &Actor, user: &str) -> Result<(Arc<User>, Vec<Arc<Member>>), ServiceError> {
        actor.authorise_server(&self.catalog(), Action::GetUser)?;
        let catalog = self.catalog();
        let user = find_user(&catalog, user)?;
        let memberships = catalog.memberships(&user.id).cloned().collect();
        Ok((user, memberships))
    }

    /// Adds a user, who sets a password with the token.
    pub async fn create_user(self: &Arc<Self>, actor: &Actor, new: NewUser) -> Result<Invited, ServiceError> {
        User::check_name(&new.name).map_err(ServiceError::Invalid)?;
        let mut edit = self.edit_server(actor, Action::CreateUser).await?;
        if edit.catalog().user_by_email(&new.email).is_some() {
            let message = "A user with this address exists already. `headgate users invite` makes a new invitation";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let (token, invitation) = self.new_invitation();
        let user = User { name: new.name, operator: new.operator, ..new_user(new.email, self.now())? };
        let user = Arc::new(User { invitation: Some(invitation), ..user });
        edit.put(Record::User(user.clone()));
        edit.save().await?;
        Ok(Invited { user, token })
    }

    /// Makes a new one-time token for a user, in place of an older one: for whoever forgot their password. The tie to
    /// a person at the OpenID provider is untied, too.
    pub async fn invite_user(self: &Arc<Self>, actor: &Actor, user: &str) -> Result<Invited, ServiceError> {
        let mut edit = self.edit_server(actor, Action::InviteUser).await?;
        let user = find_user(edit.catalog(), user)?;
        if user.disabled {
            let message = "The user is disabled. Enable them first: headgate users update --enable";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let (token, invitation) = self.new_invitation();
        let invited = User { invitation: Some(invitation), provider: None, ..User::clone(&user) };
        if !invited.is_active_operator() {
            keep_an_operator(edit.catalog(), &user)?;
        }
        let user = Arc::new(invited);
        edit.put(Record::User(user.clone()));
        edit.save().await?;
        Ok(Invited { user, token })
    }

    /// Changes a user. Whoever is disabled is logged out at once.
    pub async fn update_user(
        self: &Arc<Self>,
        actor: &Actor,
        user: &str,
        change: UserChange,
    ) -> Result<Arc<User>, ServiceError> {
        if let Some(name) = &change.name {
            User::check_name(name).map_err(ServiceError::Invalid)?;
        }
        let mut edit = self.edit_server(actor, Action::UpdateUser).await?;
        let user = find_user(edit.catalog(), user)?;
        let next = User {
            name: change.name.unwrap_or_else(|| user.name.clone()),
            operator: change.operator.unwrap_or(user.operator),
            disabled: change.disabled.unwrap_or(user.disabled),
            ..User::clone(&user)
        };
        if !next.is_active_operator() {
            keep_an_operator(edit.catalog(), &user)?;
        }
        let next = Arc::new(next);
        edit.put(Record::User(next.clone()));
        if next.disabled {
            end_sessions(&mut edit, &next.id, None);
        }
        edit.save().await?;
        // Operators belong to every group.
        if user.operator && !next.operator {
            self.authorizer_left(&next.id);
        }
        Ok(next)
    }

    /// Removes a user, with their memberships and sessions.
    pub async fn delete_user(self: &Arc<Self>, actor: &Actor, user: &str) -> Result<(), ServiceError> {
        let catalog = self.catalog();
        actor.authorise_server(&catalog, Action::DeleteUser)?;
        let user = find_user(&catalog, user)?;
        keep_an_operator(&catalog, &user)?;
        // A change for each group, so that each one's audit log shows it.
        for member in catalog.memberships(&user.id) {
            let mut edit = self.edit_by(actor, Action::RemoveMember, Some(member.group.clone())).await;
            edit.remove(&Record::Member(member.clone()));
            edit.save().await?;
        }
        let mut edit = self.edit_server(actor, Action::DeleteUser).await?;
        let user = find_user(edit.catalog(), user.id.as_str())?;
        keep_an_operator(edit.catalog(), &user)?;
        let memberships: Vec<_> = edit.catalog().memberships(&user.id).cloned().collect();
        for member in memberships {
            edit.remove(&Record::Member(member));
        }
        end_sessions(&mut edit, &user.id, None);
        edit.remove(&Record::User(user.clone()));
        edit.save().await?;
        self.authorizer_left(&user.id);
        Ok(())
    }
}

/// A user by id or address.
pub(super) fn find_user(catalog: &Catalog, user: &str) -> Result<Arc<User>, ServiceError> {
    let by_id = user.parse().ok().and_then(|id| catalog.users.get::<crate::domain::id::UserId>(&id));
    let found = by_id.or_else(|| catalog.user_by_email(&user.parse().ok()?));
    found.cloned().ok_or(ServiceError::NotFound { what: "User" })
}

/// Without an operator nobody could administer the server.
fn keep_an_operator(catalog: &Catalog, leaving: &User) -> Result<(), ServiceError> {
    let another = catalog.users.values().any(|user| user.id != leaving.id && user.is_active_operator());
    if another || !leaving.is_active_operator() {
        return Ok(());
    }
    let message = "This is the last operator who can log in. Make another one first";
    Err(ServiceError::Conflict(message.to_owned()))
}
