//! The key-encryption key is replaced, in one go and after an end at each point of it.

use super::*;

const GROUPS: [&str; 4] = ["acme", "beta", "carol", "rival"];

fn sealed_in(group: &str) -> Place<'_> {
    place(group, "con_1", "token")
}

/// A vault with a secret in each group.
async fn filled(house: &House) -> (Vault, Vec<Sealed>) {
    let vault = house.open().await.unwrap();
    let mut sealed = Vec::new();
    for group in GROUPS {
        sealed.push(vault.seal(sealed_in(group), 1, SECRET).await.unwrap());
    }
    (vault, sealed)
}

async fn assert_opens(vault: &Vault, sealed: &[Sealed]) {
    for (group, sealed) in GROUPS.iter().zip(sealed) {
        assert_eq!(vault.open_secret(sealed_in(group), sealed).await.unwrap().expose_secret(), SECRET, "{group}");
    }
}

/// By which keys the store's keys are wrapped.
fn wrapped_by(house: &House) -> Vec<String> {
    let of = |key: &str, value: &[u8]| Wrapped::parse(value, key).unwrap().kek;
    let server = house.store.get(SERVER_SECRETS).unwrap().unwrap();
    let keys = house.store.scan(DATA_KEYS, None, 100).unwrap();
    let keys = keys.iter().map(|(key, record)| of(key, &record.value));
    keys.chain([of(SERVER_SECRETS, &server.value)]).collect()
}

fn files(house: &House) -> Vec<String> {
    let entries = fs::read_dir(house.file().parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn everything_is_wrapped_by_the_new_key_and_the_old_one_is_not_needed() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let (pepper, old) = (*vault.pepper(), vault.key_id());
    let text = fs::read_to_string(house.file()).unwrap();
    let Replacement { from, to } = vault.prepare_replacement().await.unwrap();
    assert!(from == old && to != old && vault.is_begun());
    let mut told = Vec::new();
    let finished = vault.replace_key(|done, total| {
        told.push((done, total));
        true
    });
    assert!(finished.await.unwrap());
    assert_eq!(told, [(0, 5), (1, 5), (2, 5), (3, 5), (5, 5)]);
    assert_eq!(wrapped_by(&house), vec![to.clone(); 5]);
    assert_eq!((vault.key_id(), vault.replacement()), (to.clone(), None));
    assert_opens(&vault, &sealed).await;

    assert_ne!(fs::read_to_string(house.file()).unwrap(), text);
    assert_eq!(house.mode(), 0o600);
    assert_eq!(files(&house), ["kek".to_owned(), format!("kek.{old}.retired")]);
    let retired = vault.retired_files();
    assert_eq!(fs::read_to_string(&retired[0]).unwrap(), text);
    fs::remove_file(&retired[0]).unwrap();
    let again = house.open().await.unwrap();
    assert_opens(&again, &sealed).await;
    assert_eq!((again.key_id(), *again.pepper()), (to, pepper));
    // The old one opens nothing any more.
    fs::write(house.file(), text).unwrap();
    assert!(refused(house.open().await).contains("is not the one this store was made with"));
}

#[tokio::test]
async fn an_interrupted_replacement_goes_on_and_nothing_is_unreadable_meanwhile() {
    for ended_at in 0..GROUPS.len() as u64 {
        let house = House::new();
        let (vault, sealed) = filled(&house).await;
        let to = vault.prepare_replacement().await.unwrap().to;
        assert!(!vault.replace_key(|done, _| done < ended_at).await.unwrap());
        assert_opens(&vault, &sealed).await;
        // A group that is new has its key from the new one at once.
        vault.seal(sealed_in("newcomer"), 1, SECRET).await.unwrap();
        drop(vault);

        let again = house.open().await.unwrap();
        assert!(again.is_begun(), "ended at {ended_at}");
        assert_opens(&again, &sealed).await;
        assert!(again.replace_key(|_, _| true).await.unwrap());
        assert_opens(&again, &sealed).await;
        assert_eq!(wrapped_by(&house), vec![to; 6], "ended at {ended_at}");
        assert_opens(&house.open().await.unwrap(), &sealed).await;
    }
}

#[tokio::test]
async fn a_replacement_that_failed_goes_on_with_the_same_key() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let begun = vault.prepare_replacement().await.unwrap();
    let next_text = fs::read_to_string(key_file::next_of(&house.file())).unwrap();
    // A record that does not open, as a full disk would, ends it with an error after some were wrapped anew.
    let place = format!("{DATA_KEYS}carol");
    let record = house.store.get(&place).unwrap().unwrap().value.to_vec();
    house.store.commit(Batch::new().put(&place, "damaged")).await.unwrap();
    refused(vault.replace_key(|_, _| true).await);
    assert_eq!(vault.replacement(), Some(begun.clone()), "it is as it was");
    assert_eq!(vault.prepare_replacement().await.unwrap(), begun);
    assert_eq!(fs::read_to_string(key_file::next_of(&house.file())).unwrap(), next_text, "the only copy");
    assert!(!vault.replace_key(|done, _| done < 2).await.unwrap());

    house.store.commit(Batch::new().put(&place, record)).await.unwrap();
    assert_opens(&house.open().await.unwrap(), &sealed).await;
    assert_eq!(vault.prepare_replacement().await.unwrap(), begun);
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    assert_eq!(wrapped_by(&house), vec![begun.to.clone(); 5]);
    assert_eq!(fs::read_to_string(house.file()).unwrap(), next_text);
    assert_eq!((vault.key_id(), vault.replacement()), (begun.to, None));
    assert_opens(&vault, &sealed).await;
    assert_opens(&house.open().await.unwrap(), &sealed).await;
}

#[tokio::test]
async fn a_next_key_that_is_there_is_not_written_over() {
    let house = House::new();
    let (vault, _) = filled(&house).await;
    let next = key_file::next_of(&house.file());
    fs::write(&next, "cd".repeat(KEY_LENGTH)).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    let to = vault.prepare_replacement().await.unwrap().to;
    assert_eq!(fs::read_to_string(&next).unwrap(), "cd".repeat(KEY_LENGTH));
    assert_eq!(house.open().await.unwrap().replacement().unwrap().to, to);
    assert_eq!(files(&house), ["kek", "kek.next"]);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_replaced_is_found_out_before_anything_is_wrapped_anew() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let old = vault.key_id();
    // What stands in the way of the trial, as a mount or a folder that is not to be written to does.
    let obstacle = house.dir.path().join("keys").join("kek.probe");
    fs::create_dir(&obstacle).unwrap();
    for _ in 0..2 {
        let message = refused(vault.prepare_replacement().await);
        assert!(message.contains("kek cannot be used: another one cannot take its place"), "{message}");
        assert!(message.contains("mount the folder") && message.contains("HEADGATE_KEY"), "{message}");
    }
    assert_eq!((files(&house), vault.replacement()), (vec!["kek".to_owned(), "kek.probe".to_owned()], None));
    fs::remove_dir(&obstacle).unwrap();
    let to = vault.prepare_replacement().await.unwrap().to;
    assert_eq!(files(&house), ["kek", "kek.next"]);

    // It is tried again with a key that is there.
    fs::create_dir(&obstacle).unwrap();
    refused(vault.prepare_replacement().await);
    assert_eq!(wrapped_by(&house), vec![old; 5]);
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(vault.prepare_replacement().await.unwrap().to, to);
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    assert_opens(&house.open().await.unwrap(), &sealed).await;
}

#[tokio::test]
async fn two_keys_in_the_environment_still_offer_it_after_it_failed() {
    let house = House::new();
    let keys = format!("{},{}", "01".repeat(KEY_LENGTH), "ab".repeat(KEY_LENGTH));
    let vault = house.open_with(&keys).await.unwrap();
    let sealed = vault.seal(HERE, 1, SECRET).await.unwrap();
    let begun = vault.prepare_replacement().await.unwrap();
    assert!(!vault.replace_key(|_, _| false).await.unwrap());
    assert_eq!(vault.prepare_replacement().await.unwrap(), begun);
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    assert_eq!(vault.open_secret(HERE, &sealed).await.unwrap().expose_secret(), SECRET);
    assert_eq!((vault.key_id(), vault.replacement()), (begun.to, None));
}

#[tokio::test]
async fn an_end_before_the_files_are_swapped_is_made_good_at_the_start() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let old_text = fs::read_to_string(house.file()).unwrap();
    let old = vault.prepare_replacement().await.unwrap().from;
    let next_text = fs::read_to_string(key_file::next_of(&house.file())).unwrap();
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    for retired_is_there in [true, false] {
        fs::write(house.file(), &old_text).unwrap();
        fs::write(key_file::next_of(&house.file()), &next_text).unwrap();
        fs::set_permissions(key_file::next_of(&house.file()), fs::Permissions::from_mode(0o600)).unwrap();
        if !retired_is_there {
            vault.retired_files().iter().for_each(|file| fs::remove_file(file).unwrap());
        }
        let again = house.open().await.unwrap();
        assert_opens(&again, &sealed).await;
        assert!(!again.is_begun());
        assert_eq!(fs::read_to_string(house.file()).unwrap(), next_text);
        assert_eq!(files(&house), ["kek".to_owned(), format!("kek.{old}.retired")]);
    }
}

#[tokio::test]
async fn a_next_key_that_is_gone_stops_the_start() {
    let house = House::new();
    let (vault, _) = filled(&house).await;
    let to = vault.prepare_replacement().await.unwrap().to;
    assert!(!vault.replace_key(|done, _| done < 2).await.unwrap());
    fs::remove_file(key_file::next_of(&house.file())).unwrap();
    let message = refused(house.open().await);
    assert!(message.contains(&to) && message.contains(".next") && message.contains("HEADGATE_KEY"), "{message}");
}

#[tokio::test]
async fn a_store_from_before_opens_with_the_key_that_was_replaced() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let keys = house.store.scan(DATA_KEYS, None, 100).unwrap().into_iter();
    let backup: Vec<_> =
        keys.chain([(SERVER_SECRETS.to_owned(), house.store.get(SERVER_SECRETS).unwrap().unwrap())]).collect();
    let old = vault.prepare_replacement().await.unwrap().from;
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    let retired = vault.retired_files().remove(0);
    drop(vault);
    for (key, record) in backup {
        house.store.commit(Batch::new().put(key, record.value)).await.unwrap();
    }
    let message = refused(house.open().await);
    assert!(message.contains(&old) && message.contains(&retired.display().to_string()), "{message}");
    assert!(message.contains("as key_file"), "{message}");
    let vault = Vault::open(house.store.clone(), &retired, None).await.unwrap();
    assert_opens(&vault, &sealed).await;
    assert_eq!(vault.retired_files(), [] as [PathBuf; 0], "the key in use is not to be removed");

    let message = refused(house.open_with(&"ab".repeat(KEY_LENGTH)).await);
    assert!(message.contains(&old) && message.contains("start with that one in HEADGATE_KEY"), "{message}");
}

#[tokio::test]
async fn a_key_in_the_environment_is_replaced_by_the_second_one_there() {
    let house = House::new();
    let (old, new) = ("01".repeat(KEY_LENGTH), "ab".repeat(KEY_LENGTH));
    let alone = house.open_with(&old).await.unwrap();
    let sealed = alone.seal(HERE, 1, SECRET).await.unwrap();
    let message = refused(alone.prepare_replacement().await);
    assert!(message.contains("both keys in it, the old one first"), "{message}");

    let both = house.open_with(&format!("{old}, {new}")).await.unwrap();
    assert!(!both.is_begun() && both.replacement().is_some(), "two keys only offer it");
    both.prepare_replacement().await.unwrap();
    assert!(both.replace_key(|_, _| true).await.unwrap());
    for key in [&new, &format!("{old},{new}")] {
        let vault = house.open_with(key).await.unwrap();
        assert_eq!(vault.open_secret(HERE, &sealed).await.unwrap().expose_secret(), SECRET);
        assert_eq!(vault.replacement(), None, "it does not go back");
    }
    assert!(refused(house.open_with(&old).await).contains("is not the one this store was made with"));
    let three = format!("{old},{new},{old}");
    assert!(refused(house.open_with(&three).await).contains("two keys at most"));
}

#[tokio::test]
async fn keys_that_are_made_meanwhile_are_wrapped_by_the_new_one() {
    let house = House::new();
    let (vault, sealed) = filled(&house).await;
    let vault = Arc::new(vault);
    let to = vault.prepare_replacement().await.unwrap().to;
    let makers = (0..16).map(|group| {
        let vault = vault.clone();
        tokio::spawn(async move {
            let group = format!("new-{group}");
            let sealed = vault.seal(sealed_in(&group), 1, SECRET).await.unwrap();
            vault.open_secret(sealed_in(&group), &sealed).await.unwrap();
        })
    });
    let makers: Vec<_> = makers.collect();
    assert!(vault.replace_key(|_, _| true).await.unwrap());
    for made in makers {
        made.await.unwrap();
    }
    assert!(wrapped_by(&house).iter().all(|key| *key == to));
    assert_opens(&house.open().await.unwrap(), &sealed).await;
}
