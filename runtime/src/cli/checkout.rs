//! Headgate's own source, where a command needs it.

use std::path::{Path, PathBuf};

/// The folder of Headgate's source at or above `start`.
pub(super) fn above(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|folder| is_sdk(&folder.join("sdk"))).map(Path::to_owned)
}

/// Whether a folder holds the guest crate `headgate-sdk`.
pub(super) fn is_sdk(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line.replace(' ', "") == "name=\"headgate-sdk\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_found_upwards() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = above(&here.join("src/cli")).unwrap();
        assert_eq!(root, here.parent().unwrap());
        assert!(is_sdk(&root.join("sdk")) && !is_sdk(here));
        assert_eq!(above(tempfile::tempdir().unwrap().path()), None);
    }
}
