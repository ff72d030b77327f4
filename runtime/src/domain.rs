//! Newtypes, rules and state machines. No I/O, no clock: time comes in as an argument.

pub mod alert;
pub mod api_key;
pub mod app_registration;
pub mod audit;
pub mod compatibility;
pub mod connection;
pub mod connector;
pub mod cors;
pub mod digest;
pub mod flow;
pub mod grant;
pub mod group;
pub mod id;
pub mod idempotency;
pub mod oauth;
pub mod path_template;
pub mod permission;
pub mod run;
pub mod scrub;
pub mod sealed;
pub mod secret;
pub mod signing_secret;
pub mod trigger;
pub mod usage;
pub mod user;
