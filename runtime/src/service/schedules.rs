//! Schedules: a flow is run when its time comes. The scheduler does that; here people make and change them.

mod changes;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::domain::flow::Flow;
use crate::domain::id::{GroupId, TriggerId};
use crate::domain::permission::Action;
use crate::domain::schedule::{Schedule, ScheduleState};
use crate::domain::secret::random_text;
use crate::domain::trigger::Respond;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing, published};
use crate::service::flows;
use crate::service::record::{Record, decode};
use crate::service::scheduler::state_key;
use crate::service::vault::random;
use crate::wasm::Event;

pub use changes::ScheduleChanges;

/// How many of the next times are shown.
const SHOWN_TIMES: usize = 5;
/// The most schedules of one flow: they lie in memory with all configuration.
const MAX_OF_FLOW: usize = 100;
/// The header that tells a flow for which time it runs.
const SCHEDULED_AT: &str = "x-headgate-scheduled-at";

/// A schedule, how it stands, and when it runs next.
#[derive(Debug, Clone)]
pub struct ScheduleDetails {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// How it stands.
    pub state: ScheduleState,
    /// Its next times, without jitter; none while it is disabled.
    pub next: Vec<Timestamp>,
}

impl Service {
    /// A flow's schedules, oldest first.
    pub fn list_schedules(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
    ) -> Result<Vec<ScheduleDetails>, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::ListSchedules)?;
        let schedules = self.catalog().schedules_of(&flow.id).into_iter();
        let seen = schedules.filter(|schedule| actor.sees_environment(&schedule.environment));
        seen.map(|schedule| self.schedule_details(schedule)).collect()
    }

    /// One schedule of a flow.
    pub fn get_schedule(
        &self,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<ScheduleDetails, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::GetSchedule)?;
        self.schedule_details(find(&self.catalog(), actor, &flow, id)?)
    }

    /// Makes a schedule. Its first time is the first one after now.
    pub async fn create_schedule(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        wanted: ScheduleChanges,
    ) -> Result<ScheduleDetails, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::CreateSchedule)?;
        let id = TriggerId::from_random(&random_text(20, random))?;
        let mut edit = self.edit(actor, group, Action::CreateSchedule).await?;
        // It may have been deleted meanwhile.
        let flow = flows::find(edit.catalog(), group, flow.id.as_str())?;
        let of_flow = edit.catalog().schedules_of(&flow.id).len();
        if of_flow >= MAX_OF_FLOW {
            let message =
                format!("The flow \"{}\" has {of_flow} schedules, and can have no more. Delete one", flow.name);
            return Err(ServiceError::Conflict(message));
        }
        let schedule = Arc::new(wanted.make(&edit, actor, &flow, id, self.now())?);
        edit.put(Record::Schedule(schedule.clone()));
        edit.save().await?;
        self.schedule_details(schedule)
    }

    /// Changes a schedule. What is absent stays. With another timetable, or enabled again, its times count from now on.
    pub async fn update_schedule(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
        changes: ScheduleChanges,
    ) -> Result<ScheduleDetails, ServiceError> {
        self.flow_for(actor, group, flow, Action::UpdateSchedule)?;
        let mut edit = self.edit(actor, group, Action::UpdateSchedule).await?;
        let before = find_in(&edit, actor, group, flow, id)?;
        let schedule = Arc::new(changes.apply(&edit, actor, Schedule::clone(&before), self.now())?);
        edit.put(Record::Schedule(schedule.clone()));
        edit.save().await?;
        self.schedule_details(schedule)
    }

    /// Deletes a schedule. Runs that it began go on.
    pub async fn delete_schedule(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<(), ServiceError> {
        self.flow_for(actor, group, flow, Action::DeleteSchedule)?;
        let mut edit = self.edit(actor, group, Action::DeleteSchedule).await?;
        let schedule = find_in(&edit, actor, group, flow, id)?;
        remove(&mut edit, schedule);
        edit.save().await
    }

    /// Runs a schedule's flow now, beside its timetable; answers the queued run.
    pub async fn fire_schedule(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        id: &TriggerId,
    ) -> Result<Uuid, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::FireSchedule)?;
        let schedule = find(&self.catalog(), actor, &flow, id)?;
        actor.authorise_environment(&schedule.environment)?;
        let now = self.now();
        self.enqueue(self.schedule_firing(&schedule, Caller::RunOnce(actor.clone()), now, now)?).await
    }

    /// What a schedule runs, for one of its times.
    pub(super) fn schedule_firing(
        &self,
        schedule: &Schedule,
        caller: Caller,
        scheduled_at: Timestamp,
        now: Timestamp,
    ) -> Result<Firing, ServiceError> {
        let catalog = self.catalog();
        let flow = catalog.flows.get(&schedule.flow).ok_or(ServiceError::NotFound { what: "Flow" })?;
        let publication = published(flow, &schedule.environment)?;
        let told = || json!({"scheduled_at": scheduled_at, "fired_at": now}).to_string();
        let body = schedule.event.as_ref().map_or_else(told, ToString::to_string);
        Ok(Firing {
            publication: publication.clone(),
            environment: schedule.environment.clone(),
            trigger: schedule.id.clone(),
            caller,
            respond: Respond::Async,
            timeout: self.settings.timeout(flow.execute.settings.timeout_ms),
            event: Event {
                trigger: schedule.id.to_string(),
                method: "POST".to_owned(),
                path: "/".to_owned(),
                params: Vec::new(),
                query: Vec::new(),
                headers: vec![
                    ("content-type".to_owned(), "application/json".to_owned()),
                    (SCHEDULED_AT.to_owned(), scheduled_at.to_string()),
                ],
                body: Bytes::from(body),
            },
            flow: flow.clone(),
        })
    }

    fn schedule_details(&self, schedule: Arc<Schedule>) -> Result<ScheduleDetails, ServiceError> {
        let state = self.store.get(&state_key(&schedule.group, &schedule.id));
        let state = state.map_err(ServiceError::internal("reading how a schedule stands"))?;
        let state: ScheduleState = state.map(|record| decode(&record.value)).transpose()?.unwrap_or_default();
        let after = state.after(&schedule).max(self.now());
        let next = match schedule.timetable() {
            Ok(timetable) if schedule.enabled => timetable.upcoming(after, SHOWN_TIMES),
            _ => Vec::new(),
        };
        Ok(ScheduleDetails { schedule, state, next })
    }
}

/// Takes a schedule out with what is known of it.
pub(super) fn remove(edit: &mut Edit, schedule: Arc<Schedule>) {
    edit.remove_beside(&state_key(&schedule.group, &schedule.id));
    edit.remove(&Record::Schedule(schedule));
}

fn find(catalog: &Catalog, actor: &Actor, flow: &Flow, id: &TriggerId) -> Result<Arc<Schedule>, ServiceError> {
    let found = catalog.schedules.get(id).filter(|schedule| schedule.flow == flow.id);
    let found = found.filter(|schedule| actor.sees_environment(&schedule.environment));
    found.cloned().ok_or(ServiceError::NotFound { what: "Schedule" })
}

fn find_in(
    edit: &Edit,
    actor: &Actor,
    group: &GroupId,
    flow: &str,
    id: &TriggerId,
) -> Result<Arc<Schedule>, ServiceError> {
    find(edit.catalog(), actor, &*flows::find(edit.catalog(), group, flow)?, id)
}
