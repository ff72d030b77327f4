//! Schedules that cannot begin their runs, and app triggers that cannot be polled.

use serde_json::{Value, json};

use crate::domain::alert::{AlertKind, Cause, Subject};
use crate::domain::app_trigger::{AppTrigger, BROKEN_AFTER, PollState};
use crate::domain::id::{Environment, GroupId, TriggerId};
use crate::domain::schedule::{Schedule, ScheduleState};
use crate::service::Service;
use crate::service::alerts::Finding;

/// A schedule that could not begin so many runs in a row is failing.
const FAILING_AFTER: u32 = 3;

impl Service {
    /// Raises or closes the alert about a schedule, by how it stands.
    pub(in crate::service) async fn tend_schedule_alert(&self, schedule: &Schedule, state: &ScheduleState) {
        let failing = state.last_error.as_ref().filter(|_| state.failures >= FAILING_AFTER);
        let fault = failing.map(|error| {
            let (id, failures) = (&schedule.id, state.failures);
            let message = format!("The schedule {id} could not begin its last {failures} runs: {}", error.message);
            let details = json!({"schedule": id, "flow": schedule.flow, "failures": failures, "reason": error.message});
            (message, details)
        });
        let cause = cause(&schedule.group, &schedule.id, AlertKind::ScheduleFailing);
        self.tend_trigger_alert(cause, &schedule.environment, fault).await;
    }

    /// Raises or closes the alert about an app trigger, by how it stands.
    pub(in crate::service) async fn tend_app_trigger_alert(&self, trigger: &AppTrigger, state: &PollState) {
        let failing = state.last_error.as_ref().filter(|_| state.failures >= BROKEN_AFTER);
        let fault = failing.map(|error| {
            let (id, failures) = (&trigger.id, state.failures);
            let message = format!(
                "The app trigger {id} ({}) could not be polled {failures} times in a row: {}",
                trigger.trigger, error.message
            );
            let details = json!({"app_trigger": id, "flow": trigger.flow, "connection": trigger.connection, "failures": failures, "code": error.code, "reason": error.message});
            (message, details)
        });
        let cause = cause(&trigger.group, &trigger.id, AlertKind::AppTriggerBroken);
        self.tend_trigger_alert(cause, &trigger.environment, fault).await;
    }

    async fn tend_trigger_alert(&self, cause: Cause, environment: &Environment, fault: Option<(String, Value)>) {
        let subject = cause.subject.clone();
        let mut open = self.alerts.open.lock().await;
        let written = match fault {
            Some((message, details)) => {
                let environment = Some(environment.clone());
                self.raise(&mut open, Finding { cause, environment, message, details, more: 1 }).await
            }
            None => self.close(&mut open, &cause).await,
        };
        if let Err(error) = written {
            tracing::error!(%subject, error = &error as &dyn std::error::Error, "an alert could not be written");
        }
    }
}

fn cause(group: &GroupId, id: &TriggerId, kind: AlertKind) -> Cause {
    Cause { group: Some(group.clone()), kind, subject: Subject::Trigger(id.clone()) }
}
