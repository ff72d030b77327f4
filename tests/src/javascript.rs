//! Guests in JavaScript: what `headgate new --lang js` makes, with a guest's own code, built by `headgate build`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use headgate::cli::Cli;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::guests;

/// How long compiling such a component may take. It is seconds of one core, of which many stories have a part each.
pub const COMPILE: Duration = Duration::from_secs(600);

/// Names the folder with the package that makes components of JavaScript.
const FOLDER: &str = "COMPONENTIZE_JS";
/// What a component is made of, besides the guest's own file.
const SOURCES: [&str; 5] = [
    "sdk/templates/js/headgate.js",
    "sdk/templates/js-flow/component.js",
    "sdk/templates/js-connector/component.js",
    "sdk/wit/runtime.wit",
    "runtime/src/cli/build/javascript.rs",
];

/// One build at a time: each takes a whole core for some seconds.
static BUILDING: Mutex<()> = Mutex::const_new(());

/// The folder with the npm package `@bytecodealliance/componentize-js`. Where the variable is not set, a story about it
/// cannot be told; in CI it has to be.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        let wanted = "the folder with node_modules/@bytecodealliance/componentize-js";
        assert!(std::env::var_os("CI").is_none(), "{FOLDER} must name {wanted}");
        eprintln!("skipped: {FOLDER} does not name {wanted}");
    }
    folder
}

/// Runs a command line in this process.
pub async fn headgate(words: &[&str]) {
    let line = std::iter::once("headgate").chain(words.iter().copied());
    if let Err(error) = Cli::parse_from(line).run().await {
        panic!("headgate {}: {}", words.join(" "), error.report());
    }
}

/// The component of a guest below `tests/javascript`, a `flow` or a `connector`; none where the package is missing. It is
/// built when something of it has changed.
pub async fn component(kind: &str, guest: &str) -> Option<Vec<u8>> {
    let package = folder()?;
    let _building = BUILDING.lock().await;
    let own = guests::workspace().join("tests/javascript").join(guest).join(format!("{kind}.js"));
    let made = guests::target().join("javascript").join(guest);
    let (stamp, now) = (made.join("stamp"), digest(&own));
    let component = made.join("target").join(format!("{guest}.wasm"));
    if !fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == now) || !component.is_file() {
        make(kind, guest, &made, &package).await;
        fs::copy(&own, made.join(format!("{kind}.js"))).unwrap();
        headgate(&["build", made.to_str().unwrap()]).await;
        fs::write(&stamp, now).unwrap();
    }
    Some(fs::read(&component).unwrap())
}

/// Makes a new package in an empty folder, to which everything from npm is installed already.
pub async fn make(kind: &str, name: &str, made: &Path, package: &Path) {
    if made.exists() {
        fs::remove_dir_all(made).unwrap();
    }
    headgate(&["new", kind, name, "--lang", "js", "--path", made.to_str().unwrap()]).await;
    std::os::unix::fs::symlink(package.join("node_modules"), made.join("node_modules")).unwrap();
}

fn digest(own: &Path) -> String {
    let sources = SOURCES.iter().map(|source| guests::workspace().join(source));
    let mut digest = Sha256::new();
    for source in sources.chain([own.to_owned()]) {
        digest.update(fs::read(source).unwrap());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
