//! What made a trigger fire.

use serde::de::DeserializeOwned;

use crate::json::{self, Mismatch};
use crate::{Body, Pairs};

/// What made the trigger fire, with its body read as `T`.
///
/// `T` is a type that derives `Deserialize`. A body that does not fit is answered with 400 and the code
/// `invalid_event`, naming the place, before the flow is called. `Option<T>` also takes an empty body.
///
/// `Event` without a type leaves the body unread:
///
/// ```
/// # use headgate_sdk::prelude::*;
/// #[headgate_sdk::flow]
/// fn count(event: Event) -> Result<Response> {
///     Ok(Response::new(200).text(format!("{} bytes", event.body.len())))
/// }
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Event<T = Unread> {
    /// The body's data.
    pub data: T,
    /// The trigger's id.
    pub trigger: String,
    /// The request's method, upper case; `POST` for triggers that are not HTTP.
    pub method: String,
    /// The path below the trigger's URL, without credentials; starts with `/`.
    pub path: String,
    /// Parameters of the trigger's path template.
    pub params: Pairs,
    /// Decoded query parameters, without credentials.
    pub query: Pairs,
    /// Headers, without credentials.
    pub headers: Pairs,
    /// The raw body, as it came; what signatures are computed over.
    pub body: Body,
}

/// The data of an event whose body was not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread;

impl Event {
    /// A `POST` of this body, for tests.
    pub fn post(body: impl Into<Body>) -> Self {
        Self {
            data: Unread,
            trigger: "test".into(),
            method: "POST".into(),
            path: "/".into(),
            params: Pairs::default(),
            query: Pairs::default(),
            headers: Pairs::default(),
            body: body.into(),
        }
    }

    /// The same event with its body read.
    pub fn read<T: EventData>(self) -> Result<Event<T>, Mismatch> {
        let data = T::read(&self.body)?;
        Ok(self.with(data))
    }

    fn with<T>(self, data: T) -> Event<T> {
        let Self { data: Unread, trigger, method, path, params, query, headers, body } = self;
        Event { data, trigger, method, path, params, query, headers, body }
    }
}

impl<T> Event<T> {
    /// An event that carries this data, for tests. Its raw body is empty.
    pub fn of(data: T) -> Self {
        Event::post("").with(data)
    }
}

/// What an event's body can be read as: every type that derives `Deserialize`, and [`Unread`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from an event's body",
    label = "this type does not implement `serde::Deserialize`",
    note = "add `#[derive(Deserialize)]` to it, or take the event unread: `event: Event`"
)]
pub trait EventData: Sized {
    /// Reads the body.
    fn read(body: &Body) -> Result<Self, Mismatch>;
}

impl<T: DeserializeOwned> EventData for T {
    fn read(body: &Body) -> Result<Self, Mismatch> {
        json::read(&body.bytes())
    }
}

impl EventData for Unread {
    fn read(_: &Body) -> Result<Self, Mismatch> {
        Ok(Self)
    }
}
