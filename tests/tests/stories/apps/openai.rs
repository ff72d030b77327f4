//! OpenAI, by an API key.

use headgate_tests::apps::{Caller, openai};
use serde_json::json;

#[tokio::test]
async fn models_answer_for_the_connections_organization() {
    let app = openai::start().await;
    let caller = Caller::start("openai", &app).await;
    let config = json!({"api_url": format!("{}/v1", app.url()), "organization": "org-acme"});
    let secrets = json!({"key": openai::KEY});
    let connection = json!({"name": "ai", "connector": "openai", "config": config, "secrets": secrets});
    let made = caller.connect(connection).await;

    let response = caller.call("create_response", json!({"model": "gpt-5-mini", "input": "Hello"})).await.unwrap();
    assert_eq!(
        (&response["output_text"], &response["usage"]["total_tokens"]),
        (&json!("You said: \"Hello\""), &json!(8))
    );
    let messages = json!([{"role": "developer", "content": "Repeat."}, {"role": "user", "content": "Hi"}]);
    let chat = json!({"model": "gpt-5-mini", "messages": messages});
    let completion = caller.call("create_chat_completion", chat).await.unwrap();
    assert_eq!(completion["choices"][0]["message"]["content"], "You said: \"Hi\"");
    let texts = json!({"model": "text-embedding-3-small", "input": ["a", "four"]});
    let embeddings = caller.call("create_embeddings", texts).await.unwrap();
    assert_eq!(embeddings["data"][1]["embedding"], json!([4.0, 0.5]));

    for request in app.received() {
        assert_eq!(request.headers["authorization"], format!("Bearer {}", openai::KEY).as_str());
        assert_eq!(request.headers["openai-organization"], "org-acme");
    }
    assert_eq!(caller.test(&made).await.0, "valid");
    for (model, expected) in [
        ("busy", ("rate_limited", true, json!(20))),
        ("broke", ("quota_exceeded", false, json!(null))),
        ("gpt-0", ("not_found", false, json!(null))),
    ] {
        let (code, retryable, details) =
            caller.refused("create_response", json!({"model": model, "input": "Hi"})).await;
        assert_eq!((code.as_str(), retryable, details["retry_after_seconds"].clone()), expected);
    }
}
