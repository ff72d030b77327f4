use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host::{Grant, Host, State};
use crate::{Connector, Error, Result, connector};

/// A slot of the flow under test.
#[derive(Debug)]
pub struct Slot<'a> {
    host: &'a Host,
    name: String,
    binding: Rc<Binding>,
}

/// A call that the flow under test made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The slot.
    pub slot: String,
    /// The connector's method.
    pub method: String,
    /// Its input.
    pub input: Value,
    /// What it was answered.
    pub output: Result<Value>,
}

type Answer = Rc<dyn Fn(&str) -> Result<String>>;

/// What a slot is bound to: single methods, or a connector's own code.
#[derive(Default)]
pub(super) struct Binding {
    methods: RefCell<BTreeMap<String, Answer>>,
    connector: RefCell<Option<Bound>>,
}

#[derive(Clone)]
struct Bound {
    grant: Rc<Grant>,
    invoke: fn(&str, &str) -> Result<String>,
}

impl<'a> Slot<'a> {
    pub(super) fn bind(host: &'a Host, name: &str) -> Self {
        let binding = host.state.slots.borrow_mut().entry(name.into()).or_default().clone();
        Self { host, name: name.into(), binding }
    }

    /// Answers a method with a function. Input and output are the connector's types, or [`Value`].
    pub fn on<I, O, F>(&self, method: &str, answer: F) -> &Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I) -> Result<O> + 'static,
    {
        let name = method.to_owned();
        let answer: Answer = Rc::new(move |input| {
            let input = crate::json::read(input.as_bytes())
                .map_err(|mismatch| mismatch.error("invalid_input", &format!("input of {name}")))?;
            Ok(serde_json::to_string(&answer(input)?)?)
        });
        self.binding.methods.borrow_mut().insert(method.into(), answer);
        self
    }

    /// Answers a method with the same output each time.
    pub fn answers(&self, method: &str, output: impl Serialize) -> &Self {
        let output = serde_json::to_value(output).map_err(Error::from);
        self.on(method, move |_: Value| output.clone())
    }

    /// Answers a method with an error each time.
    pub fn fails(&self, method: &str, error: Error) -> &Self {
        self.on(method, move |_: Value| Err::<Value, _>(error.clone()))
    }

    /// Answers every other method with a connector's own code; its requests are those of [`Host::http`].
    pub fn connector<C: Connector>(&self) -> &Self {
        self.binding.connector.replace(Some(Bound { grant: Rc::new(Grant::of::<C>()), invoke: C::invoke }));
        self
    }

    /// Sets a non-secret setting of the connection.
    ///
    /// # Panics
    /// When the slot is not bound by [`Slot::connector`].
    pub fn config(&self, name: &str, value: &str) -> &Self {
        let bound = self.binding.connector.borrow();
        let Some(bound) = &*bound else { panic!("bind the slot {} to a connector first", self.name) };
        bound.grant.config.borrow_mut().insert(name.into(), value.into());
        self
    }

    /// The calls made through this slot so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        let calls = self.host.calls();
        calls.into_iter().filter(|call| call.slot == self.name).collect()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.methods.borrow();
        f.debug_struct("Binding").field("methods", &methods.keys()).finish_non_exhaustive()
    }
}

/// Makes a call and records it.
pub(super) fn call(host: &Rc<State>, slot: &str, method: &str, input: &str) -> Result<String> {
    let binding = host.slots.borrow().get(slot).cloned().unwrap_or_default();
    let answer = binding.methods.borrow().get(method).cloned();
    let bound = binding.connector.borrow().clone();
    let output = match (answer, bound) {
        (Some(answer), _) => answer(input),
        (None, Some(bound)) => host.as_granted(&bound.grant, || (bound.invoke)(method, input)),
        (None, None) => {
            let methods = binding.methods.borrow();
            let names: Vec<&str> = methods.keys().map(String::as_str).collect();
            Err(connector::method_not_found(method, &names))
        }
    };
    let recorded = Call {
        slot: slot.into(),
        method: method.into(),
        input: serde_json::from_str(input)?,
        output: output.clone().and_then(|output| Ok(serde_json::from_str(&output)?)),
    };
    host.calls.borrow_mut().push(recorded);
    output
}
