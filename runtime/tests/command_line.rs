//! The program itself: how it starts, stops and fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";
const ANY_PORT: &str = "127.0.0.1:0";

fn headgate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HEADGATE_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", folder.join("config"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn fails(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{said}");
    said
}

/// `headgate login`, with what is asked for on standard input.
fn log_in(folder: &Path, address: &str, arguments: &[&str], input: &str) {
    let mut command = headgate(folder);
    command.arg("login").args(arguments).args(["--url", &format!("http://{address}")]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let (told, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(0), "{told}{said}");
    assert!(told.contains("as ada@example.com") && !told.contains(PASSWORD), "{told}");
}

/// A server that has said where it listens.
struct Server {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Kept open, as a terminal is.
    _out: Lines<BufReader<ChildStdout>>,
    address: String,
    /// While there is no operator.
    setup: Option<String>,
}

impl Server {
    fn start(folder: &Path, first: bool, command: &mut Command) -> Self {
        let mut child = command.args(["serve", "--listen", ANY_PORT]).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(greeting)) = out.next() else {
            panic!("no server in {}: {:?}", folder.display(), log.collect::<Vec<_>>());
        };
        let address = greeting.strip_prefix("Headgate listens at http://").unwrap().to_owned();
        let setup = first.then(|| {
            let mut lines = out.by_ref().map(|line| line.unwrap().trim().to_owned());
            lines.find(|line| line.starts_with("hg_setup_")).unwrap()
        });
        Self { child, log, _out: out, address, setup }
    }

    /// Makes the first operator, whose session the commands in the folder go by; answers the access token.
    fn set_up(&self, folder: &Path) -> String {
        let setup = self.setup.as_deref().unwrap();
        log_in(folder, &self.address, &["--setup"], &format!("{setup}\nada@example.com\n{PASSWORD}\n"));
        let sessions = std::fs::read_to_string(folder.join("config/headgate/sessions.json")).unwrap();
        let sessions: serde_json::Value = serde_json::from_str(&sessions).unwrap();
        sessions[format!("http://{}", self.address)]["access_token"].as_str().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; answers the exit status and the rest of the log.
    fn wait(mut self) -> (Option<i32>, String) {
        let log = self.log.map(Result::unwrap).collect::<Vec<_>>().join("\n");
        (self.child.wait().unwrap().code(), log)
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_signal_ends_the_server_in_order_and_the_setup_token_is_for_one_use() {
    for signal in ["-TERM", "-INT"] {
        let folder = folder();
        let server = Server::start(folder.path(), true, &mut headgate(folder.path()));
        let (url, setup) = (format!("http://{}", server.address), server.setup.clone().unwrap());
        server.set_up(folder.path());
        let client = |arguments: &[&str]| {
            let output = headgate(folder.path()).args(arguments).env("HEADGATE_URL", &url).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
        };
        client(&["--json", "groups", "create", "acme"]);
        assert_eq!(client(&["--json", "groups", "list"])[0]["name"], "acme");
        client(&["--json", "logout"]);
        let said = fails(headgate(folder.path()).args(["groups", "list", "--url", &url]));
        assert!(said.contains("headgate login"), "{said}");
        let mut again = headgate(folder.path());
        again.args(["login", "--setup", "--email", "eve@example.com", "--url", &url]).stdin(Stdio::piped());
        let mut again = again.spawn().unwrap();
        again.stdin.take().unwrap().write_all(format!("{setup}\n{PASSWORD}\n").as_bytes()).unwrap();
        assert!(!again.wait().unwrap().success(), "the setup token was taken twice");

        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("stopped") && !log.contains(&setup) && !log.contains(PASSWORD), "{log}");

        let again = Server::start(folder.path(), false, &mut headgate(folder.path()));
        log_in(folder.path(), &again.address, &["--email", "ada@example.com"], &format!("{PASSWORD}\n"));
        let url = format!("http://{}", again.address);
        let kept = headgate(folder.path()).args(["groups", "show", "acme", "--url", &url]).output();
        assert!(kept.unwrap().status.success());
        again.signal(signal);
        assert_eq!(again.wait().0, Some(0));
    }
}

#[test]
fn commands_at_once_refresh_a_session_once_each() {
    let folder = folder();
    let mut command = headgate(folder.path());
    // Shorter than the margin: every command finds the token too old.
    let server = Server::start(folder.path(), true, command.env("HEADGATE_USERS__ACCESS_TOKEN", "10s"));
    server.set_up(folder.path());
    let url = format!("http://{}", server.address);
    let refresh_token = || {
        let sessions = std::fs::read(folder.path().join("config/headgate/sessions.json")).unwrap();
        let sessions: serde_json::Value = serde_json::from_slice(&sessions).unwrap();
        sessions[&url]["refresh_token"].as_str().unwrap().to_owned()
    };
    let first = refresh_token();
    let ask = || headgate(folder.path()).args(["groups", "list", "--url", &url]).spawn().unwrap();
    let asked: Vec<_> = (0..8).map(|_| ask()).collect();
    for child in asked {
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert!(status.success(), "{}", String::from_utf8(stderr).unwrap());
    }
    assert_ne!(refresh_token(), first);
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn an_operator_who_forgot_the_password_comes_in_again() {
    let folder = folder();
    let server = Server::start(folder.path(), true, &mut headgate(folder.path()));
    server.set_up(folder.path());
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));
    let mut command = headgate(folder.path());
    let server = Server::start(folder.path(), true, command.env("HEADGATE_USERS__SETUP_TOKEN", "true"));
    let said = fails(headgate(folder.path()).args(["users", "list", "--url", &format!("http://{}", server.address)]));
    assert!(said.contains("headgate login"), "{said}");
    server.set_up(folder.path());
    let users = ["--json", "users", "list", "--url", &format!("http://{}", server.address)];
    let users = headgate(folder.path()).args(users).output().unwrap();
    let users: serde_json::Value = serde_json::from_slice(&users.stdout).unwrap();
    assert_eq!((users.as_array().unwrap().len(), &users[0]["status"]), (1, &"active".into()));
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = folder();
    let mut server = Server::start(folder.path(), true, &mut headgate(folder.path()));
    // A request whose body never comes to its end keeps the server waiting.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let token = server.set_up(folder.path());
    let head = format!(
        "PUT /api/v1/groups/acme/connectors HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body as soon as it waits for it.
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("100"), "{line}");
    server.signal("-TERM");
    assert!(server.log.any(|line| line.unwrap().contains("a second signal stops at once")));
    server.signal("-TERM");
    let (status, log) = server.wait();
    assert_eq!(status, Some(130), "{log}");
}

#[test]
fn what_stops_a_start_is_said() {
    let folder = folder();
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = fails(headgate(folder.path()).args(["serve", "--listen", &address]));
    assert!(said.contains(&format!("cannot listen at {address}")) && said.contains("caused by"), "{said}");

    let server = Server::start(folder.path(), true, &mut headgate(folder.path()));
    let said = fails(headgate(folder.path()).args(["serve", "--listen", ANY_PORT]));
    assert!(said.contains("in use by another process"), "{said}");
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));

    let key = folder.path().join("headgate-data/keys/key-encryption-key");
    let right = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, "0".repeat(64)).unwrap();
    let said = fails(headgate(folder.path()).args(["serve", "--listen", ANY_PORT]));
    assert!(said.contains("not the one this store was made with"), "{said}");
    std::fs::remove_file(&key).unwrap();
    let said = fails(headgate(folder.path()).args(["serve", "--listen", ANY_PORT]));
    assert!(said.contains("is missing") && said.contains("HEADGATE_KEY"), "{said}");

    // Still without an operator, and so with another setup token.
    let server = Server::start(folder.path(), true, headgate(folder.path()).env("HEADGATE_KEY", right.trim()));
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_token_that_nobody_could_read_ends_the_start() {
    let folder = folder();
    let mut command = headgate(folder.path());
    let mut child = command.args(["serve", "--listen", ANY_PORT]).spawn().unwrap();
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("token cannot be shown"), "{said}");
}

#[test]
fn a_damaged_store_is_said_to_be_damaged() {
    let folder = folder();
    let server = Server::start(folder.path(), true, &mut headgate(folder.path()));
    server.signal("-TERM");
    assert_eq!(server.wait().0, Some(0));
    let data = folder.path().join("headgate-data");
    let log = std::fs::read_dir(data.join("log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&log, bytes).unwrap();
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let said = fails(headgate(folder.path()).args(["serve", "--listen", ANY_PORT]));
    assert!(said.contains("cannot be opened") && said.contains("damaged"), "{said}");
}

#[test]
fn a_setting_that_is_none_is_named() {
    let folder = folder();
    let said = fails(headgate(folder.path()).arg("serve").env("HEADGATE_LISEN", "x"));
    assert!(said.contains("HEADGATE_LISEN sets `lisen`"), "{said}");
    std::fs::write(folder.path().join("headgate.toml"), "[service]\nqueu = 1\n").unwrap();
    let said = fails(headgate(folder.path()).arg("serve"));
    assert!(said.contains("headgate.toml sets `service.queu`"), "{said}");
}

#[test]
fn without_a_server_it_is_said_how_to_start_one() {
    let folder = folder();
    let closed = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let said = fails(headgate(folder.path()).args(["groups", "list", "--url", &format!("http://{closed}")]));
    assert!(said.contains("headgate serve"), "{said}");
}

#[test]
fn the_demo_goes_the_whole_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let Output { status, stdout, stderr } = headgate(source).args(["demo", "--once"]).output().unwrap();
    let (told, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(0), "{told}\n{said}");
    for part in
        ["This is not HubSpot", "sha256:", "answer 401", "ada@example.com is now CONNECTED", "0 contain it in clear"]
    {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}
