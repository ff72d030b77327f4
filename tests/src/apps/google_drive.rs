//! A stand-in for Google Drive: answers in the shapes of the Drive API, version 3, and keeps files.

use std::sync::{Arc, Mutex};

use axum::response::Response;
use serde_json::{Value, json};

use super::gmail::error;
use super::oauth::{Grant, Oauth};
use super::{Fake, answer, query};
use crate::crm::Received;

const SCOPES: &str = "https://www.googleapis.com/auth/";
/// The folder that there is.
pub const FOLDER: &str = "1FolderOfInvoices";

/// A file that was uploaded: what it is, and its content.
type Files = Arc<Mutex<Vec<(Value, Vec<u8>)>>>;

/// A Drive, and what was uploaded to it.
pub struct Drive {
    /// The stand-in.
    pub fake: Fake,
    files: Files,
}

impl Drive {
    /// Starts it, with one folder.
    pub async fn start() -> Self {
        let files = Files::default();
        let kept = files.clone();
        let oauth = Oauth::new("/o/oauth2/v2/auth", "/token");
        let fake = Fake::start(oauth, move |request, grant| respond(request, grant, &kept)).await;
        Self { fake, files }
    }

    /// The settings and the name of a connection to it.
    pub fn connection(&self, name: &str) -> Value {
        let url = self.fake.app.url();
        json!({
            "name": name,
            "connector": "google-drive",
            "auth": "oauth_advanced",
            "config": {
                "api_url": self.fake.at("/drive/v3"),
                "upload_url": self.fake.at("/upload/drive/v3"),
                "consent_url": url,
                "oauth_url": url
            }
        })
    }

    /// What was uploaded, and the content.
    pub fn files(&self) -> Vec<(Value, Vec<u8>)> {
        self.files.lock().unwrap().clone()
    }
}

fn respond(request: &Received, grant: Option<Grant>, files: &Files) -> Response {
    let Some(grant) = grant else {
        return answer(401, error(401, "UNAUTHENTICATED", "authError", "Invalid Credentials"));
    };
    if !grant.has(&[&format!("{SCOPES}drive.file"), &format!("{SCOPES}drive")]) {
        return answer(403, error(403, "PERMISSION_DENIED", "insufficientPermissions", "Insufficient Permission"));
    }
    match (request.method.as_str(), request.uri.path()) {
        ("GET", "/drive/v3/about") => answer(200, json!({"user": {"emailAddress": "sales@example.com"}})),
        ("POST", "/upload/drive/v3/files") => begin(request, files),
        ("PUT", "/upload/drive/v3/files") => finish(request, files),
        ("POST", "/drive/v3/files") => {
            let mut about: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            about["id"] = "1NewFolder".into();
            answer(200, about)
        }
        ("GET", "/drive/v3/files") => list(request, files),
        _ => answer(404, error(404, "NOT_FOUND", "notFound", "File not found: .")),
    }
}

fn begin(request: &Received, files: &Files) -> Response {
    let mut about: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if about["parents"].as_array().is_some_and(|parents| parents.iter().any(|parent| parent != FOLDER)) {
        let message = format!("File not found: {}.", about["parents"][0].as_str().unwrap_or_default());
        return answer(404, error(404, "NOT_FOUND", "notFound", &message));
    }
    let length = request.headers.get("x-upload-content-length").and_then(|value| value.to_str().ok()).unwrap_or("?");
    let mut files = files.lock().unwrap();
    about["id"] = format!("1File{}", files.len()).into();
    about["size"] = length.into();
    files.push((about, Vec::new()));
    let host = request.headers["host"].to_str().unwrap();
    let place = format!("http://{host}/upload/drive/v3/files?uploadType=resumable&upload_id={}", files.len() - 1);
    let mut response = answer(200, json!({}));
    response.headers_mut().insert("location", place.parse().unwrap());
    response
}

fn finish(request: &Received, files: &Files) -> Response {
    let mut files = files.lock().unwrap();
    let upload = query(request).get("upload_id").and_then(|id| id.parse::<usize>().ok());
    match upload.and_then(|upload| files.get_mut(upload)) {
        Some((about, content)) if about["size"].as_str() == Some(&*request.body.len().to_string()) => {
            *content = request.body.to_vec();
            answer(200, about.clone())
        }
        _ => answer(400, error(400, "INVALID_ARGUMENT", "badRequest", "Failed to parse Content-Range header.")),
    }
}

/// What was uploaded to the folder that the query names.
fn list(request: &Received, files: &Files) -> Response {
    let query = query(request);
    let conditions = query.get("q").map_or("", String::as_str);
    if !conditions.starts_with("trashed = false") {
        return answer(400, error(400, "INVALID_ARGUMENT", "invalid", "Invalid Value"));
    }
    let files = files.lock().unwrap();
    let in_folder = |file: &&(Value, Vec<u8>)| {
        let parent = file.0["parents"][0].as_str().unwrap_or("root");
        conditions.contains(&format!("'{parent}' in parents"))
    };
    let found: Vec<_> = files.iter().filter(in_folder).map(|(about, _)| about.clone()).collect();
    answer(200, json!({"files": found, "incompleteSearch": false}))
}
