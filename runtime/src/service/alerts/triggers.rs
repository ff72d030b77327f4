//! Schedules that cannot begin their runs.

use serde_json::json;

use crate::domain::alert::{AlertKind, Cause, Subject};
use crate::domain::schedule::{Schedule, ScheduleState};
use crate::service::Service;
use crate::service::alerts::Finding;

/// A schedule that could not begin so many runs in a row is failing.
const FAILING_AFTER: u32 = 3;

impl Service {
    /// Raises or closes the alert about a schedule, by how it stands.
    pub(in crate::service) async fn tend_schedule_alert(&self, schedule: &Schedule, state: &ScheduleState) {
        let cause = Cause {
            group: Some(schedule.group.clone()),
            kind: AlertKind::ScheduleFailing,
            subject: Subject::Trigger(schedule.id.clone()),
        };
        let failing = state.last_error.as_ref().filter(|_| state.failures >= FAILING_AFTER);
        let mut open = self.alerts.open.lock().await;
        let written = match failing {
            Some(error) => {
                let message = format!(
                    "The schedule {} could not begin its last {} runs: {}",
                    schedule.id, state.failures, error.message
                );
                let details = json!({"schedule": schedule.id, "flow": schedule.flow, "failures": state.failures, "reason": error.message});
                let environment = Some(schedule.environment.clone());
                self.raise(&mut open, Finding { cause, environment, message, details, more: 1 }).await
            }
            None => self.close(&mut open, &cause).await,
        };
        if let Err(error) = written {
            tracing::error!(schedule = %schedule.id, error = &error as &dyn std::error::Error, "an alert could not be written");
        }
    }
}
