//! The program itself: how it starts, stops and fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

const ANY_PORT: &str = "127.0.0.1:0";

fn headgate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HEADGATE_") {
            command.env_remove(name);
        }
    }
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

/// A server that has said where it listens.
struct Server {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Kept open, as a terminal is.
    _out: Lines<BufReader<ChildStdout>>,
    address: String,
    /// At the first start on a folder.
    token: Option<String>,
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
        let token = first.then(|| {
            out.find_map(|line| line.unwrap().trim().strip_prefix("export HEADGATE_TOKEN=").map(str::to_owned)).unwrap()
        });
        Self { child, log, _out: out, address, token }
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
fn a_signal_ends_the_server_in_order_and_the_token_is_shown_once() {
    for signal in ["-TERM", "-INT"] {
        let folder = folder();
        let server = Server::start(folder.path(), true, &mut headgate(folder.path()));
        let (url, token) = (format!("http://{}", server.address), server.token.clone().unwrap());
        let client = |arguments: &[&str]| {
            headgate(folder.path())
                .args(arguments)
                .env("HEADGATE_URL", &url)
                .env("HEADGATE_TOKEN", &token)
                .output()
                .unwrap()
        };
        assert!(client(&["groups", "create", "acme"]).status.success());
        let groups = client(&["--json", "groups", "list"]);
        let groups: serde_json::Value = serde_json::from_slice(&groups.stdout).unwrap();
        assert_eq!(groups[0]["name"], "acme");

        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("stopped") && !log.contains(&token), "{log}");

        let again = Server::start(folder.path(), false, &mut headgate(folder.path()));
        let url = format!("http://{}", again.address);
        let kept = headgate(folder.path())
            .args(["groups", "show", "acme", "--url", &url])
            .env("HEADGATE_TOKEN", &token)
            .output();
        assert!(kept.unwrap().status.success());
        again.signal(signal);
        assert_eq!(again.wait().0, Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = folder();
    let mut server = Server::start(folder.path(), true, &mut headgate(folder.path()));
    // A request whose body never comes to its end keeps the server waiting.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let token = server.token.as_deref().unwrap();
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

    let server = Server::start(folder.path(), false, headgate(folder.path()).env("HEADGATE_KEY", right.trim()));
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
