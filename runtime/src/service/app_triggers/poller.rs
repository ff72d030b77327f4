//! The poller: gives app triggers their turns. One turn of a trigger at a time, so many at a time in all, and at most half
//! of them for one group.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};

use crate::domain::app_trigger::AppTrigger;
use crate::domain::id::{GroupId, TriggerId};
use crate::service::Service;
use crate::service::app_triggers::LastPoll;
use crate::service::app_triggers::poll::Turn;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::executor::RETRY_AFTER;
use crate::service::scheduler::Agenda;

/// The longest sleep: a clock that was put forward is noticed within it.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// At the server's start the first polls are spread over so many seconds, so that restarts do not hammer the apps.
const SPREAD: u64 = 30;
/// How long a poll by hand waits for its turn: as long as people wait for an answer.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What the poller works with.
pub(in crate::service) struct Poller {
    /// There is something to look at.
    wake: Notify,
    /// Counts turns that ended.
    ended: watch::Sender<u64>,
    desk: Mutex<Desk>,
    /// How many turns there are at a time.
    places: usize,
}

/// Which trigger stands where.
#[derive(Default)]
struct Desk {
    /// The triggers as they were when the desk was last looked at; none before the first time.
    seen: Option<OrdMap<TriggerId, Arc<AppTrigger>>>,
    agenda: Agenda,
    /// Those whose time has come, by group, the one that has waited longest first.
    ready: BTreeMap<GroupId, VecDeque<TriggerId>>,
    /// The group that had its turn last.
    turned: Option<GroupId>,
    /// Those that have their turn now.
    flying: HashMap<TriggerId, GroupId>,
    last: HashMap<TriggerId, LastPoll>,
}

impl Poller {
    pub(in crate::service) fn new(places: usize) -> Self {
        let (wake, desk) = Default::default();
        Self { wake, desk, ended: watch::Sender::new(0), places }
    }

    /// Has the poller look at what changed.
    pub(in crate::service) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The newest turn of a trigger in this server's life.
    pub(super) fn last(&self, id: &TriggerId) -> Option<LastPoll> {
        self.desk().last.get(id).cloned()
    }

    // A panic under the lock leaves a desk that is whole.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Takes in what changed: what is new or other has its turn now.
    fn follow(&mut self, triggers: &OrdMap<TriggerId, Arc<AppTrigger>>, now: Timestamp) {
        let Some(seen) = self.seen.replace(triggers.clone()) else {
            for trigger in triggers.values() {
                let most = SPREAD.min(u64::from(trigger.every_s));
                let spread =
                    trigger.id.as_str().bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
                let wait = SignedDuration::from_secs((spread % most.max(1)) as i64);
                self.agenda.set(trigger.id.clone(), now.checked_add(wait).unwrap_or(now));
            }
            return;
        };
        if seen.ptr_eq(triggers) {
            return;
        }
        for change in seen.diff(triggers) {
            match change {
                DiffItem::Add(id, _) | DiffItem::Update { new: (id, _), .. } if !self.flying.contains_key(id) => {
                    self.agenda.set(id.clone(), now);
                }
                // It is looked at again when its turn ends.
                DiffItem::Add(..) | DiffItem::Update { .. } => {}
                DiffItem::Remove(id, _) => {
                    self.agenda.remove(id);
                    self.last.remove(id);
                }
            }
        }
    }

    fn trigger(&self, id: &TriggerId) -> Option<&Arc<AppTrigger>> {
        self.seen.as_ref()?.get(id)
    }

    /// Moves what is due to those that are ready.
    fn collect_due(&mut self, now: Timestamp) {
        while let Some(id) = self.agenda.take_due(now) {
            if let Some(trigger) = self.trigger(&id).filter(|trigger| trigger.enabled) {
                let group = trigger.group.clone();
                self.ready.entry(group).or_default().push_back(id);
            }
        }
    }

    /// Takes the next one whose turn it is: one of each group after the other, and of none more than half of the places.
    fn take(&mut self, places: usize) -> Option<Arc<AppTrigger>> {
        if self.flying.len() >= places {
            return None;
        }
        let after = self.turned.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.ready.range::<GroupId, _>((after, Bound::Unbounded)).map(|(group, _)| group);
        let groups: Vec<_> = behind.chain(self.ready.keys()).cloned().collect();
        for group in groups {
            if !self.has_place(&group, places) {
                continue;
            }
            while let Some(id) = self.ready.get_mut(&group).and_then(VecDeque::pop_front) {
                let found =
                    self.trigger(&id).filter(|trigger| trigger.enabled && !self.flying.contains_key(&id)).cloned();
                let Some(trigger) = found else { continue };
                self.turned = Some(group.clone());
                self.flying.insert(id, group);
                return Some(trigger);
            }
            self.ready.remove(&group);
        }
        None
    }

    /// Gives a trigger a place out of turn, if one is free that its group may take and it has none.
    fn claim(&mut self, trigger: &AppTrigger, places: usize) -> bool {
        let is_free = self.has_place(&trigger.group, places) && !self.flying.contains_key(&trigger.id);
        if is_free {
            self.flying.insert(trigger.id.clone(), trigger.group.clone());
            self.agenda.remove(&trigger.id);
        }
        is_free
    }

    fn has_place(&self, group: &GroupId, places: usize) -> bool {
        let of_group = self.flying.values().filter(|flying| *flying == group).count();
        self.flying.len() < places && of_group < (places / 2).max(1)
    }

    fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.ready.values().all(VecDeque::is_empty)
    }
}

impl Service {
    /// Gives turns until the server stops.
    pub(in crate::service) async fn keep_polling(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            let wait = self.begin_turns().map_or(MAX_SLEEP, |next| {
                let wait = next.duration_since(self.now()) + SignedDuration::from_millis(1);
                Duration::try_from(wait).unwrap_or_default().min(MAX_SLEEP)
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.poller.wake.notified() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Gives turns until no trigger is due now.
    pub async fn run_app_triggers(self: &Arc<Self>) {
        let mut ended = self.poller.ended.subscribe();
        loop {
            self.begin_turns();
            if self.stopping.is_cancelled() || self.poller.desk().is_idle() {
                return;
            }
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins as many turns as there are places for; answers when something is due next.
    fn begin_turns(self: &Arc<Self>) -> Option<Timestamp> {
        let (now, catalog) = (self.now(), self.catalog());
        let mut desk = self.poller.desk();
        desk.follow(&catalog.app_triggers, now);
        desk.collect_due(now);
        while let Some(trigger) = desk.take(self.poller.places) {
            let service = self.clone();
            self.background.spawn(async move { service.take_turn(trigger).await });
        }
        desk.agenda.next()
    }

    /// Gives a trigger a turn now, after the one that it may have, and within the bounds that all turns have.
    pub(super) async fn poll_now(self: &Arc<Self>, trigger: &AppTrigger) -> Result<(), ServiceError> {
        let busy = |_| ServiceError::Overloaded { what: "Too many apps are polled at once", retry_after: RETRY_AFTER };
        let claimed = tokio::time::timeout(MAX_WAIT, self.claim_turn(trigger)).await;
        let trigger = claimed.map_err(busy)??;
        let service = self.clone();
        // It goes on when the caller goes away, so that its end is noted.
        let turn = self.background.spawn(async move { service.take_turn(trigger).await });
        turn.await.map_err(ServiceError::internal("polling an app"))
    }

    /// Waits for a place; answers the trigger as it is by then.
    async fn claim_turn(&self, trigger: &AppTrigger) -> Result<Arc<AppTrigger>, ServiceError> {
        let mut ended = self.poller.ended.subscribe();
        loop {
            ended.mark_unchanged();
            {
                let mut desk = self.poller.desk();
                let current = pollable(&self.catalog(), trigger)?;
                if desk.claim(&current, self.poller.places) {
                    return Ok(current);
                }
            }
            ended.changed().await.map_err(ServiceError::internal("waiting for a poll"))?;
        }
    }

    async fn take_turn(self: Arc<Self>, trigger: Arc<AppTrigger>) {
        let at = self.now();
        let Turn { wait, log } = self.poll_turn(&trigger).await;
        let now = self.now();
        let mut desk = self.poller.desk();
        desk.flying.remove(&trigger.id);
        if let Some(current) = desk.trigger(&trigger.id) {
            // One that was changed meanwhile is looked at anew.
            let next = if Arc::ptr_eq(current, &trigger) { at.checked_add(wait).unwrap_or(now) } else { now };
            desk.agenda.set(trigger.id.clone(), next);
            desk.last.insert(trigger.id.clone(), LastPoll { at, next, log });
        }
        drop(desk);
        self.poller.ended.send_modify(|ended| *ended += 1);
        self.poller.wake();
    }
}

/// A trigger as it is by now, if it can still be polled by those who could when they saw it.
fn pollable(catalog: &Catalog, seen: &AppTrigger) -> Result<Arc<AppTrigger>, ServiceError> {
    let current = catalog.app_triggers.get(&seen.id).ok_or(ServiceError::NotFound { what: "App trigger" })?;
    if !current.enabled {
        return Err(ServiceError::Conflict("The app trigger is disabled. Enable it first".to_owned()));
    }
    if current.environment != seen.environment {
        let message = "The app trigger was moved to another environment meanwhile. Look at it, and poll again";
        return Err(ServiceError::Conflict(message.to_owned()));
    }
    Ok(current.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Environment;

    fn trigger(group: &str, n: usize) -> Arc<AppTrigger> {
        Arc::new(AppTrigger {
            id: TriggerId::from_random(&format!("{n:020}")).unwrap(),
            group: group.parse().unwrap(),
            flow: format!("flw_{}", "a".repeat(20)).parse().unwrap(),
            description: String::new(),
            connection: format!("con_{}", "a".repeat(20)).parse().unwrap(),
            environment: Environment::production(),
            trigger: "new_record".to_owned(),
            input: serde_json::json!({}),
            every_s: 60,
            enabled: true,
            starts: Timestamp::UNIX_EPOCH,
            created: Timestamp::UNIX_EPOCH,
        })
    }

    fn desk(triggers: &[Arc<AppTrigger>]) -> Desk {
        let mut desk = Desk::default();
        desk.follow(&OrdMap::new(), Timestamp::UNIX_EPOCH);
        let all = triggers.iter().map(|trigger| (trigger.id.clone(), trigger.clone())).collect();
        desk.follow(&all, Timestamp::UNIX_EPOCH);
        desk.collect_due(Timestamp::UNIX_EPOCH);
        desk
    }

    #[test]
    fn a_group_with_many_triggers_leaves_places_to_the_others() {
        let many = (0..20).map(|n| trigger("acme", n));
        let few = (20..22).map(|n| trigger("rival", n));
        let mut desk = desk(&many.chain(few).collect::<Vec<_>>());
        let taken: Vec<_> = std::iter::from_fn(|| desk.take(8)).map(|trigger| trigger.group.to_string()).collect();
        assert_eq!(taken, ["acme", "rival", "acme", "rival", "acme", "acme"]);
        assert!(!desk.is_idle());
    }

    #[test]
    fn a_poll_by_hand_is_of_the_trigger_as_it_is_by_now() {
        let seen = trigger("acme", 1);
        let mut catalog = Catalog::default();
        assert!(matches!(pollable(&catalog, &seen), Err(ServiceError::NotFound { .. })), "it was deleted");
        let other = AppTrigger { every_s: 10, ..AppTrigger::clone(&seen) };
        let off = AppTrigger { enabled: false, ..other.clone() };
        let moved = AppTrigger { environment: Environment::test(), ..other.clone() };
        for refused in [off, moved] {
            catalog.app_triggers.insert(seen.id.clone(), Arc::new(refused));
            assert!(matches!(pollable(&catalog, &seen), Err(ServiceError::Conflict(_))));
        }
        catalog.app_triggers.insert(seen.id.clone(), Arc::new(other));
        assert_eq!(pollable(&catalog, &seen).unwrap().every_s, 10);
    }

    #[test]
    fn polls_by_hand_leave_places_to_the_others() {
        let mut desk = desk(&[]);
        let claimed = (0..20).filter(|n| desk.claim(&trigger("acme", *n), 8)).count();
        assert_eq!((claimed, desk.claim(&trigger("rival", 20), 8)), (4, true));
        assert!(!desk.claim(&trigger("rival", 20), 8), "it has its turn");
        desk.flying.remove(&trigger("acme", 0).id);
        assert!(desk.claim(&trigger("acme", 4), 8) && !desk.claim(&trigger("acme", 5), 8));
        let others = (0..20).filter(|n| desk.claim(&trigger(&format!("group-{n}"), 30 + *n), 8)).count();
        assert_eq!(others, 3, "eight in all");
    }

    #[test]
    fn a_trigger_has_one_turn_at_a_time() {
        let one = trigger("acme", 1);
        let mut desk = desk(std::slice::from_ref(&one));
        assert!(desk.take(8).is_some());
        let changed = Arc::new(AppTrigger { every_s: 10, ..AppTrigger::clone(&one) });
        desk.follow(&OrdMap::unit(one.id.clone(), changed), Timestamp::UNIX_EPOCH);
        desk.collect_due(Timestamp::UNIX_EPOCH);
        assert!(desk.take(8).is_none());
        let off = Arc::new(AppTrigger { enabled: false, ..AppTrigger::clone(&one) });
        desk.flying.clear();
        desk.follow(&OrdMap::unit(one.id.clone(), off), Timestamp::UNIX_EPOCH);
        desk.collect_due(Timestamp::UNIX_EPOCH);
        assert!(desk.take(8).is_none() && desk.is_idle());
    }
}
