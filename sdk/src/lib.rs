//! Write Headgate flows and connectors in Rust.
//!
//! # Your first flow
//!
//! A flow is one function. What comes in is an [`Event`], read as a type of yours; what it answers is a type of yours
//! too, which becomes 200 with JSON.
//!
//! ```
//! use headgate_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     customer: String,
//!     total: f64,
//! }
//!
//! #[derive(Serialize)]
//! struct Thanks {
//!     message: String,
//! }
//!
//! #[headgate_sdk::flow]
//! fn thank(event: Event<Order>) -> Result<Thanks> {
//!     let Order { customer, total } = event.data;
//!     log::info!("{customer} ordered for {total}");
//!     Ok(Thanks { message: format!("Thank you, {customer}!") })
//! }
//! # fn main() {}
//! ```
//!
//! - A body that does not fit is answered with 400 (`invalid_event`), naming the place, before the function is called.
//! - `Event` without a type leaves the body unread; `Result<Response>` answers with a status, headers and bytes of
//!   your own.
//! - Errors have a code, a message, whether a repetition may help, and details: [`Error`]. `?` works on any error.
//! - [`run::current`] tells about the run, [`log`] writes its log, [`Blob`] holds what is too large for JSON.
//!
//! A flow has no network, no files and no environment. It reaches apps through connections that were bound to its
//! slots, either by method names and JSON ([`Connection`]) or by a connector's typed client:
//!
//! ```
//! # mod hubspot {
//! #     use headgate_sdk::prelude::*;
//! #     #[derive(Serialize, Deserialize, JsonSchema)] pub struct GetContact { pub email: String }
//! #     #[derive(Serialize, Deserialize, JsonSchema)] pub struct Contact { pub id: String }
//! #     pub struct Hubspot;
//! #     #[headgate_sdk::connector] impl Hubspot {
//! #         fn manifest() -> Manifest { Manifest::new("hubspot", "HubSpot") }
//! #         #[method] fn get_contact(input: GetContact) -> Result<Contact> { Ok(Contact { id: input.email }) }
//! #     }
//! # }
//! # use headgate_sdk::prelude::*;
//! # use hubspot::GetContact;
//! # fn example() -> Result<()> {
//! let crm = hubspot::Client::open("crm")?;
//! let ada = crm.get_contact(GetContact { email: "ada@example.com".into() })?;
//!
//! // Several at once:
//! let emails = ["bob@example.com", "eve@example.com"];
//! let calls = emails.map(|email| crm.calls().get_contact(GetContact { email: email.into() }));
//! let [bob, eve] = call_all(calls);
//! # let _ = (ada, bob?, eve?); Ok(())
//! # }
//! ```
//!
//! So that a flow is published only where it can work, it says which slots it opens and which methods it calls:
//! `#[headgate_sdk::flow(slots(crm: hubspot::Client(get_contact)))]`; see [`flow`].
//!
//! # Your first connector
//!
//! A connector is a set of functions. From their types and doc comments comes the manifest with its JSON Schemas, and a
//! typed `Client` for flows.
//!
//! ```
//! use headgate_sdk::prelude::*;
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! pub struct GetOrder {
//!     /// The order's number.
//!     pub number: String,
//! }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! pub struct Order {
//!     pub total: f64,
//! }
//!
//! pub struct Shop;
//!
//! #[headgate_sdk::connector]
//! impl Shop {
//!     fn manifest() -> Manifest {
//!         Manifest::new("shop", "Shop")
//!             .base_url("https://api.shop.example")
//!             .auth(Auth::bearer("token", "API token", SecretField::new("token", "Token")))
//!             .verification("GET", "/me")
//!     }
//!
//!     /// Gets one order.
//!     #[method(idempotent)]
//!     fn get_order(input: GetOrder) -> Result<Order> {
//!         let number = http::encode(&input.number);
//!         http::get(format!("https://api.shop.example/orders/{number}")).send()?.error_for_status()?.json()
//!     }
//! }
//! # use headgate_sdk::testing::{Host, invoke};
//! # let host = Host::of::<Shop>();
//! # host.http("GET", "/orders/A-7").answer(200, &serde_json::json!({"total": 12.5}));
//! # assert_eq!(invoke::<Shop>("get_order", &serde_json::json!({"number": "A-7"})).unwrap()["total"], 12.5);
//! # assert_eq!(<Shop as headgate_sdk::Connector>::describe().methods[0].description, "Gets one order.");
//! ```
//!
//! - Only hosts below its base URLs can be reached. The server puts the credentials on each request, after the
//!   connector let go of it; the connector never sees them, and what would set them is refused (`egress_denied`).
//! - Say `idempotent` of a method that may be performed twice without harm: only those are repeated after a crash.
//! - Input that does not fit a method's type fails with `invalid_input`, naming the place.
//! - The crate has a feature `component`, on by default, which exports the connector. A flow that wants the typed client
//!   depends on the crate with `default-features = false`. For the same reason flows and connectors are built one at a
//!   time: in one build Cargo would give the connector's crate that feature for the flow, too.
//!
//! # Your first polling trigger
//!
//! A connector can also tell what is new in an app. The server asks it again and again, and runs a flow for each record:
//!
//! ```
//! # use headgate_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize, JsonSchema)] pub struct NewOrder { pub shop: String }
//! # #[derive(Serialize, Deserialize, JsonSchema)] pub struct Order { pub number: u64, pub total: f64 }
//! # pub struct Shop;
//! # #[headgate_sdk::connector] impl Shop {
//! #     fn manifest() -> Manifest {
//! #         Manifest::new("shop", "Shop").version("1.0.0").base_url("https://api.shop.example").auth(Auth::none())
//! #     }
//! /// Tells each new order of a shop.
//! #[trigger(sample = || Order { number: 7, total: 12.5 })]
//! fn new_order(input: NewOrder, cursor: Option<u64>) -> Result<Polled<Order, u64>> {
//!     let url = format!("https://api.shop.example/{}/orders", http::encode(&input.shop));
//!     let Some(last) = cursor else {
//!         let newest: Vec<Order> = http::get(url).query("newest", 1).send()?.error_for_status()?.json()?;
//!         return Ok(Polled::new(newest.first().map_or(0, |order| order.number)));
//!     };
//!     let new: Vec<Order> = http::get(url).query("after", last).query("limit", 100).send()?.error_for_status()?.json()?;
//!     let polled = Polled::new(new.last().map_or(last, |order| order.number)).more(new.len() == 100);
//!     Ok(polled.records(new.into_iter().map(|order| (order.number.to_string(), order))))
//! }
//! # }
//! # let host = headgate_sdk::testing::Host::of::<Shop>();
//! # host.http("GET", "/a/orders").query("newest", "1").answer(200, &serde_json::json!([{"number": 6, "total": 1.0}]));
//! # host.http("GET", "/a/orders").query("after", "6").answer(200, &serde_json::json!([{"number": 7, "total": 2.0}]));
//! # let input = NewOrder { shop: "a".into() };
//! # let first = headgate_sdk::testing::poll::<Shop>("new_order", &input, None).unwrap();
//! # assert_eq!((first.records.len(), &first.cursor), (0, &serde_json::json!(6)));
//! # let second = headgate_sdk::testing::poll::<Shop>("new_order", &input, Some(&first.cursor)).unwrap();
//! # assert_eq!((second.records[0].id.as_str(), &second.cursor), ("7", &serde_json::json!(7)));
//! ```
//!
//! - Without a cursor it says where to begin, and answers no records: [`polling`] has the rules.
//! - Input, record and cursor are types of yours. A cursor that does not read fails with `invalid_cursor`.
//! - [`Error::retry_after`] says when to ask again; `error_for_status` takes it from `Retry-After`.
//!
//! # Test it
//!
//! `cargo test` needs neither server nor WebAssembly: outside of a component, everything the host would do is done by
//! the mock of `headgate_sdk::testing`.
//!
//! # Build it
//!
//! `headgate build`, or `cargo build --release --target wasm32-wasip2`: the linker makes the component.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
mod blob;
mod body;
pub mod connection;
mod connector;
mod error;
pub mod event;
pub mod http;
mod json;
pub mod log;
mod pairs;
pub mod polling;
mod response;
#[doc(hidden)]
pub mod rt;
pub mod run;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use blob::Blob;
pub use body::Body;
pub use connection::{Call, Connection, call_all};
pub use connector::Connector;
pub use error::{Error, Result};
pub use event::Event;
/// The manifest's types.
pub use headgate_manifest as manifest;
/// Makes the functions of an `impl` block the methods of a connector.
///
/// The block has `fn manifest() -> Manifest`, and functions `fn name(input: Input) -> Result<Output>` with `#[method]`,
/// and in parentheses what there is to say: `idempotent`, `scopes("one", "or this one")` where it needs one of these,
/// `sample = a_function` that makes an output as the app could give it; input and output derive `Serialize`,
/// `Deserialize` and `JsonSchema`. A polling trigger is a function
/// `fn name(input: Input, cursor: Option<Cursor>) -> Result<Polled<Record, Cursor>>` with `#[trigger]`, and `scopes` and
/// `sample` as with methods. Beside the block the macro makes an implementation of [`trait@Connector`], `Client` and
/// `Calls`. Other functions stay as they are.
pub use headgate_sdk_macros::connector;
/// Makes a function `fn name(event: Event<Data>) -> Result<Answer>` a flow.
///
/// What it says of the flow is optional:
///
/// - `slots(crm: hubspot::Client(get_contact, update_contact), "other-app": "other"(send))` names all slots that it
///   opens: with a connector's typed client, or with a connector's name where there is no Rust crate of it, and the
///   methods that it calls there. A version is published only where each of them is bound to a connection that can be
///   used, and each method is still what the flow was built for. Another slot cannot be opened (`slot_undeclared`), here
///   in tests and on the server. `slots()` opens none.
/// - `schema` adds the JSON Schemas of event and answer, whose types derive `JsonSchema` (crate `schemars`) for that.
pub use headgate_sdk_macros::flow;
pub use json::Mismatch;
pub use pairs::Pairs;
pub use response::{IntoResponse, Response};

/// What most flows and connectors use.
pub mod prelude {
    pub use crate::connection::config;
    pub use crate::manifest::{Auth, ConfigField, Manifest, Oauth, Placement, ScopeField, SecretField, Verification};
    pub use crate::polling::Polled;
    pub use crate::{Blob, Body, Call, Connection, Error, Event, Response, Result, call_all, http, log, run};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
