//! A mock of the host, so that `cargo test` of a flow or a connector needs neither server nor WebAssembly.
//!
//! A connector's test says which requests it expects, and what the app answers:
//!
//! ```
//! # use headgate_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize, JsonSchema)] struct GetOrder { id: String }
//! # #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)] struct Order { total: f64 }
//! # struct Shop;
//! # impl Shop { fn get_order(input: GetOrder) -> Result<Order> {
//! #     http::get(format!("https://shop.example/orders/{}", http::encode(&input.id))).send()?.json() } }
//! use headgate_sdk::testing::Host;
//!
//! let host = Host::new();
//! host.http("GET", "/orders/7").answer(200, &serde_json::json!({"total": 12.5}));
//! assert_eq!(Shop::get_order(GetOrder { id: "7".into() })?, Order { total: 12.5 });
//! # Ok::<(), Error>(())
//! ```
//!
//! A flow's test says what its connections answer:
//!
//! ```
//! # use headgate_sdk::prelude::*;
//! # use headgate_sdk::testing::{Host, fire};
//! # use serde_json::{Value, json};
//! # #[derive(Deserialize)] struct Paid { order: String }
//! fn thank(event: Event<Paid>) -> Result<Value> {
//!     Connection::open("mail")?.call("send", &json!({"subject": event.data.order}))
//! }
//!
//! let host = Host::new();
//! host.slot("mail").on("send", |input: Value| Ok(json!({"sent": input["subject"]})));
//! let answer = fire(thank, Event::post(r#"{"order": "A-7"}"#))?;
//! assert_eq!(answer.body.json::<Value>()?, json!({"sent": "A-7"}));
//! assert_eq!(host.calls()[0].method, "send");
//! # Ok::<(), Error>(())
//! ```

mod declared;
mod egress;
mod exchange;
mod host;
pub(crate) mod imports;
mod slot;

use serde::Serialize;
use serde_json::Value;

use crate::manifest::Polled;
use crate::rt::{self, FlowEvent, FlowResult};
use crate::{Connector, Error, Event, Response, Result};

#[doc(hidden)]
pub use declared::declare;
pub use exchange::{Expect, Request};
pub use host::{Host, Line};
pub use slot::{Call, Slot};

/// Calls a flow the way the host does, from the raw event to the complete answer.
pub fn fire<E: FlowEvent, R: FlowResult>(flow: fn(E) -> R, event: Event) -> Result<Response> {
    rt::handle(event, flow)
}

/// Calls a connector's method the way the host does, by its name and through JSON.
pub fn invoke<C: Connector>(method: &str, input: &(impl Serialize + ?Sized)) -> Result<Value> {
    let input = serde_json::to_string(input).map_err(Error::from)?;
    Ok(serde_json::from_str(&C::invoke(method, &input)?)?)
}

/// Polls a connector's trigger the way the host does, by its name and through JSON.
pub fn poll<C: Connector>(trigger: &str, input: &(impl Serialize + ?Sized), cursor: Option<&Value>) -> Result<Polled> {
    let input = serde_json::to_string(input).map_err(Error::from)?;
    let cursor = cursor.map(Value::to_string);
    Ok(serde_json::from_str(&C::poll(trigger, &input, cursor.as_deref())?)?)
}
