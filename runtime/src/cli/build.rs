//! `headgate build`: a crate, or a package for npm, becomes a component.

mod javascript;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output as Finished, Stdio};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::cli::output::{Output, facts};
use crate::cli::{CliError, module_signature, push};
use crate::wasm::World;

/// What guests are compiled for: a component comes out of the linker directly.
const TARGET: &str = "wasm32-wasip2";
/// How guests are built: small, and without unwinding tables. It stands on the command line, so that a crate needs no profile of its own.
const PROFILE: [&str; 6] = [
    "profile.guest.inherits=\"release\"",
    "profile.guest.opt-level=\"s\"",
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    "profile.guest.panic=\"abort\"",
    "profile.guest.strip=true",
];

/// How they are built while somebody works on them: quickly, and again from what has not changed.
const QUICK_PROFILE: [&str; 7] = [
    "profile.guest-quick.inherits=\"dev\"",
    "profile.guest-quick.opt-level=1",
    "profile.guest-quick.debug=false",
    "profile.guest-quick.incremental=true",
    "profile.guest-quick.panic=\"abort\"",
    "profile.guest-quick.strip=true",
    "profile.guest-quick.package.\"*\".opt-level=\"s\"",
];

/// Builds a crate, or a package in JavaScript, to a component.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The crate's folder; or a component (.wasm) that was built in another way, to be signed.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Signs the component with the private key in this file (Ed25519, PEM), for servers that take only signed ones.
    /// The signed component is a file of its own, NAME.signed.wasm.
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// Makes a private key in a new file and shows its public part. Nothing is built.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "sign"])]
    new_key: Option<PathBuf>,
}

/// Where a build goes, and who hears of it.
#[derive(Default)]
pub(super) struct Options<'a> {
    /// Cargo's target folder; the crate's own when absent.
    pub(super) target_dir: Option<&'a Path>,
    /// Told cargo's lines as they come; they go to standard error when absent.
    pub(super) progress: Option<&'a (dyn Fn(&str) + Sync)>,
    /// Whether it has to be quick rather than small.
    pub(super) quick: bool,
}

/// A component that was built.
#[derive(Debug)]
pub(super) struct Built {
    /// The crate's name.
    pub(super) name: String,
    /// The component.
    pub(super) path: PathBuf,
    /// The folders with the source that it was built from, as far as it is the author's own.
    pub(super) sources: Vec<PathBuf>,
}

/// What `build` says of a component.
#[derive(Serialize)]
struct Report {
    name: String,
    path: PathBuf,
    size: u64,
    digest: String,
    kind: Option<World>,
    imports: Vec<String>,
}

impl Build {
    pub(super) async fn run(self, output: Output) -> Result<(), CliError> {
        if let Some(file) = &self.new_key {
            return module_signature::new_key(file, output);
        }
        let (mut component, mut path) = match self.path.is_file() {
            true => (push::component(&self.path).await?, self.path),
            false => {
                let built = build(&self.path, &Options::default()).await?;
                (push::read(&built.path, built.name)?, built.path)
            }
        };
        if let Some(key) = &self.sign {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            path.set_file_name(format!("{}.signed.wasm", stem.strip_suffix(".signed").unwrap_or(&stem)));
            let signed = module_signature::signed(&component.bytes, key)?;
            std::fs::write(&path, &signed).map_err(CliError::file("write", &path))?;
            component = push::read(&path, component.name)?;
        }
        let report = Report {
            name: component.name,
            path,
            size: component.bytes.len() as u64,
            digest: component.inspection.digest.to_string(),
            kind: component.inspection.world,
            imports: component.inspection.imports,
        };
        output.show(&report, |report| {
            let kind = report.kind.map_or_else(|| "neither a flow nor a connector".to_owned(), |kind| kind.to_string());
            facts([
                ("name", report.name.clone()),
                ("kind", kind),
                ("path", report.path.display().to_string()),
                ("size", format!("{} bytes", report.size)),
                ("digest", report.digest.clone()),
                ("imports", report.imports.join("\n")),
            ])
        })
    }
}

/// Builds the crate or the package in a folder to a component. Adds the wasm target when it is missing.
pub(super) async fn build(folder: &Path, options: &Options<'_>) -> Result<Built, CliError> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() && folder.join(javascript::PACKAGE).is_file() {
        return javascript::build(folder, options).await;
    }
    let manifest = manifest.canonicalize().map_err(CliError::file("find a crate: there is no", &manifest))?;
    let folder = manifest.parent().expect("a file stands in a folder");
    ensure_target(folder, options).await?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--manifest-path"]).arg(&manifest);
    let (profile, settings) = if options.quick { ("guest-quick", &QUICK_PROFILE[..]) } else { ("guest", &PROFILE[..]) };
    cargo.args(["--target", TARGET, "--profile", profile, "--message-format", "json-render-diagnostics"]);
    for setting in settings {
        cargo.args(["--config", setting]);
    }
    if let Some(target_dir) = options.target_dir {
        cargo.arg("--target-dir").arg(target_dir);
    }
    let messages = run_cargo(cargo, options).await?;
    component_of(&messages, &manifest).ok_or_else(|| {
        CliError::Program(format!(
            "cargo built {} and no component came out. A guest's Cargo.toml has `[lib]` with `crate-type = [\"cdylib\"]`; `headgate new` makes such a crate",
            folder.display()
        ))
    })
}

/// Runs cargo; answers its messages.
async fn run_cargo(mut cargo: Command, options: &Options<'_>) -> Result<String, CliError> {
    let heard = options.progress.is_some();
    let stderr = if heard { Stdio::piped() } else { Stdio::inherit() };
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true).spawn();
    let child = child.as_mut().map_err(|error| missing("cargo", error))?;
    let mut messages = String::new();
    let mut stdout = child.stdout.take().expect("it was piped");
    let (read, lines) = tokio::join!(stdout.read_to_string(&mut messages), listen(child.stderr.take(), options));
    let status = child.wait().await;
    read.and(status).map_err(|error| CliError::Program(format!("cargo was interrupted: {error}"))).and_then(|status| {
        match status.success() {
            true => Ok(messages),
            false if heard => Err(CliError::Program(format!("cargo build failed:\n{}", lines.join("\n")))),
            false => Err(CliError::Program("cargo build failed; its messages stand above".to_owned())),
        }
    })
}

/// Hands each line on, and keeps the last ones for an error.
async fn listen(stream: Option<impl AsyncRead + Unpin>, options: &Options<'_>) -> Vec<String> {
    const KEPT: usize = 200;
    let mut kept = Vec::new();
    let Some(stream) = stream else { return kept };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(progress) = options.progress {
            progress(line.trim());
        }
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(line);
    }
    kept
}

/// How cargo's ids of packages begin that lie in a folder of the author's, not in a registry.
const LOCAL: &str = "path+file:";

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    manifest_path: Option<PathBuf>,
    target: Option<CargoTarget>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
    crate_types: Vec<String>,
}

/// The crate's own component among cargo's messages (one JSON object a line).
fn component_of(messages: &str, manifest: &Path) -> Option<Built> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let artifacts: Vec<_> = messages.filter(|message| message.reason == "compiler-artifact").collect();
    let sources =
        artifacts.iter().filter(|artifact| artifact.package_id.starts_with(LOCAL)).filter_map(Message::folder);
    let sources = BTreeSet::from_iter(sources).into_iter().collect();
    let own = artifacts.into_iter().filter(|artifact| artifact.manifest_path.as_deref() == Some(manifest));
    let (name, path) = own.filter_map(Message::component).next()?;
    Some(Built { name, path, sources })
}

impl Message {
    /// The folder of the package that it is about.
    fn folder(&self) -> Option<PathBuf> {
        Some(self.manifest_path.as_deref()?.parent()?.to_owned())
    }

    /// The name and the file of a component that came out.
    fn component(self) -> Option<(String, PathBuf)> {
        let target = self.target.filter(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))?;
        let path = self.filenames.into_iter().find(|path| path.extension().is_some_and(|end| end == "wasm"))?;
        Some((target.name.replace('_', "-"), path))
    }
}

/// Adds the wasm target, when the toolchain that would build `folder` lacks it.
async fn ensure_target(folder: &Path, options: &Options<'_>) -> Result<(), CliError> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
    let found = rustc.output().await.map_err(|error| missing("rustc", &error))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if found.status.success() && libraries.is_dir() {
        return Ok(());
    }
    let adding = format!("adding the target {TARGET} to the Rust toolchain");
    match options.progress {
        Some(progress) => progress(&adding),
        None => eprintln!("{adding}"),
    }
    let added = Command::new("rustup").current_dir(folder).args(["target", "add", TARGET]).output().await;
    target_added(added)
}

fn target_added(added: io::Result<Finished>) -> Result<(), CliError> {
    match added {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => Err(CliError::Program(format!(
            "`rustup target add {TARGET}` failed. Run it by hand, then try again. It said:\n{}",
            String::from_utf8_lossy(&finished.stderr).trim()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CliError::Program(format!(
            "the Rust toolchain lacks the target {TARGET}, and there is no rustup to add it. Install Rust with rustup, or your system's package of Rust's standard library for {TARGET}"
        ))),
        Err(error) => Err(CliError::Program(format!("`rustup target add {TARGET}` cannot be run: {error}"))),
    }
}

fn missing(program: &str, error: &io::Error) -> CliError {
    CliError::Program(format!(
        "`{program}` cannot be run ({error}). Guests are built with Rust's toolchain: install it with rustup"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_own_component_is_found() {
        let artifact = |package: &str, manifest: &str, kind: &str, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": manifest, "package_id": package,
                "target": {"name": "my_flow", "crate_types": [kind]}, "filenames": [file]
            })
        };
        let messages = [
            artifact("path+file:///other#0.1.0", "/other/Cargo.toml", "cdylib", "/target/other.wasm").to_string(),
            "not JSON".to_owned(),
            artifact("registry+https://x#serde@1", "/registry/serde/Cargo.toml", "lib", "/target/libserde.rlib")
                .to_string(),
            artifact("path+file:///flow#0.1.0", "/flow/Cargo.toml", "cdylib", "/target/my_flow.wasm").to_string(),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let built = component_of(&messages.join("\n"), Path::new("/flow/Cargo.toml")).unwrap();
        assert_eq!((built.name.as_str(), built.path), ("my-flow", PathBuf::from("/target/my_flow.wasm")));
        assert_eq!(built.sources, ["/flow", "/other"].map(PathBuf::from));
        assert!(component_of(&messages[..3].join("\n"), Path::new("/flow/Cargo.toml")).is_none());
    }

    #[test]
    fn without_rustup_it_is_said_what_to_do() {
        let error = target_added(Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(error.to_string().contains("rustup"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_without_a_crate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path(), &Options::default()).await.unwrap_err();
        assert!(error.to_string().contains("Cargo.toml"), "{error}");
    }
}
