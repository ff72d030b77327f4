//! Reading usage: what was written, and what waits in memory to be written.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, Name};
use crate::domain::permission::Action;
use crate::domain::usage::{
    Allowance, Day, Hour, KeyDay, KeyTotal, LastUsed, MAX_ADDRESSES, MAX_FLOWS, Month, Spent, Tally, UsageRange,
};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys;
use crate::service::error::ServiceError;
use crate::service::usage::UsageBook;
use crate::service::usage::writer::{read, total_key};

/// Keys named in one answer. What further keys were used for is counted in the group's sums only.
pub const MAX_KEYS: usize = 1_000;
/// Flows named in one answer; the rest is counted together.
const MAX_NAMED_FLOWS: usize = 10 * MAX_FLOWS;
/// Addresses named in one answer.
const MAX_NAMED_ADDRESSES: usize = 10 * MAX_ADDRESSES;

/// What a key was used for in a range.
#[derive(Debug, Clone)]
pub struct KeyUsage {
    /// Its id.
    pub key: ApiKeyId,
    /// Its name, or the one it had when it was deleted.
    pub name: Name,
    /// Where it works.
    pub environment: Environment,
    /// Whether there is no such key any more.
    pub deleted: bool,
    /// Its last use, whenever that was.
    pub last: Option<LastUsed>,
    /// Everything it was ever used for.
    pub ever: Tally,
    /// What it was used for in the range.
    pub sum: Tally,
    /// The same by the beginning of each period in which it was used.
    pub periods: BTreeMap<Hour, Tally>,
    /// The same by flow, on whole days.
    pub flows: FlowUsage,
    /// The same by the address that requests came from, on whole days.
    pub addresses: BTreeMap<IpAddr, Tally>,
}

/// What was used of flows.
#[derive(Debug, Clone, Default)]
pub struct FlowUsage {
    /// By flow, with the flow's name while it exists.
    pub flows: BTreeMap<FlowId, (Option<Name>, Tally)>,
    /// Further flows, and requests that reached none.
    pub elsewhere: Tally,
}

/// What a group's keys were used for in a range.
#[derive(Debug, Clone)]
pub struct GroupUsage {
    /// Everything.
    pub sum: Tally,
    /// The same by the beginning of each period.
    pub periods: BTreeMap<Hour, Tally>,
    /// The same by key, at most [`MAX_KEYS`] of them.
    pub keys: Vec<KeyUsage>,
    /// The same by flow, on whole days.
    pub flows: FlowUsage,
    /// The present month.
    pub month: Month,
    /// What the group spent in it.
    pub spent: Spent,
    /// What the group may spend in it.
    pub allowance: Option<Allowance>,
}

/// Days in memory that are not yet written, and what is known of their key.
type Waiting = BTreeMap<ApiKeyId, (KeyTotal, Vec<(Day, KeyDay)>)>;

impl FlowUsage {
    fn add(&mut self, day: &KeyDay) {
        for (flow, tally) in &day.flows {
            self.add_flow(flow, None, tally);
        }
        self.elsewhere.add(&day.elsewhere);
    }

    fn add_flow(&mut self, flow: &FlowId, name: Option<&Name>, tally: &Tally) {
        if self.flows.len() < MAX_NAMED_FLOWS || self.flows.contains_key(flow) {
            let known = self.flows.entry(flow.clone()).or_insert_with(|| (name.cloned(), Tally::default()));
            known.1.add(tally);
        } else {
            self.elsewhere.add(tally);
        }
    }

    fn add_all(&mut self, more: &Self) {
        for (flow, (name, tally)) in &more.flows {
            self.add_flow(flow, name.as_ref(), tally);
        }
        self.elsewhere.add(&more.elsewhere);
    }
}

impl KeyUsage {
    fn add_day(&mut self, range: &UsageRange, day: Day, counted: &KeyDay) {
        let mut used = false;
        for (hour, tally) in counted.hours(day).filter(|(hour, _)| range.hours.contains(hour)) {
            self.sum.add(tally);
            self.periods.entry(range.by.begin(hour)).or_default().add(tally);
            used = true;
        }
        if used {
            self.flows.add(counted);
            for (address, tally) in &counted.addresses {
                if self.addresses.len() < MAX_NAMED_ADDRESSES || self.addresses.contains_key(address) {
                    self.addresses.entry(*address).or_default().add(tally);
                }
            }
        }
    }
}

impl UsageBook {
    /// What waits to be written of some keys.
    fn waiting(&self, wanted: impl Fn(&GroupId, &ApiKeyId) -> bool) -> Waiting {
        let mut waiting = Waiting::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, counted) in shard.iter().filter(|(id, counted)| wanted(&counted.group, id)) {
                let total = KeyTotal {
                    group: counted.group.clone(),
                    name: counted.name.clone(),
                    environment: counted.environment.clone(),
                    total: counted.total(),
                    last: counted.last,
                };
                waiting.insert(*id, (total, counted.days()));
            }
        }
        waiting
    }

    /// The ids of a group's keys that were ever used, as far as that is still kept, in their order.
    fn written_keys(&self, group: &GroupId) -> Result<Vec<ApiKeyId>, ServiceError> {
        let prefix = format!("usage/{group}/");
        let mut keys = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let next =
                self.store.scan(&prefix, after.as_deref(), 1).map_err(ServiceError::internal("reading usage"))?;
            let Some((key, _)) = next.first() else { return Ok(keys) };
            let id = key.strip_prefix(&prefix).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            // No day of this key comes after a tilde.
            after = Some(format!("{prefix}{id}/~"));
            keys.push(id.parse()?);
        }
    }

    /// A key's usage; `None` for a key that was never used.
    fn of_key(
        &self,
        group: &GroupId,
        key: &ApiKeyId,
        range: &UsageRange,
        waiting: &Waiting,
    ) -> Result<Option<KeyUsage>, ServiceError> {
        let written = read::<KeyTotal>(self.store.as_ref(), &total_key(key))?.filter(|total| total.group == *group);
        let fresh = waiting.get(key).filter(|(total, _)| total.group == *group);
        let Some(known) = fresh.map(|(total, _)| total).or(written.as_ref()) else { return Ok(None) };
        let mut usage = KeyUsage {
            key: *key,
            name: known.name.clone(),
            environment: known.environment.clone(),
            deleted: false,
            last: Some(known.last),
            ever: written.as_ref().map(|total| total.total).unwrap_or_default(),
            sum: Tally::default(),
            periods: BTreeMap::new(),
            flows: FlowUsage::default(),
            addresses: BTreeMap::new(),
        };
        let prefix = format!("usage/{group}/{key}/");
        let before = Day(range.hours.start.day().0 - 1);
        let days = self.store.scan(&prefix, Some(&format!("{prefix}{before}")), range.days().count());
        for (name, record) in days.map_err(ServiceError::internal("reading usage"))? {
            let date = name.strip_prefix(&prefix).and_then(|date| date.parse().ok());
            if let Some(day) = date.and_then(Day::of_date) {
                usage.add_day(range, day, &crate::service::record::decode(&record.value)?);
            }
        }
        if let Some((total, days)) = fresh {
            usage.ever.add(&total.total);
            for (day, counted) in days {
                usage.add_day(range, *day, counted);
            }
        }
        Ok(Some(usage))
    }
}

impl Service {
    /// What a key was used for in a range. A key that was deleted is known by its id.
    pub async fn key_usage(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
        range: UsageRange,
    ) -> Result<KeyUsage, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ReadUsage)?;
        let not_found = || ServiceError::NotFound { what: "API key" };
        let known = api_keys::find(&catalog, group, key).ok();
        let id = known.as_ref().map(|key| key.id).or_else(|| key.parse().ok()).ok_or_else(not_found)?;
        let _settled = self.usage.moving.lock().await;
        let (service, of) = (self.clone(), group.clone());
        let found = tokio::task::spawn_blocking(move || {
            let waiting = service.usage.waiting(|group, key| (group, key) == (&of, &id));
            service.usage.of_key(&of, &id, &range, &waiting)
        });
        let found = found.await.map_err(ServiceError::internal("reading usage"))??;
        let unused = known.map(|key| KeyUsage {
            key: id,
            name: key.name.clone(),
            environment: key.environment.clone(),
            deleted: false,
            last: None,
            ever: Tally::default(),
            sum: Tally::default(),
            periods: BTreeMap::new(),
            flows: FlowUsage::default(),
            addresses: BTreeMap::new(),
        });
        let mut usage = found.or(unused).ok_or_else(not_found)?;
        self.name_things(&mut usage);
        if actor.sees_environment(&usage.environment) { Ok(usage) } else { Err(not_found()) }
    }

    /// What a group's keys were used for in a range, and what the group spent this month. A key sees the keys of its
    /// environment.
    pub async fn group_usage(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        range: UsageRange,
    ) -> Result<GroupUsage, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ReadUsage)?;
        let known = catalog.groups.get(group).ok_or(ServiceError::NotFound { what: "Group" })?;
        let _settled = self.usage.moving.lock().await;
        let (service, actor, of) = (self.clone(), actor.clone(), group.clone());
        let reading = tokio::task::spawn_blocking(move || service.read_group(&actor, &of, &range));
        let (sum, periods, keys, flows) = reading.await.map_err(ServiceError::internal("reading usage"))??;
        let now = self.now();
        let (month, spent) = (Month::of(now), self.spending.of(group, now));
        Ok(GroupUsage { sum, periods, keys, flows, month, spent, allowance: known.allowance })
    }

    #[expect(clippy::type_complexity, reason = "it is taken apart where it is called, and nowhere else")]
    fn read_group(
        &self,
        actor: &Actor,
        group: &GroupId,
        range: &UsageRange,
    ) -> Result<(Tally, BTreeMap<Hour, Tally>, Vec<KeyUsage>, FlowUsage), ServiceError> {
        let waiting = self.usage.waiting(|of, _| of == group);
        let mut ids = self.usage.written_keys(group)?;
        ids.extend(waiting.keys());
        ids.sort_unstable();
        ids.dedup();
        let (mut sum, mut periods) = (Tally::default(), BTreeMap::<Hour, Tally>::new());
        let (mut keys, mut flows) = (Vec::new(), FlowUsage::default());
        for id in ids {
            let Some(mut usage) = self.usage.of_key(group, &id, range, &waiting)? else { continue };
            self.name_things(&mut usage);
            if usage.sum.requests == 0 || !actor.sees_environment(&usage.environment) {
                continue;
            }
            sum.add(&usage.sum);
            for (hour, tally) in &usage.periods {
                periods.entry(*hour).or_default().add(tally);
            }
            flows.add_all(&usage.flows);
            if keys.len() < MAX_KEYS {
                keys.push(usage);
            }
        }
        Ok((sum, periods, keys, flows))
    }

    /// Names a key and its flows as they are named now.
    fn name_things(&self, usage: &mut KeyUsage) {
        let catalog = self.catalog.load();
        match catalog.api_keys.get(&usage.key) {
            Some(key) => usage.name = key.name.clone(),
            None => usage.deleted = true,
        }
        for (id, (name, _)) in &mut usage.flows.flows {
            *name = catalog.flows.get(id).map(|flow| flow.name.clone());
        }
    }

    /// What a group spent in the present month, for somebody who may see the group.
    pub fn spent(&self, group: &GroupId) -> (Month, Spent) {
        let now: Timestamp = self.now();
        (Month::of(now), self.spending.of(group, now))
    }
}
