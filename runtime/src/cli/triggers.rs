//! `headgate triggers`

mod requests;
mod signature;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use jiff::SignedDuration;

use crate::cli::output::{facts, line, table, time};
use crate::cli::secrets::Source;
use crate::cli::triggers::requests::{Requests, Without};
use crate::cli::{CliError, Context};
use crate::domain::challenge::ChallengeKind;
use crate::domain::id::{Environment, Name, TriggerId};
use crate::domain::trigger::Respond;
use crate::http::api_keys::NewApiKey;
use crate::http::triggers::{ChallengeChanges, ChangedTriggerView, TriggerChanges, TriggerView};

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
    /// Changes a trigger: what is not named stays. A flow's execute trigger, whose id `flows show` tells, is changed
    /// in the same way.
    Update(Update),
    /// Gives a trigger a new routing key: its old URL answers 404 from the next request on.
    RoutingKey {
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
    #[command(flatten)]
    settings: Settings,
    /// Makes an API key of this name, which the trigger accepts; it is printed this once.
    #[arg(long, value_name = "NAME")]
    new_key: Option<Name>,
    /// Where the new key works.
    #[arg(long, value_name = "ENV", requires = "new_key", default_value = "production")]
    new_key_env: Environment,
    /// Takes the key as ?api_key= or ?auth-key=, for senders that cannot set headers.
    #[arg(long)]
    key_in_query: bool,
    /// Takes the key as the last part of the path, for senders that cannot set headers.
    #[arg(long)]
    key_in_path: bool,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// The flow's id or name.
    flow: String,
    /// The trigger's id.
    trigger: TriggerId,
    #[command(flatten)]
    settings: Settings,
    /// Accepts every key of the group.
    #[arg(long, conflicts_with = "keys")]
    every_key: bool,
    /// Accepts no key.
    #[arg(long, conflicts_with_all = ["keys", "every_key"])]
    no_key: bool,
    /// Whether the key may come as ?api_key= or ?auth-key=.
    #[arg(long, value_name = "BOOL")]
    key_in_query: Option<bool>,
    /// Whether the key may come as the last part of the path.
    #[arg(long, value_name = "BOOL")]
    key_in_path: Option<bool>,
    /// Checks no signature.
    #[arg(long, conflicts_with_all = ["github_secret", "signature", "signature_secret"])]
    no_signature: bool,
    #[command(flatten)]
    without: Without,
    /// Answers no handshake.
    #[arg(long, conflicts_with = "challenge")]
    no_challenge: bool,
}

#[derive(Debug, Args)]
struct Settings {
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// An API key it accepts, by id or name; may be repeated. Every key of the group when none was ever named.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// The methods it takes; POST when nothing was ever said.
    #[arg(long, value_delimiter = ',')]
    methods: Option<Vec<String>>,
    /// How it answers: with the flow's response, as triggers begin, or at once with 202.
    #[arg(long)]
    respond: Option<HowToRespond>,
    /// How long a synchronous caller waits at most, such as 10s; the server's default when nothing was ever said.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<SignedDuration>,
    /// The largest body in bytes; the server's default when nothing was ever said.
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    #[command(flatten)]
    signature: signature::Options,
    #[command(flatten)]
    requests: Requests,
    /// Answers this sender's handshake in place of the flow.
    #[arg(long, value_name = "SENDER")]
    challenge: Option<Handshake>,
    /// The text that Meta repeats in its handshake: `ask`, `-` (standard input) or `env:VARIABLE`.
    #[arg(long, value_name = "SOURCE", requires = "challenge")]
    verify_token: Option<Source>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowToRespond {
    Sync,
    Async,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Handshake {
    Slack,
    Zoom,
    Meta,
}

impl Settings {
    /// What is sent of them.
    fn changes(self) -> Result<TriggerChanges, CliError> {
        let timeout = self.timeout.map(|timeout| {
            u64::try_from(timeout.as_millis()).ok().filter(|ms| *ms > 0).ok_or_else(|| {
                CliError::Usage(format!("a caller cannot wait for {timeout}. Write a duration such as 10s"))
            })
        });
        let verify_token = self.verify_token.map(|source| source.read("the verify token")).transpose()?;
        let upper = |methods: Vec<String>| methods.iter().map(|method| method.to_uppercase()).collect();
        let mut changes = TriggerChanges {
            description: self.description,
            keys: (!self.keys.is_empty()).then_some(Some(self.keys)),
            methods: self.methods.map(upper),
            respond: self.respond.map(|respond| match respond {
                HowToRespond::Sync => Respond::Sync,
                HowToRespond::Async => Respond::Async,
            }),
            timeout_ms: timeout.transpose()?.map(Some),
            max_body: self.max_body.map(Some),
            signature: self.signature.changes()?.map(Some),
            challenge: self.challenge.map(|handshake| {
                let kind = match handshake {
                    Handshake::Slack => ChallengeKind::Slack,
                    Handshake::Zoom => ChallengeKind::Zoom,
                    Handshake::Meta => ChallengeKind::Meta,
                };
                Some(ChallengeChanges { kind, verify_token })
            }),
            ..TriggerChanges::default()
        };
        self.requests.add_to(&mut changes)?;
        Ok(changes)
    }
}

impl Create {
    /// What is sent, and for which flow.
    fn wanted(self) -> Result<(String, TriggerChanges), CliError> {
        let new_key = self.new_key.map(|name| NewApiKey::named(name, self.new_key_env));
        let (key_in_query, key_in_path) = (Some(self.key_in_query), Some(self.key_in_path));
        Ok((self.flow, TriggerChanges { new_key, key_in_query, key_in_path, ..self.settings.changes()? }))
    }
}

impl Update {
    /// What is sent, and for which trigger of which flow.
    fn changes(self) -> Result<(String, TriggerId, TriggerChanges), CliError> {
        let mut changes = self.settings.changes()?;
        if self.every_key {
            changes.keys = Some(None);
        }
        if self.no_key {
            changes.keys = Some(Some(Vec::new()));
        }
        if self.no_signature {
            changes.signature = Some(None);
        }
        self.without.add_to(&mut changes);
        if self.no_challenge {
            changes.challenge = Some(None);
        }
        changes.key_in_query = self.key_in_query;
        changes.key_in_path = self.key_in_path;
        Ok((self.flow, self.trigger, changes))
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
                let made: ChangedTriggerView = context.client.send(Method::POST, &path, &wanted).await?;
                context.output.show(&made, changed)
            }
            Self::Show { flow, trigger } => {
                let path = ["groups", group, "flows", &flow, "triggers", trigger.as_str()];
                let trigger: TriggerView = context.client.get(&path).await?;
                context.output.show(&trigger, show)
            }
            Self::Update(update) => {
                let (flow, trigger, changes) = update.changes()?;
                let path = ["groups", group, "flows", &flow, "triggers", trigger.as_str()];
                let updated: ChangedTriggerView = context.client.send(Method::PATCH, &path, &changes).await?;
                context.output.show(&updated, changed)
            }
            Self::RoutingKey { flow, trigger } => {
                let path = ["groups", group, "flows", &flow, "triggers", trigger.as_str(), "routing-key"];
                let trigger: TriggerView = context.client.post(&path).await?;
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
        Some(keys) if keys.is_empty() => "none".to_owned(),
        Some(keys) => keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn respond(trigger: &TriggerView) -> &'static str {
    match trigger.respond {
        Respond::Sync => "sync",
        Respond::Async => "async",
    }
}

fn challenge(kind: ChallengeKind) -> &'static str {
    match kind {
        ChallengeKind::Slack => "Slack's",
        ChallengeKind::Zoom => "Zoom's",
        ChallengeKind::Meta => "Meta's",
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

fn changed(changed: &ChangedTriggerView) -> String {
    let key = changed.new_key.as_ref().map(|key| {
        format!("\n\nThis is the key {}. It is shown now and never again:\n\n  {}\n", key.view.name, key.api_key)
    });
    show(&changed.trigger) + &key.unwrap_or_default()
}

fn show(trigger: &TriggerView) -> String {
    let also = [(trigger.key_in_query, "query"), (trigger.key_in_path, "path")];
    let also = also.into_iter().filter_map(|(taken, place)| taken.then_some(place));
    let [path, origins, idempotency] = requests::shown(trigger);
    facts([
        ("id", trigger.id.to_string()),
        ("url", trigger.url.clone()),
        ("methods", trigger.methods.join(", ")),
        ("respond", respond(trigger).to_owned()),
        ("keys", keys(trigger)),
        ("key in", ["header"].into_iter().chain(also).collect::<Vec<_>>().join(", ")),
        ("timeout", trigger.timeout_ms.map_or_else(|| "the server's".to_owned(), |ms| format!("{ms} ms"))),
        ("largest body", trigger.max_body.map_or_else(|| "the server's".to_owned(), |bytes| format!("{bytes} bytes"))),
        ("signature", signature::show(trigger.signature.as_ref())),
        ("handshake", trigger.challenge.map_or("none", challenge).to_owned()),
        ("description", trigger.description.clone()),
        path,
        origins,
        idempotency,
        ("created", time(trigger.created)),
    ])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::triggers::SignatureChanges;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn parse(line: &str) -> Result<TriggerChanges, String> {
        let line = Line::try_parse_from(["triggers"].into_iter().chain(line.split(' '))).map_err(|e| e.to_string())?;
        match line.command {
            Command::Create(create) => create.wanted().map(|(_, wanted)| wanted).map_err(|error| error.to_string()),
            Command::Update(update) => update.changes().map(|(.., changes)| changes).map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn sent(line: &str) -> Value {
        let sent = serde_json::to_value(parse(line).unwrap()).unwrap();
        let read: TriggerChanges = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), sent, "{line}");
        sent
    }

    #[test]
    fn what_is_sent_is_what_the_api_takes() {
        let line = "create my-flow --key erp --methods get,PUT --respond async --timeout 1.5s --key-in-path";
        let wanted = json!({
            "keys": ["erp"], "methods": ["GET", "PUT"], "respond": "async", "timeout_ms": 1500,
            "key_in_query": false, "key_in_path": true,
        });
        assert_eq!(sent(line), wanted);
        let key = &sent("create my-flow --new-key crm --new-key-env test")["new_key"];
        assert_eq!((&key["name"], &key["environment"]), (&json!("crm"), &json!("test")));
        let secret = SignatureChanges { secret: Some("s3cret".into()), ..SignatureChanges::default() };
        let changes = TriggerChanges { signature: Some(Some(secret)), ..TriggerChanges::default() };
        assert!(!format!("{changes:?}").contains("s3cret"));
        assert_eq!(serde_json::to_value(&changes).unwrap()["signature"]["secret"], "s3cret");
    }

    #[test]
    fn a_change_sends_only_what_was_named() {
        let id = format!("trg_{}", "a".repeat(20));
        for (line, wanted) in [
            ("", json!({})),
            (" --every-key --no-signature", json!({"keys": null, "signature": null})),
            (" --no-key --description x", json!({"keys": [], "description": "x"})),
            (" --key a --key b", json!({"keys": ["a", "b"]})),
            (" --no-path --no-cors --no-idempotency", json!({"path": null, "cors": null, "idempotency": null})),
            (
                " --path /orders/{id}/ --path-env test",
                json!({"path": {"template": "orders/{id}", "environment": "test"}}),
            ),
            (
                " --origin https://a.example --origin https://b.example --expose-header x-order",
                json!({"cors": {"origins": ["https://a.example", "https://b.example"], "expose": ["x-order"]}}),
            ),
            (" --idempotent", json!({"idempotency": {"required": false}})),
            (
                " --idempotency-header webhook-id --idempotency-window 1h --idempotency-required",
                json!({"idempotency": {"header": "webhook-id", "window_seconds": 3600, "required": true}}),
            ),
            (" --signature stripe --tolerance 2m", json!({"signature": {"scheme": "stripe", "tolerance_secs": 120}})),
            (" --challenge slack", json!({"challenge": {"kind": "slack"}})),
            (" --no-challenge", json!({"challenge": null})),
            (" --keep-previous 0s", json!({"signature": {"keep_previous_secs": 0}})),
            (
                " --hmac-header X-Sig --hmac-hash sha1 --hmac-encoding base64",
                json!({"signature": {"scheme": {"hmac": {
                    "header": "x-sig", "hash": "sha1", "encoding": "base64", "timestamp_unit": "seconds", "signed": "{body}",
                }}}}),
            ),
            (" --respond sync --key-in-query false", json!({"respond": "sync", "key_in_query": false})),
        ] {
            assert_eq!(sent(&format!("update my-flow {id}{line}")), wanted, "{line}");
        }
    }

    #[test]
    fn a_secret_is_not_taken_from_the_command_line() {
        let error = parse("create flow --github-secret hunter2").unwrap_err();
        assert!(error.contains("env:VARIABLE"), "{error}");
        assert!(parse("create flow --timeout -3s").is_err());
    }
}
