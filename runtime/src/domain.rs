//! Newtypes, rules and state machines. No I/O, no clock: time comes in as an argument.

pub mod id;
