//! The program `headgate` from a new crate to a recorded run, as an integrator and an operator use it.

#![expect(clippy::unwrap_used, reason = "this file is tests and what only they call")]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headgate");
/// The crates' names. They differ from those of other guests: all are built into one folder.
const FLOW: &str = "story-greeter";
const CONNECTOR: &str = "story-shop";

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder of the tests' own guests: their dependencies are compiled there already, and no other build waits for it.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guests")
}

/// What a command came to.
struct Done {
    line: String,
    status: i32,
    out: String,
    err: String,
}

impl Done {
    /// The JSON it printed.
    fn json(&self) -> Value {
        assert_eq!(self.status, 0, "{}: {}", self.line, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{}: {error}: {}", self.line, self.out))
    }

    /// What it said when it failed.
    fn error(&self, status: i32) -> &str {
        assert_eq!(self.status, status, "{}: {} {}", self.line, self.out, self.err);
        &self.err
    }
}

/// Someone at a terminal.
struct Terminal {
    variables: Vec<(&'static str, String)>,
}

impl Terminal {
    /// Runs a command; words are separated by spaces.
    fn run(&self, line: &str) -> Done {
        self.run_words(&line.split(' ').collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Done {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(workspace()).envs(self.variables.iter().cloned());
        done(words.join(" "), command)
    }
}

fn done(line: String, mut command: Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { line, status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// `headgate serve`, killed at the end of a story.
struct Server(Child, Lines<BufReader<ChildStdout>>);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on an empty folder and makes its operator; answers its URL and the operator's access token, too.
fn serve(folder: &Path) -> (Server, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
    command.env("HEADGATE_WASM__FLOW_INSTANCES", "16").env("HEADGATE_WASM__CONNECTOR_INSTANCES", "16");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The output is kept open: a server that cannot print its greeting ends.
    let mut server = Server(child, lines);
    let mut after = |words: &str| {
        let mut lines = server.1.by_ref().map(Result::unwrap);
        let found = lines.find_map(|line| line.split_once(words).map(|(_, rest)| rest.trim().to_owned()));
        found.unwrap_or_else(|| panic!("the server does not say: {words}"))
    };
    let url = after("Headgate listens at ");
    let setup = format!("hg_setup_{}", after("  hg_setup_"));
    let token = set_up(folder, &url, &setup);
    (server, url, token)
}

/// Makes the first operator; answers the access token.
fn set_up(folder: &Path, url: &str, setup: &str) -> String {
    let config = folder.join("config");
    let mut command = Command::new(PROGRAM);
    command.args(["login", "--setup", "--email", "ada@example.com", "--url", url]).env("XDG_CONFIG_HOME", &config);
    let mut login = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let input = format!("{setup}\ncorrect horse battery\n");
    std::io::Write::write_all(&mut login.stdin.take().unwrap(), input.as_bytes()).unwrap();
    assert!(login.wait().unwrap().success());
    let sessions = std::fs::read(config.join("headgate/sessions.json")).unwrap();
    let sessions: serde_json::Value = serde_json::from_slice(&sessions).unwrap();
    sessions[url]["access_token"].as_str().unwrap().to_owned()
}

/// Makes a crate from the template, with the dependencies' versions of this workspace.
fn make(terminal: &Terminal, kind: &str, name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(name);
    let made = terminal.run_words(&["new", kind, name, "--path", path.to_str().unwrap(), "--json"]).json();
    assert_eq!(made["path"], path.to_str().unwrap());
    std::fs::copy(workspace().join("Cargo.lock"), path.join("Cargo.lock")).unwrap();
    path
}

#[tokio::test]
async fn from_a_new_crate_to_a_recorded_run() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, url, token) = serve(&folder.path().join("data"));
    let variables = [
        ("HEADGATE_URL", url),
        ("HEADGATE_TOKEN", token),
        ("HEADGATE_GROUP", "acme".to_owned()),
        ("CARGO_TARGET_DIR", target().display().to_string()),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
    ];
    let terminal = Terminal { variables: variables.into() };

    assert_eq!(terminal.run("groups create acme --json").json()["name"], "acme");
    let key = terminal.run("keys create erp --json").json();
    let secret = key["api_key"].as_str().unwrap();
    let keys = terminal.run("keys list --json");
    assert_eq!(keys.json()[0]["id"], key["id"]);
    assert!(!keys.out.contains(secret), "{}", keys.out);

    let flow = make(&terminal, "flow", FLOW, folder.path());
    let built = terminal.run_words(&["build", flow.to_str().unwrap(), "--json"]).json();
    assert_eq!((&built["name"], &built["kind"]), (&json!(FLOW), &json!("flow")));
    let pushed = terminal.run_words(&["push", built["path"].as_str().unwrap(), "--json"]).json();
    assert_eq!((&pushed["flow"]["name"], &pushed["version"]["version"]), (&json!(FLOW), &json!(1)));
    assert_eq!(pushed["version"]["digest"], built["digest"]);
    let published = terminal.run(&format!("publish {FLOW} --json")).json();
    assert_eq!(published["published"], json!({"production": 1}));
    assert_eq!(terminal.run("flows list --json").json()[0]["name"], FLOW);
    let trigger = terminal.run(&format!("triggers create {FLOW} --key erp --json")).json();
    assert_eq!(trigger["keys"], json!([key["id"]]));

    let call = client().post(trigger["url"].as_str().unwrap()).bearer_auth(secret);
    let answer = call.body(r#"{"name": "Ada"}"#).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"greeting":"Hello, Ada!"}"#);
    let run = terminal.run_words(&["run", FLOW, "--event", r#"{"name":"Bob"}"#, "--json"]).json();
    assert_eq!((&run["state"], &run["environment"]), (&json!("succeeded"), &json!("test")));
    let failed = terminal.run_words(&["run", FLOW, "--event", r#"{"name":""}"#]);
    assert!(failed.error(1).contains("error: the run failed: The name is empty."), "{}", failed.err);

    let runs = terminal.run("runs --json").json();
    let callers: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["caller"].as_str().unwrap()).collect();
    assert_eq!(callers, ["User: ada@example.com", "User: ada@example.com", "Key: erp"]);
    let id = runs[2]["id"].as_str().unwrap();
    assert_eq!(terminal.run(&format!("runs {id} --json")).json()["outcome"]["response"]["status"], 200);
    let logged = terminal.run(&format!("logs {id} --json")).json();
    assert_eq!((&logged["message"], &logged["run"]), (&json!("greeting Ada"), &json!(id)));

    assert_eq!(terminal.run("keys revoke erp --json").status, 0);
    assert_eq!(terminal.run("keys list --json").json()[0]["status"], "revoked");
    stop(&mut server);
}

/// One that goes by no proxy of the environment.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Asks the server to stop, and waits.
fn stop(server: &mut Server) {
    let line = format!("kill -TERM {}", server.0.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

#[test]
fn new_crates_pass_their_own_tests_and_a_connector_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, url, token) = serve(&folder.path().join("data"));
    let variables = [
        ("HEADGATE_URL", url),
        ("HEADGATE_TOKEN", token),
        ("CARGO_TARGET_DIR", target().display().to_string()),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
    ];
    let terminal = Terminal { variables: variables.into() };
    for (kind, name) in [("flow", FLOW), ("connector", CONNECTOR)] {
        let path = make(&terminal, kind, name, folder.path());
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--quiet"]).current_dir(&path).envs(terminal.variables.iter().cloned());
        let tested = done(format!("cargo test in {name}"), cargo);
        assert_eq!(tested.status, 0, "{}{}", tested.out, tested.err);
        assert!(
            tested.out.contains("test result: ok.") && !tested.out.contains(" 0 passed; 0 failed;\n"),
            "{}",
            tested.out
        );
    }

    terminal.run("groups create acme --json").json();
    let path = folder.path().join(CONNECTOR);
    let installed = terminal.run_words(&["push", path.to_str().unwrap(), "--group", "acme", "--json"]).json();
    assert_eq!(installed["name"], CONNECTOR);
    let connection =
        format!("connections create --group acme --connector {CONNECTOR} --name shop --secret token=env:SHOP --json");
    let mut command = Command::new(PROGRAM);
    command.args(connection.split(' ')).envs(terminal.variables.iter().cloned()).env("SHOP", "canary-7361");
    let made = done(connection, command);
    assert_eq!(made.json()["connector"], CONNECTOR);
    assert!(!made.out.contains("canary"), "{}", made.out);
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, url, token) = serve(&folder.path().join("data"));
    let at = |url: &str, token: &str| Terminal {
        variables: vec![("HEADGATE_URL", url.to_owned()), ("HEADGATE_TOKEN", token.to_owned())],
    };
    let terminal = at(&url, &token);
    for (terminal, line, status, said) in [
        (&terminal, "flows list", 1, "error: no group is named. Name one with --group or HEADGATE_GROUP"),
        (&terminal, "flows show x --group nobody", 1, "error: Group not found"),
        (&terminal, "push Cargo.toml --group acme", 1, "error: Cargo.toml cannot be used: "),
        (&terminal, "run x --group acme --event {", 1, "error: the event is neither JSON nor a file"),
        (&terminal, "serve --listen nowhere", 2, "invalid value 'nowhere'"),
        (&terminal, "dance", 2, "unrecognized subcommand 'dance'"),
        (&at(&url, "hgo_wrong"), "groups list", 1, "error: "),
        (
            &at("http://127.0.0.1:1", &token),
            "groups list",
            1,
            "error: no server answers at http://127.0.0.1:1. Start one with `headgate serve`",
        ),
    ] {
        let done = terminal.run(line);
        assert!(done.error(status).contains(said), "{line}: {}", done.err);
        assert_eq!(done.out, "", "{line}");
    }
}

#[tokio::test]
async fn every_command_of_the_page_on_api_keys_works() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, url, token) = serve(&folder.path().join("data"));
    let variables =
        [("HEADGATE_URL", url.clone()), ("HEADGATE_TOKEN", token.clone()), ("HEADGATE_GROUP", "acme".to_owned())];
    let terminal = Terminal { variables: variables.into() };
    terminal.run("groups create acme --json").json();
    let flow =
        client().post(format!("{url}/api/v1/groups/acme/flows")).bearer_auth(token).json(&json!({"name": "hello"}));
    assert_eq!(flow.send().await.unwrap().status(), 201);

    let page = std::fs::read_to_string(workspace().join("runtime/docs/api-keys.md")).unwrap();
    let (mut trigger, mut end, mut ran) = (String::new(), String::new(), 0);
    for line in page.lines().filter_map(|line| line.trim().strip_prefix("headgate ")) {
        let line = line.replace("TRIGGER", &trigger).replace("7:5f0c", &end);
        // Words in double quotes are one.
        let mut words: Vec<&str> = Vec::new();
        for (at, part) in line.split('"').enumerate() {
            if at % 2 == 0 { words.extend(part.split_whitespace()) } else { words.push(part) }
        }
        let done = terminal.run_words(&words);
        assert_eq!(done.status, 0, "{line}: {}", done.err);
        assert!(!done.out.is_empty(), "{line}");
        let value = |name: &str| {
            let shown = done.out.lines().find_map(|line| line.strip_prefix(name));
            shown.map(|value| value.trim().to_owned())
        };
        if line.starts_with("triggers create") && trigger.is_empty() {
            trigger = value("id ").unwrap();
        }
        end = value("end ").unwrap_or(end);
        ran += 1;
    }
    assert!(ran > 25, "{ran}");
    let wrong = terminal.run("audit verify --expect 1:00");
    assert!(wrong.error(1).contains("the audit log is broken at entry 1"), "{}", wrong.err);
}
