//! Changing triggers, and which keys they accept.

use super::*;

fn path(house: &House) -> String {
    format!("/flows/mirror/triggers/{}", house.trigger.id)
}

#[tokio::test]
async fn a_key_can_be_made_with_its_trigger() {
    let house = House::open().await;
    house.make(json!({"name": "erp"})).await;
    let body = json!({"description": "Deals", "new_key": {"name": "crm", "expires": "90d"}});
    let answer = house.ask(Method::POST, "/flows/mirror/triggers", body).await;
    assert_status(&answer, StatusCode::CREATED);
    let trigger = answer.json();
    let key = made(&trigger["new_key"]);
    assert_eq!(trigger["keys"], json!([key.id]));
    assert_eq!(knock(&house.app, trigger["url"].as_str().unwrap(), &key).await, ok());
    assert_eq!(house.listed("crm").await["status"], "active");
    // A name that is taken leaves nothing behind.
    let before = house.app.get("/groups/acme/flows/mirror/triggers").await;
    let answer = house.ask(Method::POST, "/flows/mirror/triggers", json!({"new_key": {"name": "crm"}})).await;
    assert_status(&answer, StatusCode::CONFLICT);
    assert_eq!(house.app.get("/groups/acme/flows/mirror/triggers").await, before);
    // Beside other keys, and added to a trigger that is there.
    let both = json!({"keys": ["erp"], "new_key": {"name": "shop"}});
    let both = house.ask(Method::POST, "/flows/mirror/triggers", both).await.json();
    assert_eq!(both["keys"].as_array().unwrap().len(), 2);
    let id = trigger["id"].as_str().unwrap();
    let added =
        house.ask(Method::PATCH, &format!("/flows/mirror/triggers/{id}"), json!({"new_key": {"name": "pos"}})).await;
    assert_eq!(added.json()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(knock(&house.app, trigger["url"].as_str().unwrap(), &made(&added.json()["new_key"])).await, ok());
}

#[tokio::test]
async fn a_trigger_is_changed_with_effect_on_the_next_request() {
    let house = House::open().await;
    let (crm, erp) = (house.make(json!({"name": "crm"})).await, house.make(json!({"name": "erp"})).await);
    let path = path(&house);
    let change = async |changes: Value| {
        let answer = house.ask(Method::PATCH, &path, changes).await;
        assert_status(&answer, StatusCode::OK);
        answer.json()
    };
    assert_eq!(change(json!({"keys": ["crm"]})).await["keys"], json!([crm.id]));
    assert_eq!((house.knock(&crm).await.0, house.knock(&erp).await.0), (200, 403));
    assert_eq!(change(json!({"keys": []})).await["keys"], json!([]));
    assert_eq!((house.knock(&crm).await.0, house.knock(&erp).await.0), (403, 403));
    assert_eq!(change(json!({"keys": null})).await["keys"], Value::Null);
    assert_eq!((house.knock(&crm).await.0, house.knock(&erp).await.0), (200, 200));

    change(json!({"methods": ["GET"]})).await;
    assert_eq!(house.knock(&crm).await.0, 405);
    change(json!({"methods": ["POST"], "max_body": 3})).await;
    assert_eq!(house.knock(&crm).await.0, 413);
    change(json!({"max_body": null, "key_in_query": true})).await;
    let in_query = house.app.client().post(format!("{}?api_key={}", house.trigger.url, crm.secret)).body("hello");
    assert_eq!(Answer::to(in_query).await.status, 200);
    change(json!({"respond": "async", "signature": {"scheme": "github", "secret": "a secret for two"}})).await;
    assert_eq!(house.knock(&crm).await, (403, "signature".to_owned()));
    let shown = change(json!({"signature": null, "description": "Deals"})).await;
    assert_eq!(
        (&shown["signature"], &shown["description"], &shown["key_in_query"]),
        (&Value::Null, &json!("Deals"), &json!(true))
    );
    let accepted = Answer::to(house.app.client().post(&house.trigger.url).bearer_auth(&crm.secret)).await;
    assert_eq!(accepted.status, 202);
    for wrong in
        [json!({"timeout_ms": 0}), json!({"methods": ["OPTIONS"]}), json!({"keys": ["nobody"]}), json!({"id": "x"})]
    {
        assert_status(&house.ask(Method::PATCH, &path, wrong).await, StatusCode::BAD_REQUEST);
    }
    let app = house.app.restart().await;
    assert_eq!(app.get(&format!("/groups/acme{path}")).await["description"], "Deals");
}

#[tokio::test]
async fn a_new_signing_secret_takes_the_place_of_the_old_one() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    let path = path(&house);
    let sign = async |secret: &str| {
        let signature = json!({"signature": {"scheme": "github", "secret": secret}});
        assert_status(&house.ask(Method::PATCH, &path, signature).await, StatusCode::OK);
    };
    // docs.github.com, "Validating webhook deliveries": the published secret, payload and signature.
    let signed = async || {
        let request =
            house.app.client().post(&house.trigger.url).bearer_auth(&key.secret).body("Hello, World!").header(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            );
        Answer::to(request).await.status
    };
    sign("It's a Secret to Everybody").await;
    assert_eq!(signed().await, 200);
    sign("another secret").await;
    assert_eq!(signed().await, 403);
    sign("It's a Secret to Everybody").await;
    assert_eq!(signed().await, 200);
}

#[tokio::test]
async fn a_new_routing_key_makes_the_old_url_unknown_at_once() {
    let house = House::open().await;
    let key = house.make(json!({"name": "crm"})).await;
    assert_eq!(house.knock(&key).await, ok());
    let renewed = house.app.post(&format!("/groups/acme{}/routing-key", path(&house)), json!({})).await;
    assert_eq!(house.knock(&key).await, (404, "not_found".to_owned()));
    assert_eq!(knock(&house.app, renewed["url"].as_str().unwrap(), &key).await, ok());
    assert_eq!(renewed["id"], house.trigger.id);
    let app = house.app.restart().await;
    let url = |routing_key: &str| format!("{}/hooks/{routing_key}", app.url());
    assert_eq!(knock(&app, &url(&house.trigger.routing_key), &key).await.0, 404);
    assert_eq!(knock(&app, &url(renewed["routing_key"].as_str().unwrap()), &key).await.0, 200);
}

#[tokio::test]
async fn the_execute_trigger_is_changed_like_any_other() {
    let house = House::open().await;
    let (crm, erp) = (house.make(json!({"name": "crm"})).await, house.make(json!({"name": "erp"})).await);
    let flow = house.app.get("/groups/acme/flows/mirror").await;
    let url = flow["execute_url"].as_str().unwrap().to_owned();
    let path = format!("/flows/mirror/triggers/{}", flow["execute_trigger"].as_str().unwrap());
    let shown = house.app.get(&format!("/groups/acme{path}")).await;
    assert_eq!((&shown["url"], &shown["routing_key"], &shown["keys"]), (&json!(url), &Value::Null, &Value::Null));
    let changed = house.ask(Method::PATCH, &path, json!({"keys": ["erp"], "description": "By hand"})).await;
    assert_eq!((&changed.json()["keys"], &changed.json()["description"]), (&json!([erp.id]), &json!("By hand")));
    assert_eq!(knock(&house.app, &url, &crm).await, (403, "key_not_accepted".to_owned()));
    assert_eq!(knock(&house.app, &url, &erp).await, ok());
    for (method, path) in [(Method::DELETE, path.clone()), (Method::POST, format!("{path}/routing-key"))] {
        let answer = house.ask(method, &path, json!({})).await;
        assert!(answer.problem().2.starts_with("This is the flow's built-in execute trigger"), "{}", answer.text());
        assert_status(&answer, StatusCode::CONFLICT);
    }
}
