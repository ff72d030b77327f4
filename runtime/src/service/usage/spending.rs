//! What groups spend of their monthly allowance, counted at the end of each run.
//!
//! A month of a group lies at `spent/{group}/{month}`; it is written with the usage of keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::domain::group::Group;
use crate::domain::id::GroupId;
use crate::domain::usage::{Month, Spent};
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::store::{Batch, Store};

const SPENT: &str = "spent/";
/// Records read, or written, at a time.
const PAGE: usize = 1000;

/// What all groups spent in the present month.
pub(in crate::service) struct Spending {
    store: Arc<dyn Store>,
    groups: Arc<Mutex<HashMap<GroupId, Account>>>,
}

struct Account {
    month: Month,
    spent: Spent,
    /// Runs that were admitted and have not ended.
    running: u64,
    written: Spent,
}

/// A run that was admitted: it counts as under way until this is dropped.
pub(in crate::service) struct Running {
    groups: Arc<Mutex<HashMap<GroupId, Account>>>,
    group: GroupId,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(account) = lock(&self.groups).get_mut(&self.group) {
            account.running -= 1;
        }
    }
}

// A panic under the lock leaves counts that are whole.
fn lock(groups: &Mutex<HashMap<GroupId, Account>>) -> MutexGuard<'_, HashMap<GroupId, Account>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record_key(group: &GroupId, month: Month) -> String {
    format!("{SPENT}{group}/{month}")
}

impl Account {
    fn of(month: Month) -> Self {
        Self { month, spent: Spent::default(), running: 0, written: Spent::default() }
    }

    /// A new month begins with nothing spent; what is under way stays so.
    fn turn_to(&mut self, month: Month) {
        // A clock that is a little behind goes on with the month that another came to.
        if self.month < month {
            *self = Self { running: self.running, ..Self::of(month) };
        }
    }
}

impl Spending {
    /// Reads what was spent in the present month.
    pub(in crate::service) fn read(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, ServiceError> {
        let month = Month::of(now);
        let mut groups = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(SPENT, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading what groups spent"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, record) in page {
                let group = key.strip_prefix(SPENT).and_then(|rest| rest.strip_suffix(&format!("/{month}")));
                if let Some(group) = group {
                    let spent: Spent = decode(&record.value)?;
                    groups.insert(group.parse()?, Account { spent, written: spent, ..Account::of(month) });
                }
            }
        }
        Ok(Self { store, groups: Arc::new(Mutex::new(groups)) })
    }

    /// Lets a run of a group begin, unless its allowance is spent, runs under way included.
    pub(in crate::service) fn admit(&self, group: &Group, now: Timestamp) -> Result<Running, ServiceError> {
        let month = Month::of(now);
        let mut groups = lock(&self.groups);
        let account = groups.entry(group.id.clone()).or_insert_with(|| Account::of(month));
        account.turn_to(month);
        let exhausted = group.allowance.and_then(|allowance| allowance.exhausted(&account.spent, account.running));
        if let Some(what) = exhausted {
            let (until, group) = (month.end(), group.id.clone());
            let wait = until.duration_since(now).as_secs_f64().ceil().max(1.0) as u64;
            return Err(ServiceError::AllowanceSpent {
                group,
                what,
                until,
                retry_after: std::time::Duration::from_secs(wait),
            });
        }
        account.running += 1;
        Ok(Running { groups: self.groups.clone(), group: group.id.clone() })
    }

    /// Lets a run begin that was admitted before the server's last end.
    pub(in crate::service) fn admit_again(&self, group: &GroupId, now: Timestamp) -> Running {
        let month = Month::of(now);
        lock(&self.groups).entry(group.clone()).or_insert_with(|| Account::of(month)).running += 1;
        Running { groups: self.groups.clone(), group: group.clone() }
    }

    /// Counts a run that has ended. Its [`Running`] is to be dropped after this.
    pub(in crate::service) fn ended(&self, group: &GroupId, duration_us: u64, now: Timestamp) {
        let month = Month::of(now);
        let mut groups = lock(&self.groups);
        let account = groups.entry(group.clone()).or_insert_with(|| Account::of(month));
        account.turn_to(month);
        account.spent.runs += 1;
        account.spent.run_us = account.spent.run_us.saturating_add(duration_us);
    }

    /// What a group spent in the present month.
    pub(in crate::service) fn of(&self, group: &GroupId, now: Timestamp) -> Spent {
        let month = Month::of(now);
        lock(&self.groups)
            .get(group)
            .filter(|account| account.month == month)
            .map(|account| account.spent)
            .unwrap_or_default()
    }

    /// Writes what changed.
    pub(super) async fn write(&self) -> Result<(), ServiceError> {
        let changed: Vec<_> = {
            let groups = lock(&self.groups);
            let changed = groups.iter().filter(|(_, account)| account.spent != account.written);
            changed.map(|(group, account)| (group.clone(), account.month, account.spent)).collect()
        };
        for part in changed.chunks(PAGE) {
            let put = |batch: Batch, (group, month, spent): &(GroupId, Month, Spent)| {
                batch.put(record_key(group, *month), encode(spent))
            };
            let batch = part.iter().fold(Batch::new(), put);
            self.store.commit(batch).await.map_err(ServiceError::internal("writing what groups spent"))?;
            let mut groups = lock(&self.groups);
            for (group, month, spent) in part {
                if let Some(account) = groups.get_mut(group).filter(|account| account.month == *month) {
                    account.written = *spent;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Environment;
    use crate::domain::usage::Allowance;
    use crate::store::MemoryStore;

    fn group(runs: u64) -> Group {
        let mut group = Group::new("acme".parse().unwrap(), vec![Environment::production()], Timestamp::UNIX_EPOCH);
        group.allowance = Some(Allowance { runs_per_month: Some(runs), run_seconds_per_month: None });
        group
    }

    #[tokio::test]
    async fn an_allowance_is_never_exceeded_and_begins_anew() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let now: Timestamp = "2026-11-30T23:59:50Z".parse().unwrap();
        let spending = Spending::read(store.clone(), now).unwrap();
        let group = group(3);
        let first = spending.admit(&group, now).unwrap();
        let _second = spending.admit(&group, now).unwrap();
        let third = spending.admit(&group, now).unwrap();
        let refused = spending.admit(&group, now).err().unwrap();
        let ServiceError::AllowanceSpent { retry_after, .. } = &refused else { panic!("{refused}") };
        assert_eq!(retry_after.as_secs(), 10);
        // One that ended counts as much as one under way; one that never ran gives its place back.
        spending.ended(&group.id, 1_500_000, now);
        drop(first);
        assert!(spending.admit(&group, now).is_err());
        drop(third);
        assert!(spending.admit(&group, now).is_ok());

        spending.write().await.unwrap();
        let again = Spending::read(store, now).unwrap();
        assert_eq!(again.of(&group.id, now), Spent { runs: 1, run_us: 1_500_000 });
        let _held = again.admit_again(&group.id, now);
        let _held_too = again.admit_again(&group.id, now);
        assert!(again.admit(&group, now).is_err());
        let next: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert!(again.admit(&group, next).is_ok());
        assert_eq!(again.of(&group.id, next), Spent::default());
    }
}
