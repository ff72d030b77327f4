//! Modules of the watched folder that were refused.

use serde_json::json;

use crate::domain::alert::{AlertKind, Cause, Subject};
use crate::domain::id::GroupId;
use crate::service::Service;
use crate::service::alerts::Finding;
use crate::service::error::ServiceError;

fn cause(group: Option<&GroupId>, file: &str) -> Cause {
    Cause { group: group.cloned(), kind: AlertKind::ModuleRefused, subject: Subject::Module(file.to_owned()) }
}

impl Service {
    /// Raises the alert that a file of the watched folder was refused; one of the server, where the file names no group.
    pub(in crate::service) async fn alert_module_refused(
        &self,
        group: Option<&GroupId>,
        file: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let finding = Finding {
            cause: cause(group, file),
            environment: None,
            message: format!("The file {file} of the watched folder was refused: {reason}"),
            details: json!({"file": file, "reason": reason}),
            more: 1,
        };
        self.raise(&mut *self.alerts.open.lock().await, finding).await
    }

    /// Closes that alert: the file was taken, or is gone.
    pub(in crate::service) async fn alert_module_taken(
        &self,
        group: Option<&GroupId>,
        file: &str,
    ) -> Result<(), ServiceError> {
        self.close(&mut *self.alerts.open.lock().await, &cause(group, file)).await
    }
}
