//! What one key was used for on one day.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::id::FlowId;
use crate::domain::usage::{DAY_HOURS, Day, Hour, MAX_ADDRESSES, MAX_FLOWS, Tally};

/// A day of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDay {
    /// By the hour of the day, 0 to 23, in UTC.
    hours: BTreeMap<u8, Tally>,
    /// By flow, at most [`MAX_FLOWS`] of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flows: BTreeMap<FlowId, Tally>,
    /// All further flows, and requests that reached none.
    #[serde(default)]
    pub elsewhere: Tally,
    /// By the address that requests came from, at most [`MAX_ADDRESSES`] of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<IpAddr, Tally>,
}

impl KeyDay {
    /// Counts requests of an hour.
    pub fn add_hour(&mut self, hour: Hour, tally: &Tally) {
        self.hours.entry(hour.in_day()).or_default().add(tally);
    }

    /// Counts requests to a flow, or to none.
    pub fn add_flow(&mut self, flow: Option<&FlowId>, tally: &Tally) {
        match flow {
            Some(flow) if self.flows.contains_key(flow) || self.flows.len() < MAX_FLOWS => {
                self.flows.entry(flow.clone()).or_default().add(tally);
            }
            _ => self.elsewhere.add(tally),
        }
    }

    /// Counts requests from an address, where there is room for it.
    pub fn add_address(&mut self, address: IpAddr, tally: &Tally) {
        if self.addresses.contains_key(&address) || self.addresses.len() < MAX_ADDRESSES {
            self.addresses.entry(address).or_default().add(tally);
        }
    }

    /// Counts another part of the same day.
    pub fn add(&mut self, more: &Self) {
        for (hour, tally) in &more.hours {
            self.hours.entry(*hour).or_default().add(tally);
        }
        for (flow, tally) in &more.flows {
            self.add_flow(Some(flow), tally);
        }
        self.elsewhere.add(&more.elsewhere);
        for (address, tally) in &more.addresses {
            self.add_address(*address, tally);
        }
    }

    /// Its hours, when it is this day.
    pub fn hours(&self, day: Day) -> impl Iterator<Item = (Hour, &Tally)> {
        self.hours.iter().map(move |(hour, tally)| (Hour(day.0 * DAY_HOURS + i64::from(*hour)), tally))
    }

    /// All of it.
    pub fn total(&self) -> Tally {
        self.hours.values().fold(Tally::default(), |mut sum, tally| {
            sum.add(tally);
            sum
        })
    }
}
