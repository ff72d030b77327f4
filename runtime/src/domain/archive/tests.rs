use std::collections::HashMap;

use serde_json::json;

use super::*;

fn archive() -> Bytes {
    let (records, module) = (Bytes::from_static(b"{\"entries\":[]}"), Bytes::from_static(b"\0asm and so on"));
    let header = Header {
        group: "acme".parse().unwrap(),
        exported: Timestamp::UNIX_EPOCH,
        server: "0.1.0".to_owned(),
        records: RecordsPart { length: records.len() as u64, sha256: sha256(&records) },
        secrets: Some(SecretsPart { length: 6, memory_kib: 8, passes: 1, salt: "00".into(), nonce: "00".into() }),
        modules: vec![ModulePart { digest: ModuleDigest::of(&module), length: module.len() as u64 }],
    };
    let secrets = Some(Bytes::from_static(b"sealed"));
    assemble(header_line(&header), records, secrets, vec![module]).concat().into()
}

#[test]
fn an_archive_reads_back() {
    let archive = Archive::read(&archive()).unwrap();
    assert_eq!(archive.header.group.as_str(), "acme");
    assert_eq!(archive.records, &b"{\"entries\":[]}"[..]);
    assert_eq!(archive.secrets.unwrap(), &b"sealed"[..]);
    assert_eq!(archive.modules[0].1, &b"\0asm and so on"[..]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let whole = archive().to_vec();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Archive::read(&flipped.into()).is_err(), "bit {bit}");
    }
    for length in 0..whole.len() {
        let error = Archive::read(&Bytes::copy_from_slice(&whole[..length])).unwrap_err();
        assert!(matches!(error, ArchiveError::Cut { .. }), "{length}: {error}");
    }
    let longer = [whole, b"x".to_vec()].concat();
    assert!(Archive::read(&longer.into()).unwrap_err().to_string().contains("what follows the end"));
}

#[test]
fn it_is_said_where_the_damage_is() {
    let whole = archive().to_vec();
    let flip = |text: &str| {
        let at = whole.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        Archive::read(&flipped.into()).unwrap_err().to_string()
    };
    assert!(flip("entries").contains("the part with the records"), "{}", flip("entries"));
    assert!(flip("asm and").contains("the module sha256:"), "{}", flip("asm and"));
    assert!(flip("sealed").contains("the part with the secrets"), "{}", flip("sealed"));
    assert!(flip("{\"group\"").contains("the description"), "{}", flip("{\"group\""));
    for other in ["", "PK\u{3}\u{4}", "{}", "headgate-archivX 1\n"] {
        let error = Archive::read(&Bytes::copy_from_slice(other.as_bytes())).unwrap_err();
        let expected = if other.is_empty() { "cut off" } else { "not an archive" };
        assert!(error.to_string().contains(expected), "{other}: {error}");
    }
    let newer = b"headgate-archive 2\n{}\n";
    assert_eq!(Archive::read(&Bytes::from_static(newer)).unwrap_err(), ArchiveError::NewerFormat(2));
}

fn sealed(text: &str) -> Value {
    json!({"key": 1, "version": 3, "nonce": "00", "ciphertext": text})
}

#[test]
fn secrets_are_taken_out_and_put_back() {
    let id = "con_aaaaaaaaaaaaaaaaaaaa";
    let original = json!({"id": id, "secrets": {"token": sealed("01"), "other": sealed("02")}, "config": {"a": "b"}});
    let (mut record, mut taken) = (original.clone(), Vec::new());
    take_secrets("connection", id, &mut record, &mut taken);
    assert!(!record.to_string().contains("ciphertext"), "{record}");
    let found = markers("connection", id, &mut record);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].0, Marker { number: 0, version: 3 });
    assert_eq!(found[1].1, SecretPlace::Sealed { record: id.to_owned(), field: "token".to_owned() });
    let back = taken.iter().enumerate().map(|(number, taken)| {
        let TakenSecret::Sealed(sealed) = &taken.secret else { panic!("both were sealed") };
        (number, Replacement::Value(json!(sealed)))
    });
    let mut restored = record.clone();
    put_back("connection", id, &mut restored, &back.collect());
    assert_eq!(restored, original);
    let nothing = HashMap::from([(0, Replacement::Nothing), (1, Replacement::Nothing)]);
    put_back("connection", id, &mut record, &nothing);
    assert_eq!(record["secrets"], json!({}));
}

#[test]
fn a_routing_key_is_a_secret_and_so_is_every_secret_of_a_signature() {
    let signature = json!({"scheme": "github", "secret": sealed("01"), "previous": [{"secret": sealed("02")}]});
    let mut record = json!({"routing_key": "aaaaaaaaaaaaaaaaaaaaaaaa", "settings": {"signature": signature}});
    let mut taken = Vec::new();
    take_secrets("trigger", "trg_x", &mut record, &mut taken);
    assert_eq!(taken.len(), 3);
    assert!(!record.to_string().contains("aaaaaa") && !record.to_string().contains("ciphertext"), "{record}");
    assert_eq!(taken.iter().filter(|taken| taken.place == SecretPlace::RoutingKey).count(), 1);
}

#[test]
fn what_only_looks_like_a_secret_is_left_alone() {
    let event = json!({"$secret": 0, "version": 1, "routing_key": "mine", "inner": sealed("01")});
    for kind in ["flow-sample", "schedule", "connection", "trigger", "new-kind"] {
        let original =
            json!({"event": event, "config": {"routing_key": "mine"}, "input": {"$secret": 0, "version": 1}});
        let (mut record, mut taken) = (original.clone(), Vec::new());
        take_secrets(kind, "x", &mut record, &mut taken);
        assert!(taken.is_empty() && markers(kind, "x", &mut record).is_empty(), "{kind}");
        put_back(kind, "x", &mut record, &HashMap::from([(0, Replacement::Value(json!("the secret")))]));
        assert_eq!(record, original, "{kind}");
    }
}

#[test]
fn ids_are_renamed_wherever_they_stand() {
    let old = "flw_aaaaaaaaaaaaaaaaaaaa";
    assert!(is_random_id(old));
    for other in ["acme", "flw_short", "FLW_aaaaaaaaaaaaaaaaaaaa", "flw_aaaaaaaaaaaaaaaaaaa-", "a_b_c"] {
        assert!(!is_random_id(other), "{other}");
    }
    let mut record = json!({"id": old, "by": {old: [old, "x"]}, "text": "about flw_aaaaaaaaaaaaaaaaaaaa"});
    rename(&mut record, &HashMap::from([(old.to_owned(), "flw_new".to_owned())]));
    assert_eq!(record["by"]["flw_new"], json!(["flw_new", "x"]));
    let mut texts = Vec::new();
    each_text(&record, &mut |text| texts.push(text.to_owned()));
    assert!(!texts.contains(&old.to_owned()), "{texts:?}");
}
