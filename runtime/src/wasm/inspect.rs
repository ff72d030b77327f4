//! What a component imports and exports, read without compiling it; and the rule what may be loaded.
//!
//! A guest may import its world's interfaces of `headgate:runtime`, and what a stock toolchain's standard library
//! imports, which is linked inertly. `wasi:http` belongs to connectors. Anything else is refused here, before a
//! second of compiling is spent on it.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};
use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::domain::digest::ModuleDigest;
use crate::wasm::error::LoadError;

/// The version of `headgate:runtime` this server offers.
const RUNTIME_VERSION: &str = "0.1.0";
const RUNTIME_PACKAGE: &str = "headgate:runtime";
/// The version of WASI this server offers; every other 0.2.x fits, older or newer.
const WASI_VERSION: &str = "0.2.12";

/// What standard libraries import. All of it is linked inertly.
const STANDARD: [(&str, &[&str]); 6] = [
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:filesystem", &["types", "preopens"]),
    (
        "wasi:sockets",
        &["network", "instance-network", "ip-name-lookup", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
    ),
];
/// Components within each other at most; composed ones nest a few deep.
const DEEPEST: usize = 64;
const HTTP: (&str, &[&str]) = ("wasi:http", &["types", "outgoing-handler"]);

/// The two kinds of component: what `sdk/wit` calls a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Handles events.
    Flow,
    /// Offers the methods of an app.
    Connector,
}

impl World {
    /// The interfaces of `headgate:runtime` it may import.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Flow => &["types", "blobs", "run", "connections"],
            Self::Connector => &["types", "blobs", "run", "connection"],
        }
    }

    /// The interface of `headgate:runtime` it exports.
    fn export(self) -> &'static str {
        match self {
            Self::Flow => "handler",
            Self::Connector => "methods",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Flow => Self::Connector,
            Self::Connector => Self::Flow,
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::Connector => "connector",
        })
    }
}

/// A component, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its digest.
    pub digest: ModuleDigest,
    /// Its size in bytes.
    pub size: usize,
    /// What it is, by what it exports; none when it exports neither `handler` nor `methods`.
    pub world: Option<World>,
    /// The interfaces it imports, with versions, in its own order.
    pub imports: Vec<String>,
    /// The interfaces it exports, likewise.
    pub exports: Vec<String>,
}

/// Reads a component's imports and exports without compiling it. A core module, text, and a file that is cut off
/// are told apart.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm);
    }
    let (imports, exports) = surface(bytes)?;
    let is_exported = |world: &World| {
        exports.iter().filter_map(|export| Interface::parse(export)).any(|export| export.is_runtime(world.export()))
    };
    let world = [World::Flow, World::Connector].into_iter().find(is_exported);
    Ok(Inspection { digest: ModuleDigest::of(bytes), size: bytes.len(), world, imports, exports })
}

/// The names of the outermost component's imports and exports.
fn surface(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut parser = Parser::new(0);
    let mut outer = Vec::new();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).ok_or(LoadError::Truncated { length: bytes.len() })?;
        let (consumed, payload) = match parser.parse(rest, rest.is_empty()).map_err(invalid)? {
            Chunk::NeedMoreData(_) => return Err(LoadError::Truncated { length: bytes.len() }),
            Chunk::Parsed { consumed, payload } => (consumed, payload),
        };
        at += consumed;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => return Err(LoadError::CoreModule),
            Payload::ComponentImportSection(section) if outer.is_empty() => {
                for import in section {
                    imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if outer.is_empty() => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            // What is nested has imports of its own, which the outermost component satisfies.
            Payload::ModuleSection { unchecked_range, .. } => at = unchecked_range.end,
            Payload::ComponentSection { parser: inner, .. } => {
                if outer.len() == DEEPEST {
                    return Err(LoadError::TooDeep { limit: DEEPEST });
                }
                outer.push(std::mem::replace(&mut parser, inner));
            }
            Payload::End(_) => match outer.pop() {
                Some(around) => parser = around,
                None => return Ok((imports, exports)),
            },
            _ => {}
        }
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid { reason: error.to_string() }
}

impl Inspection {
    /// Whether the component may be loaded as `world`; the error names the first thing in the way and what to do.
    pub fn check(&self, world: World) -> Result<(), LoadError> {
        self.check_export(world)?;
        self.imports.iter().try_for_each(|import| check_import(world, import))
    }

    fn check_export(&self, world: World) -> Result<(), LoadError> {
        let wanted: Vec<_> = self.exports.iter().filter_map(|export| Interface::parse(export)).collect();
        let exported = |world: World| wanted.iter().find(|export| export.is_runtime(world.export()));
        let (found, advice) = match (exported(world), exported(world.other())) {
            (Some(export), _) if export.version == RUNTIME_VERSION => return Ok(()),
            (Some(export), _) => (
                format!("and this component was built for {}", export.version),
                format!("This server offers {RUNTIME_VERSION}. {}", skew_advice(export.version)),
            ),
            (None, Some(_)) => {
                let other = world.other();
                (format!("and this component is a {other}"), format!("Push it as a {other}"))
            }
            (None, None) => (
                "and this component does not".to_owned(),
                format!("Annotate a function with #[{world}], or export the interface in your language's way"),
            ),
        };
        let needed = format!("{RUNTIME_PACKAGE}/{}@{RUNTIME_VERSION}", world.export());
        Err(LoadError::Export { world, needed, found, advice })
    }
}

/// An interface's name, `package/interface@version`.
struct Interface<'a> {
    package: &'a str,
    name: &'a str,
    version: &'a str,
}

impl<'a> Interface<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@').unwrap_or((text, ""));
        let (package, name) = path.split_once('/')?;
        Some(Self { package, name, version })
    }

    fn is_runtime(&self, name: &str) -> bool {
        self.package == RUNTIME_PACKAGE && self.name == name
    }

    fn is_in(&self, (package, names): (&str, &[&str])) -> bool {
        self.package == package && names.contains(&self.name)
    }

    /// Whether the version is a released 0.2.x.
    fn is_wasi_version(&self) -> bool {
        self.version.strip_prefix("0.2.").is_some_and(|patch| patch.parse::<u32>().is_ok())
    }
}

fn check_import(world: World, import: &str) -> Result<(), LoadError> {
    let refused =
        |offer: String, advice: String| Err(LoadError::Import { world, wanted: import.to_owned(), offer, advice });
    let unknown = || {
        refused(
            "which this server does not offer".to_owned(),
            format!(
                "Take out the library that needs it. A {world} may import {RUNTIME_PACKAGE}/{{{}}}@{RUNTIME_VERSION} and \
                 what the standard library imports (wasi 0.2: io, clocks, random, cli, filesystem, sockets)",
                world.imports().join(", ")
            ),
        )
    };
    let Some(interface) = Interface::parse(import) else { return unknown() };
    if interface.package == RUNTIME_PACKAGE {
        let offers = |world: World| world.imports().contains(&interface.name);
        return match (offers(world), offers(world.other())) {
            (true, _) if interface.version == RUNTIME_VERSION => Ok(()),
            (true, _) => refused(format!("this server offers {RUNTIME_VERSION}"), skew_advice(interface.version)),
            (false, true) => refused(
                format!("which only a {} may use", world.other()),
                match world {
                    World::Flow => "Settings of a connection are for its connector; call one of its methods".to_owned(),
                    World::Connector => "Let the flow call one connector after the other".to_owned(),
                },
            ),
            (false, false) => unknown(),
        };
    }
    let is_http = interface.is_in(HTTP);
    if !is_http && !STANDARD.iter().any(|package| interface.is_in(*package)) {
        return unknown();
    }
    if is_http && world == World::Flow {
        return refused(
            "which only a connector may use".to_owned(),
            "Reach the app through a connection: open its slot and call a method; the connector `http` calls any REST \
             API"
            .to_owned(),
        );
    }
    if !interface.is_wasi_version() {
        return refused(
            format!("this server offers {WASI_VERSION}"),
            "Build with a toolchain for WASI 0.2 (in Rust the target wasm32-wasip2)".to_owned(),
        );
    }
    Ok(())
}

/// What to do about a guest built for another version of `headgate:runtime`.
fn skew_advice(version: &str) -> String {
    if Version::parse(version).ok() > Version::parse(RUNTIME_VERSION).ok() {
        format!("Update the server, or build the guest with the SDK for {RUNTIME_VERSION}")
    } else {
        format!("Build the guest again with the SDK for {RUNTIME_VERSION}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(imports: &[&str], exports: &[&str]) -> Inspection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Inspection {
            digest: ModuleDigest::of(b""),
            size: 0,
            world: None,
            imports: owned(imports),
            exports: owned(exports),
        }
    }

    #[test]
    fn allows_the_world_and_the_standard_library() {
        let shared = ["wasi:cli/stderr@0.2.6", "wasi:io/streams@0.2.99", "headgate:runtime/run@0.1.0"];
        for import in shared {
            check_import(World::Flow, import).unwrap();
            check_import(World::Connector, import).unwrap();
        }
        check_import(World::Flow, "headgate:runtime/connections@0.1.0").unwrap();
        check_import(World::Connector, "wasi:http/outgoing-handler@0.2.4").unwrap();
    }

    #[test]
    fn refuses_the_rest_in_words() {
        use World::{Connector, Flow};
        for (world, import, said) in [
            (
                Flow,
                "wasi:http/types@0.2.12",
                "the flow wants wasi:http/types@0.2.12, which only a connector may use. Reach the app",
            ),
            (
                Flow,
                "headgate:runtime/run@0.2.0",
                "wants headgate:runtime/run@0.2.0, this server offers 0.1.0. Update the server, or build",
            ),
            (Connector, "headgate:runtime/run@0.0.9", "this server offers 0.1.0. Build the guest again"),
            (Connector, "headgate:runtime/connections@0.1.0", "which only a flow may use. Let the flow call"),
            (Flow, "headgate:runtime/connection@0.1.0", "which only a connector may use. Settings"),
            (Flow, "wasi:cli/run@0.2.0", "wants wasi:cli/run@0.2.0, which this server does not offer. Take out"),
            (
                Connector,
                "wasi:io/streams@0.3.0",
                "wants wasi:io/streams@0.3.0, this server offers 0.2.12. Build with a toolchain",
            ),
            (Connector, "wasi:http/types@0.2.0-rc-2023-11-10", "this server offers 0.2.12"),
            (Flow, "env", "the flow wants env, which this server does not offer"),
            (Flow, "wasi:io/streams", "this server offers 0.2.12"),
        ] {
            let error = check_import(world, import).unwrap_err().to_string();
            assert!(error.contains(said), "{import}: {error}");
        }
    }

    #[test]
    fn tells_worlds_apart() {
        let flow = component(&[], &["headgate:runtime/handler@0.1.0"]);
        flow.check(World::Flow).unwrap();
        let error = flow.check(World::Connector).unwrap_err().to_string();
        assert_eq!(
            error,
            "a connector exports headgate:runtime/methods@0.1.0, and this component is a flow. Push it as a flow"
        );
        let newer = component(&[], &["headgate:runtime/handler@0.2.0"]).check(World::Flow).unwrap_err().to_string();
        assert!(newer.contains("built for 0.2.0. This server offers 0.1.0. Update the server"), "{newer}");
        let neither = component(&[], &["wasi:cli/run@0.2.0"]).check(World::Flow).unwrap_err().to_string();
        assert!(neither.contains("and this component does not. Annotate a function with #[flow]"), "{neither}");
    }

    #[test]
    fn tells_files_apart() {
        assert!(matches!(inspect(b"(component)"), Err(LoadError::NotWasm)));
        assert!(matches!(inspect(b""), Err(LoadError::NotWasm)));
        assert!(matches!(inspect(&wat::parse_str("(module)").unwrap()), Err(LoadError::CoreModule)));
        let whole = wat::parse_str(
            r#"(component (import "a:b/c@1.0.0" (instance)) (core module (func)) (component (import "d" (func)))
                 (instance $i) (export "headgate:runtime/methods@0.1.0" (instance $i)))"#,
        )
        .unwrap();
        let inspection = inspect(&whole).unwrap();
        assert_eq!(inspection.imports, ["a:b/c@1.0.0"]);
        assert_eq!(inspection.exports, ["headgate:runtime/methods@0.1.0"]);
        assert_eq!(inspection.world, Some(World::Connector));
        for length in 4..8 {
            assert!(matches!(inspect(&whole[..length]), Err(LoadError::Truncated { .. })), "{length}");
        }
        assert!(matches!(inspect(&whole[..whole.len() - 1]), Err(LoadError::Truncated { .. })));
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0\xff\x01\0"), Err(LoadError::Invalid { .. })));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            let text = format!("(component {}{})", "(component ".repeat(depth), ")".repeat(depth));
            inspect(&wat::parse_str(text).unwrap())
        };
        nested(DEEPEST).unwrap();
        assert!(matches!(nested(DEEPEST + 1), Err(LoadError::TooDeep { .. })));
    }
}
