//! What is remembered of connections' use: in memory, written every ten seconds, so a crash loses at most that much of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::connection::{Connection, HealthRecord, TestReport, TestResult};
use crate::domain::id::ConnectionId;
use crate::service::Service;
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::record::{decode, encode};
use crate::store::{Batch, Store};

const PREFIX: &str = "connection-health/";
/// Records read or written at a time.
const PAGE: usize = 1000;

/// Where the record of a connection's use lies.
pub(super) fn key(connection: &Connection) -> String {
    format!("{PREFIX}{}/{}", connection.group, connection.id)
}

/// What is remembered of all connections.
pub(in crate::service) struct HealthBook {
    store: Arc<dyn Store>,
    held: Mutex<HashMap<ConnectionId, Held>>,
}

#[derive(Default)]
struct Held {
    record: HealthRecord,
    is_written: bool,
}

impl HealthBook {
    /// Reads what was written of the connections there are.
    pub(in crate::service) fn read(store: Arc<dyn Store>, catalog: &Catalog) -> Result<Self, ServiceError> {
        let mut held = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(PREFIX, after.as_deref(), PAGE);
            let page = page.map_err(ServiceError::internal("reading the health of connections"))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, value) in &page {
                let id = key.rsplit('/').next().and_then(|id| id.parse::<ConnectionId>().ok());
                if let Some(id) = id.filter(|id| catalog.connections.contains_key(id)) {
                    held.insert(id, Held { record: decode(&value.value)?, is_written: true });
                }
            }
        }
        Ok(Self { store, held: Mutex::new(held) })
    }

    /// What is remembered of a connection.
    pub(super) fn get(&self, id: &ConnectionId) -> HealthRecord {
        self.lock().get(id).map(|held| held.record.clone()).unwrap_or_default()
    }

    /// Lets go of a connection that was deleted.
    pub(super) fn forget(&self, id: &ConnectionId) {
        self.lock().remove(id);
    }

    fn change(&self, id: &ConnectionId, change: impl FnOnce(&mut HealthRecord)) {
        let mut held = self.lock();
        if !held.contains_key(id) {
            held.insert(id.clone(), Held::default());
        }
        if let Some(held) = held.get_mut(id) {
            change(&mut held.record);
            held.is_written = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, Held>> {
        // A panic under the lock leaves records that are whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what changed. What cannot be written is written the next time.
    pub(in crate::service) async fn write(&self, catalog: &Catalog) -> Result<(), ServiceError> {
        loop {
            let mut batch = Batch::new();
            let mut taken = Vec::new();
            {
                let mut held = self.lock();
                // Calls that were under way when their connection was deleted came too late.
                held.retain(|id, _| catalog.connections.contains_key(id));
                for (id, held) in held.iter_mut().filter(|(_, held)| !held.is_written).take(PAGE) {
                    let Some(connection) = catalog.connections.get(id) else { continue };
                    batch = batch.put(key(connection), encode(&held.record));
                    held.is_written = true;
                    taken.push(id.clone());
                }
            }
            if taken.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.commit(batch).await {
                let mut held = self.lock();
                for id in taken {
                    held.entry(id).and_modify(|held| held.is_written = false);
                }
                return Err(ServiceError::internal("writing the health of connections")(error));
            }
        }
    }
}

impl Service {
    /// Notes a call of a method through a connection, and how it ended. The message holds no secret.
    pub(in crate::service) fn note_use(&self, connection: &Connection, method: &str, error: Option<&str>) {
        let catalog = self.catalog.load();
        let connector = catalog.connector(&connection.group, &connection.connector);
        // A flow may ask for methods that do not exist.
        if connector.is_some_and(|connector| connector.manifest.methods.iter().any(|known| known.name == method)) {
            self.health.change(&connection.id, |record| record.note_call(self.now(), method, error));
        }
    }

    /// Notes a test of a connection. One that succeeded shows that the app takes its credentials again.
    pub(super) fn note_test(self: &Arc<Self>, connection: &Arc<Connection>, report: TestReport) {
        if report.result == TestResult::Valid {
            self.note_call(connection, None);
        }
        self.health.change(&connection.id, |record| record.note_test(report));
    }

    /// Forgets what was found with credentials that a connection has no more, and closes its alert.
    pub(super) async fn forget_credentials(&self, connection: &Connection) -> Result<(), ServiceError> {
        self.health.change(&connection.id, HealthRecord::forget_credentials);
        self.forget_refusals(connection);
        self.alert_connection_restored(connection).await
    }
}
