//! Which state of the source a version was built from.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// What git says of the folder that a crate lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Revision {
    /// The commit.
    pub(in crate::cli) commit: String,
    /// Whether something was changed since, or is new.
    pub(in crate::cli) dirty: bool,
}

/// The revision of a crate's folder; nothing where it is no repository, has no commit yet, or git is not installed.
pub(super) async fn revision(folder: &Path) -> Option<Revision> {
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"]).await?;
    let changes = git(folder, &["status", "--porcelain"]).await?;
    Some(Revision { commit, dirty: !changes.is_empty() })
}

async fn git(folder: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_repository_tells_its_commit_and_whether_it_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        // Above the folder for temporary files there is no repository.
        assert_eq!(revision(path).await, None);
        assert!(git(path, &["init", "--quiet"]).await.is_some());
        assert_eq!(revision(path).await, None, "there is no commit yet");
        std::fs::write(path.join("lib.rs"), "one").unwrap();
        assert!(git(path, &["add", "."]).await.is_some());
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"];
        assert!(git(path, &[&who[..], &["commit", "--quiet", "-m", "one"]].concat()).await.is_some());
        let clean = revision(path).await.unwrap();
        assert_eq!((clean.commit.len(), clean.dirty), (40, false));
        std::fs::write(path.join("lib.rs"), "two").unwrap();
        assert_eq!(revision(path).await.unwrap(), Revision { dirty: true, ..clean });
    }
}
