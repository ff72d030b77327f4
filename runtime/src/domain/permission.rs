//! Who may do what: roles of people, scopes of API keys, and the one table that says what each action needs.

mod denial;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use denial::Denial;

/// What a member may do in a group. Each role may do everything the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes flows, keys and connections.
    Editor,
    /// Decides about the group and its members.
    Owner,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Owner];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("\"{text}\" is not a role. Choose among owner, editor, viewer"))
    }
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal,)*) => {
        /// What an API key may be used for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $name)] $scope,)*
        }

        impl Scope {
            /// All scopes.
            pub const ALL: &[Self] = &[$(Self::$scope,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$scope => $name,)*
                }
            }
        }
    };
}

scopes! {
    /// List and show flows, their versions and triggers.
    FlowsRead = "flows:read",
    /// Make and change flows, push and publish versions, change triggers.
    FlowsWrite = "flows:write",
    /// Run flows.
    FlowsExecute = "flows:execute",
    /// Run published apps.
    AppsExecute = "apps:execute",
    /// Read runs, with their steps and logs.
    RunsRead = "runs:read",
    /// Read usage.
    UsageRead = "usage:read",
    /// List and show connections and connectors.
    ConnectionsRead = "connections:read",
    /// Make, change and bind connections.
    ConnectionsWrite = "connections:write",
    /// Make and change API keys.
    KeysManage = "keys:manage",
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.iter().copied().find(|scope| scope.as_str() == text);
        scope.ok_or_else(|| format!("\"{text}\" is not a scope. There are: {}", ScopeSet::all()))
    }
}

/// A set of scopes, in two bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct ScopeSet(u16);

impl ScopeSet {
    /// A set of these scopes.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < scopes.len() {
            bits |= 1 << scopes[at] as u16;
            at += 1;
        }
        Self(bits)
    }

    /// All scopes.
    pub const fn all() -> Self {
        Self::of(Scope::ALL)
    }

    /// Whether a scope is in it.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// The scopes that are in this set and not in another.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no scope is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes in it, in their usual order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }
}

impl From<Vec<Scope>> for ScopeSet {
    fn from(scopes: Vec<Scope>) -> Self {
        Self::of(&scopes)
    }
}

impl From<ScopeSet> for Vec<Scope> {
    fn from(set: ScopeSet) -> Self {
        set.iter().collect()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

/// What a person needs for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To be signed in.
    SignedIn,
    /// To be a member of the group with at least this role. Operators may do it in every group.
    Member(Role),
    /// To be an operator.
    Operator,
}

macro_rules! actions {
    ($($action:ident $name:literal: $need:expr, $scope:expr;)*) => {
        /// Something that can be done through the management API. The audit log names changes by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = concat!("`", $name, "`")] $action,)*
        }

        impl Action {
            /// All actions.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }

            /// What a person needs for it.
            pub const fn need(self) -> Need {
                match self {
                    $(Self::$action => $need,)*
                }
            }

            /// Which scope an API key needs for it; `None` when no key may do it.
            pub const fn scope(self) -> Option<Scope> {
                match self {
                    $(Self::$action => $scope,)*
                }
            }
        }
    };
}

const VIEWER: Need = Need::Member(Role::Viewer);
const EDITOR: Need = Need::Member(Role::Editor);
const OWNER: Need = Need::Member(Role::Owner);

// The one table of authorisation: an action, what a person needs for it, and which scope an API key needs.
actions! {
    ListGroups "group.list": Need::SignedIn, Some(Scope::FlowsRead);
    GetGroup "group.get": VIEWER, Some(Scope::FlowsRead);
    CreateGroup "group.create": Need::Operator, None;
    UpdateGroup "group.update": OWNER, None;
    SetGroupHost "group.set-host": Need::Operator, None;
    ExportGroup "group.export": OWNER, None;
    ExportSecrets "group.export-secrets": Need::Operator, None;
    ImportGroup "group.import": Need::Operator, None;
    Examine "server.examine": Need::Operator, None;

    ListApiKeys "api-key.list": VIEWER, Some(Scope::KeysManage);
    GetApiKey "api-key.get": VIEWER, Some(Scope::KeysManage);
    InvestigateApiKey "api-key.investigate": EDITOR, Some(Scope::KeysManage);
    CreateApiKey "api-key.create": EDITOR, Some(Scope::KeysManage);
    UpdateApiKey "api-key.update": EDITOR, Some(Scope::KeysManage);
    RegenerateApiKey "api-key.regenerate": EDITOR, Some(Scope::KeysManage);
    RotateApiKey "api-key.rotate": EDITOR, Some(Scope::KeysManage);
    DisableApiKey "api-key.disable": EDITOR, Some(Scope::KeysManage);
    EnableApiKey "api-key.enable": EDITOR, Some(Scope::KeysManage);
    RevokeApiKey "api-key.revoke": EDITOR, Some(Scope::KeysManage);
    DeleteApiKey "api-key.delete": EDITOR, Some(Scope::KeysManage);

    ReadUsage "usage.read": VIEWER, Some(Scope::UsageRead);

    ListConnectors "connector.list": VIEWER, Some(Scope::ConnectionsRead);
    GetConnector "connector.get": VIEWER, Some(Scope::ConnectionsRead);
    InstallConnector "connector.install": EDITOR, Some(Scope::FlowsWrite);
    RollBackConnector "connector.rollback": EDITOR, Some(Scope::FlowsWrite);
    ForceConnector "connector.force": EDITOR, Some(Scope::FlowsWrite);
    RemoveConnector "connector.remove": EDITOR, Some(Scope::FlowsWrite);
    ListServerConnectors "connector.list-server": Need::Operator, None;
    InstallServerConnector "connector.install-server": Need::Operator, None;
    RollBackServerConnector "connector.rollback-server": Need::Operator, None;
    ForceServerConnector "connector.force-server": Need::Operator, None;
    RemoveServerConnector "connector.remove-server": Need::Operator, None;

    ListConnections "connection.list": VIEWER, Some(Scope::ConnectionsRead);
    GetConnection "connection.get": VIEWER, Some(Scope::ConnectionsRead);
    CreateConnection "connection.create": EDITOR, Some(Scope::ConnectionsWrite);
    UpdateConnection "connection.update": EDITOR, Some(Scope::ConnectionsWrite);
    DeleteConnection "connection.delete": EDITOR, Some(Scope::ConnectionsWrite);
    TestConnection "connection.test": EDITOR, Some(Scope::ConnectionsWrite);
    AuthorizeConnection "connection.authorize": EDITOR, None;
    DisconnectConnection "connection.disconnect": EDITOR, Some(Scope::ConnectionsWrite);
    AcceptUpgrade "connection.accept-upgrade": OWNER, None;

    ListAppRegistrations "app-registration.list": VIEWER, Some(Scope::ConnectionsRead);
    GetAppRegistration "app-registration.get": VIEWER, Some(Scope::ConnectionsRead);
    CreateAppRegistration "app-registration.create": EDITOR, Some(Scope::ConnectionsWrite);
    UpdateAppRegistration "app-registration.update": EDITOR, Some(Scope::ConnectionsWrite);
    DeleteAppRegistration "app-registration.delete": EDITOR, Some(Scope::ConnectionsWrite);
    ListServerAppRegistrations "app-registration.list-server": Need::Operator, None;
    CreateServerAppRegistration "app-registration.create-server": Need::Operator, None;
    UpdateServerAppRegistration "app-registration.update-server": Need::Operator, None;
    DeleteServerAppRegistration "app-registration.delete-server": Need::Operator, None;

    ListFlows "flow.list": VIEWER, Some(Scope::FlowsRead);
    GetFlow "flow.get": VIEWER, Some(Scope::FlowsRead);
    CreateFlow "flow.create": EDITOR, Some(Scope::FlowsWrite);
    PushVersion "flow.push": EDITOR, Some(Scope::FlowsWrite);
    Publish "flow.publish": EDITOR, Some(Scope::FlowsWrite);
    Promote "flow.promote": EDITOR, Some(Scope::FlowsWrite);
    RollBack "flow.rollback": EDITOR, Some(Scope::FlowsWrite);
    Unpublish "flow.unpublish": EDITOR, Some(Scope::FlowsWrite);
    UpdateFlow "flow.update": EDITOR, Some(Scope::FlowsWrite);
    DeleteFlow "flow.delete": EDITOR, Some(Scope::FlowsWrite);
    BindSlot "flow.bind": EDITOR, Some(Scope::ConnectionsWrite);
    RunOnce "flow.run-once": EDITOR, Some(Scope::FlowsExecute);
    ListSamples "sample.list": VIEWER, Some(Scope::FlowsRead);
    SaveSample "sample.save": EDITOR, Some(Scope::FlowsWrite);
    DeleteSample "sample.delete": EDITOR, Some(Scope::FlowsWrite);

    ListTriggers "trigger.list": VIEWER, Some(Scope::FlowsRead);
    GetTrigger "trigger.get": VIEWER, Some(Scope::FlowsRead);
    CreateTrigger "trigger.create": EDITOR, Some(Scope::FlowsWrite);
    UpdateTrigger "trigger.update": EDITOR, Some(Scope::FlowsWrite);
    DeleteTrigger "trigger.delete": EDITOR, Some(Scope::FlowsWrite);

    ListApps "app.list": VIEWER, Some(Scope::AppsExecute);
    GetApp "app.get": VIEWER, Some(Scope::AppsExecute);
    CreateApp "app.create": EDITOR, Some(Scope::FlowsWrite);
    UpdateApp "app.update": EDITOR, Some(Scope::FlowsWrite);
    DeleteApp "app.delete": EDITOR, Some(Scope::FlowsWrite);
    ListSchedules "schedule.list": VIEWER, Some(Scope::FlowsRead);
    GetSchedule "schedule.get": VIEWER, Some(Scope::FlowsRead);
    CreateSchedule "schedule.create": EDITOR, Some(Scope::FlowsWrite);
    UpdateSchedule "schedule.update": EDITOR, Some(Scope::FlowsWrite);
    DeleteSchedule "schedule.delete": EDITOR, Some(Scope::FlowsWrite);
    FireSchedule "schedule.fire": EDITOR, Some(Scope::FlowsWrite);

    ListAppTriggers "app-trigger.list": VIEWER, Some(Scope::FlowsRead);
    GetAppTrigger "app-trigger.get": VIEWER, Some(Scope::FlowsRead);
    CreateAppTrigger "app-trigger.create": EDITOR, Some(Scope::FlowsWrite);
    UpdateAppTrigger "app-trigger.update": EDITOR, Some(Scope::FlowsWrite);
    DeleteAppTrigger "app-trigger.delete": EDITOR, Some(Scope::FlowsWrite);
    PollAppTrigger "app-trigger.poll": EDITOR, Some(Scope::FlowsWrite);

    ListRuns "run.list": VIEWER, Some(Scope::RunsRead);
    GetRun "run.get": VIEWER, Some(Scope::RunsRead);

    ListMembers "member.list": VIEWER, None;
    AddMember "member.add": OWNER, None;
    ChangeMember "member.change": OWNER, None;
    RemoveMember "member.remove": OWNER, None;

    ListAlerts "alert.list": VIEWER, Some(Scope::UsageRead);
    AcknowledgeAlert "alert.acknowledge": EDITOR, None;

    ReadAudit "audit.read": OWNER, None;
    ReadServerAudit "audit.read-server": Need::Operator, None;
    VerifyAudit "audit.verify": Need::Operator, None;
    ListServerAlerts "alert.list-server": Need::Operator, None;
    AcknowledgeServerAlert "alert.acknowledge-server": Need::Operator, None;

    ListUsers "user.list": Need::Operator, None;
    GetUser "user.get": Need::Operator, None;
    CreateUser "user.create": Need::Operator, None;
    UpdateUser "user.update": Need::Operator, None;
    DeleteUser "user.delete": Need::Operator, None;
    InviteUser "user.invite": Need::Operator, None;
    RotateSigningKey "signing-key.rotate": Need::Operator, None;
    RotateSecrets "secrets.rotate": Need::Operator, None;
    ShowSecretsRotation "secrets.show-rotation": Need::Operator, None;

    ShowSelf "self.show": Need::SignedIn, None;
    LogOut "self.logout": Need::SignedIn, None;
    ChangePassword "self.change-password": Need::SignedIn, None;
    LogIn "self.login": Need::SignedIn, None;
    SetUp "self.set-up": Need::SignedIn, None;
    EndStolenSession "self.refresh-token-reused": Need::SignedIn, None;
    ChangeSettings "settings.change": Need::Operator, None;
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
