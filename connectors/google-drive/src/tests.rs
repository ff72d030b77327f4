use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://www.googleapis.com";

fn call(method: &str, input: Value) -> Result<Value> {
    invoke::<GoogleDrive>(method, &input)
}

fn file(id: &str, name: &str, mime_type: &str) -> Value {
    json!({"id": id, "name": name, "mimeType": mime_type, "parents": ["0AB"]})
}

fn session(location: &str) -> http::Response {
    http::Response { status: 200, headers: [("location", location)].into_iter().collect(), bytes: Vec::new() }
}

#[test]
fn uploads_a_file_where_google_says() {
    let host = Host::of::<GoogleDrive>();
    let place = format!("{API}/upload/drive/v3/files?uploadType=resumable&upload_id=xa298");
    host.http("POST", &format!("{API}/upload/drive/v3/files"))
        .query("uploadType", "resumable")
        .query("supportsAllDrives", "true")
        .header("x-upload-content-type", "application/pdf")
        .header("x-upload-content-length", "3")
        .json(&json!({"name": "a.pdf", "mimeType": "application/pdf", "parents": ["1X"], "description": "January"}))
        .answer_with(session(&place));
    host.http("PUT", &format!("{API}/upload/drive/v3/files"))
        .query("upload_id", "xa298")
        .header("content-type", "application/pdf")
        .body("abc")
        .answer(200, &file("1Y", "a.pdf", "application/pdf"));
    let content = Blob::from_bytes("application/pdf", b"abc").unwrap();
    let upload = Upload { description: Some("January".into()), ..Upload::new("a.pdf", content).into_folder("1X") };
    assert_eq!(GoogleDrive::upload(upload).unwrap().id, "1Y");
}

#[test]
fn an_upload_goes_nowhere_else() {
    let host = Host::of::<GoogleDrive>();
    let upload = || Upload::new("a.pdf", Blob::from_bytes("application/pdf", b"abc").unwrap());
    host.http("POST", "/upload/drive/v3/files").answer_with(session("https://evil.example/upload"));
    assert_eq!(GoogleDrive::upload(upload()).unwrap_err().code, "egress_denied");
    host.http("POST", "/upload/drive/v3/files").answer(200, &json!({}));
    assert_eq!(GoogleDrive::upload(upload()).unwrap_err().code, "invalid_answer");
    host.http("POST", "/upload/drive/v3/files").answer(404, &json!({"error": {"message": "File not found: 1X."}}));
    assert_eq!(GoogleDrive::upload(upload()).unwrap_err().code, "not_found");
    assert_eq!(call("upload", json!({"name": "a"})).unwrap_err().code, "invalid_input");
}

#[test]
fn a_file_that_the_host_does_not_send_is_told_so() {
    let host = Host::of::<GoogleDrive>();
    let place = format!("{API}/upload/drive/v3/files?upload_id=xa298");
    for (host_says, code) in [("invalid_request", "file_too_large"), ("timeout", "timeout")] {
        host.http("POST", "/upload/drive/v3/files").answer_with(session(&place));
        host.http("PUT", "/upload/drive/v3/files").fail(Error::new(host_says, "The request is too large."));
        let upload = Upload::new("a.pdf", Blob::from_bytes("application/pdf", b"abc").unwrap());
        assert_eq!(GoogleDrive::upload(upload).unwrap_err().code, code);
    }
}

#[test]
fn makes_a_folder() {
    let host = Host::of::<GoogleDrive>();
    host.http("POST", &format!("{API}/drive/v3/files"))
        .json(&json!({"name": "Invoices", "mimeType": FOLDER, "parents": ["1X"]}))
        .answer(200, &file("1Z", "Invoices", FOLDER));
    let made = call("create_folder", json!({"name": "Invoices", "folder": "1X"})).unwrap();
    assert_eq!(made, file("1Z", "Invoices", FOLDER));
    assert_eq!(call("create_folder", json!({"name": " "})).unwrap_err().code, "invalid_input");
}

#[test]
fn lists_by_folder_name_and_query() {
    let cases = [
        (json!({}), "trashed = false"),
        (json!({"folder": "1X"}), "trashed = false and '1X' in parents"),
        (json!({"name": "Ada's \\ file"}), "trashed = false and name = 'Ada\\'s \\\\ file'"),
        (
            json!({"folder": "x' or 'a' in parents or '"}),
            "trashed = false and 'x\\' or \\'a\\' in parents or \\'' in parents",
        ),
        (json!({"query": "a or b", "trashed": true}), "trashed = true and (a or b)"),
    ];
    for (input, conditions) in cases {
        let host = Host::of::<GoogleDrive>();
        host.http("GET", &format!("{API}/drive/v3/files")).query("q", conditions).answer(200, &json!({"files": []}));
        assert_eq!(call("list", input).unwrap()["files"], json!([]));
    }
}

#[test]
fn pages() {
    let host = Host::of::<GoogleDrive>();
    let page = json!({"files": [file("1Y", "a", "text/csv")], "nextPageToken": "~!!~B", "incompleteSearch": false});
    host.http("GET", "/drive/v3/files")
        .query("pageSize", "1")
        .query("pageToken", "~!!~A")
        .query("orderBy", "modifiedTime desc")
        .answer(200, &page);
    let input = json!({"pageSize": 1, "pageToken": "~!!~A", "orderBy": "modifiedTime desc"});
    assert_eq!(call("list", input).unwrap(), page);
}

#[test]
fn errors_say_what_to_do() {
    let reason = |reason: &str| json!({"error": {"message": "m", "errors": [{"reason": reason, "domain": "global"}]}});
    let cases = [
        (400, reason("invalid"), "invalid_request", false),
        (401, reason("authError"), "unauthorized", false),
        (403, reason("insufficientFilePermissions"), "forbidden", false),
        (403, reason("userRateLimitExceeded"), "rate_limited", true),
        (403, reason("storageQuotaExceeded"), "quota_exceeded", false),
        (404, reason("notFound"), "not_found", false),
        (429, reason("rateLimitExceeded"), "rate_limited", true),
        (500, reason("backendError"), "unavailable", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = Host::of::<GoogleDrive>();
        host.http("GET", "/drive/v3/files").answer(status, &body);
        let error = GoogleDrive::list(List::named("a")).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        assert_eq!(error.details.unwrap()["reason"], body["error"]["errors"][0]["reason"]);
    }
}
