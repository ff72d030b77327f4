//! `headgate run`

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use http::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::output::plain;
use crate::cli::pairs::Pair;
use crate::cli::{CliError, Context, runs};
use crate::domain::event::{EventParts, Pairs};
use crate::domain::id::{Environment, TriggerId};
use crate::domain::run::Outcome;
use crate::http::runs::{NewRunOnce, RunView};

/// Run Once: runs a flow with an event, published or not, and shows the run.
#[derive(Debug, Args)]
pub(super) struct RunOnce {
    /// The flow's id or name.
    flow: String,
    #[command(flatten)]
    trial: TrialArgs,
    /// Which version; when absent the published one, and where none is published the newest.
    #[arg(long)]
    version: Option<u32>,
}

/// How a flow is tried.
#[derive(Debug, Args)]
pub(super) struct TrialArgs {
    #[command(flatten)]
    event: EventArgs,
    /// Use the recorded event of this run again; what is given besides comes in place of its parts.
    #[arg(long, value_name = "RUN", conflicts_with = "sample")]
    from_run: Option<Uuid>,
    /// Use the flow's sample event of this name; `example` is the one in the schema of its event.
    #[arg(long, value_name = "NAME")]
    sample: Option<String>,
    /// Through which trigger the event pretends to come, by its id; that of the run it is from, or the execute trigger.
    #[arg(long, value_name = "ID")]
    trigger: Option<TriggerId>,
    /// Where: whose connections it uses.
    #[arg(long, default_value = "test")]
    env: Environment,
    /// Reach no app: each call is answered by its method's sample. Connections need not work, nor be bound where the flow
    /// declares its slots.
    #[arg(long)]
    mock: bool,
    /// Answer calls of a method with this JSON, with --mock; may be repeated. `{"$error": {"code": "..", "message": ".."}}`
    /// makes them fail.
    #[arg(long = "mock-answer", value_name = "SLOT.METHOD=JSON", requires = "mock")]
    mocks: Vec<MockAnswer>,
}

/// An event, as commands take it.
#[derive(Debug, Default, Args)]
pub(super) struct EventArgs {
    /// The event's body: JSON, a file (@FILE, or just its path), or `-` for standard input. What is not JSON is sent as bytes.
    #[arg(long, value_name = "JSON|FILE|-")]
    event: Option<String>,
    /// The request's method.
    #[arg(long)]
    method: Option<String>,
    /// The path below the trigger's URL.
    #[arg(long)]
    path: Option<String>,
    /// A header; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<Pair>,
    /// A query parameter; may be repeated.
    #[arg(long = "query", value_name = "NAME=VALUE")]
    query: Vec<Pair>,
    /// A parameter of the trigger's path template; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Pair>,
}

/// What a mocked call answers.
#[derive(Debug, Clone)]
struct MockAnswer {
    call: String,
    answer: Value,
}

impl FromStr for MockAnswer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Pair { name: call, value } = text.parse()?;
        let answer = serde_json::from_str(&value).map_err(|error| format!("the answer is not JSON: {error}"))?;
        Ok(Self { call, answer })
    }
}

impl EventArgs {
    /// The event's parts that were given.
    pub(super) fn parts(self) -> Result<EventParts, CliError> {
        let (event, body_base64) = match self.event.as_deref().map(body).transpose()? {
            Some(Body::Json(event)) => (Some(event), None),
            Some(Body::Bytes(bytes)) => (None, Some(BASE64.encode(bytes))),
            None => (None, None),
        };
        Ok(EventParts {
            method: self.method,
            path: self.path,
            params: pairs(self.params),
            query: pairs(self.query),
            headers: pairs(self.headers),
            event,
            body_base64,
        })
    }
}

impl TrialArgs {
    /// Where it runs.
    pub(super) fn environment(&self) -> &Environment {
        &self.env
    }

    /// What the API is asked for.
    pub(super) fn once(self) -> Result<NewRunOnce, CliError> {
        let EventParts { method, path, params, query, headers, event, body_base64 } = self.event.parts()?;
        Ok(NewRunOnce {
            environment: Some(self.env),
            version: None,
            trigger: self.trigger,
            from_run: self.from_run,
            sample: self.sample,
            mock: self.mock,
            mocks: self.mocks.into_iter().map(|mock| (mock.call, mock.answer)).collect::<BTreeMap<_, _>>(),
            method,
            path,
            params,
            query,
            headers,
            event,
            body_base64,
        })
    }
}

impl RunOnce {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let once = NewRunOnce { version: self.version, ..self.trial.once()? };
        let path = ["groups", context.group()?, "flows", &self.flow, "run"];
        let run: RunView = context.client.send(Method::POST, &path, &once).await?;
        context.output.show(&run, runs::show)?;
        match run.outcome {
            Some(Outcome::Failure(failure)) => Err(CliError::RunFailed(plain(&failure.message))),
            _ => Ok(()),
        }
    }
}

fn pairs(given: Vec<Pair>) -> Option<Pairs> {
    let pairs: Vec<_> = given.into_iter().map(|pair| (pair.name, pair.value)).collect();
    (!pairs.is_empty()).then_some(Pairs(pairs))
}

/// An event's body as it was given.
#[derive(Debug, PartialEq)]
enum Body {
    Json(Value),
    Bytes(Vec<u8>),
}

/// A body given as JSON, as a file, or on standard input.
fn body(text: &str) -> Result<Body, CliError> {
    let read = |file: &str| std::fs::read(file).map_err(CliError::file("read", Path::new(file)));
    let bytes = match text.strip_prefix('@') {
        Some(file) => read(file)?,
        None if text == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(CliError::file("read", Path::new("standard input")))?;
            bytes
        }
        None => match serde_json::from_str(text) {
            Ok(json) => return Ok(Body::Json(json)),
            Err(_) if Path::new(text).is_file() => read(text)?,
            Err(error) => {
                return Err(CliError::Usage(format!(
                    "the event is neither JSON nor a file: {error}. Write --event '{{\"id\": 1}}' or --event @file.json"
                )));
            }
        },
    };
    Ok(serde_json::from_slice(&bytes).map(Body::Json).unwrap_or(Body::Bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_json_or_a_file_of_it_or_bytes() {
        assert_eq!(body("{\"id\": 1}").unwrap(), Body::Json(json!({"id": 1})));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[2]").unwrap();
        let path = file.path().display().to_string();
        for text in [format!("@{path}"), path.clone()] {
            assert_eq!(body(&text).unwrap(), Body::Json(json!([2])));
        }
        std::fs::write(file.path(), b"a=1&b=2").unwrap();
        assert_eq!(body(&path).unwrap(), Body::Bytes(b"a=1&b=2".to_vec()));
        assert!(matches!(body("{id: 1}"), Err(CliError::Usage(_))));
        assert!(body("@/does/not/exist").unwrap_err().to_string().contains("/does/not/exist"));
    }

    #[test]
    fn a_mocked_answer_is_a_call_and_json() {
        let mock: MockAnswer = "crm.get={\"a\": \"=\"}".parse().unwrap();
        assert_eq!((mock.call.as_str(), mock.answer), ("crm.get", json!({"a": "="})));
        assert!("crm.get=no".parse::<MockAnswer>().is_err() && "crm.get".parse::<MockAnswer>().is_err());
    }
}
