//! What is sealed opens in its place and nowhere else.

use tempfile::TempDir;

use super::*;
use crate::store::MemoryStore;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const SECRET: &str = "pat-na1-canary";

struct House {
    dir: TempDir,
    store: Arc<MemoryStore>,
}

impl House {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: Arc::new(MemoryStore::default()) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("keys").join("kek")
    }

    async fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(self.store.clone(), &self.file(), None).await
    }

    async fn open_with(&self, key: &str) -> Result<Vault, VaultError> {
        Vault::open(self.store.clone(), &self.file(), Some(SecretString::from(key))).await
    }

    fn mode(&self) -> u32 {
        fs::metadata(self.file()).unwrap().permissions().mode() & 0o777
    }
}

fn place<'a>(group: &'a str, record: &'a str, field: &'a str) -> Place<'a> {
    Place { group, record, field }
}

const HERE: Place<'static> = Place { group: "acme", record: "con_1", field: "token" };

fn refused<T>(result: Result<T, VaultError>) -> String {
    result.err().expect("it should have been refused").to_string()
}

#[tokio::test]
async fn a_secret_opens_where_it_was_sealed_also_after_a_restart() {
    let house = House::new();
    let vault = house.open().await.unwrap();
    let sealed = vault.seal(HERE, 1, SECRET).await.unwrap();
    assert_eq!(vault.open_secret(HERE, &sealed).await.unwrap().expose_secret(), SECRET);
    assert!(!format!("{sealed:?}").contains(SECRET));
    assert_ne!(vault.seal(HERE, 1, SECRET).await.unwrap().ciphertext, sealed.ciphertext);

    let again = house.open().await.unwrap();
    assert_eq!(again.open_secret(HERE, &sealed).await.unwrap().expose_secret(), SECRET);
    assert_eq!(again.pepper(), vault.pepper());
    assert_eq!(again.module_cache_key(), vault.module_cache_key());
    assert_ne!(vault.pepper(), vault.module_cache_key());
}

#[tokio::test]
async fn a_moved_secret_does_not_open() {
    let vault = House::new().open().await.unwrap();
    let sealed = vault.seal(HERE, 1, SECRET).await.unwrap();
    for elsewhere in [
        place("rival", "con_1", "token"),
        place("acme", "con_2", "token"),
        place("acme", "con_1", "password"),
        // The same letters with the borders moved.
        place("acme", "con_1t", "oken"),
    ] {
        let message = refused(vault.open_secret(elsewhere, &sealed).await);
        assert!(message.contains("copied there from another place"), "{message}");
    }
    let replayed = Sealed { version: 2, ..sealed.clone() };
    refused(vault.open_secret(HERE, &replayed).await);
}

#[tokio::test]
async fn a_damaged_secret_does_not_open() {
    let vault = House::new().open().await.unwrap();
    let sealed = vault.seal(HERE, 1, SECRET).await.unwrap();
    let flipped = if sealed.ciphertext.starts_with('0') { "1" } else { "0" };
    for damaged in [
        Sealed { ciphertext: flipped.to_owned() + &sealed.ciphertext[1..], ..sealed.clone() },
        Sealed { ciphertext: String::new(), ..sealed.clone() },
        Sealed { ciphertext: "no digits".to_owned(), ..sealed.clone() },
        Sealed { nonce: sealed.nonce[2..].to_owned(), ..sealed.clone() },
        Sealed { nonce: String::new(), ..sealed },
    ] {
        refused(vault.open_secret(HERE, &damaged).await);
    }
}

#[tokio::test]
async fn the_key_file_is_made_once_and_for_its_owner_only() {
    let house = House::new();
    house.open().await.unwrap();
    assert_eq!(house.mode(), 0o600);
    let text = fs::read_to_string(house.file()).unwrap();
    house.open().await.unwrap();
    assert_eq!(fs::read_to_string(house.file()).unwrap(), text);
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused() {
    let house = House::new();
    house.open().await.unwrap();
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(house.file(), fs::Permissions::from_mode(mode)).unwrap();
        let message = refused(house.open().await);
        assert!(message.contains(&format!("others may read it (mode {mode:o}). Run: chmod 600")), "{message}");
    }
    fs::set_permissions(house.file(), fs::Permissions::from_mode(0o400)).unwrap();
    house.open().await.unwrap();
}

#[tokio::test]
async fn a_missing_key_is_not_made_anew_for_a_store_that_has_secrets() {
    let house = House::new();
    house.open().await.unwrap();
    fs::remove_file(house.file()).unwrap();
    let message = refused(house.open().await);
    assert!(message.contains("is missing") && message.contains("from your backup"), "{message}");
    assert!(!house.file().exists());
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let house = House::new();
    house.open().await.unwrap();
    let message = refused(house.open_with(&"ab".repeat(KEY_LENGTH)).await);
    assert!(message.contains("HEADGATE_KEY is not the one this store was made with"), "{message}");
    fs::write(house.file(), "12".repeat(KEY_LENGTH)).unwrap();
    let message = refused(house.open().await);
    assert!(message.contains("kek is not the one this store was made with"), "{message}");
}

#[tokio::test]
async fn a_key_in_the_environment_needs_no_file() {
    let house = House::new();
    let key = "0123456789abcdef".repeat(4);
    let sealed = house.open_with(&key).await.unwrap().seal(HERE, 1, SECRET).await.unwrap();
    let vault = house.open_with(&format!(" {key}\n")).await.unwrap();
    assert_eq!(vault.open_secret(HERE, &sealed).await.unwrap().expose_secret(), SECRET);
    assert!(!house.file().exists());
    for text in ["", "0123", &"zz".repeat(KEY_LENGTH), &"ab".repeat(KEY_LENGTH + 1)] {
        let message = refused(house.open_with(text).await);
        assert!(message.contains("it should hold 64 hexadecimal digits"), "{message}");
        assert!(text.is_empty() || !message.contains(text), "{message}");
    }
}

#[tokio::test]
async fn groups_have_different_keys_and_one_each() {
    let house = House::new();
    let vault = Arc::new(house.open().await.unwrap());
    let many = (0..8).map(|_| {
        let vault = vault.clone();
        tokio::spawn(async move { vault.seal(HERE, 1, SECRET).await.unwrap() })
    });
    for sealed in futures::future::join_all(many).await {
        let opened = vault.open_secret(HERE, &sealed.unwrap()).await.unwrap();
        assert_eq!(opened.expose_secret(), SECRET);
    }
    vault.seal(place("rival", "con_1", "token"), 1, SECRET).await.unwrap();
    let keys = house.store.scan("data-key/", None, 10).unwrap();
    assert_eq!(keys.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["data-key/acme", "data-key/rival"]);
    // A data key does not open as another group's either.
    let moved = Batch::new().put("data-key/rival", keys[0].1.value.clone());
    house.store.commit(moved).await.unwrap();
    let sealed = vault.seal(HERE, 1, SECRET).await.unwrap();
    refused(house.open().await.unwrap().open_secret(place("rival", "con_1", "token"), &sealed).await);
}

mod rotation;
