//! A server that starts again, or says why it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use headgate_tests::process::Process;

use super::Stage;

/// The files of a folder, with the time of their last change.
fn files(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    files.map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect()
}

#[tokio::test]
async fn a_restart_serves_what_was_published_and_compiles_nothing() {
    let stage = Stage::set().await;
    let cache = stage.folder().join("cache");
    let compiled = files(&cache);
    assert_eq!(compiled.len(), 3, "{compiled:?}");
    for _ in 0..2 {
        let server = stage.server().await;
        let answer = server.fire(&stage.echo, &stage.key, "again").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "again");
        server.kill().await;
        assert_eq!(files(&cache), compiled);
    }

    // Compiling would have been seen.
    fs::remove_dir_all(&cache).unwrap();
    let server = stage.server().await;
    assert_eq!(files(&cache).into_keys().collect::<Vec<_>>(), compiled.into_keys().collect::<Vec<_>>());
    server.kill().await;
}

/// What the server says when it does not start on a folder.
async fn refusal(stage: &Stage) -> String {
    let ended = Process::try_start(&stage.folder(), &stage.token, &[]).await.err().expect("the server started");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(!ended.said.contains("panicked"), "{ended:?}");
    assert!(ended.said.contains("error: "), "{ended:?}");
    ended.said
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let stage = Stage::set().await;
    let server = stage.server().await;
    let said = refusal(&stage).await;
    assert!(said.contains("is in use by another process: stop that one, or choose another folder"), "{said}");
    let answer = server.fire(&stage.echo, &stage.key, "still here").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "still here");
    server.kill().await;
}

#[tokio::test]
async fn without_its_key_the_server_does_not_start() {
    let stage = Stage::set().await;
    let file = stage.folder().join("keys/key-encryption-key");
    let key = fs::read_to_string(&file).unwrap();
    for (text, wanted) in [
        (None, "is missing, and this store's secrets were encrypted with it. Put the file back from your backup"),
        (Some("0".repeat(64)), "is not the one this store was made with, which has the id "),
        (Some("not a key".to_owned()), "cannot be used: it should hold 64 hexadecimal digits"),
    ] {
        match text {
            // Its mode stays.
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::rename(&file, file.with_extension("away")).unwrap(),
        }
        let said = refusal(&stage).await;
        assert!(said.contains(wanted) && said.contains(file.to_str().unwrap()), "{said}");
        if !file.exists() {
            fs::rename(file.with_extension("away"), &file).unwrap();
        }
    }
    fs::write(&file, key).unwrap();
    let server = stage.server().await;
    assert_eq!(server.get("/groups/acme/api-keys").await.as_array().unwrap().len(), 1);
    server.kill().await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_commit_log_is_said() {
    let stage = Stage::set().await;
    let log = stage.folder().join("log");
    let file = files(&log).into_keys().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let whole = fs::read(&file).unwrap();
    for place in [whole.len() / 5, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&file, damaged).unwrap();
        let said = refusal(&stage).await;
        assert!(said.contains(file.to_str().unwrap()) && said.contains("is damaged at byte"), "{said}");
        assert!(said.contains("backup"), "{said}");
    }
    fs::write(&file, whole).unwrap();
    let server = stage.server().await;
    let answer = server.fire(&stage.echo, &stage.key, "mended").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "mended");
    server.kill().await;
}
