//! A group moves to another server: with its secrets, or without them; whole, or not at all.

mod faults;

use std::collections::BTreeSet;

use headgate::service::export::KINDS;
use headgate::store::{Database, Options};
use headgate_tests::canary::Canary;
use headgate_tests::crm::StandIn;
use headgate_tests::{Answer, Key, TestApp, Trigger};
use reqwest::Method;
use serde_json::{Value, json};

use super::authorize::headgate;

const FLOW: &str = "update-lead-status";
const TOKEN: &str = "pat-na1-moves-house-81b2c9";
const SIGNING: &str = "signing-secret-moves-too-5512";
const CLIENT_SECRET: &str = "client-secret-moves-too-9934";
const HOST: &str = "hooks.acme.example";
const PASSPHRASE: &str = "seven lamps under the bridge";

/// A server with a group that has one of each, and the app its flow calls.
struct House {
    app: TestApp,
    crm: StandIn,
    trigger: Trigger,
    signed: Trigger,
}

/// A server that may reach the CRM, with an empty group.
async fn server(crm: &StandIn) -> TestApp {
    let exempt = crm.address.to_string().parse().unwrap();
    TestApp::with(|settings| settings.egress.allow_private = vec![exempt]).await
}

impl House {
    async fn furnished() -> Self {
        let crm = StandIn::crm(TOKEN).await;
        let app = server(&crm).await;
        let acme = json!({"description": "Orders", "environments": ["production", "test", "staging"], "host": HOST, "alert_endpoint": {"url": crm.url()}});
        let patched = Answer::to(app.manage(Method::PATCH, "/groups/acme").json(&acme)).await;
        assert_eq!(patched.status, 200, "{}", patched.text());
        app.install("hubspot").await;
        app.publish(FLOW, FLOW).await;
        let connection = json!({"name": "crm", "connector": "hubspot", "config": {"api_url": crm.url()}, "secrets": {"token": TOKEN}});
        app.connect(FLOW, "crm", connection).await;
        app.key("crm-webhooks").await;
        let trigger = app.trigger(FLOW, json!({"keys": ["crm-webhooks"], "description": "deals"})).await;
        app.publish("echo", "echo").await;
        app.push("echo", "hash").await;
        let staging = json!({"version": 2, "environment": "staging"});
        app.post("/groups/acme/flows/echo/publish", staging).await;
        let signed = app.trigger("echo", json!({"signature": {"scheme": "github", "secret": SIGNING}})).await;
        app.post("/groups/acme/flows/echo/schedules", json!({"cron": "@yearly"})).await;
        app.post("/groups/acme/apps", json!({"slug": "echoes", "flow": "echo", "title": "Echoes"})).await;
        app.install("consent-connector").await;
        let own = json!({"name": "own", "connector": "consent", "client_id": "headgate", "client_secret": CLIENT_SECRET, "token_hosts": ["app.example"]});
        let registration = app.post("/groups/acme/app-registrations", own).await["id"].clone();
        let config = json!({"provider": "https://app.example", "region": "eu"});
        let oauth = json!({"name": "oauth", "connector": "consent", "auth": "own", "config": config, "registration": registration});
        app.post("/groups/acme/connections", oauth).await;
        app.user("ada@example.com", "owner").await;
        Self { app, crm, trigger, signed }
    }

    /// The group as an archive, in which no secret stands, nor what was sealed for this server.
    async fn export(&self, body: Value) -> Vec<u8> {
        let request = self.app.manage(Method::POST, "/groups/acme/export").json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let archive = answer.bytes().await.unwrap().to_vec();
        Canary::new("\"ciphertext\"").assert_absent("the archive", &archive);
        archive
    }

    fn canaries(&self) -> [(&'static str, Canary); 5] {
        [
            ("token", Canary::new(TOKEN)),
            ("signing secret", Canary::new(SIGNING)),
            ("client secret", Canary::new(CLIENT_SECRET)),
            ("routing key", Canary::new(&self.trigger.routing_key)),
            ("routing key", Canary::new(&self.signed.routing_key)),
        ]
    }
}

/// Imports an archive.
async fn import(app: &TestApp, query: &str, passphrase: Option<&str>, archive: Vec<u8>) -> Answer {
    use base64::Engine as _;
    let mut request = app.manage(Method::POST, &format!("/imports{query}"));
    if let Some(passphrase) = passphrase {
        let passphrase = base64::engine::general_purpose::STANDARD.encode(passphrase);
        request = request.header("headgate-passphrase", passphrase);
    }
    Answer::to(request.body(archive)).await
}

/// Fires the CRM's flow at a URL; answers the status and the body.
async fn fire(app: &TestApp, url: &str, key: &str) -> (u16, Value) {
    let event = json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": "ada@example.com"}});
    let answer = Answer::to(app.client().post(url).bearer_auth(key).body(event.to_string())).await;
    (answer.status, answer.json())
}

fn trigger<'a>(imported: &'a Value, flow: &str) -> &'a Value {
    imported["triggers"].as_array().unwrap().iter().find(|trigger| trigger["flow"] == flow).unwrap()
}

fn left(imported: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let left = imported["left_to_do"].as_array().unwrap().iter();
    left.map(|left| (text(&left["kind"]), text(&left["name"]))).collect()
}

/// What a group looks like from outside, without what is of one server or of one moment.
async fn face(app: &TestApp, group: &str) -> Value {
    let mut face = json!({});
    for part in ["flows", "connectors", "connections", "app-registrations", "flows/echo/versions"] {
        face[part] = app.get(&format!("/groups/{group}/{part}")).await;
    }
    let settings = app.get(&format!("/groups/{group}")).await;
    for part in ["description", "environments", "host"] {
        face[part] = settings[part].clone();
    }
    serde_json::from_str(&face.to_string().replace(&app.url(), "https://here.example")).unwrap()
}

#[tokio::test]
async fn with_its_secrets_a_group_works_on_another_server_as_it_did() {
    let house = House::furnished().await;
    let archive = house.export(json!({"passphrase": PASSPHRASE})).await;
    for (what, canary) in house.canaries() {
        canary.assert_absent(what, &archive);
    }
    let other = server(&house.crm).await;
    let wrong = import(&other, "", Some("another passphrase"), archive.clone()).await;
    assert!(wrong.status == 400 && wrong.problem().2.contains("Nothing was imported"), "{}", wrong.text());
    let none = import(&other, "", None, archive.clone()).await;
    assert!(none.problem().2.contains("Give the passphrase"), "{}", none.text());
    assert_eq!(other.get("/groups/acme/flows").await, json!([]));

    let answer = import(&other, "?new_keys=true", Some(PASSPHRASE), archive).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let imported = answer.json();
    assert_eq!(face(&other, "acme").await, face(&house.app, "acme").await);
    assert_eq!(imported["renamed"], json!({}));
    let expected = [("connection", "oauth (production)"), ("schedule", "@yearly")];
    assert_eq!(left(&imported), expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())).into());
    assert_eq!(imported["members"], json!([{"email": "ada@example.com", "role": "owner"}]));

    let key = imported["api_keys"][0]["api_key"].as_str().unwrap();
    let moved = trigger(&imported, FLOW);
    assert_eq!(moved["url"], format!("{}/hooks/{}", other.url(), house.trigger.routing_key));
    let (status, body) = fire(&other, moved["url"].as_str().unwrap(), key).await;
    assert_eq!((status, &body["status"]), (200, &json!("CONNECTED")), "{body}");
    let authorization = house.crm.received().last().unwrap().headers["authorization"].clone();
    assert_eq!(authorization, format!("Bearer {TOKEN}").as_str());
    let signed = signed(&other, &trigger(&imported, "echo")["url"], key, SIGNING).await;
    assert_eq!(signed, 200, "the signing secret came along");
    let audit = other.get("/groups/acme/audit").await.to_string();
    assert!(audit.contains("group.import") && !audit.contains(TOKEN), "{audit}");
    let audit = house.app.get("/groups/acme/audit").await.to_string();
    assert!(audit.contains("group.export-secrets"), "{audit}");
    let other = other.restart().await;
    let (here, there) = (face(&other, "acme").await, face(&house.app, "acme").await);
    assert_eq!((&here["flows"], &here["flows/echo/versions"]), (&there["flows"], &there["flows/echo/versions"]));
}

/// Fires a trigger with a signature like GitHub's; answers the status.
async fn signed(app: &TestApp, url: &Value, key: &str, secret: &str) -> u16 {
    use hmac::{Hmac, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(b"{}");
    let tag: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = app.client().post(url.as_str().unwrap()).bearer_auth(key);
    let request = request.header("x-hub-signature-256", format!("sha256={tag}")).body("{}");
    Answer::to(request).await.status
}

#[tokio::test]
async fn without_its_secrets_a_group_says_what_it_lacks_and_works_when_it_has_that() {
    let house = House::furnished().await;
    let archive = house.export(json!({})).await;
    for (what, canary) in house.canaries() {
        canary.assert_absent(what, &archive);
    }
    let other = server(&house.crm).await;
    let imported = import(&other, "", None, archive).await.json();
    let expected = [
        ("api-key", "crm-webhooks"),
        ("app-registration", "own"),
        ("connection", "crm (production)"),
        ("connection", "oauth (production)"),
        ("group", "acme"),
        ("schedule", "@yearly"),
        ("trigger", ""),
    ];
    assert_eq!(left(&imported), expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())).into());
    let moved = trigger(&imported, FLOW);
    assert_eq!((&moved["routing_key_kept"], &moved["old_id"]), (&json!(false), &json!(house.trigger.id)));
    let url = moved["url"].as_str().unwrap();
    assert!(!url.contains(&house.trigger.routing_key));

    let refused = fire(&other, url, "hg_live_0123456789ab_nothing").await.0;
    assert_eq!(refused, 401);
    let path = "/groups/acme/api-keys/crm-webhooks";
    let key = other.post(&format!("{path}/regenerate"), json!({})).await["api_key"].clone();
    let key = Key { id: String::new(), secret: key.as_str().unwrap().to_owned() };
    assert_eq!(fire(&other, url, &key.secret).await.0, 401, "it is disabled");
    other.post(&format!("{path}/enable"), json!({})).await;
    let (status, body) = fire(&other, url, &key.secret).await;
    assert_eq!(status, 424, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("Give it its secrets again"), "{body}");

    let connections = other.get("/groups/acme/connections").await;
    let crm = connections.as_array().unwrap().iter().find(|connection| connection["name"] == "crm").unwrap();
    let path = format!("/groups/acme/connections/{}", crm["id"].as_str().unwrap());
    let entered = Answer::to(other.manage(Method::PATCH, &path).json(&json!({"secrets": {"token": TOKEN}}))).await;
    assert_eq!(entered.status, 200, "{}", entered.text());
    let (status, body) = fire(&other, url, &key.secret).await;
    assert_eq!((status, &body["status"]), (200, &json!("CONNECTED")), "{body}");
    let unsigned = signed(&other, &trigger(&imported, "echo")["url"], &key.secret, SIGNING).await;
    assert_eq!(unsigned, 403, "a signature whose secret stayed behind lets nobody in");
}

#[tokio::test]
async fn a_schedule_waits_until_somebody_says_that_this_server_takes_over() {
    let house = House::furnished().await;
    let schedules = "/groups/acme/flows/echo/schedules";
    let made = house.app.post(schedules, json!({"cron": "@hourly"})).await;
    let off = house.app.post(schedules, json!({"cron": "@daily", "enabled": false})).await;
    assert_eq!((&made["enabled"], &off["enabled"]), (&json!(true), &json!(false)));
    let archive = house.export(json!({})).await;
    let other = server(&house.crm).await;
    let imported = import(&other, "", None, archive).await.json();
    let left = imported["left_to_do"].as_array().unwrap();
    let waiting: Vec<_> = left.iter().filter(|left| left["id"] == made["id"]).collect();
    assert_eq!(waiting.len(), 1, "{imported}");
    assert!(left.iter().all(|left| left["id"] != off["id"]), "{imported}");
    let path = format!("{schedules}/{}", made["id"].as_str().unwrap());
    assert_eq!(other.get(&path).await["enabled"], false);
    assert_eq!(house.app.get(&path).await["enabled"], true);
    let remedy = waiting[0]["remedy"].as_str().unwrap().strip_prefix("headgate -g acme ").unwrap();
    let output = headgate(&other, remedy).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(other.get(&path).await["enabled"], true);
}

#[tokio::test]
async fn beside_the_original_a_group_gets_ids_and_urls_of_its_own() {
    let house = House::furnished().await;
    let archive = house.export(json!({"passphrase": PASSPHRASE})).await;
    let occupied = import(&house.app, "", Some(PASSPHRASE), archive.clone()).await;
    assert_eq!(occupied.status, 409, "{}", occupied.text());
    let imported = import(&house.app, "?as=twin&new_keys=true", Some(PASSPHRASE), archive.clone()).await.json();
    let flow = house.app.get(&format!("/groups/acme/flows/{FLOW}")).await["id"].as_str().unwrap().to_owned();
    let twin = house.app.get(&format!("/groups/twin/flows/{FLOW}")).await;
    assert_eq!(imported["renamed"][&flow], twin["id"]);
    assert_ne!(twin["id"], flow.as_str());
    assert!(left(&imported).contains(&("group".to_owned(), "twin".to_owned())), "its host name is taken: {imported}");
    assert_eq!(house.app.get("/groups/acme").await["host"], HOST);
    assert_eq!(house.app.get("/groups/twin").await["host"], json!(null));
    let moved = trigger(&imported, FLOW);
    assert_eq!(moved["routing_key_kept"], json!(false));
    let key = imported["api_keys"][0]["api_key"].as_str().unwrap();
    let (status, body) = fire(&house.app, moved["url"].as_str().unwrap(), key).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(fire(&house.app, &house.trigger.url, key).await.0, 404, "the keys of one open nothing of the other");
    let twice = import(&house.app, "?as=twin", Some(PASSPHRASE), archive).await;
    assert_eq!(twice.status, 409, "{}", twice.text());
}

#[tokio::test]
async fn an_owner_may_take_what_is_not_secret_and_an_operator_all() {
    let house = House::furnished().await;
    let bob = house.app.user("bob@example.com", "owner").await;
    let export = |token: &str, body: Value| house.app.manage_as(token, Method::POST, "/groups/acme/export").json(&body);
    assert_eq!(export(&bob, json!({})).send().await.unwrap().status(), 200);
    let answer = Answer::to(export(&bob, json!({"passphrase": PASSPHRASE}))).await;
    assert_eq!((answer.status, answer.problem().1.as_str()), (403, "operators_only"));
    let short = Answer::to(export(house.app.token(), json!({"passphrase": "short"}))).await;
    assert!(short.problem().2.contains("at least 12 characters"), "{}", short.text());
    let audit = house.app.get("/groups/acme/audit").await.to_string();
    assert!(audit.contains("\"group.export\"") && !audit.contains("group.export-secrets"), "{audit}");
}

#[tokio::test]
async fn the_command_line_moves_a_group() {
    let house = House::furnished().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.archive");
    let says = async |app: &TestApp, line: &str, passphrase: &str| {
        let output = headgate(app, line).env("HEADGATE_PASSPHRASE", passphrase).output().await.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let export = format!("export acme --with-secrets -o {}", file.display());
    let (done, said) = says(&house.app, &export, PASSPHRASE).await;
    assert!(done && said.contains("sealed with the passphrase"), "{said}");
    let (done, said) = says(&house.app, &export, PASSPHRASE).await;
    assert!(!done && said.contains("cannot write"), "{said}");
    let other = server(&house.crm).await;
    let import = format!("import {} --as moved", file.display());
    let (done, said) = says(&other, &import, "not the passphrase").await;
    assert!(!done && said.contains("do not open"), "{said}");
    let (done, said) = says(&other, &import, PASSPHRASE).await;
    assert!(done && said.contains("headgate -g moved connections authorize con_"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    assert_eq!(other.get("/groups/moved/flows").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn every_noun_of_a_store_is_known_to_the_export() {
    let house = House::furnished().await;
    house.app.post(&format!("/groups/acme/flows/{FLOW}/run"), json!({})).await;
    let dir = house.app.stop().await;
    let reading = move || {
        let database = Database::open(&dir.path().join("data"), &Options::default()).unwrap();
        let records = database.records.scan("", None, 100_000).unwrap();
        records.into_iter().map(|(key, _)| key.split('/').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let nouns = tokio::task::spawn_blocking(reading).await.unwrap();
    let unknown: Vec<_> = nouns.iter().filter(|noun| KINDS.iter().all(|(known, _)| known != noun)).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "add a line to KINDS, in service/export.rs");
    assert!(nouns.len() > 12, "{nouns:?}");
}
