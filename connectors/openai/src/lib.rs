//! OpenAI: responses, chat completions and embeddings, by the public API.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use openai::{CreateEmbeddings, CreateResponse};
//!
//! # fn example() -> Result<()> {
//! let ai = openai::Client::open("ai")?;
//! let summary = ai.create_response(CreateResponse::new("gpt-5-mini", "Sum up: ...").instructions("One sentence."))?;
//! let vectors = ai.create_embeddings(CreateEmbeddings::new("text-embedding-3-small", [summary.output_text]))?;
//! log::info!("{} numbers", vectors.data[0].embedding.len());
//! # Ok(())
//! # }
//! ```

mod answer;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;

pub use types::{
    Choice, Completion, CreateCompletion, CreateEmbeddings, CreateResponse, Embedding, Embeddings, Generated, Message,
    Reply, Role,
};

/// The connector.
#[derive(Debug)]
pub struct Openai;

#[headgate_sdk::connector]
impl Openai {
    fn manifest() -> Manifest {
        let key = SecretField::new("key", "API key")
            .description("platform.openai.com > API keys. It starts with sk-, and needs the permission to use models.");
        Manifest::new("openai", "OpenAI")
            .description("OpenAI's models: responses, chat completions, embeddings.")
            .config(
                ConfigField::new("organization", "Organization")
                    .description(
                        "Who pays, where the key's user is in several organizations: Settings > Organization ID.",
                    )
                    .pattern("org-[A-Za-z0-9_-]+"),
            )
            .config(
                ConfigField::new("project", "Project")
                    .description("Which project it counts for, where the key does not say so: Settings > Project ID.")
                    .pattern("proj_[A-Za-z0-9_-]+"),
            )
            .config(
                ConfigField::new("api_url", "API address")
                    .description("Where the API is; change it only to reach another server that speaks it.")
                    .default_value("https://api.openai.com/v1")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(Auth::bearer("key", "API key", key))
            .verification("GET", "/models")
    }

    /// Lets a model answer a text or a list of items. OpenAI keeps the response for 30 days unless `store` is false.
    #[method(sample = samples::generated)]
    fn create_response(input: CreateResponse) -> Result<Generated> {
        let answer = post("/responses")?.json(&input).send()?;
        answer::generated(answer::read(answer)?)
    }

    /// Lets a model continue a conversation. Nothing is kept, but performing it twice costs twice.
    #[method(sample = samples::completion)]
    fn create_chat_completion(input: CreateCompletion) -> Result<Completion> {
        answer::read(post("/chat/completions")?.json(&input).send()?)
    }

    /// Turns texts into vectors, in the order of the texts. Performing it twice costs twice. All vectors together may
    /// have 122,880 numbers: 80 texts at 1,536 numbers each; fails with `invalid_input` beyond that, before it costs
    /// anything.
    #[method(sample = samples::embeddings)]
    fn create_embeddings(input: CreateEmbeddings) -> Result<Embeddings> {
        check_size(&input)?;
        answer::read(post("/embeddings")?.json(&input).limit(MOST_EMBEDDINGS).send()?)
    }
}

/// How many numbers all vectors of a call may have. A number is up to 16 bytes of JSON, and the server takes 2 MiB from
/// a connector.
const MOST_NUMBERS: usize = 120 * 1024;

/// How large OpenAI's answer with embeddings may be, in bytes: it writes some numbers with more than 20 digits.
const MOST_EMBEDDINGS: usize = 8 * 1024 * 1024;

/// Refuses what could not be answered: it would cost all the same.
fn check_size(input: &CreateEmbeddings) -> Result<()> {
    let numbers = input.dimensions.map_or_else(|| usual_dimensions(&input.model), |asked| asked as usize).max(1);
    let most = MOST_NUMBERS / numbers;
    if input.input.len() <= most {
        return Ok(());
    }
    let message = format!(
        "There are {} texts, and vectors of {numbers} numbers fit for {most}. Make several calls, or give fewer dimensions.",
        input.input.len()
    );
    Err(Error::new("invalid_input", message))
}

/// How many numbers a vector of a model has where nothing else was asked for; of an unknown model, as many as the
/// largest models in use give.
fn usual_dimensions(model: &str) -> usize {
    match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => 1_536,
        "text-embedding-3-large" => 3_072,
        _ => 4_096,
    }
}

/// A request to the API, for the organization and project of the connection.
fn post(path: &str) -> Result<http::Request> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    let mut request = http::post(format!("{}{path}", api.trim_end_matches('/')));
    for (setting, header) in [("organization", "OpenAI-Organization"), ("project", "OpenAI-Project")] {
        if let Some(value) = config(setting) {
            request = request.header(header, value);
        }
    }
    Ok(request)
}
