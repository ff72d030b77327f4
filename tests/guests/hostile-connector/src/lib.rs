//! Goes after hosts, limits and its own credentials.

mod memory;

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

/// The connector.
#[derive(Debug)]
pub struct Hostile;

/// A request, exactly as it shall be sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The HTTP method; `GET` when left out.
    #[serde(default = "get")]
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers; a name may stand more than once.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// A body of text.
    #[serde(default)]
    pub body: Option<String>,
    /// What the body is; `text/plain` when left out.
    #[serde(default = "text")]
    pub content_type: String,
}

/// A request below the base URL.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reflect {
    /// The path.
    pub path: String,
    /// Where the app's answer goes.
    #[serde(default)]
    pub to: Target,
    /// A path to be asked afterwards, while the first answer is still in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

/// Where an app's answer goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Into the method's output.
    #[default]
    Output,
    /// Into the method's error, its message and its details.
    Error,
    /// Into the run's log.
    Log,
    /// Into a blob.
    Blob,
    /// Into the message of a panic.
    Panic,
}

/// What an app answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body; what is not UTF-8 is replaced.
    pub body: String,
}

/// How to search for credentials.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dump {
    /// The credential to search memory for, each byte xored with 0x5A, so that the search does not find itself.
    pub masked: Vec<u8>,
    /// Puts the credential into memory first: the search has to find it then.
    pub plant: bool,
}

/// Nothing.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

#[headgate_sdk::connector]
impl Hostile {
    fn manifest() -> Manifest {
        Manifest::new("hostile", "Hostile")
            .config(ConfigField::new("base_url", "Base URL").required())
            .base_url("${config.base_url}")
            .auth(Auth::bearer("bearer", "Bearer", SecretField::new("token", "Token")))
            .auth(Auth::header("header", "Header", "X-Api-Key", SecretField::new("token", "Token")))
            .auth(Auth::body("body", "Body", "/auth/key", SecretField::new("token", "Token")))
            .auth(Auth::query("query", "Query", "api_key", SecretField::new("token", "Token")))
            .auth(Auth::basic(
                "basic",
                "Basic",
                SecretField::new("username", "User name"),
                SecretField::new("token", "Password"),
            ))
            .verification("GET", "/")
    }

    /// Sends any request anywhere.
    #[method]
    fn fetch(input: Fetch) -> Result<Seen> {
        let mut request = http::Request::new(input.method, input.url);
        for (name, value) in input.headers {
            request = request.header(name, value);
        }
        if let Some(body) = input.body {
            request = request.bytes(&input.content_type, body);
        }
        request.send().map(seen)
    }

    /// Hands on whatever the app answers.
    #[method]
    fn reflect(input: Reflect) -> Result<Value> {
        let base = config("base_url").unwrap_or_default();
        let get = |path: &str| http::get(base.trim_end_matches('/').to_owned() + path).send();
        let answer = seen(get(&input.path)?);
        if let Some(path) = &input.then {
            get(path)?;
        }
        match input.to {
            Target::Output => Ok(serde_json::to_value(answer)?),
            Target::Error => Err(Error::new("reflected", answer.body.clone()).details(answer)),
            Target::Log => {
                log::info!("{}", answer.body);
                eprintln!("{}", answer.body);
                Ok(json!({"logged": answer.body.len()}))
            }
            Target::Blob => Ok(json!({"blob": Blob::from_bytes("text/plain", answer.body.as_bytes())?})),
            Target::Panic => panic!("{}", answer.body),
        }
    }

    /// Never ends.
    #[method]
    fn r#loop(_: Nothing) -> Result<Nothing> {
        let mut rounds = 0_u64;
        loop {
            rounds = std::hint::black_box(rounds.wrapping_add(1));
        }
    }

    /// Takes memory until there is no more.
    #[method]
    fn bomb(_: Nothing) -> Result<Nothing> {
        let mut blocks = Vec::new();
        loop {
            blocks.push(std::hint::black_box(vec![1_u8; 1024 * 1024]));
        }
    }

    /// Panics.
    #[method]
    fn panic(_: Nothing) -> Result<Nothing> {
        panic!("the connector panics because it was told to")
    }

    /// Answers an output of so many bytes.
    #[method]
    fn flood(bytes: usize) -> Result<String> {
        Ok("x".repeat(bytes))
    }

    /// Searches settings, environment, arguments and memory for its own credentials.
    #[method]
    fn dump(input: Dump) -> Result<Value> {
        let names = [
            "token",
            "key",
            "secret",
            "password",
            "username",
            "api_key",
            "access_token",
            "authorization",
            "secret.token",
            "connection",
            "auth",
            "credentials",
            "",
        ];
        let settings: BTreeMap<&str, String> =
            names.into_iter().filter_map(|name| Some((name, config(name)?))).collect();
        let planted = input.plant.then(|| memory::unmask(&input.masked));
        let found = memory::count(&input.masked);
        // The planted copy has to live until the search is over.
        drop(std::hint::black_box(planted));
        Ok(json!({
            "config": settings,
            "environment": std::env::vars().collect::<Vec<_>>(),
            "arguments": std::env::args().collect::<Vec<_>>(),
            "found_in_memory": found,
        }))
    }
}

fn text() -> String {
    "text/plain".into()
}

fn get() -> String {
    "GET".into()
}

fn seen(answer: http::Response) -> Seen {
    let body = answer.text();
    Seen { status: answer.status, headers: answer.headers.0, body }
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, invoke};

    use super::*;

    fn host() -> Host {
        let host = Host::of::<Hostile>();
        host.config("base_url", "https://app.example/api");
        host
    }

    #[test]
    fn the_mock_refuses_what_the_host_refuses() {
        let _host = host();
        for input in [
            json!({"url": "https://elsewhere.example/api"}),
            json!({"url": "https://app.example/apiary"}),
            json!({"url": "https://user:pw@app.example/api"}),
            json!({"url": "https://app.example/api/../admin"}),
            json!({"url": "https://app.example/api", "headers": [["Authorization", "x"]]}),
            json!({"url": "https://app.example/api", "headers": [["Cookie", "x"]]}),
            json!({"url": "https://app.example/api", "headers": [["Proxy-Authorization", "x"]]}),
            json!({"url": "https://app.example/api", "headers": [["X-API-KEY", "x"]]}),
            json!({"url": "https://app.example/api?API_KEY=x"}),
        ] {
            let error = invoke::<Hostile>("fetch", &input).unwrap_err();
            assert_eq!(error.code, "egress_denied", "{input}");
        }
    }

    #[test]
    fn reflects_to_each_target() {
        let host = host();
        for (to, place) in [("output", "/body"), ("blob", "/blob/$blob"), ("log", "/logged")] {
            host.http("GET", "/api/me").answer_bytes(200, "text/plain", "secret");
            let output = invoke::<Hostile>("reflect", &json!({"path": "/me", "to": to})).unwrap();
            assert!(output.pointer(place).is_some(), "{output}");
        }
        host.http("GET", "/api/me").answer_bytes(200, "text/plain", "secret");
        let error = invoke::<Hostile>("reflect", &json!({"path": "/me", "to": "error"})).unwrap_err();
        assert_eq!((error.message.as_str(), &error.details.unwrap()["body"]), ("secret", &json!("secret")));
        assert_eq!(host.logs()[0].message, "secret");
    }

    #[test]
    fn methods_keep_their_names() {
        let names: Vec<String> =
            <Hostile as headgate_sdk::Connector>::describe().methods.into_iter().map(|method| method.name).collect();
        assert_eq!(names, ["fetch", "reflect", "loop", "bomb", "panic", "flood", "dump"]);
    }
}
