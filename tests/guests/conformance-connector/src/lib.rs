//! The connector that the flow `conformance-flow` calls. Its README says what the app behind it answers.

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

/// The connector.
#[derive(Debug)]
pub struct Conformance;

/// A number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The number.
    pub n: i64,
}

/// A blob.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    /// The blob.
    pub content: Blob,
}

/// A request to the app.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    /// The HTTP method; `GET` when empty.
    pub method: String,
    /// The path below the base URL, or a whole URL.
    pub to: String,
    /// One header.
    pub header: Option<(String, String)>,
    /// One query parameter.
    pub query: Option<(String, String)>,
    /// A body in JSON.
    pub json: Option<Value>,
    /// A body of so many bytes.
    pub bytes: usize,
    /// How many bytes the answer may have; no limit of its own when 0.
    pub limit: usize,
}

/// Names of settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Names {
    /// The names.
    pub names: Vec<String>,
}

/// Nothing.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

#[headgate_sdk::connector]
impl Conformance {
    fn manifest() -> Manifest {
        Manifest::new("conformance", "Conformance")
            .description("For tests of the host.")
            .config(ConfigField::new("base_url", "Base URL").required())
            .config(ConfigField::new("region", "Region").default_value("eu").choices(["eu", "us"]))
            .config(ConfigField::new("note", "Note"))
            .config(ConfigField::new("unset", "Unset"))
            .base_url("${config.base_url}")
            .auth(Auth::none())
            .auth(Auth::bearer("bearer", "Bearer", SecretField::new("token", "Token")))
            .verification("GET", "/json")
    }

    /// Answers its input.
    #[method(idempotent)]
    fn echo(input: Number) -> Result<Number> {
        Ok(input)
    }

    /// Fails with everything an error can have.
    #[method]
    fn fail(input: Number) -> Result<Nothing> {
        Err(Error::new("told_to_fail", "The method was told to fail.").retryable().details(json!({"n": input.n})))
    }

    /// Answers settings by their names; `null` for what there is not.
    #[method(idempotent)]
    fn settings(input: Names) -> Result<Vec<Option<String>>> {
        Ok(input.names.iter().map(|name| config(name)).collect())
    }

    /// Reads a blob, and answers a new one with its bytes reversed.
    #[method]
    fn reverse(input: Content) -> Result<Content> {
        let mut bytes = input.content.bytes();
        bytes.reverse();
        Ok(Content { content: Blob::from_bytes("text/x-reversed", &bytes)? })
    }

    /// Answers the run's id, and logs.
    #[method(idempotent)]
    fn run_id(_: Nothing) -> Result<String> {
        log::debug!("from the connector");
        Ok(run::current().id)
    }

    /// Sends a request to the app.
    #[method]
    fn ask(input: Ask) -> Result<Value> {
        let base = config("base_url").unwrap_or_default();
        let url = if input.to.contains("://") { input.to } else { base.trim_end_matches('/').to_owned() + &input.to };
        let method = if input.method.is_empty() { "GET".into() } else { input.method };
        let mut request = http::Request::new(method, url);
        if let Some((name, value)) = input.header {
            request = request.header(name, value);
        }
        if let Some((name, value)) = input.query {
            request = request.query(name, value);
        }
        if let Some(json) = &input.json {
            request = request.json(json);
        }
        if input.bytes > 0 {
            request = request.bytes("application/octet-stream", vec![b'x'; input.bytes]);
        }
        if input.limit > 0 {
            request = request.limit(input.limit);
        }
        let answer = request.send()?;
        let body = answer.json().unwrap_or_else(|_| json!({"bytes": answer.bytes.len()}));
        Ok(json!({"status": answer.status, "body": body}))
    }
}
