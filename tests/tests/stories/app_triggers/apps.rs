//! The triggers of the connectors that come with Headgate, from the app to the flow: through an authorized connection,
//! on the server's turns. What each asks its app is told in `polling`.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use headgate_tests::TestApp;
use headgate_tests::apps::{Fake, airtable, authorized, gmail, hubspot, oauth};
use headgate_tests::clock::TestClock;
use headgate_tests::crm::Received;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// An app's records, which a story adds to.
type Rows = Arc<Mutex<Vec<Value>>>;

/// An app that answers whoever it gave a token to.
async fn fake(oauth: oauth::Oauth, answer: fn(&Received, &[Value]) -> Value) -> (Fake, Rows) {
    let rows = Rows::default();
    let known = rows.clone();
    let respond = move |request: &Received, grant: Option<oauth::Grant>| -> Response {
        match grant {
            Some(_) => axum::Json(answer(request, &known.lock().unwrap())).into_response(),
            None => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    (Fake::start(oauth, respond).await, rows)
}

/// Connects the app, and has a flow run for its new records. Answers what the events of its runs are, oldest first, after
/// `new` was added and its token has ended.
async fn told(fake: &Fake, rows: &Rows, connection: Value, trigger: &str, input: Value, new: &[Value]) -> Vec<Value> {
    let clock = TestClock::at(Timestamp::now());
    let exempt = fake.app.address.to_string().parse().unwrap();
    let app = TestApp::with_clock(clock.clock(), |settings| settings.egress.allow_private = vec![exempt]).await;
    app.install(connection["connector"].as_str().unwrap()).await;
    app.publish("greet", "echo").await;
    let made = authorized(&app, connection, &fake.oauth).await;
    let wanted = json!({"connection": made["id"], "trigger": trigger, "input": input, "every_s": 60});
    let made = app.post("/groups/acme/flows/greet/app-triggers", wanted).await;
    let state = format!("/groups/acme/flows/greet/app-triggers/{}", made["id"].as_str().unwrap());
    app.app().service().run_app_triggers().await;
    assert_eq!(app.get("/groups/acme/runs").await, json!([]), "what is there already is not new");

    rows.lock().unwrap().extend_from_slice(new);
    fake.oauth.expire();
    // More turns than records: none is told twice.
    for _ in 0..=new.len() {
        clock.forward(SignedDuration::from_secs(61));
        app.app().service().run_app_triggers().await;
        assert_eq!(app.get(&state).await["state"]["last_error"], Value::Null);
    }
    let ended = |runs: &Value| {
        let runs = runs.as_array().unwrap();
        runs.len() >= new.len() && runs.iter().all(|run| run["state"] == "succeeded")
    };
    let runs = app.until("/groups/acme/runs", ended).await;
    let mut told = Vec::new();
    for run in runs.as_array().unwrap().iter().rev() {
        let run = app.get(&format!("/groups/acme/runs/{}", run["id"].as_str().unwrap())).await;
        told.push(serde_json::from_str(run["event"]["body"]["text"].as_str().unwrap()).unwrap());
    }
    told
}

fn ids(told: &[Value]) -> Vec<&str> {
    told.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_new_contact_of_hubspot_runs_the_flow() {
    let (fake, rows) = fake(hubspot::oauth(), |request, rows| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut found = rows.to_vec();
        if asked["sorts"][0]["direction"] == "DESCENDING" {
            found.reverse();
        }
        json!({"total": found.len(), "results": found})
    })
    .await;
    let contact = |id: &str| json!({"id": id, "createdAt": "2026-01-02T03:04:05.000Z", "properties": {"email": "ada@example.com"}});
    rows.lock().unwrap().push(contact("1"));
    let mut connection = hubspot::connection(&fake, "crm");
    connection["auth"] = "oauth".into();
    let new = [contact("2"), contact("3")];
    let told = told(&fake, &rows, connection, "new_contact", json!({"properties": ["email"]}), &new).await;
    assert_eq!(ids(&told), ["2", "3"]);
    assert_eq!(told[0]["properties"]["email"], "ada@example.com");
}

#[tokio::test]
async fn each_new_mail_of_gmail_runs_the_flow() {
    let (fake, rows) = fake(gmail::oauth(), |request, rows| {
        let path = request.uri.path();
        if path.ends_with("/profile") {
            return json!({"emailAddress": "me@example.com", "historyId": "100"});
        }
        if path.ends_with("/history") {
            let query = request.uri.query().unwrap_or_default();
            let begin = query.split('&').find_map(|pair| pair.strip_prefix("startHistoryId=")).unwrap();
            let begin: usize = begin.parse().unwrap();
            let added = rows.iter().skip(begin - 100).map(|row| json!({"messagesAdded": [{"message": row}]}));
            return json!({"history": added.collect::<Vec<_>>(), "historyId": (100 + rows.len()).to_string()});
        }
        let id = path.rsplit('/').next().unwrap();
        let headers = json!([{"name": "Subject", "value": format!("About {id}")}]);
        json!({"id": id, "threadId": id, "labelIds": ["INBOX"], "payload": {"headers": headers}})
    })
    .await;
    let new = [json!({"id": "m1"}), json!({"id": "m2"})];
    let told = told(&fake, &rows, gmail::connection(&fake, "mail"), "new_mail", json!({}), &new).await;
    assert_eq!((ids(&told), &told[1]["subject"]), (vec!["m1", "m2"], &json!("About m2")));
}

#[tokio::test]
async fn each_new_record_of_airtable_runs_the_flow() {
    let oauth = airtable::oauth();
    let (fake, rows) = fake(oauth, |request, rows| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let offset = asked["offset"].as_str().and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let mut page = json!({"records": rows.iter().skip(offset).take(1).collect::<Vec<_>>()});
        if offset + 1 < rows.len() {
            page["offset"] = (offset + 1).to_string().into();
        }
        page
    })
    .await;
    let config = json!({"api_url": fake.at("/v0"), "oauth_url": fake.at("/oauth2/v1")});
    let connection = json!({"name": "base", "connector": "airtable", "auth": "oauth", "config": config});
    // It begins by the clock, so that what is new was created later.
    let record = |id: &str| json!({"id": id, "createdTime": "2999-01-02T03:04:05.000Z", "fields": {"Name": id}});
    let new = [record("recA"), record("recB")];
    let input = json!({"baseId": "appLkNDICXNqxSDhG", "table": "Tasks"});
    let told = told(&fake, &rows, connection, "new_record", input, &new).await;
    assert_eq!((ids(&told), &told[0]["fields"]["Name"]), (vec!["recA", "recB"], &json!("recA")));
}
