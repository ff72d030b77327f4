use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::exchange::{Exchange, Expect, Request};
use super::slot::{Binding, Call, Slot};
use crate::log::Level;
use crate::manifest::Manifest;
use crate::run::Info;
use crate::{Connector, Error, Result};

/// A blob's limit until a test sets another, in bytes.
const BLOB_LIMIT: u64 = 64 * 1024 * 1024;

thread_local! {
    /// Guests have one host, which they do not pass around; so has a test's thread.
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// The host of this thread, until it is dropped.
///
/// Dropping it fails the test when an expected request was not made.
#[derive(Debug)]
pub struct Host {
    pub(super) state: Rc<State>,
}

/// A line of the run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How loud it is.
    pub level: Level,
    /// What it says.
    pub message: String,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) run: RefCell<Info>,
    pub(super) lines: RefCell<Vec<Line>>,
    pub(super) blobs: RefCell<Vec<Rc<BlobState>>>,
    pub(super) blob_limit: Cell<u64>,
    pub(super) slots: RefCell<BTreeMap<String, Rc<Binding>>>,
    pub(super) calls: RefCell<Vec<Call>>,
    pub(super) exchanges: RefCell<Vec<Exchange>>,
    pub(super) requests: RefCell<Vec<Request>>,
    /// The connections in whose name code runs at the moment; the innermost is the last.
    pub(super) grants: RefCell<Vec<Rc<Grant>>>,
}

#[derive(Debug)]
pub(super) struct BlobState {
    pub(super) content_type: String,
    pub(super) bytes: RefCell<Vec<u8>>,
    pub(super) closed: Cell<bool>,
}

/// What a connector may reach and know.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// Without one every host may be reached.
    pub(super) manifest: Option<Manifest>,
    pub(super) config: RefCell<BTreeMap<String, String>>,
}

impl Grant {
    pub(super) fn of<C: Connector>() -> Self {
        let manifest = C::describe();
        let defaults = manifest.config.iter().filter_map(|field| Some((field.name.clone(), field.default.clone()?)));
        Self { config: RefCell::new(defaults.collect()), manifest: Some(manifest) }
    }
}

impl Host {
    /// A host that grants nothing yet, for flows, and for connectors' methods called by themselves.
    ///
    /// # Panics
    /// When this thread has one already.
    #[expect(clippy::new_without_default, reason = "making a host changes what this thread's imports do")]
    pub fn new() -> Self {
        Self::with(Grant::default())
    }

    /// A host for a connector's test: settings have their defaults, and only what the manifest allows can be reached.
    ///
    /// # Panics
    /// When this thread has one already, and when the manifest has faults.
    pub fn of<C: Connector>() -> Self {
        let grant = Grant::of::<C>();
        let faults = grant.manifest.as_ref().map(Manifest::faults).unwrap_or_default();
        assert!(faults.is_empty(), "the connector's manifest has faults: {}", faults.join("; "));
        Self::with(grant)
    }

    fn with(grant: Grant) -> Self {
        let run = Info {
            id: "01890000-0000-7000-8000-000000000001".into(),
            attempt: 1,
            environment: "test".into(),
            flow: "under-test".into(),
            caller: "Key: test".into(),
        };
        let state = Rc::new(State {
            run: RefCell::new(run),
            lines: RefCell::default(),
            blobs: RefCell::default(),
            blob_limit: Cell::new(BLOB_LIMIT),
            slots: RefCell::default(),
            calls: RefCell::default(),
            exchanges: RefCell::default(),
            requests: RefCell::default(),
            grants: RefCell::new(vec![Rc::new(grant)]),
        });
        let before = CURRENT.replace(Some(state.clone()));
        assert!(before.is_none(), "this thread has a headgate_sdk::testing::Host already");
        Self { state }
    }

    /// Sets a non-secret setting of the connection that the connector under test works for.
    pub fn config(&self, name: &str, value: &str) -> &Self {
        let grant = self.state.grants.borrow()[0].clone();
        grant.config.borrow_mut().insert(name.into(), value.into());
        self
    }

    /// Expects a request, once. `path` is the path without query, or a whole URL.
    pub fn http(&self, method: &str, path: &str) -> Expect<'_> {
        Expect::new(self, method, path)
    }

    /// Binds a slot; says what its connection answers.
    pub fn slot(&self, name: &str) -> Slot<'_> {
        Slot::bind(self, name)
    }

    /// Sets what the run says of itself.
    pub fn run(&self, info: Info) -> &Self {
        self.state.run.replace(info);
        self
    }

    /// Sets how large a blob may be, in bytes.
    pub fn blob_limit(&self, bytes: u64) -> &Self {
        self.state.blob_limit.set(bytes);
        self
    }

    /// The calls made so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.borrow().clone()
    }

    /// The requests made so far, in order; also those that were refused.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.borrow().clone()
    }

    /// The log so far.
    pub fn logs(&self) -> Vec<Line> {
        self.state.lines.borrow().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        CURRENT.set(None);
        let missing: Vec<String> = self.state.exchanges.take().iter().map(ToString::to_string).collect();
        // A test that fails already is not failed a second time, which would abort it.
        if !std::thread::panicking() {
            assert!(missing.is_empty(), "expected requests were not made: {}", missing.join(", "));
        }
    }
}

impl State {
    /// This thread's host.
    pub(super) fn current() -> Rc<Self> {
        CURRENT.with_borrow(|state| match state {
            Some(state) => state.clone(),
            None => panic!("make a headgate_sdk::testing::Host first, and keep it to the end of the test"),
        })
    }

    pub(super) fn grant(&self) -> Rc<Grant> {
        self.grants.borrow().last().cloned().unwrap_or_default()
    }

    /// Runs something in the name of another connection.
    pub(super) fn as_granted<T>(&self, grant: &Rc<Grant>, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.grants.borrow_mut().push(grant.clone());
        let result = run();
        self.grants.borrow_mut().pop();
        result
    }
}
