//! Triggers by their path templates: a router for each group and environment, made anew when one of its triggers changed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use imbl::HashMap;

use crate::domain::id::{Environment, GroupId, TriggerId};
use crate::domain::path_template::{Found, PathRouter};
use crate::domain::trigger::Trigger;

/// The triggers with a path of their own.
#[derive(Clone, Default)]
pub struct Paths {
    groups: HashMap<GroupId, Arc<GroupPaths>>,
}

/// Those of a group.
#[derive(Default)]
struct GroupPaths {
    triggers: HashMap<TriggerId, Arc<Trigger>>,
    /// Made when the first request asks: a server that starts reads many triggers one by one.
    routers: OnceLock<Routers>,
}

/// A router for each environment that a template names, and one for all others.
struct Routers {
    named: BTreeMap<Environment, PathRouter<Arc<Trigger>>>,
    others: PathRouter<Arc<Trigger>>,
}

impl Paths {
    /// What a key of an environment finds at a path of its group, as it was sent.
    pub fn at(&self, group: &GroupId, environment: &Environment, path: &str) -> Option<Found<'_, Arc<Trigger>>> {
        let group = self.groups.get(group)?;
        let routers = group.routers.get_or_init(|| Routers::of(&group.triggers));
        routers.named.get(environment).unwrap_or(&routers.others).at(path)
    }

    /// A group's triggers with a path.
    pub fn of(&self, group: &GroupId) -> impl Iterator<Item = &Arc<Trigger>> {
        self.groups.get(group).into_iter().flat_map(|group| group.triggers.values())
    }

    /// Takes a trigger in, in place of an older version of it, or lets it go when it has no path.
    pub(super) fn put(&mut self, trigger: &Arc<Trigger>) {
        self.change(trigger, |triggers| match &trigger.path {
            Some(_) => triggers.insert(trigger.id.clone(), trigger.clone()),
            None => triggers.remove(&trigger.id),
        });
    }

    /// Lets a trigger go.
    pub(super) fn remove(&mut self, trigger: &Trigger) {
        self.change(trigger, |triggers| triggers.remove(&trigger.id));
    }

    fn change<T>(&mut self, trigger: &Trigger, change: impl FnOnce(&mut HashMap<TriggerId, Arc<Trigger>>) -> T) {
        let group = self.groups.get(&trigger.group);
        let is_here = group.is_some_and(|group| group.triggers.contains_key(&trigger.id));
        if !is_here && trigger.path.is_none() {
            return;
        }
        let mut triggers = group.map(|group| group.triggers.clone()).unwrap_or_default();
        change(&mut triggers);
        self.groups.insert(trigger.group.clone(), Arc::new(GroupPaths { triggers, routers: OnceLock::new() }));
    }
}

impl Routers {
    fn of(triggers: &HashMap<TriggerId, Arc<Trigger>>) -> Self {
        let paths = || triggers.values().filter_map(|trigger| Some((trigger, trigger.path.as_ref()?)));
        let environments = paths().filter_map(|(_, path)| path.environment.clone());
        let mut routers = Self {
            named: environments.map(|environment| (environment, PathRouter::default())).collect(),
            others: PathRouter::default(),
        };
        for (trigger, path) in paths() {
            let into: Vec<_> = match &path.environment {
                Some(environment) => routers.named.get_mut(environment).into_iter().collect(),
                None => routers.named.values_mut().chain([&mut routers.others]).collect(),
            };
            for router in into {
                if !router.insert(path.template.clone(), trigger.clone()) {
                    tracing::error!(trigger = %trigger.id, group = %trigger.group, template = %path.template, "a path template cannot stand beside another one and is left out; change one of them");
                }
            }
        }
        routers
    }
}
