use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::signing_secret::SigningSecret;
use crate::service::error::ServiceError;

/// When alerts are raised, and where those of the server are sent. All are settings under `alerts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Where alerts of the server are sent. Nowhere.
    pub endpoint: Option<Url>,
    /// The file with the secret they are signed with, a `whsec_...` a line; several while it is being changed.
    pub secret_file: Option<PathBuf>,
    /// Failed authentications of one key, or from one address, before there is an alert. 20: more than a typing error.
    pub failed_authentications: u64,
    /// Within which time. 5 min.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub failed_authentications_within: Duration,
    /// How many times the requests of a key's busiest day of the last seven a day needs to be unusual. 5.
    pub volume_factor: u64,
    /// Requests that a day needs to be unusual. 1,000: below that nothing is harmed.
    pub volume_minimum: u64,
    /// Days with use, of the last seven, that a key needs before its volume is judged. 3.
    pub volume_baseline_days: usize,
    /// From which part of a quota, a rate or an allowance on there is an alert, in percent. 80.
    pub limit_percent: u64,
    /// How long before a key's end there is an alert, in days. 14.
    pub expiring_days: u32,
    /// How long closed alerts are kept, in days. 90.
    pub keep_days: u32,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            secret_file: None,
            failed_authentications: 20,
            failed_authentications_within: Duration::from_secs(300),
            volume_factor: 5,
            volume_minimum: 1_000,
            volume_baseline_days: 3,
            limit_percent: 80,
            expiring_days: 14,
            keep_days: 90,
        }
    }
}

/// Where alerts of the server are sent.
pub(super) struct ServerEndpoint {
    pub(super) url: Url,
    pub(super) secrets: Vec<SigningSecret>,
}

impl ServerEndpoint {
    /// Reads the secrets; `None` where no endpoint is set.
    pub(super) fn read(settings: &AlertSettings) -> Result<Option<Self>, ServiceError> {
        let Some(url) = settings.endpoint.clone() else { return Ok(None) };
        let doing = "reading the secret of alerts.endpoint";
        let file = settings
            .secret_file
            .as_ref()
            .ok_or("alerts.endpoint needs alerts.secret_file: name the file with its signing secret");
        let file = file.map_err(ServiceError::internal(doing))?;
        let text = std::fs::read_to_string(file).map(zeroize::Zeroizing::new);
        let text = text.map_err(|error| {
            format!("the file {} named by alerts.secret_file cannot be read: {error}", file.display())
        });
        let text = text.map_err(ServiceError::internal(doing))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let secrets: Result<Vec<_>, _> = lines.map(SigningSecret::parse).collect();
        let secrets = secrets.map_err(ServiceError::internal(doing))?;
        if secrets.is_empty() {
            let message = format!("the file {} named by alerts.secret_file is empty", file.display());
            return Err(ServiceError::internal(doing)(message));
        }
        Ok(Some(Self { url, secrets }))
    }
}
