//! What the macros' code calls. Not for use by hand; it changes without notice.

use crate::event::EventData;
use crate::json::Mismatch;
use crate::{Error, Event, IntoResponse, Response, Result};

mod describe;
#[cfg(target_arch = "wasm32")]
mod export;

#[cfg(target_arch = "wasm32")]
pub use crate::bindings::{connector, flow};
pub use crate::connector::{complete, method, method_not_found, perform, poll, sampled, trigger, trigger_not_found};
#[cfg(not(target_arch = "wasm32"))]
pub use crate::testing::declare;
pub use describe::{
    AnswerSchema, Client, DescribedEvent, DescribedResult, EventSchema, describe, method_use, slot, untyped_slot,
};
#[cfg(target_arch = "wasm32")]
pub use export::{ExportedConnector, ExportedFlow};

/// A flow, below the macro.
pub trait Flow {
    /// What the flow says about itself: a [`FlowManifest`](crate::manifest::FlowManifest) as JSON.
    fn describe() -> String {
        "{}".to_owned()
    }

    /// Handles an event whose body was not read yet.
    fn handle(event: Event) -> Result<Response>;
}

/// What a flow takes.
#[diagnostic::on_unimplemented(
    message = "a flow takes an `Event`, not `{Self}`",
    label = "take `Event<{Self}>` here",
    note = "a flow looks like `fn name(event: Event<Data>) -> Result<Answer>`"
)]
pub trait FlowEvent: Sized {
    /// Reads the event.
    fn from_event(event: Event) -> Result<Self, Mismatch>;
}

impl<T: EventData> FlowEvent for Event<T> {
    fn from_event(event: Event) -> Result<Self, Mismatch> {
        event.read()
    }
}

/// What a flow returns.
#[diagnostic::on_unimplemented(
    message = "a flow returns a `Result`, not `{Self}`",
    label = "return `Result<{Self}>` here",
    note = "a flow looks like `fn name(event: Event<Data>) -> Result<Answer>`"
)]
pub trait FlowResult {
    /// The complete answer.
    fn finish(self) -> Result<Response>;
}

impl<A: IntoResponse, E: Into<Error>> FlowResult for Result<A, E> {
    fn finish(self) -> Result<Response> {
        self.map_err(Into::into)?.into_response()
    }
}

/// Reads the event, calls the flow, completes its answer. An event that does not fit is answered with 400: that is
/// its sender's fault and not the flow's.
pub fn handle<E: FlowEvent, R: FlowResult>(event: Event, flow: fn(E) -> R) -> Result<Response> {
    match E::from_event(event) {
        Ok(event) => flow(event).finish(),
        Err(mismatch) => refuse(&mismatch),
    }
}

fn refuse(mismatch: &Mismatch) -> Result<Response> {
    let Mismatch { path, reason } = mismatch;
    let message = format!("The event's body does not fit at {path}: {reason}.");
    Response::new(400).header("content-type", "application/problem+json").json(&serde_json::json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": message,
        "error": message,
        "code": "invalid_event",
        "path": path,
    }))
}
