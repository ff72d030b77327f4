//! Changing a flow's name and notes, and deleting it.

use std::fmt;
use std::sync::Arc;

use crate::domain::app_trigger::AppTrigger;
use crate::domain::flow::Flow;
use crate::domain::id::{Environment, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::published_app::PublishedApp;
use crate::domain::schedule::Schedule;
use crate::domain::trigger::Trigger;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::flows::{find, history_prefix, manifest_prefix, version_prefix};
use crate::service::record::Record;
use crate::service::samples::samples_prefix;
use crate::service::{Service, app_triggers, check_description, schedules};

/// Records read at a time.
const PAGE: usize = 1000;

/// What is to change about a flow; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct FlowChange {
    /// Its name.
    pub name: Option<Name>,
    /// Its notes.
    pub description: Option<String>,
}

impl Service {
    /// Changes a flow's name or notes. Its id, its triggers and what is published stay.
    pub async fn update_flow(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        change: FlowChange,
    ) -> Result<Arc<Flow>, ServiceError> {
        let FlowChange { name, description } = change;
        check_description(description.as_deref().unwrap_or_default())?;
        self.flow_for(actor, group, flow, Action::UpdateFlow)?;
        let mut edit = self.edit(actor, group, Action::UpdateFlow).await?;
        let mut flow = Flow::clone(&*find(edit.catalog(), group, flow)?);
        if let Some(name) = name {
            let other = edit.catalog().flow(group, name.as_str());
            if other.is_some_and(|other| other.id != flow.id) {
                let message = format!("A flow named \"{name}\" exists already. Choose another name");
                return Err(ServiceError::Conflict(message));
            }
            flow.name = name;
        }
        flow.description = description.unwrap_or(flow.description);
        let flow = Arc::new(flow);
        edit.put(Record::Flow(flow.clone()));
        edit.save().await?;
        Ok(flow)
    }

    /// Deletes a flow with all that fires it, its versions and samples. One that is published or fired by something is
    /// deleted only by `force`.
    ///
    /// Runs that are queued for it end as `flow_deleted`; its history of runs stays.
    pub async fn delete_flow(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        force: bool,
    ) -> Result<(), ServiceError> {
        let found = self.flow_for(actor, group, flow, Action::DeleteFlow)?;
        let mut edit = self.edit(actor, group, Action::DeleteFlow).await?;
        let flow = find(edit.catalog(), group, found.id.as_str())?;
        let fired = FiredBy::of(edit.catalog(), &flow);
        // A key for one environment ends nothing in another one.
        for environment in flow.published.keys().chain(fired.environments()) {
            actor.authorise_environment(environment)?;
        }
        let is_used = !(flow.published.is_empty() && fired.is_empty());
        if is_used && !force {
            let places: Vec<_> = flow.published.keys().map(ToString::to_string).collect();
            let published = if places.is_empty() { "nowhere".to_owned() } else { format!("in {}", places.join(", ")) };
            let message = format!(
                "\"{0}\" is published {published} and has {fired}. To delete all of it: headgate flows delete {0} --force",
                flow.name
            );
            return Err(ServiceError::Conflict(message));
        }
        let triggers: Vec<_> = fired.triggers.iter().map(|trigger| trigger.id.clone()).collect();
        fired.remove(&mut edit);
        // Nothing is added to them meanwhile: that would be another edit.
        for prefix in [version_prefix(&flow), manifest_prefix(&flow), history_prefix(&flow), samples_prefix(&flow)] {
            for key in self.keys_below(&prefix)? {
                edit.remove_beside(&key);
            }
        }
        edit.remove(&Record::Flow(flow.clone()));
        edit.save().await?;
        for trigger in triggers.into_iter().chain([flow.execute.id.clone()]) {
            self.background.spawn(self.clone().forget_trigger(group.clone(), trigger));
        }
        self.settle_on_shelf(flow.published.values().map(|publication| publication.digest));
        Ok(())
    }

    fn keys_below(&self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let page = self.store.scan(prefix, keys.last().map(String::as_str), PAGE);
            let page = page.map_err(ServiceError::internal("reading what belongs to a flow"))?;
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(page.into_iter().map(|(key, _)| key));
        }
    }
}

/// All that fires a flow.
struct FiredBy {
    triggers: Vec<Arc<Trigger>>,
    schedules: Vec<Arc<Schedule>>,
    app_triggers: Vec<Arc<AppTrigger>>,
    apps: Vec<Arc<PublishedApp>>,
}

impl FiredBy {
    fn of(catalog: &Catalog, flow: &Flow) -> Self {
        Self {
            triggers: catalog.triggers_of(&flow.id).cloned().collect(),
            schedules: catalog.schedules_of(&flow.id),
            app_triggers: catalog.app_triggers_of(&flow.id),
            apps: catalog.apps_of(&flow.group).filter(|app| app.flow == flow.id).cloned().collect(),
        }
    }

    /// Where it is fired by itself, whether it is published there or not.
    fn environments(&self) -> impl Iterator<Item = &Environment> {
        let schedules = self.schedules.iter().map(|schedule| &schedule.environment);
        schedules.chain(self.app_triggers.iter().map(|trigger| &trigger.environment))
    }

    fn is_empty(&self) -> bool {
        self.triggers.is_empty() && self.schedules.is_empty() && self.app_triggers.is_empty() && self.apps.is_empty()
    }

    fn remove(self, edit: &mut Edit) {
        for trigger in self.triggers {
            edit.remove(&Record::Trigger(trigger));
        }
        for schedule in self.schedules {
            schedules::remove(edit, schedule);
        }
        for trigger in self.app_triggers {
            app_triggers::remove(edit, trigger);
        }
        for app in self.apps {
            edit.remove(&Record::PublishedApp(app));
        }
    }
}

impl fmt::Display for FiredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (triggers, schedules) = (self.triggers.len(), self.schedules.len());
        let (app_triggers, apps) = (self.app_triggers.len(), self.apps.len());
        write!(f, "{triggers} triggers, {schedules} schedules, {app_triggers} app triggers and {apps} apps")
    }
}
