//! The sandbox, shown with real components: what guests can do, and above all what they cannot.

#![expect(clippy::unwrap_used, reason = "this crate is tests and what only they call")]

mod connections;
mod guests;
mod inert;
mod isolation;
mod limits;
mod load;
mod places;
mod speed;
mod stage;
