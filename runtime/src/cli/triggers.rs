//! `headgate triggers`

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::cli::output::{facts, line, table, time};
use crate::cli::secrets::Source;
use crate::cli::{CliError, Context};
use crate::domain::id::TriggerId;
use crate::domain::trigger::{Respond, SignatureScheme};
use crate::http::triggers::TriggerView;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists a flow's triggers.
    List {
        /// The flow's id or name.
        flow: String,
    },
    /// Makes an HTTP trigger. The server gives it its URL.
    Create(Create),
    /// Shows a trigger.
    Show {
        /// The flow's id or name.
        flow: String,
        /// The trigger's id.
        trigger: TriggerId,
    },
    /// Deletes a trigger: its URL answers 404 from the next request on.
    Delete {
        /// The flow's id or name.
        flow: String,
        /// The trigger's id.
        trigger: TriggerId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The flow's id or name.
    flow: String,
    /// What it is for.
    #[arg(long, default_value = "")]
    description: String,
    /// An API key it accepts, by id or name; may be repeated. Every key of the group when absent.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// The methods it takes.
    #[arg(long, value_delimiter = ',', default_value = "POST")]
    methods: Vec<String>,
    /// How it answers: with the flow's response, or at once with 202.
    #[arg(long, default_value = "sync")]
    respond: HowToRespond,
    /// How long a synchronous caller waits at most, such as 10s; the server's default when absent.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<SignedDuration>,
    /// The largest body in bytes; the server's default when absent.
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// Takes the key as ?api_key= or ?auth-key=, for senders that cannot set headers.
    #[arg(long)]
    key_in_query: bool,
    /// Takes the key as the last part of the path, for senders that cannot set headers.
    #[arg(long)]
    key_in_path: bool,
    /// Checks GitHub's X-Hub-Signature-256 with this secret: `ask`, `-` (standard input) or `env:VARIABLE`.
    #[arg(long, value_name = "SOURCE")]
    github_secret: Option<Source>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowToRespond {
    Sync,
    Async,
}

/// A trigger to be made, as the API takes it. A signing secret is in clear, on its way to the server.
#[derive(Default, Serialize)]
pub(super) struct Wanted {
    pub(super) description: String,
    pub(super) keys: Option<Vec<String>>,
    pub(super) methods: Vec<String>,
    pub(super) respond: Respond,
    pub(super) timeout_ms: Option<u64>,
    pub(super) max_body: Option<u64>,
    pub(super) key_in_query: bool,
    pub(super) key_in_path: bool,
    pub(super) signature: Option<WantedSignature>,
}

#[derive(Serialize)]
pub(super) struct WantedSignature {
    scheme: SignatureScheme,
    #[serde(serialize_with = "in_clear")]
    secret: SecretString,
}

fn in_clear<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Create {
    /// What is sent, and for which flow.
    fn wanted(self) -> Result<(String, Wanted), CliError> {
        let timeout = self.timeout.map(|timeout| {
            u64::try_from(timeout.as_millis()).ok().filter(|ms| *ms > 0).ok_or_else(|| {
                CliError::Usage(format!("a caller cannot wait for {timeout}. Write a duration such as 10s"))
            })
        });
        let secret = self.github_secret.map(|source| source.read("the secret shared with GitHub")).transpose()?;
        let wanted = Wanted {
            description: self.description,
            keys: (!self.keys.is_empty()).then_some(self.keys),
            methods: self.methods.iter().map(|method| method.to_uppercase()).collect(),
            respond: match self.respond {
                HowToRespond::Sync => Respond::Sync,
                HowToRespond::Async => Respond::Async,
            },
            timeout_ms: timeout.transpose()?,
            max_body: self.max_body,
            key_in_query: self.key_in_query,
            key_in_path: self.key_in_path,
            signature: secret.map(|secret| WantedSignature { scheme: SignatureScheme::Github, secret }),
        };
        Ok((self.flow, wanted))
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        match self {
            Self::List { flow } => {
                let triggers: Vec<TriggerView> =
                    context.client.get(&["groups", group, "flows", &flow, "triggers"]).await?;
                context.output.show(&triggers, |triggers| list(triggers))
            }
            Self::Create(create) => {
                let (flow, wanted) = create.wanted()?;
                let path = ["groups", group, "flows", &flow, "triggers"];
                let trigger: TriggerView = context.client.send(Method::POST, &path, &wanted).await?;
                context.output.show(&trigger, show)
            }
            Self::Show { flow, trigger } => {
                let path = ["groups", group, "flows", &flow, "triggers", trigger.as_str()];
                let trigger: TriggerView = context.client.get(&path).await?;
                context.output.show(&trigger, show)
            }
            Self::Delete { flow, trigger } => {
                context.client.delete(&["groups", group, "flows", &flow, "triggers", trigger.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {trigger}.")) }
            }
        }
    }
}

fn keys(trigger: &TriggerView) -> String {
    match &trigger.keys {
        None => "every key of the group".to_owned(),
        Some(keys) => keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn respond(trigger: &TriggerView) -> &'static str {
    match trigger.respond {
        Respond::Sync => "sync",
        Respond::Async => "async",
    }
}

fn list(triggers: &[TriggerView]) -> String {
    let row = |trigger: &TriggerView| {
        let (id, methods, respond) = (trigger.id.to_string(), trigger.methods.join(", "), respond(trigger).to_owned());
        [id, methods, respond, keys(trigger), trigger.url.clone(), trigger.description.clone()]
    };
    let none = "No triggers yet. Make one with `headgate triggers create FLOW`";
    table(["id", "methods", "respond", "keys", "url", "description"], triggers.iter().map(row), none)
}

fn show(trigger: &TriggerView) -> String {
    let also = [(trigger.key_in_query, "query"), (trigger.key_in_path, "path")];
    let also = also.into_iter().filter_map(|(taken, place)| taken.then_some(place));
    facts([
        ("id", trigger.id.to_string()),
        ("url", trigger.url.clone()),
        ("methods", trigger.methods.join(", ")),
        ("respond", respond(trigger).to_owned()),
        ("keys", keys(trigger)),
        ("key in", ["header"].into_iter().chain(also).collect::<Vec<_>>().join(", ")),
        ("timeout", trigger.timeout_ms.map_or_else(|| "the server's".to_owned(), |ms| format!("{ms} ms"))),
        ("largest body", trigger.max_body.map_or_else(|| "the server's".to_owned(), |bytes| format!("{bytes} bytes"))),
        ("signature", trigger.signature.map_or("none", SignatureScheme::header).to_owned()),
        ("description", trigger.description.clone()),
        ("created", time(trigger.created)),
    ])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    #[test]
    fn what_is_sent_is_what_the_api_takes() {
        let line = "x my-flow --key erp --methods get,PUT --respond async --timeout 1.5s --key-in-path";
        let (flow, mut wanted) = Line::try_parse_from(line.split(' ')).unwrap().create.wanted().unwrap();
        wanted.signature = Some(WantedSignature { scheme: SignatureScheme::Github, secret: "s3cret".into() });
        let taken: crate::http::triggers::NewTrigger =
            serde_json::from_value(serde_json::to_value(&wanted).unwrap()).unwrap();
        assert_eq!(flow, "my-flow");
        assert_eq!(taken.keys.as_deref(), Some(&["erp".to_owned()][..]));
        assert_eq!((taken.methods.join(" "), taken.respond), ("GET PUT".to_owned(), Respond::Async));
        assert_eq!((taken.timeout_ms, taken.key_in_query, taken.key_in_path), (Some(1500), false, true));
        assert_eq!(taken.signature.unwrap().secret.expose_secret(), "s3cret");
    }

    #[test]
    fn a_secret_is_not_taken_from_the_command_line() {
        let error = Line::try_parse_from(["x", "flow", "--github-secret", "hunter2"]).unwrap_err().to_string();
        assert!(error.contains("env:VARIABLE"), "{error}");
        let parsed = Line::try_parse_from(["x", "flow", "--timeout", "-3s"]);
        assert!(parsed.is_err() || parsed.unwrap().create.wanted().is_err());
    }
}
