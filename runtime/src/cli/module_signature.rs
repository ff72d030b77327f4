//! Signing modules: the builder's key is a file of the builder's, and never leaves their machine.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::CliError;
use crate::cli::output::{Output, facts};
use crate::domain::module_signature::{BuilderKey, NotABuilderKey};
use crate::service::vault::random;

/// What is said of a key that was made.
#[derive(Serialize)]
struct NewKey {
    file: PathBuf,
    key: String,
    public_key: String,
}

/// Makes a builder's key in a file that only its owner reads, and shows its public part.
pub(super) fn new_key(file: &Path, output: Output) -> Result<(), CliError> {
    let key = BuilderKey::generate(random).map_err(|error| unusable(file, error))?;
    let pem = key.to_pem().map_err(|error| unusable(file, error))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.and_then(|mut made| made.write_all(pem.as_bytes())).map_err(CliError::file("write", file))?;
    let public = key.public();
    let made = NewKey { file: file.to_owned(), key: public.id().to_string(), public_key: public.to_string() };
    output.show(&made, |made| {
        let facts =
            facts([("file", made.file.display().to_string()), ("key", made.key.clone()), ("public", made.public_key.clone())]);
        format!(
            "{facts}\n\nKeep the file secret. Servers with the public key among modules.trusted_keys take what it signs:\n  headgate build --sign {}",
            made.file.display()
        )
    })
}

/// A component signed with the key in a file.
pub(super) fn signed(component: &[u8], key: &Path) -> Result<Bytes, CliError> {
    let text = Zeroizing::new(fs::read_to_string(key).map_err(CliError::file("read", key))?);
    let builder = BuilderKey::parse(&text).map_err(|error| unusable(key, error))?;
    let signed =
        builder.sign(component).map_err(|error| CliError::Usage(format!("the module cannot be signed: {error}")))?;
    Ok(signed.into())
}

fn unusable(file: &Path, error: NotABuilderKey) -> CliError {
    CliError::Usage(format!("{} cannot be used: {error}", file.display()))
}
