//! Sessions as `headgate login` keeps them: one for each server, in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cli::error::CliError;
use crate::http::auth::SessionView;

const FILE: &str = "sessions.json";
const LOCK: &str = "sessions.lock";
/// A token that expires this soon is refreshed first: the request takes its time on the way.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// A session at one server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredSession {
    pub(super) email: String,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    expires: Timestamp,
}

impl StoredSession {
    /// What an answer of the server brought just now.
    pub(super) fn new(view: &SessionView, now: Timestamp) -> Self {
        let expires_in = SignedDuration::from_secs(i64::try_from(view.expires_in).unwrap_or(i64::MAX));
        Self {
            email: view.user.email.to_string(),
            access_token: view.access_token.clone(),
            refresh_token: view.refresh_token.clone(),
            expires: now.checked_add(expires_in).unwrap_or(Timestamp::MAX),
        }
    }

    /// Whether the access token is still good for a request.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires.duration_since(now) > MARGIN
    }
}

/// The folder with the file.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    folder: PathBuf,
}

/// Held while the file is changed: a refresh token is good for one use, so that two commands must not use the same.
pub(super) struct Locked<'a> {
    sessions: &'a Sessions,
    _lock: File,
}

impl Sessions {
    /// The user's own: in `$XDG_CONFIG_HOME/headgate`, or `~/.config/headgate`. `None` for a user without a home.
    pub(super) fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
        Some(Self { folder: config.join("headgate") })
    }

    /// The session at a server.
    pub(super) fn get(&self, server: &str) -> Result<Option<StoredSession>, CliError> {
        Ok(self.read()?.remove(server))
    }

    /// Waits until no other command changes the file.
    pub(super) async fn lock(&self) -> Result<Locked<'_>, CliError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(CliError::file("make the folder", &self.folder))?;
        let path = self.folder.join(LOCK);
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options.map_err(CliError::file("open", &path))?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        let lock = locked.map_err(io::Error::other).and_then(|locked| locked);
        Ok(Locked { sessions: self, _lock: lock.map_err(CliError::file("lock", &path))? })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn read(&self) -> Result<BTreeMap<String, StoredSession>, CliError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(CliError::file("read", &path)(error)),
        };
        serde_json::from_slice(&text).map_err(|error| CliError::file("read the sessions in", &path)(error.into()))
    }
}

impl Locked<'_> {
    /// Keeps a server's session, or lets it go.
    pub(super) fn put(&self, server: &str, session: Option<StoredSession>) -> Result<(), CliError> {
        let mut all = self.sessions.read()?;
        match session {
            Some(session) => all.insert(server.to_owned(), session),
            None => all.remove(server),
        };
        let text = serde_json::to_vec_pretty(&all).expect("sessions have text keys");
        let path = self.sessions.path();
        replace(&path, &text).map_err(CliError::file("write", &path))
    }
}

/// Writes a file whole: whoever reads it meanwhile sees the old one or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn session(seconds: i64) -> StoredSession {
        StoredSession {
            email: "ada@example.com".to_owned(),
            access_token: "access".to_owned(),
            refresh_token: "refresh".to_owned(),
            expires: Timestamp::from_second(seconds).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_session_is_kept_for_its_server_and_for_nobody_else_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions { folder: folder.path().join("headgate") };
        assert!(sessions.get("http://one").unwrap().is_none());
        let locked = sessions.lock().await.unwrap();
        locked.put("http://one", Some(session(1))).unwrap();
        locked.put("http://two", Some(session(2))).unwrap();
        locked.put("http://one", None).unwrap();
        drop(locked);
        assert!(sessions.get("http://one").unwrap().is_none());
        assert_eq!(sessions.get("http://two").unwrap().unwrap().access_token, "access");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&sessions.path()), mode(&sessions.folder)), (0o600, 0o700));
    }

    #[test]
    fn a_token_about_to_expire_is_not_fresh() {
        let now = Timestamp::from_second(100).unwrap();
        assert!(session(131).is_fresh(now));
        assert!(!session(130).is_fresh(now) && !session(0).is_fresh(now));
    }
}
