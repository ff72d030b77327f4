//! Connections: apps as a flow sees them, and what a connector may know of its own.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, json, sys};

/// A connection granted to this flow. It tells nothing about its credentials.
///
/// A connector's typed `Client` wraps one; use it directly for connectors without a Rust crate.
#[derive(Debug)]
pub struct Connection(pub(crate) sys::Connection);

impl Connection {
    /// The connection bound to a slot. Fails with `slot_unbound`.
    pub fn open(slot: &str) -> Result<Self> {
        sys::Connection::open(slot).map(Self)
    }

    /// Calls a method of the connector.
    ///
    /// Besides the connector's own errors: `method_not_found`, `invalid_input`, `invalid_output`, `egress_denied`,
    /// `timeout`, `connector_fault`, `overloaded`.
    pub fn call<O: DeserializeOwned>(&self, method: &str, input: &(impl Serialize + ?Sized)) -> Result<O> {
        self.prepare(method, input).send()
    }

    /// A call that is made later, alone or with others in [`call_all`].
    pub fn prepare<'a, O>(&'a self, method: &str, input: &(impl Serialize + ?Sized)) -> Call<'a, O> {
        let input = serde_json::to_string(input).map_err(|error| {
            Error::new("invalid_input", format!("The input of {method} cannot be written as JSON: {error}."))
        });
        Call { connection: self, method: method.to_owned(), input, output: PhantomData }
    }
}

/// A call that was not made yet; `O` is its output.
#[must_use = "a call does nothing until it is sent"]
#[derive(Debug)]
pub struct Call<'a, O> {
    connection: &'a Connection,
    method: String,
    input: Result<String>,
    output: PhantomData<fn() -> O>,
}

impl<O: DeserializeOwned> Call<'_, O> {
    /// Makes the call.
    pub fn send(self) -> Result<O> {
        let output = self.connection.0.call(&self.method, &self.input?)?;
        read_output(&self.method, &output)
    }
}

/// Makes several calls at once, and answers their results in the same order.
///
/// Takes a `Vec` or an array of calls with one type of output, or a tuple of calls with different ones:
///
/// ```no_run
/// # use headgate_sdk::prelude::*;
/// # fn example(crm: Connection, shop: Connection) -> Result<()> {
/// let (contact, orders) = call_all((
///     crm.prepare::<serde_json::Value>("get_contact", &serde_json::json!({"id": "7"})),
///     shop.prepare::<Vec<String>>("list_orders", &serde_json::json!({})),
/// ));
/// # let _ = (contact?, orders?); Ok(())
/// # }
/// ```
pub fn call_all<B: Batch>(batch: B) -> B::Results {
    batch.send()
}

/// Calls that can be made at once: a `Vec`, an array, or a tuple of up to four.
pub trait Batch {
    /// The results, in the order of the calls.
    type Results;
    /// Makes the calls.
    fn send(self) -> Self::Results;
}

impl<O: DeserializeOwned> Batch for Vec<Call<'_, O>> {
    type Results = Vec<Result<O>>;

    fn send(self) -> Self::Results {
        let methods: Vec<String> = self.iter().map(|call| call.method.clone()).collect();
        let outputs = send_raw(self.into_iter().map(Call::untyped).collect());
        outputs.into_iter().zip(methods).map(|(output, method)| read_output(&method, &output?)).collect()
    }
}

impl<O: DeserializeOwned, const N: usize> Batch for [Call<'_, O>; N] {
    type Results = [Result<O>; N];

    fn send(self) -> Self::Results {
        let mut results = Vec::from(self).send().into_iter();
        std::array::from_fn(|_| results.next().unwrap_or_else(|| Err(missing_result())))
    }
}

macro_rules! batch_of_tuple {
    ($($output:ident $call:ident),+) => {
        impl<$($output: DeserializeOwned),+> Batch for ($(Call<'_, $output>,)+) {
            type Results = ($(Result<$output>,)+);

            fn send(self) -> Self::Results {
                let ($($call,)+) = self;
                $(let $output = $call.method.clone();)+
                let mut outputs = send_raw(vec![$($call.untyped()),+]).into_iter();
                ($(outputs.next().unwrap_or_else(|| Err(missing_result()))
                    .and_then(|output| read_output::<$output>(&$output, &output)),)+)
            }
        }
    };
}

#[expect(non_snake_case, reason = "each tuple member lends its type parameter's name to a variable")]
mod tuples {
    use super::*;

    batch_of_tuple!(A a);
    batch_of_tuple!(A a, B b);
    batch_of_tuple!(A a, B b, C c);
    batch_of_tuple!(A a, B b, C c, D d);
}

/// A call without its type of output, so that calls of different types fit into one list.
struct RawCall<'a> {
    connection: &'a Connection,
    method: String,
    input: Result<String>,
}

impl<'a, O> Call<'a, O> {
    fn untyped(self) -> RawCall<'a> {
        RawCall { connection: self.connection, method: self.method, input: self.input }
    }
}

/// Calls whose input could not be written keep their place and are not made.
fn send_raw(calls: Vec<RawCall<'_>>) -> Vec<Result<String>> {
    let mut requests = Vec::with_capacity(calls.len());
    let inputs: Vec<Result<()>> = calls
        .into_iter()
        .map(|call| call.input.map(|input| requests.push((&call.connection.0, call.method, input))))
        .collect();
    let mut outputs = sys::call_all(requests).into_iter();
    inputs
        .into_iter()
        .map(|input| input.and_then(|()| outputs.next().unwrap_or_else(|| Err(missing_result()))))
        .collect()
}

fn missing_result() -> Error {
    Error::new("host_fault", "The host answered fewer results than there were calls.")
}

fn read_output<O: DeserializeOwned>(method: &str, output: &str) -> Result<O> {
    json::read(output.as_bytes()).map_err(|mismatch| mismatch.error("invalid_output", &format!("output of {method}")))
}

/// A non-secret setting of the connection that this connector works for, such as a region or a sub-domain.
pub fn config(name: &str) -> Option<String> {
    sys::config(name)
}
