//! Replacing the key that all secrets are encrypted under, while the server works.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::record::decode;
use crate::service::vault::{Replacement, VaultError};

/// What stands under this noun and id is the newest rotation.
const NEWEST: (&str, &str) = ("secrets", "rotation");

/// A replacement of the key-encryption key. The ids tell nothing of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The old key's id.
    pub from: String,
    /// The new key's id.
    pub to: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; absent until then.
    pub finished: Option<Timestamp>,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether somebody works at it.
    pub running: bool,
    /// How many keys are wrapped anew.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// Why it stopped.
    pub failed: Option<String>,
}

/// What may be known of the key that all secrets are encrypted under.
#[derive(Debug, Clone)]
pub struct SecretsStatus {
    /// The id of the key in use.
    pub key: String,
    /// The newest rotation.
    pub rotation: Option<Rotation>,
    /// How far that is, since the server's start.
    pub progress: Progress,
    /// Files of keys that were replaced. Nothing needs them but backups of the store from before.
    pub retired: Vec<String>,
}

/// How far the present rotation is.
#[derive(Debug, Default)]
pub(super) struct RotationBook(Mutex<Progress>);

impl RotationBook {
    fn change<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody else works at it; from now on the caller does.
    fn begin(&self) -> bool {
        self.change(|progress| match progress.running {
            true => false,
            false => {
                *progress = Progress { running: true, ..Progress::default() };
                true
            }
        })
    }

    fn end(&self, failed: Option<String>) {
        self.change(|progress| (progress.running, progress.failed) = (false, failed));
    }
}

impl Service {
    /// What may be known of the key that all secrets are encrypted under.
    pub fn secrets_status(&self, actor: &Actor) -> Result<SecretsStatus, ServiceError> {
        actor.authorise_server(&self.catalog(), Action::ShowSecretsRotation)?;
        self.status_of_secrets()
    }

    /// Begins to replace the key-encryption key, or goes on with it. It is done in the background.
    pub async fn rotate_secrets(self: &Arc<Self>, actor: &Actor) -> Result<SecretsStatus, ServiceError> {
        let edit = self.edit_server(actor, Action::RotateSecrets).await?;
        if !self.rotation.begin() {
            let message = "A rotation is under way. See how far it is: headgate secrets show";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        // A caller who goes away must not leave it begun with nobody at work.
        let begun = self.background.spawn(self.clone().begin_rotation(edit));
        begun.await.map_err(ServiceError::internal("beginning a rotation"))??;
        self.status_of_secrets()
    }

    async fn begin_rotation(self: Arc<Self>, edit: Edit) -> Result<(), ServiceError> {
        if let Err(error) = self.prepare_rotation(edit).await {
            self.rotation.end(Some(error.to_string()));
            return Err(error);
        }
        self.background.spawn(self.clone().replace_key());
        Ok(())
    }

    /// Sees to it that there is a new key, and notes that it begins.
    async fn prepare_rotation(&self, mut edit: Edit) -> Result<(), ServiceError> {
        let before = self.newest_rotation()?;
        if self.vault.replacement().is_none() && self.is_under_way(before.as_ref()) {
            // All is wrapped anew, and only that was not noted: another new key is not what was asked for.
            return edit.save().await;
        }
        let Replacement { from, to } = self.vault.prepare_replacement().await.map_err(|error| match error {
            VaultError::NoNextKey | VaultError::BadKeyFile { .. } => {
                ServiceError::Conflict(format!("The key cannot be replaced: {error}"))
            }
            error => ServiceError::internal("making a key-encryption key")(error),
        })?;
        // One that was interrupted goes on under its own entry.
        if !self.is_under_way(before.as_ref()) {
            let rotation = Rotation { from, to, started: self.now(), finished: None };
            edit.put_value(NEWEST, before.map_or(Value::Null, |before| json!(before)), json!(rotation));
        }
        edit.save().await
    }

    /// Goes on with a rotation that the server's end interrupted.
    pub(super) fn resume_rotation(self: &Arc<Self>) -> Result<(), ServiceError> {
        let newest = self.newest_rotation()?;
        if (self.is_under_way(newest.as_ref()) || self.vault.is_begun()) && self.rotation.begin() {
            tracing::info!("replacing the key-encryption key goes on");
            self.background.spawn(self.clone().replace_key());
        }
        Ok(())
    }

    /// Whether the newest rotation was not noted as finished, and leads to the key that is to come; where none is to
    /// come, to the one in use: then nothing but the note is left.
    fn is_under_way(&self, newest: Option<&Rotation>) -> bool {
        let to = self.vault.replacement().map_or_else(|| self.vault.key_id(), |replacement| replacement.to);
        newest.is_some_and(|newest| newest.to == to && newest.finished.is_none())
    }

    async fn replace_key(self: Arc<Self>) {
        let goes_on = |done, total| {
            self.rotation.change(|progress| (progress.done, progress.total) = (done, total));
            !self.stopping.is_cancelled()
        };
        let replaced = self.vault.replace_key(goes_on).await.map_err(ServiceError::internal("replacing the key"));
        let ended = match replaced {
            Ok(true) => self.note_rotated().await,
            // The next start goes on.
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let failed = ended.err().map(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the key-encryption key was not replaced; both keys are needed until it is: rotate again"
            );
            "the server's log says why. Both keys are needed until it is finished: rotate again".to_owned()
        });
        self.rotation.end(failed);
    }

    async fn note_rotated(self: &Arc<Self>) -> Result<(), ServiceError> {
        let mut edit = self.edit_server(&Actor::system(), Action::RotateSecrets).await?;
        let (before, to) = (self.newest_rotation()?, self.vault.key_id());
        let (from, started) = match &before {
            Some(before) if before.to == to => (before.from.clone(), before.started),
            _ => (String::new(), self.now()),
        };
        let rotation = Rotation { from, to, started, finished: Some(self.now()) };
        tracing::info!(key = %rotation.to, "the key-encryption key was replaced");
        edit.put_value(NEWEST, before.map_or(Value::Null, |before| json!(before)), json!(rotation));
        edit.save().await
    }

    fn newest_rotation(&self) -> Result<Option<Rotation>, ServiceError> {
        let (noun, id) = NEWEST;
        let record = self.store.get(&format!("{noun}/{id}")).map_err(ServiceError::internal("reading a rotation"))?;
        record.map(|record| decode(&record.value)).transpose()
    }

    fn status_of_secrets(&self) -> Result<SecretsStatus, ServiceError> {
        let retired = self.vault.retired_files();
        Ok(SecretsStatus {
            key: self.vault.key_id(),
            rotation: self.newest_rotation()?,
            progress: self.rotation.change(|progress| progress.clone()),
            retired: retired.iter().map(|path| path.display().to_string()).collect(),
        })
    }
}
