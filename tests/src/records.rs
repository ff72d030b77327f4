//! Records of a store, changed behind the server's back.

use std::path::Path;

use headgate::store::{Batch, Database, Options};
use serde_json::Value;

use crate::TestApp;

/// Reads or changes a store that no server has open.
///
/// # Panics
/// Inside of an async runtime: see [`tampered`].
pub fn tamper(data: &Path, change: impl FnOnce(&Database) -> Batch) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = Database::open(data, &Options::default()).unwrap();
    let batch = change(&database);
    runtime.block_on(database.records.commit(batch)).unwrap();
    runtime.block_on(database.close()).unwrap();
}

/// Stops the server, changes records, and starts it again.
pub async fn tampered(app: TestApp, change: impl FnOnce(&Database) -> Batch + Send + 'static) -> TestApp {
    app.restart_after(|data| {
        let data = data.to_owned();
        std::thread::spawn(move || tamper(&data, change)).join().unwrap();
    })
    .await
}

/// The records whose keys begin so, with what they hold.
pub fn records(database: &Database, prefix: &str) -> Vec<(String, Value)> {
    let records = database.records.scan(prefix, None, 10_000).unwrap();
    records.into_iter().map(|(key, record)| (key, serde_json::from_slice(&record.value).unwrap())).collect()
}
