//! Making, listing and changing keys.

use super::*;

#[tokio::test]
async fn a_key_that_says_nothing_else_is_for_all_flows_of_production_and_never_expires() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    assert!(key.secret.starts_with(&format!("hg_live_{}_", key.id)));
    let page = house.show("crm").await;
    for (field, value) in [
        ("id", json!(key.id)),
        ("prefix", json!(format!("hg_live_{}", key.id))),
        ("environment", json!("production")),
        ("class", json!("production")),
        ("description", json!("")),
        ("status", json!("active")),
        ("rotation_due", json!(false)),
        ("unused", json!(false)),
        ("expires", Value::Null),
        ("permission", json!({"kind": "all_flows"})),
        ("rate_per_minute", Value::Null),
        ("daily_quota", Value::Null),
        ("networks", json!([])),
    ] {
        assert_eq!(page[field], value, "{field}");
    }
    assert_eq!(seconds(&page["created"]), 0);
    assert!(!page["scopes"].to_string().contains("keys:manage"), "{page}");
    let test = house.make(json!({"name": "trial", "environment": "test"})).await;
    assert!(test.secret.starts_with("hg_test_"));
    assert_eq!(house.show("trial").await["class"], "development");
}

#[tokio::test]
async fn a_key_expires_when_it_was_said_to() {
    let house = House::open().await;
    let at = Timestamp::from_second(BEGINNING + 77).unwrap().to_string();
    for (name, expires, after) in [
        ("never", Value::Null, None),
        ("thirty-days", json!("30d"), Some(30 * DAY)),
        ("ninety-days", json!("90d"), Some(90 * DAY)),
        ("one-year", json!("1y"), Some(365 * DAY)),
        ("custom-span", json!("36h"), Some(36 * 60 * 60)),
        ("custom-date", json!(at), Some(77)),
    ] {
        house.make(json!({"name": name, "expires": expires})).await;
        let shown = house.show(name).await["expires"].clone();
        assert_eq!((!shown.is_null()).then(|| seconds(&shown)), after, "{name}");
    }
    let past = Timestamp::from_second(BEGINNING).unwrap().to_string();
    for expires in [past.as_str(), "soon", "-1d", "90", ""] {
        let answer = house.ask(Method::POST, "/api-keys", json!({"name": "x", "expires": expires})).await;
        assert_status(&answer, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_permission_decides_which_scopes_a_key_has_and_can_have() {
    let house = House::open().await;
    let selected = json!({"kind": "selected_flows", "flows": ["mirror"]});
    for (name, permission, default, refused) in [
        (
            "full",
            json!({"kind": "all_flows"}),
            "flows:read flows:write flows:execute apps:execute runs:read usage:read connections:read connections:write",
            "",
        ),
        ("flow-specific", selected, "flows:execute apps:execute runs:read", "flows:write"),
        ("reader", json!({"kind": "read_only"}), "flows:read runs:read", "flows:execute"),
    ] {
        house.make(json!({"name": name, "permission": permission})).await;
        let scopes: Vec<_> = default.split(' ').collect();
        assert_eq!(house.show(name).await["scopes"], json!(scopes), "{name}");
        if !refused.is_empty() {
            let key = json!({"name": "x", "permission": permission, "scopes": [refused]});
            let (status, _, message) = house.ask(Method::POST, "/api-keys", key).await.problem();
            assert_eq!(status, 400);
            assert!(message.contains(&format!("cannot have the scopes {refused}. It can have")), "{message}");
        }
    }
    let flow = house.app.get("/groups/acme/flows/mirror").await["id"].clone();
    assert_eq!(house.show("flow-specific").await["permission"], json!({"kind": "selected_flows", "flows": [flow]}));
    for (what, key) in [
        ("no flow", json!({"permission": {"kind": "selected_flows", "flows": ["nothing"]}})),
        ("1 to 1000 flows", json!({"permission": {"kind": "selected_flows", "flows": []}})),
        ("unknown field `flows`", json!({"permission": {"kind": "all_flows", "flows": ["mirror"]}})),
        ("unknown variant", json!({"permission": {"kind": "everything"}})),
        ("unknown variant `flows:delete`", json!({"scopes": ["flows:delete"]})),
        ("without scopes", json!({"scopes": []})),
        ("at least 1", json!({"rate_per_minute": 0})),
        ("at least 1", json!({"daily_quota": 0})),
        ("is no network", json!({"networks": ["example.com"]})),
        ("at most 1000 characters", json!({"description": "x".repeat(1001)})),
        ("environment", json!({"environment": "staging"})),
    ] {
        let mut key = key;
        key["name"] = json!("x");
        let (status, _, message) = house.ask(Method::POST, "/api-keys", key).await.problem();
        assert_eq!(status, 400, "{message}");
        assert!(message.contains(what), "{message}");
    }
    assert_eq!(house.listed("x").await, Value::Null);
}

#[tokio::test]
async fn a_permission_is_enforced() {
    let house = House::open().await;
    house.app.publish("other", "mirror").await;
    let other = house.app.trigger("other", json!({})).await;
    let some = json!({"kind": "selected_flows", "flows": ["mirror"]});
    let selected = house.make(json!({"name": "some", "permission": some})).await;
    let reader = house.make(json!({"name": "reader", "permission": {"kind": "read_only"}})).await;
    let no_run = house.make(json!({"name": "no-run", "scopes": ["flows:read"]})).await;
    assert_eq!(house.knock(&selected).await, ok());
    assert_eq!(knock(&house.app, &other.url, &selected).await, (403, "no_permission_for_flow".to_owned()));
    assert_eq!(house.knock(&reader).await, (403, "read_only_key".to_owned()));
    assert_eq!(house.knock(&no_run).await, (403, "missing_scope".to_owned()));
    // A change is seen by the very next request.
    house.change("some", json!({"permission": {"kind": "all_flows"}})).await;
    assert_eq!(knock(&house.app, &other.url, &selected).await, ok());
}

#[tokio::test]
async fn a_name_is_unique_in_its_group_and_can_be_changed() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    house.make(json!({"name": "erp"})).await;
    let taken = |name: &str| format!("An API key named \"{name}\" exists already. Choose another name");
    let answer = house.ask(Method::POST, "/api-keys", json!({"name": "crm"})).await;
    assert_eq!(answer.problem(), (409, "conflict".into(), taken("crm")));
    let answer = house.ask(Method::PATCH, "/api-keys/crm", json!({"name": "erp"})).await;
    assert_eq!(answer.problem(), (409, "conflict".into(), taken("erp")));
    house.app.post("/groups", json!({"name": "rival"})).await;
    house.app.post("/groups/rival/api-keys", json!({"name": "crm"})).await;

    let renamed = house.change("crm", json!({"name": "crm-production"})).await;
    assert_eq!(renamed["id"], key.id);
    assert_eq!(house.show("crm-production").await["id"], key.id);
    assert_status(&house.ask(Method::GET, "/api-keys/crm", json!({})).await, StatusCode::NOT_FOUND);
    house.make(json!({"name": "crm"})).await;
    assert_eq!(house.knock(&key).await, ok());
    let app = house.app.restart().await;
    assert_eq!(app.get("/groups/acme/api-keys").await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_list_says_in_which_state_a_key_is() {
    let house = House::open().await;
    for (name, expires) in
        [("forever", Value::Null), ("later", json!("30d")), ("soon", json!("14d")), ("off", Value::Null)]
    {
        house.make(json!({"name": name, "expires": expires})).await;
    }
    house.app.post("/groups/acme/api-keys/off/disable", json!({})).await;
    house.make(json!({"name": "ended", "expires": "1h"})).await;
    house.app.post("/groups/acme/api-keys/ended/revoke", json!({})).await;
    let statuses = async || {
        let list = house.app.get("/groups/acme/api-keys").await;
        let pair = |key: &Value| format!("{} {}", key["name"].as_str().unwrap(), key["status"].as_str().unwrap());
        list.as_array().unwrap().iter().map(pair).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(statuses().await, "ended revoked, forever active, later active, off disabled, soon expiring");
    house.after(14 * DAY);
    assert_eq!(statuses().await, "ended revoked, forever active, later active, off disabled, soon expired");
    house.after(2 * DAY);
    assert_eq!(statuses().await, "ended revoked, forever active, later expiring, off disabled, soon expired");
    let soon = house.listed("soon").await;
    for column in ["id", "name", "prefix", "environment", "created", "last_used", "expires", "status"] {
        assert!(soon.get(column).is_some(), "{column} in {soon}");
    }
}

#[tokio::test]
async fn keys_whose_rotation_is_due_and_keys_that_are_not_used_are_flagged() {
    let house = House::open().await;
    for (class, days) in [("production", 90), ("partner", 180), ("development", 30), ("ci_cd", 90)] {
        let name = class.replace('_', "-");
        let house = House::open().await;
        house.make(json!({"name": name, "class": class})).await;
        house.after(days * DAY - 1);
        assert_eq!(house.listed(&name).await["rotation_due"], false, "{class}");
        house.after(1);
        assert_eq!(house.listed(&name).await["rotation_due"], true, "{class}");
        house.renew(&name, "rotate", json!({})).await;
        assert_eq!(house.listed(&name).await["rotation_due"], false, "{class}");
    }
    house.make(json!({"name": "quiet"})).await;
    house.after(90 * DAY - 1);
    assert_eq!(house.listed("quiet").await["unused"], false);
    house.after(1);
    assert_eq!(house.listed("quiet").await["unused"], true);
    house.app.post("/groups/acme/api-keys/quiet/disable", json!({})).await;
    let off = house.listed("quiet").await;
    assert_eq!((&off["unused"], &off["rotation_due"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name_and_null_takes_back() {
    let house = House::open().await;
    let key = json!({
        "name": "crm", "class": "ci_cd", "expires": "30d", "rate_per_minute": 60, "daily_quota": 1000,
        "networks": ["203.0.113.7", "2001:db8::/32"], "scopes": ["flows:execute"],
    });
    house.make(key).await;
    let before = house.show("crm").await;
    assert_eq!(before["networks"], json!(["203.0.113.7/32", "2001:db8::/32"]));
    house.change("crm", json!({})).await;
    assert_eq!(house.show("crm").await, before);
    let changed = house.change("crm", json!({"rate_per_minute": 5, "scopes": ["runs:read"]})).await;
    assert_eq!((&changed["rate_per_minute"], &changed["daily_quota"]), (&json!(5), &json!(1000)));
    assert_eq!(changed["scopes"], json!(["runs:read"]));
    let all = ["class", "expires", "rate_per_minute", "daily_quota", "networks", "scopes"];
    let nulls: serde_json::Map<_, _> = all.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let bare = house.change("crm", Value::Object(nulls)).await;
    house.make(json!({"name": "plain"})).await;
    let plain = house.listed("plain").await;
    for field in all {
        assert_eq!(bare[field], plain[field], "{field}");
    }
    for fixed in ["environment", "id", "api_key"] {
        let answer = house.ask(Method::PATCH, "/api-keys/crm", json!({fixed: "x"})).await;
        assert_status(&answer, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn scopes_follow_a_new_permission_unless_they_were_chosen() {
    let house = House::open().await;
    house.make(json!({"name": "by-default"})).await;
    let changed = house.change("by-default", json!({"permission": {"kind": "read_only"}})).await;
    assert_eq!(changed["scopes"], json!(["flows:read", "runs:read"]));
    house.make(json!({"name": "chosen", "scopes": ["flows:execute", "runs:read"]})).await;
    let selected = json!({"permission": {"kind": "selected_flows", "flows": ["mirror"]}});
    assert_eq!(house.change("chosen", selected).await["scopes"], json!(["flows:execute", "runs:read"]));
    let answer = house.ask(Method::PATCH, "/api-keys/chosen", json!({"permission": {"kind": "read_only"}})).await;
    assert!(answer.problem().2.contains("cannot have the scopes flows:execute"), "{}", answer.text());
    assert_eq!(house.listed("chosen").await["permission"]["kind"], "selected_flows");
}
