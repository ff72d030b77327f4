//! The imports of a component.

use crate::bindings::connector::headgate::runtime::connection as wit_connection;
use crate::bindings::flow::headgate::runtime::{blobs, connections, run, types};
use crate::log::Level;
use crate::{Error, Result, run::Info};

#[derive(Debug)]
pub(crate) struct Blob(pub(crate) blobs::Blob);

impl Blob {
    pub(crate) fn new(content_type: &str) -> Self {
        Self(blobs::Blob::new(content_type))
    }

    pub(crate) fn open(id: &str) -> Result<Self> {
        Ok(Self(blobs::open(id).map_err(lift)?))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes).map_err(lift)
    }

    pub(crate) fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        self.0.read(offset, len)
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }

    pub(crate) fn content_type(&self) -> String {
        self.0.content_type()
    }

    pub(crate) fn id(&self) -> String {
        self.0.id()
    }
}

#[derive(Debug)]
pub(crate) struct Connection(connections::Connection);

impl Connection {
    pub(crate) fn open(slot: &str) -> Result<Self> {
        connections::open(slot).map(Self).map_err(lift)
    }

    pub(crate) fn call(&self, method: &str, input: &str) -> Result<String> {
        self.0.call(method, input).map_err(lift)
    }
}

pub(crate) fn call_all(calls: Vec<(&Connection, String, String)>) -> Vec<Result<String>> {
    let requests: Vec<_> = calls
        .into_iter()
        .map(|(connection, method, input)| connections::Request { connection: &connection.0, method, input })
        .collect();
    connections::call_all(&requests).into_iter().map(|result| result.map_err(lift)).collect()
}

pub(crate) fn config(name: &str) -> Option<String> {
    wit_connection::config(name)
}

pub(crate) fn run_info() -> Info {
    let run::Info { id, attempt, environment, flow, caller } = run::current();
    Info { id, attempt, environment, flow, caller }
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => run::Level::Debug,
        Level::Info => run::Level::Info,
        Level::Warn => run::Level::Warn,
        Level::Error => run::Level::Error,
    };
    run::log(level, message);
}

/// An error as it comes from the host.
pub(crate) fn lift(error: types::Error) -> Error {
    Error {
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        details: error.details.and_then(|details| serde_json::from_str(&details).ok()),
    }
}

/// An error as it goes to the host.
pub(crate) fn lower(error: Error) -> types::Error {
    types::Error {
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        details: error.details.map(|details| details.to_string()),
    }
}
