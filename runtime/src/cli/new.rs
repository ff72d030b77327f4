//! `headgate new`: a crate to begin with.

use std::path::{Component, Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::output::Output;
use crate::cli::{CliError, checkout};
use crate::domain::id::Name;

/// Names that a crate cannot have, or that its function could not have.
const RESERVED: [&str; 46] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "headgate-sdk",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "type",
];

/// Makes a crate or a package for a flow or a connector, with a test.
#[derive(Debug, Args)]
pub(super) struct New {
    /// What it is.
    kind: Kind,
    /// Its name: lower-case letters, digits and hyphens.
    name: Name,
    /// The folder to make; the name, in this folder, when absent.
    #[arg(long)]
    path: Option<PathBuf>,
    /// The language it is written in.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// For Rust the folder of the crate headgate-sdk; looked for from here upwards when absent.
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// What runs when a trigger fires.
    Flow,
    /// The methods of an app.
    Connector,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// A crate, built by Cargo.
    Rust,
    /// A package for npm, built by componentize-js.
    Js,
}

/// A file of a template: its path in the crate, and its text.
type File = (&'static str, &'static str);

const FLOW: [File; 4] = [
    // Named so that Cargo does not take the template for a package.
    ("Cargo.toml", include_str!("../../../sdk/templates/flow/Cargo.toml.template")),
    ("README.md", include_str!("../../../sdk/templates/flow/README.md")),
    ("src/lib.rs", include_str!("../../../sdk/templates/flow/src/lib.rs")),
    (".gitignore", "/target\n"),
];
const CONNECTOR: [File; 4] = [
    ("Cargo.toml", include_str!("../../../sdk/templates/connector/Cargo.toml.template")),
    ("README.md", include_str!("../../../sdk/templates/connector/README.md")),
    ("src/lib.rs", include_str!("../../../sdk/templates/connector/src/lib.rs")),
    (".gitignore", "/target\n"),
];

const HEADGATE_JS: File = ("headgate.js", include_str!("../../../sdk/templates/js/headgate.js"));
const GITIGNORE_JS: File = (".gitignore", "/node_modules\n/target\n");
const JS_FLOW: [File; 7] = [
    ("package.json", include_str!("../../../sdk/templates/js-flow/package.json.template")),
    ("README.md", include_str!("../../../sdk/templates/js-flow/README.md")),
    ("flow.js", include_str!("../../../sdk/templates/js-flow/flow.js")),
    ("flow.test.js", include_str!("../../../sdk/templates/js-flow/flow.test.js")),
    ("component.js", include_str!("../../../sdk/templates/js-flow/component.js")),
    HEADGATE_JS,
    GITIGNORE_JS,
];
const JS_CONNECTOR: [File; 7] = [
    ("package.json", include_str!("../../../sdk/templates/js-connector/package.json.template")),
    ("README.md", include_str!("../../../sdk/templates/js-connector/README.md")),
    ("connector.js", include_str!("../../../sdk/templates/js-connector/connector.js")),
    ("connector.test.js", include_str!("../../../sdk/templates/js-connector/connector.test.js")),
    ("component.js", include_str!("../../../sdk/templates/js-connector/component.js")),
    HEADGATE_JS,
    GITIGNORE_JS,
];

#[derive(Serialize)]
struct Made {
    path: PathBuf,
    files: Vec<&'static str>,
    /// What its manifest says of the SDK; a package has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk: Option<String>,
}

impl New {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let name = self.name.as_str();
        if self.lang == Language::Rust && RESERVED.contains(&name) {
            return Err(CliError::Usage(format!(
                "a crate cannot be named \"{name}\", which means something to Rust. Choose another name"
            )));
        }
        let folder = self.path.clone().unwrap_or_else(|| PathBuf::from(name));
        let folder = std::path::absolute(&folder).map_err(CliError::file("find", &folder))?;
        if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(CliError::Usage(format!(
                "{} is there already. Choose another name or --path",
                folder.display()
            )));
        }
        let sdk = match self.lang {
            Language::Rust => Some(self.sdk(&folder)?),
            Language::Js => None,
        };
        let template: &[File] = match (self.lang, self.kind) {
            (Language::Rust, Kind::Flow) => &FLOW,
            (Language::Rust, Kind::Connector) => &CONNECTOR,
            (Language::Js, Kind::Flow) => &JS_FLOW,
            (Language::Js, Kind::Connector) => &JS_CONNECTOR,
        };
        for (file, text) in template {
            write(&folder.join(file), &fill(text, name, sdk.as_deref().unwrap_or_default()))?;
        }
        let made = Made { path: folder, files: template.iter().map(|(file, _)| *file).collect(), sdk };
        output.show(&made, show)
    }

    /// What the crate's manifest says of the SDK.
    fn sdk(&self, folder: &Path) -> Result<String, CliError> {
        let found = match &self.sdk {
            Some(sdk) => {
                let sdk = std::path::absolute(sdk).map_err(CliError::file("find", sdk))?;
                if !checkout::is_sdk(&sdk) {
                    return Err(CliError::Usage(format!("{} is not the folder of headgate-sdk", sdk.display())));
                }
                Some(sdk)
            }
            None => {
                let here = std::env::current_dir().map_err(CliError::file("find", Path::new(".")))?;
                checkout::above(&here).map(|source| source.join("sdk"))
            }
        };
        Ok(requirement(found.as_deref(), folder))
    }
}

fn show(made: &Made) -> String {
    let path = made.path.display();
    let test = if made.sdk.is_some() { "cargo test" } else { "npm test" };
    let next = format!("Made {path}. Go on with:\n\n  cd {path}\n  {test}\n  headgate build\n  headgate push");
    match &made.sdk {
        Some(sdk) if !sdk.contains("path") => format!(
            "{next}\n\nIt takes headgate-sdk {sdk} from the registry. Where it is not there, name its folder with --sdk"
        ),
        _ => next,
    }
}

/// The SDK by its path where there is its source, by its version otherwise.
fn requirement(sdk: Option<&Path>, folder: &Path) -> String {
    match sdk {
        // A TOML basic string takes the escapes of JSON.
        Some(sdk) => format!("{{ path = {} }}", serde_json::Value::from(relative(sdk, folder).display().to_string())),
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    }
}

/// The path of `to` as seen from the folder `from`; both are absolute.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let shared = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    if shared <= 1 {
        // Nothing but the root in common: the way up would say less than the path itself.
        return to.to_owned();
    }
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

fn fill(text: &str, name: &str, sdk: &str) -> String {
    let camel = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    text.replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{Type}}", &camel.collect::<String>())
        .replace("{{sdk}}", sdk)
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

    fn new(kind: Kind, name: &str, path: &Path) -> New {
        New { kind, name: name.parse().unwrap(), path: Some(path.to_owned()), lang: Language::Rust, sdk: None }
    }

    #[test]
    fn a_package_has_every_placeholder_filled() {
        for kind in [Kind::Flow, Kind::Connector] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("match");
            New { lang: Language::Js, ..new(kind, "match", &path) }.run(Output::new(true)).unwrap();
            let package = std::fs::read_to_string(path.join("package.json")).unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&package).unwrap()["name"] == "match", "{package}");
            for file in std::fs::read_dir(&path).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                assert!(!text.contains("{{"), "{text}");
            }
        }
    }

    #[test]
    fn a_crate_has_every_placeholder_filled_and_a_workspace_of_its_own() {
        for kind in [Kind::Flow, Kind::Connector] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("my-thing");
            new(kind, "my-thing", &path).run(Output::new(true)).unwrap();
            let manifest = std::fs::read_to_string(path.join("Cargo.toml")).unwrap();
            let code = std::fs::read_to_string(path.join("src/lib.rs")).unwrap();
            assert!(manifest.contains("name = \"my-thing\"") && manifest.contains("\n[workspace]"), "{manifest}");
            assert!(manifest.contains("headgate-sdk = { path = "), "{manifest}");
            for text in [manifest, code] {
                assert!(!text.contains("{{"), "{text}");
            }
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kept"), "").unwrap();
        let error = new(Kind::Flow, "x", folder.path()).run(Output::new(true)).unwrap_err();
        assert!(error.to_string().contains("--path"), "{error}");
        let error = new(Kind::Flow, "match", &folder.path().join("y")).run(Output::new(true)).unwrap_err();
        assert!(error.to_string().contains("match"), "{error}");
    }

    #[test]
    fn the_sdk_is_named_by_its_way_or_by_its_version() {
        let required = |sdk: &str, folder: &str| requirement(Some(Path::new(sdk)), Path::new(folder));
        assert_eq!(required("/src/headgate/sdk", "/src/headgate/examples/x"), "{ path = \"../../sdk\" }");
        assert_eq!(required("/src/headgate/sdk", "/tmp/x"), "{ path = \"/src/headgate/sdk\" }");
        assert_eq!(requirement(None, Path::new("/tmp/x")), concat!("\"", env!("CARGO_PKG_VERSION"), "\""));
        assert_eq!(
            fill("{{name}} {{crate}} {{Type}} {{sdk}}", "my-first-flow", "1"),
            "my-first-flow my_first_flow MyFirstFlow 1"
        );
    }
}
