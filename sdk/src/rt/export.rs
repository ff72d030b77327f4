//! The exports of a component.

use std::marker::PhantomData;

use super::Flow;
use crate::bindings::connector::exports::headgate::runtime::methods;
use crate::bindings::flow::exports::headgate::runtime::handler;
use crate::bindings::flow::headgate::runtime::types;
use crate::connector::Connector;
use crate::event::Unread;
use crate::sys::guest::lower;
use crate::{Blob, Body, Event, Pairs};

/// A flow in the shape of the world `flow`.
#[derive(Debug)]
pub struct ExportedFlow<F>(PhantomData<F>);

impl<F: Flow> handler::Guest for ExportedFlow<F> {
    fn describe() -> String {
        F::describe()
    }

    fn handle(event: handler::Event) -> Result<handler::Response, types::Error> {
        let handler::Event { trigger, method, path, params, query, headers, body } = event;
        let body = match body {
            handler::Body::Inline(bytes) => Body::Inline(bytes),
            handler::Body::Blob(blob) => Body::Blob(Blob(crate::sys::Blob(blob))),
        };
        let (params, query, headers) = (Pairs(params), Pairs(query), Pairs(headers));
        let answer = F::handle(Event { data: Unread, trigger, method, path, params, query, headers, body });
        let answer = answer.map_err(lower)?;
        let body = match answer.body {
            Body::Inline(bytes) => handler::Body::Inline(bytes),
            Body::Blob(blob) => handler::Body::Blob(blob.0.0),
        };
        Ok(handler::Response { status: answer.status, headers: answer.headers.0, body })
    }
}

/// A connector in the shape of the world `connector`.
#[derive(Debug)]
pub struct ExportedConnector<C>(PhantomData<C>);

impl<C: Connector> methods::Guest for ExportedConnector<C> {
    fn describe() -> String {
        // A manifest is plain data, which always serialises; an empty one is refused by the server.
        serde_json::to_string(&C::describe()).unwrap_or_default()
    }

    fn invoke(method: String, input: String) -> Result<String, types::Error> {
        C::invoke(&method, &input).map_err(lower)
    }

    fn poll(trigger: String, input: String, cursor: Option<String>) -> Result<String, types::Error> {
        C::poll(&trigger, &input, cursor.as_deref()).map_err(lower)
    }
}
