//! What the methods take and answer. JSON names are OpenAI's own.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::Value;

/// What a model is to answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateResponse {
    /// Which model, such as `gpt-5-mini`.
    pub model: String,
    /// A text, or a list of items (messages, images, files, results of function calls).
    pub input: Value,
    /// What the model is told before the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The response that this one continues, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_response_id: Option<String>,
    /// How many tokens at most, those for reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// How daring, 0 to 2. Models that reason do not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How much the model reasons, such as `{"effort": "low"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    /// The form of the text, such as `{"format": {"type": "json_schema", "name": .., "schema": .., "strict": true}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
    /// What the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Which tool the model has to call: `auto`, `none`, `required`, or one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Whether OpenAI keeps the response; it does when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// Up to 16 texts by names, to find the response by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl CreateResponse {
    /// What this model says to this text.
    pub fn new(model: impl Into<String>, input: impl Into<String>) -> Self {
        Self { model: model.into(), input: Value::String(input.into()), ..Self::default() }
    }

    /// Tells the model something before the input.
    #[must_use]
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// OpenAI does not keep the response.
    #[must_use]
    pub fn unstored(mut self) -> Self {
        self.store = Some(false);
        self
    }
}

/// A model's response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generated {
    /// Its id (`resp_...`), for `previous_response_id`.
    pub id: String,
    /// `completed`, or `incomplete`, of which `incomplete_details` says why.
    pub status: String,
    /// Which model it was.
    #[serde(default)]
    pub model: String,
    /// All texts of the output, put together. Empty where the model only called functions or refused.
    #[serde(default)]
    pub output_text: String,
    /// All items of the output: messages, reasoning, calls of functions.
    #[serde(default)]
    pub output: Vec<Value>,
    /// Why it is incomplete, such as `{"reason": "max_output_tokens"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_details: Option<Value>,
    /// How many tokens it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// Why it failed; such a response becomes an error.
    #[serde(default, skip_serializing)]
    pub(crate) error: Option<Value>,
}

/// A conversation that a model is to continue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCompletion {
    /// Which model, such as `gpt-5-mini`.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// How many tokens at most, those for reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// How daring, 0 to 2. Models that reason do not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The form of the text, such as `{"type": "json_object"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// What the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Which tool the model has to call: `auto`, `none`, `required`, or one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
}

impl CreateCompletion {
    /// What this model says to one message of a user.
    pub fn new(model: impl Into<String>, message: impl Into<String>) -> Self {
        let message = Message { role: Role::User, content: Some(Value::String(message.into())), ..Message::default() };
        Self { model: model.into(), messages: vec![message], ..Self::default() }
    }
}

/// A message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// A text, or a list of parts (texts, images, files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// Tells apart those with the same role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The calls an assistant made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
    /// The call that a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// Whose a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who made the application; newer models.
    Developer,
    /// Who made the application; older models.
    System,
    /// Who uses the application.
    #[default]
    User,
    /// The model.
    Assistant,
    /// What the model called.
    Tool,
}

/// How a model continued a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// Its id (`chatcmpl-...`).
    pub id: String,
    /// Which model it was.
    #[serde(default)]
    pub model: String,
    /// What the model said; one choice.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// How many tokens it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
}

impl Completion {
    /// The text of the first choice; none where the model only called functions or refused.
    pub fn text(&self) -> Option<&str> {
        self.choices.first()?.message.content.as_deref()
    }
}

/// What a model said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Which choice it is, counted from 0.
    #[serde(default)]
    pub index: u32,
    /// The message.
    pub message: Reply,
    /// Why it ended: `stop`, `length`, `tool_calls`, `content_filter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// A message of the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// `assistant`.
    #[serde(default)]
    pub role: String,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Why the model refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The functions it wants to have called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
}

/// Texts that become vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEmbeddings {
    /// Which model, such as `text-embedding-3-small`.
    pub model: String,
    /// The texts, of at most 8,192 tokens each; none may be empty. How many fit depends on the vectors: 80 at 1,536
    /// numbers each, 40 at 3,072.
    pub input: Vec<String>,
    /// How many numbers a vector has; the model's choice when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
}

impl CreateEmbeddings {
    /// The vectors of these texts by this model.
    pub fn new<T: Into<String>>(model: impl Into<String>, input: impl IntoIterator<Item = T>) -> Self {
        Self { model: model.into(), input: input.into_iter().map(Into::into).collect(), dimensions: None }
    }
}

/// Vectors of texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Embeddings {
    /// One for each text, in the same order.
    pub data: Vec<Embedding>,
    /// Which model it was.
    #[serde(default)]
    pub model: String,
    /// How many tokens it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
}

/// The vector of one text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Embedding {
    /// Which text, counted from 0.
    #[serde(default)]
    pub index: u32,
    /// Its numbers, in the precision in which models give them.
    pub embedding: Vec<f32>,
}
