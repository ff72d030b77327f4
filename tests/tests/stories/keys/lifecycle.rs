//! How a key's values follow each other, and how a key ends.

use super::*;

#[tokio::test]
async fn a_value_is_shown_once() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    let again = house.renew("crm", "regenerate", json!({})).await;
    let secret = |key: &Key| key.secret.rsplit_once('_').unwrap().1.to_owned();
    for path in ["", "/crm", "/crm/investigate"] {
        let shown = house.app.get(&format!("/groups/acme/api-keys{path}")).await.to_string();
        for key in [&key, &again] {
            assert!(!shown.contains(&secret(key)), "{shown}");
        }
        // The audit log masks hashes, and its entries have one of their own.
        assert!(path == "/crm/investigate" || !shown.contains("hash"), "{shown}");
        assert!(shown.contains(&format!("hg_live_{}\"", key.id)), "{shown}");
    }
}

#[tokio::test]
async fn regenerating_ends_the_old_value_at_once_and_keeps_the_settings() {
    let house = House::open().await;
    let settings = json!({
        "name": "crm", "description": "CRM", "class": "partner", "expires": "90d",
        "permission": {"kind": "selected_flows", "flows": ["mirror"]}, "scopes": ["flows:execute"],
        "rate_per_minute": 600, "daily_quota": 1000, "networks": ["127.0.0.0/8"],
    });
    let old = house.make(settings).await;
    let before = house.show("crm").await;
    house.after(1);
    let new = house.renew("crm", "regenerate", json!({})).await;
    assert_eq!(new.id, old.id);
    assert_eq!((house.knock(&old).await, house.knock(&new).await), (refused("invalid_api_key"), ok()));
    let mut after = house.show("crm").await;
    assert_eq!(seconds(&after["secrets"][0]["created"]), 1);
    for volatile in ["secrets", "last_used", "last_address"] {
        after[volatile] = before[volatile].clone();
    }
    assert_eq!(after, before);
    // Without a body it does the same.
    let bare = house.app.manage(Method::POST, "/groups/acme/api-keys/crm/regenerate");
    let newest = made(&Answer::to(bare).await.json());
    assert_eq!((house.knock(&new).await, house.knock(&newest).await), (refused("invalid_api_key"), ok()));
}

#[tokio::test]
async fn primary_and_secondary_are_independent() {
    let house = House::open().await;
    let primary = house.make(json!({"name": "crm"})).await;
    let secondary = house.renew("crm", "regenerate", json!({"slot": "secondary"})).await;
    assert_eq!((house.knock(&primary).await, house.knock(&secondary).await), (ok(), ok()));
    let slots =
        |page: &Value| page["secrets"].as_array().unwrap().iter().map(|s| s["slot"].clone()).collect::<Vec<_>>();
    assert_eq!(slots(&house.show("crm").await), ["primary", "secondary"]);

    let primary_2 = house.renew("crm", "regenerate", json!({"slot": "primary"})).await;
    let answers = (house.knock(&primary).await, house.knock(&secondary).await, house.knock(&primary_2).await);
    assert_eq!(answers, (refused("invalid_api_key"), ok(), ok()));
    let secondary_2 = house.renew("crm", "regenerate", json!({"slot": "secondary"})).await;
    let answers = (house.knock(&secondary).await, house.knock(&secondary_2).await, house.knock(&primary_2).await);
    assert_eq!(answers, (refused("invalid_api_key"), ok(), ok()));

    house.app.post("/groups/acme/api-keys/crm/disable", json!({})).await;
    for key in [&primary_2, &secondary_2] {
        assert_eq!(house.knock(key).await, refused("disabled_api_key"));
    }
}

#[tokio::test]
async fn a_rotated_key_has_two_values_until_the_overlap_ends() {
    let house = House::open().await;
    let old = house.make(json!({"name": "crm"})).await;
    let new = house.renew("crm", "rotate", json!({"overlap": "24h"})).await;
    assert_eq!(new.id, old.id);
    house.after(DAY - 1);
    assert_eq!((house.knock(&old).await, house.knock(&new).await), (ok(), ok()));
    let secrets = house.show("crm").await["secrets"].clone();
    assert_eq!((&secrets[0]["slot"], &secrets[0]["not_after"]), (&json!("primary"), &Value::Null));
    assert_eq!((&secrets[1]["slot"], seconds(&secrets[1]["not_after"])), (&json!("overlap"), DAY));
    house.after(1);
    assert_eq!((house.knock(&old).await, house.knock(&new).await), (refused("expired_api_key"), ok()));
    // The next change lets go of the value that has ended.
    house.change("crm", json!({"description": "changed"})).await;
    assert_eq!(house.show("crm").await["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(house.knock(&old).await, refused("invalid_api_key"));
}

#[tokio::test]
async fn an_overlap_is_a_day_when_nothing_is_said_and_ends_with_a_regeneration() {
    let house = House::open().await;
    let first = house.make(json!({"name": "crm"})).await;
    let second = house.renew("crm", "rotate", json!({})).await;
    let secrets = house.show("crm").await["secrets"].clone();
    assert_eq!(seconds(&secrets[1]["not_after"]), DAY);
    let third = house.renew("crm", "regenerate", json!({})).await;
    let answers = [house.knock(&first).await, house.knock(&second).await, house.knock(&third).await];
    assert_eq!(answers, [refused("invalid_api_key"), refused("invalid_api_key"), ok()]);
    for overlap in ["0s", "-1h", "91d", "soon", ""] {
        let answer = house.ask(Method::POST, "/api-keys/crm/rotate", json!({ "overlap": overlap })).await;
        assert_status(&answer, StatusCode::BAD_REQUEST);
    }
    assert_eq!(house.knock(&third).await, ok());
}

#[tokio::test]
async fn of_several_rotations_a_few_overlap() {
    let house = House::open().await;
    let mut keys = vec![house.make(json!({"name": "crm"})).await];
    for _ in 0..4 {
        house.after(1);
        keys.push(house.renew("crm", "rotate", json!({"overlap": "7d"})).await);
    }
    let mut accepted = Vec::new();
    for key in &keys {
        accepted.push(house.knock(key).await.0 == 200);
    }
    assert_eq!(accepted, [false, true, true, true, true]);
}

#[tokio::test]
async fn revoking_is_immediate_and_final() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    house.app.post("/groups/acme/api-keys/crm/revoke", json!({})).await;
    assert_eq!(house.knock(&key).await, refused("revoked_api_key"));
    for (method, path, body) in [
        (Method::POST, "/api-keys/crm/enable", json!({})),
        (Method::POST, "/api-keys/crm/disable", json!({})),
        (Method::POST, "/api-keys/crm/regenerate", json!({})),
        (Method::POST, "/api-keys/crm/rotate", json!({})),
        (Method::PATCH, "/api-keys/crm", json!({"description": "x"})),
    ] {
        let answer = house.ask(method, path, body).await;
        let message = "The API key \"crm\" was revoked, which is final. Make a new one";
        assert_eq!(answer.problem(), (409, "conflict".into(), message.into()), "{path}");
    }
    house.app.post("/groups/acme/api-keys/crm/revoke", json!({})).await;
    assert_eq!(house.listed("crm").await["status"], "revoked");
    assert_eq!(house.knock(&key).await, refused("revoked_api_key"));
}

#[tokio::test]
async fn disabling_is_immediate_and_reversible() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    for (switch, answer, status) in [("disable", refused("disabled_api_key"), "disabled"), ("enable", ok(), "active")] {
        house.app.post(&format!("/groups/acme/api-keys/crm/{switch}"), json!({})).await;
        assert_eq!(house.knock(&key).await, answer);
        assert_eq!(house.listed("crm").await["status"], status);
    }
}

#[tokio::test]
async fn deleting_takes_a_key_off_the_list_and_keeps_its_history() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    let answer = Answer::to(house.app.manage(Method::DELETE, "/groups/acme/api-keys/crm")).await;
    assert_status(&answer, StatusCode::NO_CONTENT);
    assert_eq!(house.listed("crm").await, Value::Null);
    assert_eq!(house.knock(&key).await, refused("invalid_api_key"));
    for path in ["/api-keys/crm", &format!("/api-keys/{}", key.id)] {
        assert_status(&house.ask(Method::DELETE, path, json!({})).await, StatusCode::NOT_FOUND);
    }
    let audit = house.app.get("/groups/acme/audit?noun=api-key").await;
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["api-key.delete", "api-key.create"]);
    // The name is free; it is another key.
    assert_ne!(house.make(json!({"name": "crm"})).await.id, key.id);
    let app = house.app.restart().await;
    assert_eq!(app.get("/groups/acme/api-keys").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_trigger_whose_only_key_was_deleted_accepts_none() {
    let house = House::open().await;
    let (crm, erp) = (house.make(json!({"name": "crm"})).await, house.make(json!({"name": "erp"})).await);
    let both = house.app.trigger("mirror", json!({"keys": ["crm", "erp"]})).await;
    let one = house.app.trigger("mirror", json!({"keys": ["crm"]})).await;
    let flow = house.app.get("/groups/acme/flows/mirror").await;
    let execute = format!("/flows/mirror/triggers/{}", flow["execute_trigger"].as_str().unwrap());
    assert_status(&house.ask(Method::PATCH, &execute, json!({"keys": ["crm"]})).await, StatusCode::OK);

    house.ask(Method::DELETE, "/api-keys/crm", json!({})).await;
    let keys = async |path: &str| house.app.get(&format!("/groups/acme{path}")).await["keys"].clone();
    assert_eq!(keys(&format!("/flows/mirror/triggers/{}", both.id)).await, json!([erp.id]));
    assert_eq!(keys(&format!("/flows/mirror/triggers/{}", one.id)).await, json!([]));
    assert_eq!(keys(&execute).await, json!([]));
    assert_eq!(knock(&house.app, &both.url, &erp).await, ok());
    assert_eq!(knock(&house.app, &one.url, &erp).await, (403, "key_not_accepted".to_owned()));
    assert_eq!(knock(&house.app, &both.url, &crm).await, refused("invalid_api_key"));
}
