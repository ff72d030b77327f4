//! Reports what the host answers to each case, as `{case: result}`.
//!
//! The mock host of `headgate_sdk::testing` and the real host have to come to the same report, [`EXPECTED`]. The
//! README says what the host has to be given.

mod cases;

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::Value;

/// The report of a host that keeps the contract: JSON, an object of cases.
pub const EXPECTED: &str = include_str!("../expected.json");

/// Runs every case.
#[headgate_sdk::flow]
pub fn conformance(event: Event) -> Result<BTreeMap<&'static str, Value>> {
    let app = Connection::open("app")?;
    let mut report = BTreeMap::new();
    report.insert("event", cases::event(&event));
    cases::calls(&app, &mut report);
    cases::blobs(&app, &mut report);
    cases::run(&app, &mut report);
    cases::requests(&app, &mut report);
    Ok(report)
}
