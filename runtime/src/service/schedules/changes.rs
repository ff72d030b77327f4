//! What people say of a schedule they want, and the checks of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::flow::Flow;
use crate::domain::id::{Environment, TriggerId};
use crate::domain::schedule::{CatchUp, MAX_EVENT, MAX_JITTER, Overlap, Schedule};
use crate::service::access::Actor;
use crate::service::api_keys::given;
use crate::service::check_description;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::groups::check_environment;

/// A schedule to be made, or what is to become different about one. What is absent stays as it is, or as every schedule
/// begins.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleChanges {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Nightly sync of contacts")]
    pub description: Option<String>,
    /// When: five fields (minute, hour, day, month, weekday), six with seconds in front, or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`. A new schedule needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "30 2 * * MON-FRI")]
    pub cron: Option<String>,
    /// The time zone's IANA name; `UTC` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// Where: the version that is published there runs. `production` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<Environment>,
    /// The event's body, any JSON; `null` for one that tells the time it was scheduled for.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"full": true}))]
    pub event: Option<Option<Value>>,
    /// Each time is put off by up to so many seconds, so that not everything begins at once; 3600 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 60)]
    pub jitter_s: Option<u32>,
    /// What happens when the run before it is still under way; `skip` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// What happens with times that passed while the server was down; `none` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Whether it runs at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub enabled: Option<bool>,
}

impl ScheduleChanges {
    /// The schedule that is wanted.
    pub(super) fn make(
        self,
        edit: &Edit,
        actor: &Actor,
        flow: &Flow,
        id: TriggerId,
        now: Timestamp,
    ) -> Result<Schedule, ServiceError> {
        if self.cron.is_none() {
            return Err(ServiceError::Invalid(
                "A schedule needs a timetable. Say when, such as \"cron\": \"30 2 * * *\"".to_owned(),
            ));
        }
        let schedule = Schedule {
            id,
            group: flow.group.clone(),
            flow: flow.id.clone(),
            description: String::new(),
            cron: String::new(),
            time_zone: "UTC".to_owned(),
            environment: Environment::production(),
            event: None,
            jitter_s: 0,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            enabled: true,
            starts: now,
            created: now,
        };
        self.apply(edit, actor, schedule, now)
    }

    /// A schedule after the changes, where they are possible.
    pub(super) fn apply(
        self,
        edit: &Edit,
        actor: &Actor,
        before: Schedule,
        now: Timestamp,
    ) -> Result<Schedule, ServiceError> {
        let mut schedule = before.clone();
        schedule.description = self.description.unwrap_or(schedule.description);
        schedule.environment = self.environment.unwrap_or(schedule.environment);
        schedule.event = self.event.unwrap_or(schedule.event);
        schedule.jitter_s = self.jitter_s.unwrap_or(schedule.jitter_s);
        schedule.overlap = self.overlap.unwrap_or(schedule.overlap);
        schedule.catch_up = self.catch_up.unwrap_or(schedule.catch_up);
        schedule.enabled = self.enabled.unwrap_or(schedule.enabled);
        schedule.cron = self.cron.map_or(schedule.cron, |cron| cron.trim().to_owned());
        schedule.time_zone = self.time_zone.unwrap_or(schedule.time_zone);

        check_description(&schedule.description)?;
        check_environment(edit.catalog(), &schedule.group, &schedule.environment)?;
        actor.authorise_environment(&schedule.environment)?;
        let timetable = schedule.timetable().map_err(|error| ServiceError::Invalid(error.to_string()))?;
        schedule.time_zone = timetable.time_zone().to_owned();
        if schedule.jitter_s > MAX_JITTER {
            return Err(ServiceError::Invalid(format!("jitter_s must be between 0 and {MAX_JITTER}")));
        }
        let size = schedule.event.as_ref().map_or(0, |event| event.to_string().len());
        if size > MAX_EVENT {
            return Err(ServiceError::Invalid(format!(
                "The event has {size} bytes; {MAX_EVENT} are allowed. Let the flow fetch what is larger"
            )));
        }
        let timing = |schedule: &Schedule| (schedule.cron.clone(), schedule.time_zone.clone(), schedule.enabled);
        if timing(&schedule) != timing(&before) {
            schedule.starts = now;
        }
        Ok(schedule)
    }
}
