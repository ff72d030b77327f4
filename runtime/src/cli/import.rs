//! `headgate import`

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::cli::export::passphrase_of_environment;
use crate::cli::output::{facts, table};
use crate::cli::secrets::Source;
use crate::cli::{CliError, Context};
use crate::domain::archive::Archive;
use crate::domain::id::GroupId;
use crate::http::export::ImportView;

/// Makes a group of a file that `export` wrote, or fills a group that has nothing but members. For operators.
///
/// All of it is imported or nothing. What is left to do, such as connections to be authorized, is listed.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// The group's name on this server; the one it had when absent.
    #[arg(long = "as", value_name = "GROUP")]
    name: Option<GroupId>,
    /// Leaves the secrets of the file sealed, as if it had none.
    #[arg(long)]
    without_secrets: bool,
    /// Gives the API keys new values, which are shown once; otherwise they are disabled until somebody does.
    #[arg(long)]
    new_keys: bool,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let bytes = bytes::Bytes::from(std::fs::read(&self.file).map_err(CliError::file("read", &self.file))?);
        // What is damaged is said before anything is sent.
        let archive = Archive::read(&bytes).map_err(|error| CliError::Usage(error.to_string()))?;
        let passphrase = match archive.header.secrets.is_some() && !self.without_secrets {
            true => Some(passphrase()?),
            false => None,
        };
        let flag = |on: bool| on.then(|| true.to_string());
        let query = [
            ("as", self.name.map(String::from)),
            ("without_secrets", flag(self.without_secrets)),
            ("new_keys", flag(self.new_keys)),
        ];
        let imported: ImportView = context.client.post_archive(&["imports"], &query, passphrase, bytes).await?;
        context.output.show(&imported, show)
    }
}

fn passphrase() -> Result<SecretString, CliError> {
    passphrase_of_environment().map_or_else(|| Source::Ask.read("the archive's passphrase"), Ok)
}

fn show(imported: &ImportView) -> String {
    let count = |kind: &str| imported.records.get(kind).copied().unwrap_or_default().to_string();
    let secrets = if imported.with_secrets { "came along" } else { "stayed behind" };
    let mut parts = vec![facts([
        ("group", imported.group.to_string()),
        ("flows", count("flow")),
        ("connections", count("connection")),
        ("modules", imported.modules.to_string()),
        ("secrets", secrets.to_owned()),
    ])];
    if !imported.triggers.is_empty() {
        let rows = imported.triggers.iter().map(|trigger| {
            let kept = if trigger.routing_key_kept { "as before" } else { "new" };
            [trigger.flow.clone(), trigger.old_id.clone(), kept.to_owned(), trigger.url.clone()]
        });
        parts.push(table(["flow", "trigger", "routing key", "url"], rows, ""));
    }
    if !imported.renamed.is_empty() {
        let rows = imported.renamed.iter().map(|(old, new)| [old.clone(), new.clone()]);
        parts.push(format!("These ids were taken here:\n{}", table(["before", "now"], rows, "")));
    }
    if !imported.api_keys.is_empty() {
        let rows = imported.api_keys.iter().map(|key| [key.name.clone(), key.api_key.clone()]);
        parts.push(format!("New values, shown once:\n{}", table(["key", "value"], rows, "")));
    }
    let rows = imported.left_to_do.iter();
    let rows = rows.map(|left| [format!("{} {}", left.kind, left.name), left.why.clone(), left.remedy.clone()]);
    parts.push(table(["left to do", "why", "how"], rows, "Nothing is left to do."));
    if !imported.members.is_empty() {
        let rows = imported.members.iter().map(|member| [member.email.clone(), member.role.to_string()]);
        parts.push(format!("Members before; nobody was made one here:\n{}", table(["user", "role"], rows, "")));
    }
    parts.join("\n\n")
}
