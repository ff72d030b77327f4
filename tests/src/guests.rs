//! The guests of this workspace, built once per test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Flows. Connectors are built apart from them: Cargo would otherwise give a flow's connector crate the feature
/// that exports a component.
const FLOWS: &[&str] =
    &["echo", "update-lead-status", "confirm-lead", "hash", "mirror", "caller", "hostile-flow", "conformance-flow"];
const CONNECTORS: &[&str] = &[
    "airtable",
    "gmail",
    "google-drive",
    "http-connector",
    "hubspot",
    "mailchimp-transactional",
    "notion",
    "openai",
    "power-bi",
    "slack",
    "zoho-crm",
    "hostile-connector",
    "conformance-connector",
    "oauth-connector",
    "consent-connector",
    "poll-connector",
];

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A guest's component, by its package name.
pub fn component(package: &str) -> Vec<u8> {
    let file = folder().join(package.replace('-', "_")).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Another version of a guest: texts of its data are replaced by others of the same length, such as the names of methods.
pub fn changed(package: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = component(package);
    for (old, new) in changes {
        assert_eq!(old.len(), new.len(), "another length would make it another module");
        let places: Vec<_> =
            (0..bytes.len().saturating_sub(old.len())).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
        assert!(!places.is_empty(), "{package} does not say {old}");
        for at in places {
            bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
    }
    bytes
}

/// The same guest with a section of its own (custom, `stamp`), which makes it another module with the same code.
pub fn stamped(package: &str, stamp: u32) -> Vec<u8> {
    let mut bytes = component(package);
    bytes.extend([0, 10, 5]);
    bytes.extend(b"stamp");
    bytes.extend(stamp.to_le_bytes());
    bytes
}

fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let added = Command::new("rustup").args(["target", "add", "wasm32-wasip2"]).output();
        let added = added.is_ok_and(|output| output.status.success());
        let hint = if added { "" } else { " (rustup could not add the target wasm32-wasip2: install it by hand)" };
        for packages in [FLOWS, CONNECTORS] {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(workspace()).args([
                "build",
                "--quiet",
                "--target",
                "wasm32-wasip2",
                "--profile",
                "guest",
            ]);
            cargo.arg("--target-dir").arg(target());
            cargo.args(packages.iter().flat_map(|package| ["-p", package]));
            assert!(cargo.status().unwrap().success(), "the guests {packages:?} cannot be built{hint}");
        }
        target().join("wasm32-wasip2/guest")
    })
}

/// Beside the tests' own build, so that a test run never waits for it to unlock.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from).join("guests")
}
