//! What a component would import, answered by this thread's mock host.

use std::rc::Rc;

use super::declared;
use super::egress;
use super::exchange::{self, Request};
use super::host::{BlobState, Line, State};
use super::slot;
use crate::http::{Outgoing, Response};
use crate::log::Level;
use crate::run::Info;
use crate::{Error, Result};

#[derive(Debug)]
pub(crate) struct Blob {
    index: usize,
    state: Rc<BlobState>,
}

/// What an id starts with; the number of the blob follows.
const BLOB_ID: &str = "mock-blob-";

impl Blob {
    pub(crate) fn new(content_type: &str) -> Self {
        let state =
            Rc::new(BlobState { content_type: content_type.into(), bytes: Vec::new().into(), closed: false.into() });
        let host = State::current();
        let mut blobs = host.blobs.borrow_mut();
        blobs.push(state.clone());
        Self { index: blobs.len() - 1, state }
    }

    pub(crate) fn open(id: &str) -> Result<Self> {
        let host = State::current();
        let index = id.strip_prefix(BLOB_ID).and_then(|index| index.parse().ok());
        let state = index.and_then(|index: usize| host.blobs.borrow().get(index).cloned());
        match (index, state) {
            (Some(index), Some(state)) => Ok(Self { index, state }),
            _ => Err(Error::new("blob_not_found", format!("This run has no blob {id}."))),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        let limit = State::current().blob_limit.get();
        let mut content = self.state.bytes.borrow_mut();
        if self.state.closed.get() {
            return Err(Error::new("blob_closed", "The blob was given away and cannot be written any more."));
        }
        if (content.len() + bytes.len()) as u64 > limit {
            return Err(Error::new("blob_too_large", format!("The run's blobs may hold {limit} bytes.")));
        }
        content.extend(bytes);
        Ok(())
    }

    pub(crate) fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        let content = self.state.bytes.borrow();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let end = start.saturating_add(len as usize).min(content.len());
        content[start..end].to_vec()
    }

    pub(crate) fn size(&self) -> u64 {
        self.state.bytes.borrow().len() as u64
    }

    pub(crate) fn content_type(&self) -> String {
        self.state.content_type.clone()
    }

    pub(crate) fn id(&self) -> String {
        self.state.closed.set(true);
        format!("{BLOB_ID}{}", self.index)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    slot: String,
}

impl Connection {
    pub(crate) fn open(slot: &str) -> Result<Self> {
        declared::check(slot)?;
        if State::current().slots.borrow().contains_key(slot) {
            return Ok(Self { slot: slot.into() });
        }
        Err(Error::new("slot_unbound", format!("The slot {slot} is bound to no connection.")))
    }

    pub(crate) fn call(&self, method: &str, input: &str) -> Result<String> {
        slot::call(&State::current(), &self.slot, method, input)
    }
}

pub(crate) fn call_all(calls: Vec<(&Connection, String, String)>) -> Vec<Result<String>> {
    calls.into_iter().map(|(connection, method, input)| connection.call(&method, &input)).collect()
}

pub(crate) fn config(name: &str) -> Option<String> {
    State::current().grant().config.borrow().get(name).cloned()
}

pub(crate) fn run_info() -> Info {
    State::current().run.borrow().clone()
}

pub(crate) fn log(level: Level, message: &str) {
    State::current().lines.borrow_mut().push(Line { level, message: message.into() });
}

pub(crate) fn send(outgoing: Outgoing) -> Result<Response> {
    let host = State::current();
    let limit = outgoing.limit;
    let request = Request::from(outgoing);
    host.requests.borrow_mut().push(request.clone());
    egress::check(&host.grant(), &request)?;
    let response = exchange::answer(&host, &request)?;
    if response.bytes.len() > limit {
        return Err(Error::new("response_too_large", format!("The app's answer is larger than {limit} bytes.")));
    }
    Ok(response)
}
