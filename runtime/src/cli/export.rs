//! `headgate export`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;

use crate::cli::output::{facts, size};
use crate::cli::{CliError, Context, secrets};
use crate::domain::id::GroupId;

/// The variable that may hold an archive's passphrase.
pub(super) const PASSPHRASE_VARIABLE: &str = "HEADGATE_PASSPHRASE";

/// Writes everything of a group into a file: flows with all versions, connectors, connections, triggers, settings.
///
/// Without --with-secrets no secret is in the file, and routing keys count as such. API keys, runs and people are never
/// in it.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The group.
    group: GroupId,
    /// Seals the secrets into the file, with a passphrase from HEADGATE_PASSPHRASE or the terminal. For operators.
    #[arg(long)]
    with_secrets: bool,
    /// The file, which must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    group: GroupId,
    file: PathBuf,
    bytes: u64,
    with_secrets: bool,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let passphrase = self.with_secrets.then(new_passphrase).transpose()?;
        let body = json!({ "passphrase": passphrase.as_ref().map(|passphrase| passphrase.expose_secret()) });
        let path = ["groups", self.group.as_str(), "export"];
        let archive = context.client.bytes(Method::POST, &path, &body).await?;
        write(&self.output, &archive)?;
        let (file, bytes) = (self.output, archive.len() as u64);
        let written = Written { group: self.group, file, bytes, with_secrets: self.with_secrets };
        context.output.show(&written, show)
    }
}

/// A passphrase from the environment, or asked for.
pub(super) fn passphrase_of_environment() -> Option<SecretString> {
    std::env::var(PASSPHRASE_VARIABLE).ok().filter(|text| !text.is_empty()).map(SecretString::from)
}

fn new_passphrase() -> Result<SecretString, CliError> {
    match passphrase_of_environment() {
        Some(passphrase) => Ok(passphrase),
        None => secrets::read_new_password("a passphrase for the archive, at least 12 characters"),
    }
}

/// Writes the file whole or not at all; only its owner can read it, and none is written over.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(CliError::file("write", path))?;
    file.write_all(bytes).map_err(CliError::file("write", path))?;
    file.as_file().sync_all().map_err(CliError::file("write", path))?;
    file.persist_noclobber(path).map(drop).map_err(|error| CliError::file("write", path)(error.error))
}

fn show(written: &Written) -> String {
    let secrets = match written.with_secrets {
        true => "sealed with the passphrase, without which nobody opens them".to_owned(),
        false => "none are in it".to_owned(),
    };
    let file = written.file.display().to_string();
    facts([("group", written.group.to_string()), ("file", file), ("size", size(written.bytes)), ("secrets", secrets)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_written_over() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.archive");
        write(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path, b"two").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
