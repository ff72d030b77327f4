use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const MESSAGES: &str = "https://gmail.googleapis.com/gmail/v1/users/me/messages";

fn call(method: &str, input: Value) -> Result<Value> {
    invoke::<Gmail>(method, &input)
}

fn sent() -> Value {
    json!({"id": "18c1", "threadId": "18c0", "labelIds": ["SENT"]})
}

/// The message that was sent, as it travels.
fn travelled(host: &Host) -> String {
    let raw = host.requests()[0].json()["raw"].as_str().unwrap().to_owned();
    String::from_utf8(URL_SAFE.decode(raw).unwrap()).unwrap()
}

#[test]
fn sends_a_plain_message() {
    let host = Host::of::<Gmail>();
    host.http("POST", &format!("{MESSAGES}/send")).answer(200, &sent());
    let answer = Gmail::send(Send::to("Ada <ada@example.com>").subject("Hello").text("Grüße")).unwrap();
    assert_eq!(answer.id, "18c1");
    let expected = "To: \"Ada\" <ada@example.com>\r\n\
        Subject: Hello\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: base64\r\n\
        \r\n\
        R3LDvMOfZQ==\r\n";
    assert_eq!(travelled(&host), expected);
}

#[test]
fn sends_html_files_and_an_answer_to_a_thread() {
    let host = Host::of::<Gmail>();
    host.http("POST", &format!("{MESSAGES}/send")).answer(200, &sent());
    let file = Blob::from_bytes("text/csv; charset=utf-8", b"a,b").unwrap();
    let forwarded = Blob::from_bytes("message/rfc822", b"Subject: x").unwrap();
    let message = Send {
        cc: vec!["bob@example.com".into(), "eve@example.com".into()],
        bcc: vec!["audit@example.com".into()],
        from: Some("Sales <sales@example.com>".into()),
        thread_id: Some("18c0".into()),
        in_reply_to: Some("<a1@mail.example.com>".into()),
        ..Send::to("ada@example.com").subject("Zoë's 20 €").text("t").html("<p>t</p>")
    };
    Gmail::send(message.attach("Grüße \"1\".csv", file).attach("mail.eml", forwarded)).unwrap();
    assert_eq!(host.requests()[0].json()["threadId"], "18c0");
    let text = travelled(&host);
    let expected = [
        "From: \"Sales\" <sales@example.com>\r\nTo: ada@example.com\r\n",
        "Cc: bob@example.com,\r\n eve@example.com\r\nBcc: audit@example.com\r\n",
        "Subject: =?UTF-8?B?Wm/DqydzIDIwIOKCrA==?=\r\n",
        "In-Reply-To: <a1@mail.example.com>\r\nReferences: <a1@mail.example.com>\r\n",
        "Content-Type: multipart/mixed; boundary=\"=_mixed\"\r\n\r\n--=_mixed\r\n",
        "Content-Type: multipart/alternative; boundary=\"=_alternative\"\r\n\r\n--=_alternative\r\n",
        "--=_alternative\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\ndA==\r\n",
        "--=_alternative\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n",
        "\r\n\r\nPHA+dDwvcD4=\r\n--=_alternative--\r\n",
        "--=_alternative--\r\n--=_mixed\r\nContent-Type: text/csv; charset=utf-8\r\n",
        "filename=\"Gr__e _1_.csv\";\r\n filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%221%22.csv\r\n",
        "\r\n\r\nYSxi\r\n--=_mixed\r\nContent-Type: application/octet-stream\r\n",
        "\r\n--=_mixed--\r\n",
    ];
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
}

#[test]
fn a_long_subject_is_folded_between_characters() {
    let host = Host::of::<Gmail>();
    host.http("POST", &format!("{MESSAGES}/send")).answer(200, &sent());
    Gmail::send(Send::to("ada@example.com").subject("é".repeat(60))).unwrap();
    let text = travelled(&host);
    let words: Vec<&str> = text.split("=?UTF-8?B?").skip(1).map(|word| word.split("?=").next().unwrap()).collect();
    let decode =
        |word: &&str| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(word).unwrap()).unwrap();
    assert_eq!(words.iter().map(decode).collect::<String>(), "é".repeat(60));
    assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
}

#[test]
fn no_field_can_write_a_header() {
    let _host = Host::of::<Gmail>();
    let good = json!({"to": ["ada@example.com"], "subject": "s", "text": "t"});
    let file = || Blob::from_bytes("text/plain", b"x").map(|blob| serde_json::to_value(blob).unwrap()).unwrap();
    let evil = "x\r\nBcc: eve@example.com";
    let bad = [
        ("to", json!(["ada@example.com\r\nBcc: eve@example.com"])),
        ("to", json!(["ada@example.com, eve@example.com"])),
        ("to", json!([])),
        ("to", json!(vec!["ada@example.com"; 501])),
        ("cc", json!(["Ada\n <ada@example.com>"])),
        ("from", json!("x\u{0}@example.com")),
        ("replyTo", json!("no address")),
        ("subject", json!(evil)),
        ("subject", json!("s".repeat(2001))),
        ("inReplyTo", json!("a@b>\r\nBcc: eve@example.com")),
        ("inReplyTo", json!("not an id")),
        ("attachments", json!([{"name": evil, "content": file()}])),
        ("attachments", json!([{"name": "", "content": file()}])),
        ("attachments", json!([{"name": "a", "content": file(), "contentType": "text/plain\r\nX: y"}])),
        ("attachments", json!([{"name": "a", "content": file(), "contentType": "text"}])),
        ("colour", json!("red")),
    ];
    for (field, value) in bad {
        let mut input = good.clone();
        input[field] = value;
        assert_eq!(call("send", input.clone()).map_err(|error| error.code), Err("invalid_input".into()), "{input}");
    }
}

#[test]
fn a_large_message_is_uploaded() {
    let host = Host::of::<Gmail>();
    let url = "https://gmail.googleapis.com/upload/gmail/v1/users/me/messages/send";
    host.http("POST", url)
        .query("uploadType", "multipart")
        .header("content-type", "multipart/related; boundary=\"=_upload\"")
        .answer(200, &sent());
    let file = Blob::from_bytes("application/pdf", &[7; 1024 * 1024]).unwrap();
    let message = Send { thread_id: Some("18c0".into()), ..Send::to("ada@example.com") };
    Gmail::send(message.attach("a.pdf", file)).unwrap();
    let body = String::from_utf8(host.requests()[0].body.clone()).unwrap();
    assert!(body.starts_with("--=_upload\r\nContent-Type: application/json"), "{}", &body[..100]);
    assert!(body.contains("{\"threadId\":\"18c0\"}\r\n--=_upload\r\nContent-Type: message/rfc822\r\n\r\nTo: ada@"));
    assert!(body.ends_with("--=_mixed--\r\n\r\n--=_upload--\r\n"));
    let file = Blob::from_bytes("application/pdf", &[7; 19 * 1024 * 1024]).unwrap();
    let error = Gmail::send(Send::to("ada@example.com").attach("a.pdf", file)).unwrap_err();
    assert_eq!(error.code, "message_too_large");
}

#[test]
fn searches_and_pages() {
    let host = Host::of::<Gmail>();
    let page = json!({
        "messages": [{"id": "18c1", "threadId": "18c0"}],
        "nextPageToken": "098",
        "resultSizeEstimate": 201
    });
    host.http("GET", MESSAGES)
        .query("q", "from:ada@example.com is:unread")
        .query("labelIds", "INBOX")
        .query("labelIds", "UNREAD")
        .query("maxResults", "1")
        .query("pageToken", "097")
        .answer(200, &page);
    let input = json!({
        "query": "from:ada@example.com is:unread",
        "labelIds": ["INBOX", "UNREAD"],
        "maxResults": 1,
        "pageToken": "097"
    });
    assert_eq!(call("search", input).unwrap(), page);
    host.http("GET", MESSAGES).answer(200, &json!({"resultSizeEstimate": 0}));
    assert_eq!(Gmail::search(Search::default()).unwrap(), Found::default());
}

#[test]
fn gets_a_message_and_its_files() {
    let host = Host::of::<Gmail>();
    let payload = json!({
        "mimeType": "multipart/mixed",
        "headers": [
            {"name": "from", "value": "Ada <ada@example.com>"},
            {"name": "Subject", "value": "Hello"},
            {"name": "Message-ID", "value": "<a1@mail.example.com>"}
        ],
        "body": {"size": 0},
        "parts": [
            {"mimeType": "multipart/alternative", "parts": [
                {"mimeType": "text/plain", "filename": "", "body": {"size": 7, "data": "R3LDvMOfZQ"}},
                {"mimeType": "text/html", "filename": "", "body": {"size": 9, "data": "PHA-dDwvcD4="}}
            ]},
            {"mimeType": "text/csv", "filename": "a.csv", "body": {"size": 3, "attachmentId": "ANGjdJ8"}}
        ]
    });
    let message = json!({
        "id": "18c1",
        "threadId": "18c0",
        "labelIds": ["INBOX"],
        "snippet": "Gr",
        "internalDate": "1767322800000",
        "payload": payload
    });
    host.http("GET", &format!("{MESSAGES}/18c1")).query("format", "full").answer(200, &message);
    host.http("GET", &format!("{MESSAGES}/18c1/attachments/ANGjdJ8")).answer(200, &json!({"size": 3, "data": "YSxi"}));
    let message = Gmail::get(Get { attachments: true, ..Get::by_id("18c1") }).unwrap();
    assert_eq!(message.from.as_deref(), Some("Ada <ada@example.com>"));
    assert_eq!(message.message_id.as_deref(), Some("<a1@mail.example.com>"));
    assert_eq!((message.text.as_deref(), message.html.as_deref()), (Some("Grüße"), Some("<p>t</p>")));
    let file = &message.attachments[0];
    assert_eq!((file.name.as_str(), file.size), ("a.csv", 3));
    assert_eq!(file.content.as_ref().unwrap().bytes(), b"a,b");
    assert_eq!(Gmail::get(Get::by_id("..")).unwrap_err().code, "invalid_input");
}

#[test]
fn errors_say_what_to_do() {
    let reason = |reason: &str| json!({"error": {"message": "m", "errors": [{"reason": reason, "domain": "global"}]}});
    let scopes = json!({"error": {
        "code": 403,
        "message": "Request had insufficient authentication scopes.",
        "status": "PERMISSION_DENIED",
        "errors": [{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}],
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]
    }});
    let cases = [
        (400, reason("invalidArgument"), "invalid_request", false, "invalidArgument"),
        (401, json!({"error": {"status": "UNAUTHENTICATED"}}), "unauthorized", false, "UNAUTHENTICATED"),
        (403, scopes, "forbidden", false, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        (403, reason("userRateLimitExceeded"), "rate_limited", true, "userRateLimitExceeded"),
        (403, reason("dailyLimitExceeded"), "quota_exceeded", false, "dailyLimitExceeded"),
        (404, reason("notFound"), "not_found", false, "notFound"),
        (429, reason("rateLimitExceeded"), "rate_limited", true, "rateLimitExceeded"),
        (503, json!("<html>"), "unavailable", true, ""),
    ];
    for (status, body, code, retryable, reason) in cases {
        let host = Host::of::<Gmail>();
        let headers = [("retry-after", "7")].into_iter().collect();
        let bytes = body.to_string().into_bytes();
        host.http("GET", MESSAGES).answer_with(http::Response { status, headers, bytes });
        let error = Gmail::search(Search::default()).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        let details = error.details.unwrap();
        assert_eq!((&details["status"], &details["retry_after_seconds"]), (&json!(status), &json!(7)));
        assert_eq!(details["reason"].as_str().unwrap_or_default(), reason);
    }
}
