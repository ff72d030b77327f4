//! What the methods could answer, for flows that are only tried.

use serde_json::json;

use crate::types::{Choice, Completion, Embedding, Embeddings, Generated, Reply};

pub(crate) fn generated() -> Generated {
    let text = "A lamp gives light.";
    let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
    Generated {
        id: "resp_0123456789abcdef".into(),
        status: "completed".into(),
        model: "gpt-5-mini".into(),
        output_text: text.into(),
        output: vec![json!({"type": "message", "role": "assistant", "status": "completed", "content": content})],
        incomplete_details: None,
        error: None,
        usage: Some(json!({"input_tokens": 12, "output_tokens": 6, "total_tokens": 18})),
    }
}

pub(crate) fn completion() -> Completion {
    let message = Reply {
        role: "assistant".into(),
        content: Some("A lamp gives light.".into()),
        refusal: None,
        tool_calls: Vec::new(),
    };
    Completion {
        id: "chatcmpl-0123456789".into(),
        model: "gpt-5-mini".into(),
        choices: vec![Choice { index: 0, message, finish_reason: Some("stop".into()) }],
        usage: Some(json!({"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18})),
    }
}

pub(crate) fn embeddings() -> Embeddings {
    Embeddings {
        data: vec![Embedding { index: 0, embedding: vec![0.25, -0.5, 0.125] }],
        model: "text-embedding-3-small".into(),
        usage: Some(json!({"prompt_tokens": 4, "total_tokens": 4})),
    }
}
