//! What the stories share: a server on a temporary store, built guests, and a stand-in for somebody else's app.
//!
//! ```no_run
//! # async fn story() {
//! use headgate_tests::TestApp;
//! use serde_json::json;
//!
//! let app = TestApp::start().await;
//! app.publish("echo", "echo").await;
//! let (key, trigger) = (app.key("crm").await, app.trigger("echo", json!({})).await);
//! let answer = app.fire(&trigger, &key, "hello").await;
//! assert_eq!(answer.text().await.unwrap(), "hello");
//! # }
//! ```

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod answer;
mod app;
pub mod apps;
pub mod canary;
pub mod clock;
pub mod compiler;
pub mod crm;
pub mod guests;
pub mod held;
mod hostile;
pub mod javascript;
pub mod logs;
pub mod oauth;
pub mod oidc;
pub mod polling;
pub mod process;
pub mod records;

pub use answer::Answer;
pub use app::{Key, OPERATOR, PASSWORD, TestApp, Trigger};
pub use hostile::{Ended, Hostile};
