//! Looks for what alerts are raised for, every few seconds, and closes those whose cause is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::domain::alert::{Alert, AlertKind, Cause, Subject, is_unusual};
use crate::domain::api_key::{ApiKey, AuthError, KeyLimits};
use crate::domain::id::{ApiKeyId, GroupId};
use crate::domain::usage::Day;
use crate::domain::user::LoginError;
use crate::service::Service;
use crate::service::alerts::failures::{Failed, Source};
use crate::service::alerts::{ALERTS, Finding, MAX_OPEN, PAGE, WRITE_SEEN_AFTER};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::decode;
use crate::store::Batch;

/// How often it is looked for causes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many days a key's own recent past has.
const PAST_DAYS: i64 = 7;
/// A minute rate is approached when it is for so many minutes in a row.
const SUSTAINED_MINUTES: u32 = 3;
/// How long a minute rate has to be far away before its alert is closed.
const RATE_AT_REST: SignedDuration = SignedDuration::from_mins(5);

/// What is remembered between two looks.
#[derive(Default)]
pub(super) struct Watch {
    /// The catalog and the minute in which it was last looked for keys that expire.
    expiry: Option<(Arc<Catalog>, i64)>,
    rates: HashMap<ApiKeyId, Rate>,
    pruned: Option<Day>,
}

/// Addresses with failures that are told apart in alerts at a time.
const MAX_TOLD_APART: usize = 20;
/// Closed alerts kept of a group, or of the server.
const MAX_CLOSED: usize = 5_000;

/// A key's present minute, and how many before it were close to its limit.
struct Rate {
    since: Timestamp,
    requests: u64,
    close: u32,
}

impl Service {
    /// How often a key was presented and refused in the last minutes.
    pub(in crate::service) fn failed_lately(&self, key: &ApiKeyId) -> u64 {
        self.alerts.failures.of(Source::Key(*key))
    }

    /// Counts a request that carried a key's id, or none that exists, and was not let in. It costs no more than a look
    /// into the catalog and a count.
    pub fn note_failed_authentication(&self, presented: Option<&ApiKeyId>, address: Option<std::net::IpAddr>) {
        let known = presented.filter(|id| self.catalog.load().api_keys.contains_key(id));
        let source = match (known, address) {
            (Some(key), _) => Source::Key(*key),
            (None, Some(address)) => Source::of(address),
            (None, None) => return,
        };
        self.alerts.failures.note(source, address, self.now(), self.failures_within());
    }

    /// Counts a refusal, if it was for the credentials that were sent.
    pub fn note_refused(&self, error: &ServiceError, presented: Option<&ApiKeyId>, address: Option<std::net::IpAddr>) {
        use AuthError::{Disabled, Expired, Invalid, Revoked};
        // An access token that has expired is what every session sees in the end.
        let guessed = matches!(
            error,
            ServiceError::Unauthenticated(Disabled | Expired | Invalid | Revoked)
                | ServiceError::Login(LoginError::Credentials | LoginError::SetupToken | LoginError::RefreshToken)
                | ServiceError::TooManyAttempts { .. }
        );
        if guessed {
            self.note_failed_authentication(presented, address);
        }
    }

    fn failures_within(&self) -> SignedDuration {
        self.alerts.settings.failed_authentications_within.try_into().unwrap_or(SignedDuration::MAX)
    }

    /// Looks once for everything that alerts are raised for. Usage counts as far as it was written.
    pub async fn evaluate_alerts(self: &Arc<Self>) -> Result<(), ServiceError> {
        let mut watch = self.alerts.watch.lock().await;
        let (now, catalog) = (self.now(), self.catalog());
        let mut findings = self.failures_found(&catalog, now);
        findings.extend(self.usage_found(&mut watch, &catalog, now)?);
        findings.extend(self.allowances_found(&catalog, now));
        let minute = now.as_second().div_euclid(60);
        let is_new = watch.expiry.as_ref().is_none_or(|(seen, at)| !Arc::ptr_eq(seen, &catalog) || *at != minute);
        if is_new {
            findings.extend(self.expiring_found(catalog.clone(), now).await?);
            findings.extend(Self::authorizers_found(&catalog));
            self.end_authorizations(&catalog);
        }
        watch.expiry = Some((catalog.clone(), minute));

        let still: HashSet<Cause> = findings.iter().map(|finding| finding.cause.clone()).collect();
        let mut open = self.alerts.open.lock().await;
        for finding in findings {
            self.raise(&mut open, finding).await?;
        }
        let over = |alert: &Alert| match &alert.cause {
            cause if still.contains(cause) => false,
            Cause { kind: AlertKind::KeyExpiring | AlertKind::AuthorizerLeft, .. } => is_new,
            Cause { subject: Subject::Allowance, .. } => true,
            _ => self.is_over(&catalog, alert, now),
        };
        let gone: Vec<_> =
            open.alerts.values().filter(|held| over(&held.alert)).map(|held| held.alert.cause.clone()).collect();
        for cause in gone {
            self.close(&mut open, &cause).await?;
        }
        self.forget_connections(&catalog);
        self.write_seen(&mut open, |since| now.duration_since(since) >= WRITE_SEEN_AFTER).await?;
        drop(open);
        let today = Day::of(now);
        if watch.pruned != Some(today) {
            watch.pruned = Some(today);
            self.prune_alerts(now).await?;
        }
        Ok(())
    }

    /// Whether the cause of an alert that was not found again is gone.
    fn is_over(&self, catalog: &Catalog, alert: &Alert, now: Timestamp) -> bool {
        let rest = now.duration_since(alert.last_seen);
        let is_another_day = Day::of(alert.last_seen) != Day::of(now);
        let key = |id: &ApiKeyId| catalog.api_keys.get(id).filter(|key| key.revoked.is_none());
        match (alert.cause.kind, &alert.cause.subject) {
            (AlertKind::FailedAuthentication, _) => rest > self.failures_within(),
            (_, Subject::Quota(id)) => {
                let used = alert.details["used"].as_u64().unwrap_or_default();
                let is_close = |quota| percent(used, quota) >= self.alerts.settings.limit_percent;
                is_another_day || !key(id).and_then(|key| self.limits.of(key).daily_quota).is_some_and(is_close)
            }
            (_, Subject::Rate(id)) => {
                rest > RATE_AT_REST || key(id).is_none_or(|key| self.limits.of(key).rate_per_minute.is_none())
            }
            (_, Subject::Key(id)) => is_another_day || key(id).is_none(),
            (_, Subject::Connection(id)) => !catalog.connections.contains_key(id),
            (_, Subject::Trigger(id)) => !catalog.schedules.contains_key(id) && !catalog.app_triggers.contains_key(id),
            _ => false,
        }
    }

    fn failures_found(&self, catalog: &Catalog, now: Timestamp) -> Vec<Finding> {
        let within = self.failures_within();
        let found = self.alerts.failures.take(self.alerts.settings.failed_authentications, now, within);
        let found = together(found).into_iter();
        found.map(|(source, failed)| failures_finding(catalog, source, &failed, within)).collect()
    }

    /// Keys that are used more than is usual, or close to their limits.
    fn usage_found(&self, watch: &mut Watch, catalog: &Catalog, now: Timestamp) -> Result<Vec<Finding>, ServiceError> {
        let settings = &self.alerts.settings;
        let today = Day::of(now);
        let mut found = Vec::new();
        let busy = self.usage.take_busy(today);
        let ids: HashSet<_> = busy.iter().map(|(id, _)| *id).collect();
        watch.rates.retain(|id, _| ids.contains(id));
        for (id, used) in busy {
            let Some(key) = catalog.api_keys.get(&id) else { continue };
            let KeyLimits { rate_per_minute, daily_quota } = self.limits.of(key);
            if let Some(rate) = rate_per_minute {
                found.extend(watch.rate_found(key, rate, used.fresh, settings.limit_percent, now));
            }
            if used.fresh == 0 {
                continue;
            }
            if let Some(quota) = daily_quota {
                let admitted = self.limits.used_today(&id, now);
                let percent = percent(admitted, quota);
                let text = format!("The API key \"{}\" has used {admitted} of its {quota} requests of today", key.name);
                let details = json!({"key": key.id, "name": key.name, "used": admitted, "limit": quota});
                found.extend(
                    (percent >= settings.limit_percent)
                        .then(|| of_key(key, AlertKind::ApproachingLimit, Subject::Quota(key.id), text, details)),
                );
            }
            if used.today >= settings.volume_minimum {
                let past = self.usage.past(&key.group, &key.id, today, PAST_DAYS)?;
                let (days, factor) = (settings.volume_baseline_days, settings.volume_factor);
                if is_unusual(used.today, &past, days, factor, settings.volume_minimum) {
                    let busiest = past.iter().copied().max().unwrap_or_default();
                    let text = format!(
                        "The API key \"{}\" made {} requests today; on the busiest of the {PAST_DAYS} days before it made {busiest}. If that is not meant, rotate or disable it",
                        key.name, used.today
                    );
                    let details = json!({"key": key.id, "name": key.name, "today": used.today, "busiest": busiest});
                    found.push(of_key(key, AlertKind::UnusualVolume, Subject::Key(key.id), text, details));
                }
            }
        }
        Ok(found)
    }

    fn allowances_found(&self, catalog: &Catalog, now: Timestamp) -> Vec<Finding> {
        let mut found = Vec::new();
        for group in catalog.groups.values() {
            let Some(allowance) = &group.allowance else { continue };
            let spent = self.spending.of(&group.id, now);
            let percent = allowance.percent(&spent);
            if percent >= self.alerts.settings.limit_percent {
                found.push(Finding {
                    cause: Cause {
                        group: Some(group.id.clone()),
                        kind: AlertKind::ApproachingLimit,
                        subject: Subject::Allowance,
                    },
                    environment: None,
                    message: format!("The group has spent {percent} % of this month's allowance. When it is spent, runs are refused; an owner can raise it"),
                    details: json!({"percent": percent, "runs": spent.runs, "run_seconds": spent.run_us / 1_000_000, "allowance": allowance}),
                    more: 0,
                });
            }
        }
        found
    }

    /// Keys that end soon. There may be a million keys to look at, so it is done beside the requests.
    async fn expiring_found(&self, catalog: Arc<Catalog>, now: Timestamp) -> Result<Vec<Finding>, ServiceError> {
        let soon = SignedDuration::from_hours(24 * i64::from(self.alerts.settings.expiring_days));
        let looking = tokio::task::spawn_blocking(move || expiring_keys(&catalog, now, soon));
        looking.await.map_err(ServiceError::internal("looking for keys that expire"))
    }

    /// Lets go of alerts that were closed long ago.
    async fn prune_alerts(&self, now: Timestamp) -> Result<(), ServiceError> {
        let keep = SignedDuration::from_hours(24 * i64::from(self.alerts.settings.keep_days));
        let mut after: Option<String> = None;
        let mut closed_of: HashMap<String, usize> = HashMap::new();
        loop {
            let page = self.store.scan(ALERTS, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("looking for old alerts"))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut batch = Batch::new();
            for (key, record) in &page {
                let alert: Alert = decode(&record.value)?;
                let Some(closed) = alert.closed else { continue };
                // The newest come first.
                let group = alert.cause.group.map(|group| group.to_string()).unwrap_or_default();
                let count = closed_of.entry(group).or_default();
                *count += 1;
                if now.duration_since(closed) > keep || *count > MAX_CLOSED {
                    batch = batch.delete(key.clone());
                }
            }
            if !batch.is_empty() {
                self.store.commit(batch).await.map_err(ServiceError::internal("deleting old alerts"))?;
            }
        }
    }

    /// Looks for causes until the server stops.
    pub(in crate::service) async fn keep_watch(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stopping.cancelled() => return,
            }
            self.grants.forget_old(self.now());
            if let Err(error) = self.evaluate_alerts().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "alerts could not be evaluated; it is tried again"
                );
            }
        }
    }
}

impl Watch {
    /// Counts a key's requests, and finds whether it has been close to its minute rate for long.
    fn rate_found(&mut self, key: &ApiKey, rate: u32, fresh: u64, percent: u64, now: Timestamp) -> Option<Finding> {
        let entry = self.rates.entry(key.id).or_insert(Rate { since: now, requests: 0, close: 0 });
        entry.requests += fresh;
        let seconds = now.duration_since(entry.since).as_secs().max(0) as u64;
        if seconds < 60 {
            return None;
        }
        let per_minute = entry.requests * 60 / seconds;
        let is_close = per_minute * 100 >= u64::from(rate) * percent;
        *entry = Rate { since: now, requests: 0, close: if is_close { entry.close + 1 } else { 0 } };
        (entry.close >= SUSTAINED_MINUTES).then(|| {
            let text = format!(
                "The API key \"{}\" made {per_minute} requests in a minute, for {} minutes now; its limit is {rate}",
                key.name, entry.close
            );
            let details = json!({"key": key.id, "name": key.name, "per_minute": per_minute, "limit": rate});
            of_key(key, AlertKind::ApproachingLimit, Subject::Rate(key.id), text, details)
        })
    }
}

fn expiring_keys(catalog: &Catalog, now: Timestamp, soon: SignedDuration) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut of_group: HashMap<&GroupId, usize> = HashMap::new();
    for key in catalog.api_keys.values() {
        let Some(end) = key.expires.filter(|end| *end > now && end.duration_since(now) <= soon) else { continue };
        if key.revoked.is_some() || key.disabled {
            continue;
        }
        // More than can be open are not looked at. The keys come in their order, so these are the same each time.
        let count = of_group.entry(&key.group).or_default();
        *count += 1;
        if *count > MAX_OPEN {
            continue;
        }
        let text = format!("The API key \"{}\" expires at {end}. Make a new one, or give it a later expiry", key.name);
        let details = json!({"key": key.id, "name": key.name, "expires": end});
        let finding = of_key(key, AlertKind::KeyExpiring, Subject::Key(key.id), text, details);
        found.push(Finding { more: 0, ..finding });
    }
    found
}

fn percent(used: u64, of: u64) -> u64 {
    used.saturating_mul(100) / of.max(1)
}

fn of_key(key: &ApiKey, kind: AlertKind, subject: Subject, message: String, details: serde_json::Value) -> Finding {
    let cause = Cause { group: Some(key.group.clone()), kind, subject };
    Finding { cause, environment: Some(key.environment.clone()), message, details, more: 1 }
}

/// Failures from few addresses are told apart; whoever sends from many is one cause, and not a storm of alerts.
fn together(found: Vec<(Source, Failed)>) -> Vec<(Source, Failed)> {
    let (addresses, mut found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(source, _)| !matches!(source, Source::Key(_)));
    if addresses.len() <= MAX_TOLD_APART {
        found.extend(addresses);
        return found;
    }
    let all = addresses.into_iter().map(|(_, failed)| failed).reduce(|sum, failed| Failed {
        count: sum.count + failed.count,
        fresh: sum.fresh + failed.fresh,
        last: sum.last.max(failed.last),
        ..sum
    });
    found.extend(all.map(|all| (Source::ManyAddresses, all)));
    found
}

fn failures_finding(catalog: &Catalog, source: Source, failed: &Failed, within: SignedDuration) -> Finding {
    let minutes = within.as_secs() / 60;
    let (times, kind) = (failed.count, AlertKind::FailedAuthentication);
    let last = failed.address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let key = match source {
        Source::Key(id) => catalog.api_keys.get(&id),
        _ => None,
    };
    let Some(key) = key else {
        let (subject, from) = match source {
            Source::Address(address) => (Subject::Address(address), address.to_string()),
            _ => (Subject::ManyAddresses, "many addresses".to_owned()),
        };
        return Finding {
            cause: Cause { group: None, kind, subject },
            environment: None,
            message: format!(
                "{times} requests from {from} within {minutes} minutes carried an API key or a token that is not valid"
            ),
            details: json!({"from": from, "failures": times, "last": failed.last}),
            more: failed.fresh,
        };
    };
    let text = format!(
        "The API key \"{}\" was sent {times} times within {minutes} minutes by somebody who was not let in, last from {last}: with a wrong secret, or it is expired, disabled or revoked",
        key.name
    );
    let details =
        json!({"key": key.id, "name": key.name, "failures": times, "address": failed.address, "last": failed.last});
    Finding { more: failed.fresh, ..of_key(key, kind, Subject::Key(key.id), text, details) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_from_many_addresses_are_one_cause() {
        let failed = |count| Failed {
            since: Timestamp::UNIX_EPOCH,
            count,
            fresh: count,
            last: Timestamp::UNIX_EPOCH,
            address: None,
        };
        let from = |number: u8| (Source::of(std::net::Ipv4Addr::new(10, 0, 0, number).into()), failed(20));
        let key = (Source::Key("abcdefghij12".parse().unwrap()), failed(30));
        let few: Vec<_> = (1..=20).map(from).chain([key]).collect();
        assert_eq!(together(few).len(), 21);
        let many = together((1..=21).map(from).chain([key]).collect());
        let counts: Vec<_> = many.iter().map(|(source, failed)| (*source, failed.count, failed.fresh)).collect();
        assert_eq!(counts, [(key.0, 30, 30), (Source::ManyAddresses, 420, 420)]);
    }
}
