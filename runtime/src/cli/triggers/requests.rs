//! What `triggers create` and `triggers update` say of requests: path, CORS, idempotency.

use clap::Args;
use jiff::SignedDuration;

use crate::cli::CliError;
use crate::domain::id::Environment;
use crate::domain::path_template::PathTemplate;
use crate::http::triggers::{CorsRule, IdempotencyRule, NewPath, TriggerChanges, TriggerView};

#[derive(Debug, Args)]
pub(super) struct Requests {
    /// Gives it a path of its own below /g/GROUP/, such as `orders/{order_id}`; `{*rest}` at the end takes the rest.
    #[arg(long, value_name = "TEMPLATE")]
    path: Option<PathTemplate>,
    /// Lets only keys of this environment find the path; those of every one when absent.
    #[arg(long, value_name = "ENV", requires = "path")]
    path_env: Option<Environment>,
    /// Lets scripts of this origin's pages call it, such as https://shop.example.com; `*` for every one; may be repeated.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// A header of the flow's answer that those scripts may read; may be repeated.
    #[arg(long = "expose-header", value_name = "NAME", requires = "origins")]
    expose: Vec<String>,
    /// Runs a request once, however often it comes with the same Idempotency-Key.
    #[arg(long)]
    idempotent: bool,
    /// The same, with the key in this header.
    #[arg(long, value_name = "NAME", conflicts_with = "idempotency_pointer")]
    idempotency_header: Option<String>,
    /// The same, with the key at this JSON pointer of the body, such as /event/id.
    #[arg(long, value_name = "POINTER")]
    idempotency_pointer: Option<String>,
    /// How long answers are remembered, such as 1h; a day when nothing is said.
    #[arg(long, value_name = "DURATION")]
    idempotency_window: Option<SignedDuration>,
    /// Refuses requests without a key.
    #[arg(long)]
    idempotency_required: bool,
}

/// What `triggers update` takes away.
#[derive(Debug, Args)]
pub(super) struct Without {
    /// Takes its own path away.
    #[arg(long, conflicts_with = "path")]
    no_path: bool,
    /// Takes the CORS rule away.
    #[arg(long, conflicts_with = "origins")]
    no_cors: bool,
    /// Runs each request.
    #[arg(long)]
    no_idempotency: bool,
}

impl Requests {
    /// Puts what was said into what is sent.
    pub(super) fn add_to(self, changes: &mut TriggerChanges) -> Result<(), CliError> {
        let environment = self.path_env;
        changes.path = self.path.map(|template| Some(NewPath { template, environment }));
        if !self.origins.is_empty() {
            changes.cors = Some(Some(CorsRule { origins: self.origins, expose: self.expose }));
        }
        let window = self.idempotency_window.map(|window| {
            u64::try_from(window.as_secs()).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                CliError::Usage(format!("answers cannot be remembered for {window}. Write a duration such as 1h"))
            })
        });
        let named = self.idempotency_header.is_some() || self.idempotency_pointer.is_some();
        if self.idempotent || named || window.is_some() || self.idempotency_required {
            changes.idempotency = Some(Some(IdempotencyRule {
                header: self.idempotency_header,
                pointer: self.idempotency_pointer,
                window_seconds: window.transpose()?,
                required: self.idempotency_required,
            }));
        }
        Ok(())
    }
}

impl Without {
    /// Puts what was said into what is sent.
    pub(super) fn add_to(&self, changes: &mut TriggerChanges) {
        if self.no_path {
            changes.path = Some(None);
        }
        if self.no_cors {
            changes.cors = Some(None);
        }
        if self.no_idempotency {
            changes.idempotency = Some(None);
        }
    }
}

/// A trigger's path, CORS rule and idempotency, as a person reads them.
pub(super) fn shown(trigger: &TriggerView) -> [(&'static str, String); 3] {
    let none = || "none".to_owned();
    let path = trigger.path.as_ref().map(|path| match &path.environment {
        Some(environment) => format!("{} (keys of {environment})", path.url),
        None => path.url.clone(),
    });
    let origins = trigger.cors.as_ref().map(|rule| rule.origins.join(", "));
    let idempotency = trigger.idempotency.as_ref().map(|rule| {
        let place = rule.header.as_ref().or(rule.pointer.as_ref()).map_or("", String::as_str);
        let required = if rule.required { ", required" } else { "" };
        format!("by {place}, for {} s{required}", rule.window_seconds.unwrap_or_default())
    });
    [
        ("path", path.unwrap_or_else(none)),
        ("origins", origins.unwrap_or_else(none)),
        ("idempotency", idempotency.unwrap_or_else(none)),
    ]
}
