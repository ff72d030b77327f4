//! Stories over real sockets, a real store and real components.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod access;
mod alerts;
mod app_registrations;
mod app_triggers;
mod apps;
mod audit;
mod authorisation;
mod authorize;
mod canary;
mod challenges;
mod conformance;
mod connections;
mod connector_versions;
mod cors;
mod doctor;
mod durable;
mod egress;
mod export;
mod gates;
mod github_samples;
mod idempotency;
mod keys;
mod limits;
mod loading;
mod main_job;
mod management;
mod oauth;
mod oidc;
mod operations;
mod paths;
mod published_apps;
mod revocation;
mod run_once;
mod samples;
mod sandbox;
mod schedules;
mod secrets;
mod sessions;
mod signatures;
mod url_keys;
mod usage;
mod users;
mod webhooks;
mod wireflow;
