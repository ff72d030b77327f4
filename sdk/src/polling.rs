//! What polling triggers answer.
//!
//! A trigger is polled again and again, each time with the cursor that the poll before it answered:
//!
//! - Without a cursor it says where to begin, usually from now: [`Polled::new`] with a cursor, and no records.
//! - With one it answers what is new since then, oldest first, and how far it came. The server keeps the cursor in the
//!   same commit as the runs that it makes of the records, so that none is lost and none runs twice.
//! - A record that has an id of those before it is not new. That allows a trigger to look back a little, where an app
//!   shows records late or in the wrong order.
//! - [`more`](Polled::more) says that the next poll need not wait.
//!
//! Where an app's records have a time, and ties, pages and late records are to be minded, a [`Window`] is the cursor.

mod time;
mod window;

use serde::Serialize;

pub use time::{millis, now, rfc3339};
pub use window::{Found, Window};

/// The code of an error that says that the cursor is of no use any more.
pub const INVALID_CURSOR: &str = "invalid_cursor";

/// What is new, and from where the next poll goes on.
///
/// ```
/// # use headgate_sdk::polling::Polled;
/// let polled = Polled::new(7).record("order-6", "six").record("order-7", "seven").more(false);
/// assert_eq!((polled.records.len(), polled.cursor), (2, 7));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Polled<R, C> {
    /// The new records, oldest first.
    pub records: Vec<Record<R>>,
    /// From where the next poll goes on.
    pub cursor: C,
    /// Whether there are more already, so that the next poll need not wait.
    pub more: bool,
}

/// One new record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Record<R> {
    /// Tells it from all others of the trigger: a record of the same id is not new again.
    pub id: String,
    /// The event's body.
    pub data: R,
}

impl<R, C> Polled<R, C> {
    /// Nothing new up to this cursor.
    pub fn new(cursor: C) -> Self {
        Self { records: Vec::new(), cursor, more: false }
    }

    /// Adds a record after the others.
    #[must_use]
    pub fn record(mut self, id: impl Into<String>, data: R) -> Self {
        self.records.push(Record { id: id.into(), data });
        self
    }

    /// Adds records after the others, each with its id.
    #[must_use]
    pub fn records<I: Into<String>>(mut self, records: impl IntoIterator<Item = (I, R)>) -> Self {
        self.records.extend(records.into_iter().map(|(id, data)| Record { id: id.into(), data }));
        self
    }

    /// Says whether there are more already.
    #[must_use]
    pub fn more(mut self, more: bool) -> Self {
        self.more = more;
        self
    }
}
