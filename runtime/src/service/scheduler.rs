//! The scheduler: begins the runs of schedules when their time comes.
//!
//! It sleeps until the next time on its agenda, however many schedules there are, and is woken when the catalog changes
//! or a run ends that another waits for. What it decided on an occurrence is written in the commit that makes the run
//! durable: a server that is killed in between neither loses an occurrence nor runs it twice.

mod agenda;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::domain::id::{GroupId, TriggerId};
use crate::domain::schedule::{Begun, NotBegun, Overlap, Schedule, ScheduleState, Timetable, backlog};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::executor::Caller;
use crate::service::queue::Accepted;
use crate::service::record::{Record, decode, encode};
use crate::store::{Batch, Store};

pub(in crate::service) use agenda::Agenda;

const STATES: &str = "schedule-state/";
/// Records read at a time.
const PAGE: usize = 1000;
/// Schedules looked at at a time: their commits go to disk together.
const AT_A_TIME: usize = 64;
/// The longest sleep: a clock that was put forward, or a machine that slept, is noticed within it.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// How long an occurrence waits that found no place in the queue, until it is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

/// What the scheduler works with.
pub(super) struct Scheduler {
    /// There is something to look at.
    wake: Notify,
    book: tokio::sync::Mutex<Book>,
    ends: Mutex<Ends>,
}

/// Runs whose end an occurrence waits for.
#[derive(Default)]
struct Ends {
    awaited: HashSet<TriggerId>,
    ended: Vec<TriggerId>,
}

/// What is remembered between two turns.
#[derive(Default)]
struct Book {
    /// The schedules as they were at the last turn.
    seen: OrdMap<TriggerId, Arc<Schedule>>,
    states: HashMap<TriggerId, ScheduleState>,
    agenda: Agenda,
}

/// Where a schedule's state lies.
pub(super) fn state_key(group: &GroupId, id: &TriggerId) -> String {
    format!("{STATES}{group}/{id}")
}

impl Scheduler {
    /// Reads how schedules stand.
    pub(super) fn read(store: &dyn Store) -> Result<Self, ServiceError> {
        let mut book = Book::default();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(STATES, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading how schedules stand"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, record) in page {
                let id = key.rsplit('/').next().unwrap_or_default().parse()?;
                book.states.insert(id, decode(&record.value)?);
            }
        }
        Ok(Self { wake: Notify::new(), book: tokio::sync::Mutex::new(book), ends: Mutex::default() })
    }

    /// Has the scheduler look at what changed.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Tells that a run from the queue has ended.
    pub(super) fn run_ended(&self, trigger: &TriggerId) {
        let mut ends = self.ends();
        if ends.awaited.remove(trigger) {
            ends.ended.push(trigger.clone());
            self.wake();
        }
    }

    // A panic under the lock leaves sets that are whole.
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Takes in what changed since the last turn: what is new or other is looked at now.
    fn follow(&mut self, schedules: &OrdMap<TriggerId, Arc<Schedule>>, now: Timestamp) {
        if self.seen.ptr_eq(schedules) {
            return;
        }
        for change in self.seen.diff(schedules) {
            match change {
                DiffItem::Add(id, _) | DiffItem::Update { new: (id, _), .. } => self.agenda.set(id.clone(), now),
                DiffItem::Remove(id, _) => {
                    self.agenda.remove(id);
                    self.states.remove(id);
                }
            }
        }
        self.seen = schedules.clone();
    }
}

/// A schedule after it was looked at.
struct Looked {
    id: TriggerId,
    state: ScheduleState,
    /// When to look again.
    again: Option<Timestamp>,
}

impl Service {
    /// Begins what is due until the server stops.
    pub(super) async fn keep_schedules(self: Arc<Self>) {
        loop {
            let next = self.run_schedules().await;
            let wait = next.map_or(MAX_SLEEP, |next| {
                let wait = next.duration_since(self.now());
                // Rounded up, so as not to wake just before the time.
                Duration::try_from(wait + SignedDuration::from_millis(1)).unwrap_or_default().min(MAX_SLEEP)
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.scheduler.wake.notified() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Begins what is due now, once; answers when something is due next.
    pub async fn run_schedules(self: &Arc<Self>) -> Option<Timestamp> {
        let mut book = self.scheduler.book.lock().await;
        let now = self.now();
        book.follow(&self.catalog().schedules, now);
        for id in std::mem::take(&mut self.scheduler.ends().ended) {
            book.agenda.set(id, now);
        }
        let mut due = Vec::new();
        while let Some(id) = book.agenda.take_due(now) {
            if let Some(schedule) = book.seen.get(&id) {
                due.push((schedule.clone(), book.states.get(&id).cloned().unwrap_or_default()));
            }
        }
        let looks = due.into_iter().map(|(schedule, state)| {
            let service = self.clone();
            async move { service.look_at(schedule, state, now).await }
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_A_TIME);
        while let Some(Looked { id, state, again }) = looks.next().await {
            book.states.insert(id.clone(), state);
            if let Some(again) = again {
                book.agenda.set(id, again);
            }
        }
        book.agenda.next()
    }

    /// Decides on what has come of one schedule, and begins what can begin.
    async fn look_at(self: Arc<Self>, schedule: Arc<Schedule>, before: ScheduleState, now: Timestamp) -> Looked {
        let id = schedule.id.clone();
        if self.stopping.is_cancelled() || !schedule.enabled {
            return Looked { id, state: before, again: None };
        }
        let timetable = match schedule.timetable() {
            Ok(timetable) => timetable,
            Err(error) => {
                tracing::error!(schedule = %id, %error, "a schedule cannot be read any more; set its timetable anew");
                return Looked { id, state: before, again: None };
            }
        };
        match self.decide(&schedule, &timetable, &before, now).await {
            Ok((state, has_no_place)) => {
                let next = timetable.next(state.after(&schedule)).map(|next| schedule.due(next));
                let retry = has_no_place.then(|| now.checked_add(RETRY).unwrap_or(now));
                Looked { id, again: [next, retry].into_iter().flatten().min(), state }
            }
            Err(error) => {
                // A schedule that was deleted meanwhile is not begun any more.
                if self.catalog().schedules.contains_key(&id) {
                    tracing::error!(schedule = %id, error = &error as &dyn std::error::Error, "a schedule could not begin its run; it is tried again");
                }
                Looked { id, state: before, again: now.checked_add(RETRY).ok() }
            }
        }
    }

    /// The state after what has come was decided on and written, and whether something waits for a place in the queue.
    async fn decide(
        self: &Arc<Self>,
        schedule: &Arc<Schedule>,
        timetable: &Timetable,
        before: &ScheduleState,
        now: Timestamp,
    ) -> Result<(ScheduleState, bool), ServiceError> {
        let mut state = before.clone();
        if state.starts != Some(schedule.starts) {
            (state.starts, state.decided) = (Some(schedule.starts), None);
            state.waiting.clear();
        }
        let found = backlog(schedule, timetable, state.after(schedule), now);
        if found.through.is_none() && state.waiting.is_empty() {
            return Ok((state, false));
        }
        // Before it is looked whether the run is under way, so that its end is not missed.
        self.scheduler.ends().awaited.insert(schedule.id.clone());
        let mut is_busy = match (&state.last_run, schedule.overlap) {
            (Some(last), Overlap::Skip | Overlap::Queue) => self.is_run_under_way(&schedule.group, last.run)?,
            _ => false,
        };
        found.run.iter().for_each(|occurrence| state.come(*occurrence, schedule.overlap, is_busy));
        state.missed += found.missed;
        state.decided = found.through.or(state.decided);
        let mut accepted = Vec::new();
        let mut has_no_place = false;
        while let Some(occurrence) = state.waiting.first().copied().filter(|_| !is_busy) {
            match self.fire_at(schedule, occurrence, now) {
                Ok(run) => {
                    state.last_run = Some(Begun { run: run.id(), scheduled_at: occurrence, at: now });
                    (state.failures, state.last_error) = (0, None);
                    accepted.push(run);
                    is_busy = schedule.overlap != Overlap::Allow;
                }
                Err(ServiceError::Overloaded { .. }) => {
                    has_no_place = true;
                    break;
                }
                Err(error @ ServiceError::Internal { .. }) => return Err(error),
                Err(error) => {
                    state.failures = state.failures.saturating_add(1);
                    state.last_error = Some(NotBegun { message: error.to_string(), scheduled_at: occurrence, at: now });
                }
            }
            state.waiting.remove(0);
        }
        if state.waiting.is_empty() || has_no_place {
            self.scheduler.ends().awaited.remove(&schedule.id);
        }
        if state != *before {
            let batch = Batch::new().require_present(Record::Schedule(schedule.clone()).key());
            let batch = batch.put(state_key(&schedule.group, &schedule.id), encode(&state));
            self.enqueue_beside(accepted, batch).await?;
        }
        if state.failures != before.failures {
            self.tend_schedule_alert(schedule, &state).await;
        }
        Ok((state, has_no_place))
    }

    fn fire_at(&self, schedule: &Schedule, occurrence: Timestamp, now: Timestamp) -> Result<Accepted, ServiceError> {
        self.accept(self.schedule_firing(schedule, Caller::Schedule(schedule.id.clone()), occurrence, now)?)
    }
}
