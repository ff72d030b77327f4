//! A package in JavaScript becomes a component, by componentize-js from npm.

use std::io;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::cli::CliError;
use crate::cli::build::{Built, Options, listen};
use crate::wasm::World;

/// The file that says what a package is.
pub(super) const PACKAGE: &str = "package.json";
/// The file that joins the package's code with the interfaces of a world.
const ENTRY: &str = "component.js";
/// What makes the component, below `node_modules`.
const COMPONENTIZE: &str = "@bytecodealliance/componentize-js/src/cli.js";
/// The oldest Node that it runs in.
const OLDEST_NODE: u32 = 20;

/// The interfaces, as this program knows them: a component is built for its server's version.
const WIT: [(&str, &str); 8] = [
    ("runtime.wit", include_str!("../../../../sdk/wit/runtime.wit")),
    ("deps/cli.wit", include_str!("../../../../sdk/wit/deps/cli.wit")),
    ("deps/clocks.wit", include_str!("../../../../sdk/wit/deps/clocks.wit")),
    ("deps/filesystem.wit", include_str!("../../../../sdk/wit/deps/filesystem.wit")),
    ("deps/http.wit", include_str!("../../../../sdk/wit/deps/http.wit")),
    ("deps/io.wit", include_str!("../../../../sdk/wit/deps/io.wit")),
    ("deps/random.wit", include_str!("../../../../sdk/wit/deps/random.wit")),
    ("deps/sockets.wit", include_str!("../../../../sdk/wit/deps/sockets.wit")),
];

/// What is read of a package's manifest.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    headgate: Option<Headgate>,
}

#[derive(Debug, Deserialize)]
struct Headgate {
    kind: World,
}

/// Builds the package in a folder. Installs what it needs from npm when it is missing.
pub(super) async fn build(folder: &Path, options: &Options<'_>) -> Result<Built, CliError> {
    let folder = folder.canonicalize().map_err(CliError::file("find", folder))?;
    let (name, world) = read(&folder)?;
    ensure_node(&folder).await?;
    let target = options.target_dir.map_or_else(|| folder.join("target"), |target| target.join(&name));
    let componentize = folder.join("node_modules").join(COMPONENTIZE);
    if !componentize.is_file() {
        install(&folder, options).await?;
    }
    let wit = target.join("wit");
    for (file, text) in WIT {
        write(&wit.join(file), text)?;
    }
    let path = target.join(format!("{name}.wasm"));
    let mut node = Command::new("node");
    node.current_dir(&folder).arg(&componentize).arg(ENTRY).arg("--wit").arg(&wit);
    node.args(["--world-name", &world.to_string(), "--disable"]).args(disabled(world)).arg("--out").arg(&path);
    let failed = "componentize-js could not make a component of component.js and what it imports";
    run(node, options, failed).await?;
    Ok(Built { name, path, sources: vec![folder] })
}

/// What the engine may not import: nobody sends a component requests, and a flow sends none.
fn disabled(world: World) -> &'static [&'static str] {
    match world {
        World::Flow => &["http", "fetch-event"],
        World::Connector => &["fetch-event"],
    }
}

fn read(folder: &Path) -> Result<(String, World), CliError> {
    let path = folder.join(PACKAGE);
    let text = std::fs::read_to_string(&path).map_err(CliError::file("read", &path))?;
    let wrong = |reason: String| CliError::Usage(format!("{} {reason}", path.display()));
    let package: Package = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is not as a package of a flow or connector: {error}")))?;
    let Some(Headgate { kind }) = package.headgate else {
        return Err(wrong(
            "does not say what it is: add `\"headgate\": {\"kind\": \"flow\"}`, or begin with `headgate new flow --lang js NAME`"
                .to_owned(),
        ));
    };
    // A package's name may have a scope, `@acme/orders`.
    let name = package.name.rsplit('/').next().unwrap_or_default().to_owned();
    if name.is_empty() || name.starts_with('.') {
        return Err(wrong(format!("has the name \"{}\", which names no component", package.name)));
    }
    Ok((name, kind))
}

/// Fails where there is no Node, or one that is too old.
async fn ensure_node(folder: &Path) -> Result<(), CliError> {
    let said = Command::new("node").current_dir(folder).arg("--version").stdin(Stdio::null()).output().await;
    let said = said.map_err(|error| missing("node", &error))?;
    node_is_new_enough(String::from_utf8_lossy(&said.stdout).trim())
}

fn node_is_new_enough(version: &str) -> Result<(), CliError> {
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= OLDEST_NODE) {
        return Ok(());
    }
    Err(CliError::Program(format!(
        "components in JavaScript are built with Node {OLDEST_NODE} or newer, and `node --version` says \"{version}\". Install a newer one from nodejs.org or your system's packages"
    )))
}

/// Installs what the package needs; exactly what its lock file says, where it has one.
async fn install(folder: &Path, options: &Options<'_>) -> Result<(), CliError> {
    let command = if folder.join("package-lock.json").is_file() { "ci" } else { "install" };
    let mut npm = Command::new("npm");
    // What makes the component is a dependency of development, which npm leaves out under NODE_ENV=production.
    npm.current_dir(folder).args([command, "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let failed = format!(
        "`npm {command}` failed in {}. It needs the registry once, or a cache that has the packages; try it by hand",
        folder.display()
    );
    run(npm, options, &failed).await?;
    if folder.join("node_modules").join(COMPONENTIZE).is_file() {
        return Ok(());
    }
    Err(CliError::Program(format!(
        "{} does not ask for @bytecodealliance/componentize-js. Run `npm install --save-dev --save-exact @bytecodealliance/componentize-js`",
        folder.join(PACKAGE).display()
    )))
}

/// Runs a program to its end. What it says goes where a build's progress goes.
async fn run(mut command: Command, options: &Options<'_>, failed: &str) -> Result<(), CliError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let heard = options.progress.is_some();
    let stderr = if heard { Stdio::piped() } else { Stdio::inherit() };
    // What it prints is no result of this program's own, which may be read by another.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| missing(&program, &error))?;
    let lines = listen(child.stderr.take(), options).await;
    let status = child.wait().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) if heard => Err(CliError::Program(format!("{failed}:\n{}", lines.join("\n")))),
        Ok(_) => Err(CliError::Program(format!("{failed}; its messages stand above"))),
        Err(error) => Err(CliError::Program(format!("{program} was interrupted: {error}"))),
    }
}

fn missing(program: &str, error: &io::Error) -> CliError {
    CliError::Program(format!(
        "`{program}` cannot be run ({error}). Components in JavaScript are built with Node {OLDEST_NODE} or newer and npm: install them from nodejs.org or your system's packages"
    ))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(CliError::file("make", folder))?;
    }
    std::fs::write(path, text).map_err(CliError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> Result<(String, World), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(PACKAGE), text).unwrap();
        read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_package_says_what_it_is() {
        let flow = package(r#"{"name": "orders", "headgate": {"kind": "flow"}}"#);
        assert_eq!(flow, Ok(("orders".into(), World::Flow)));
        let connector = package(r#"{"name": "@acme/shop", "headgate": {"kind": "connector"}}"#);
        assert_eq!(connector, Ok(("shop".into(), World::Connector)));
        for (text, said) in [
            (r#"{"name": "orders"}"#, "headgate new flow --lang js"),
            (r#"{"name": "orders", "headgate": {"kind": "app"}}"#, "unknown variant `app`"),
            (r#"{"name": "..", "headgate": {"kind": "flow"}}"#, "names no component"),
            ("{", "is not as a package"),
        ] {
            let error = package(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_old_node_is_named() {
        for version in ["v20.0.0", "v24.1.0", "22.3"] {
            node_is_new_enough(version).unwrap();
        }
        for version in ["v18.20.1", "", "nonsense"] {
            let error = node_is_new_enough(version).unwrap_err().to_string();
            assert!(error.contains("Node 20 or newer") && error.contains(version), "{error}");
        }
        assert!(missing("npm", &io::ErrorKind::NotFound.into()).to_string().contains("nodejs.org"));
    }

    #[test]
    fn a_flow_has_no_requests() {
        assert!(disabled(World::Flow).contains(&"http") && !disabled(World::Connector).contains(&"http"));
    }
}
