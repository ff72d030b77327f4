use headgate_sdk::testing::{Host, invoke};
use serde_json::{Value, json};

use super::*;

const API: &str = "https://api.openai.com/v1";

fn response(status: &str, more: Value) -> Value {
    let mut response = json!({
        "id": "resp_67ccd2bed1ec8190b14f964abc054267",
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "model": "gpt-5-mini-2025-08-07",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "In a peaceful ", "annotations": []},
                {"type": "output_text", "text": "grove.", "annotations": []}
            ]}
        ],
        "usage": {"input_tokens": 36, "output_tokens": 87, "total_tokens": 123},
        "error": null,
        "incomplete_details": null
    });
    response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    response
}

#[test]
fn a_response_has_its_texts_put_together() {
    let host = Host::of::<Openai>();
    let body = json!({"model": "gpt-5-mini", "input": "Tell a story.", "instructions": "Short.", "store": false});
    host.http("POST", &format!("{API}/responses")).json(&body).answer(200, &response("completed", json!({})));
    let story = CreateResponse::new("gpt-5-mini", "Tell a story.").instructions("Short.").unstored();
    let story = Openai::create_response(story).unwrap();
    assert_eq!(
        (story.output_text.as_str(), story.usage.unwrap()["total_tokens"].clone()),
        ("In a peaceful grove.", json!(123))
    );
    assert!(host.requests()[0].headers.get("openai-organization").is_none());
}

#[test]
fn it_is_for_the_connections_organization_and_project() {
    let host = Host::of::<Openai>();
    host.config("organization", "org-acme").config("project", "proj_leads").config("api_url", "http://127.0.0.1:9/v1/");
    let short = response("incomplete", json!({"incomplete_details": {"reason": "max_output_tokens"}}));
    let request = host.http("POST", "http://127.0.0.1:9/v1/responses").header("OpenAI-Organization", "org-acme");
    request.header("OpenAI-Project", "proj_leads").answer(200, &short);
    let items = json!({"model": "gpt-5-mini", "input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 16});
    let answer = invoke::<Openai>("create_response", &items).unwrap();
    assert_eq!(
        (&answer["status"], &answer["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(answer.get("error"), None);
}

#[test]
fn a_failed_response_is_an_error() {
    for (code, retryable) in [("server_error", true), ("invalid_prompt", false)] {
        let host = Host::of::<Openai>();
        let failed = response("failed", json!({"error": {"code": code, "message": "It broke"}}));
        host.http("POST", &format!("{API}/responses")).answer(200, &failed);
        let error = Openai::create_response(CreateResponse::new("gpt-5-mini", "Hi")).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("model_failed", retryable));
        assert!(error.message.contains("It broke"), "{error}");
    }
}

#[test]
fn completes_chats() {
    let host = Host::of::<Openai>();
    let body = json!({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]});
    let answer = json!({
        "id": "chatcmpl-B9MBs8", "object": "chat.completion", "created": 1741569952, "model": "gpt-5-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there", "refusal": null}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
    });
    host.http("POST", &format!("{API}/chat/completions")).json(&body).answer(200, &answer);
    let completion = Openai::create_chat_completion(CreateCompletion::new("gpt-5-mini", "Hello")).unwrap();
    assert_eq!(completion.text(), Some("Hello there"));
    let streamed = json!({"model": "gpt-5-mini", "messages": [], "stream": true});
    assert_eq!(invoke::<Openai>("create_chat_completion", &streamed).unwrap_err().code, "invalid_input");
}

#[test]
fn embeds_texts() {
    let host = Host::of::<Openai>();
    let answer = json!({
        "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0023064255, -0.009327292]}]
    });
    let body = json!({"model": "text-embedding-3-small", "input": ["food"]});
    host.http("POST", &format!("{API}/embeddings")).json(&body).answer(200, &answer);
    let embeddings = Openai::create_embeddings(CreateEmbeddings::new("text-embedding-3-small", ["food"])).unwrap();
    assert_eq!(embeddings.data[0].embedding, [0.0023064255, -0.009327292]);
}

#[test]
fn what_could_not_be_answered_is_not_sent() {
    let input = |model: &str, dimensions: Option<u32>, texts: usize| CreateEmbeddings {
        dimensions,
        ..CreateEmbeddings::new(model, vec!["food"; texts])
    };
    for (model, dimensions, most) in [
        ("text-embedding-3-small", None, 80),
        ("text-embedding-3-large", None, 40),
        ("text-embedding-3-large", Some(256), 480),
        ("another", None, 30),
    ] {
        let host = Host::of::<Openai>();
        let error = Openai::create_embeddings(input(model, dimensions, most + 1)).unwrap_err();
        assert_eq!((error.code.as_str(), host.requests().len()), ("invalid_input", 0), "{model}");
        host.http("POST", &format!("{API}/embeddings")).answer(200, &json!({"data": []}));
        Openai::create_embeddings(input(model, dimensions, most)).unwrap();
    }
    // The longest that numbers can be, in the most vectors that are let through: 2,048 is OpenAI's own limit.
    for (texts, numbers) in [(80, 1_536), (40, 3_072), (2_048, 60)] {
        let vector = Embedding { index: 9_999, embedding: vec![-f32::MIN_POSITIVE; numbers] };
        let all = Embeddings { data: vec![vector; texts], ..Embeddings::default() };
        assert!(serde_json::to_string(&all).unwrap().len() < 2 * 1024 * 1024, "{texts} of {numbers}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let fault =
        |kind: &str, code: Value| json!({"error": {"message": "As it is", "type": kind, "param": null, "code": code}});
    let cases = [
        (401, fault("invalid_request_error", json!("invalid_api_key")), "unauthorized", false),
        (400, fault("invalid_request_error", Value::Null), "invalid_request", false),
        (404, fault("invalid_request_error", json!("model_not_found")), "not_found", false),
        (429, fault("requests", json!("rate_limit_exceeded")), "rate_limited", true),
        (429, fault("insufficient_quota", json!("insufficient_quota")), "quota_exceeded", false),
        // Of another server that speaks the API.
        (400, fault("BadRequestError", json!(400)), "invalid_request", false),
        (503, json!("<html>"), "unavailable", true),
    ];
    for (status, body, code, retryable) in cases {
        let host = Host::of::<Openai>();
        let headers = [("retry-after", "1.5"), ("x-request-id", "req_1")].into_iter().collect();
        let bytes = body.to_string().into_bytes();
        host.http("POST", &format!("{API}/embeddings")).answer_with(http::Response { status, headers, bytes });
        let error = Openai::create_embeddings(CreateEmbeddings::new("m", ["food"])).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{status}");
        assert_eq!(error.message == "As it is", body.is_object(), "{}", error.message);
        let details = error.details.unwrap();
        assert_eq!(details.get("openai_code"), body["error"].get("code").filter(|code| !code.is_null()));
        assert_eq!((&details["request_id"], &details["retry_after_seconds"]), (&json!("req_1"), &json!(2)));
    }
}
