//! Mailchimp Transactional (formerly Mandrill): sending mails, by the public API, version 1.0.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use mailchimp_transactional::{Message, SendTemplate};
//!
//! # fn example() -> Result<()> {
//! let mail = mailchimp_transactional::Client::open("mail")?;
//! let message = Message::new("shop@example.com", "Your order").to("ada@example.com").variable("ORDER", "A-7");
//! let sent = mail.send_template(SendTemplate::new("order-confirmation", message))?;
//! for refused in sent.refused() {
//!     log::warn!("{} gets no mail: {:?}", refused.email, refused.reject_reason);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use headgate_sdk::prelude::*;
use serde_json::{Value, json};

pub use types::{
    Attachment, Content, Delivery, Kind, Message, Recipient, RecipientVariables, SendMessage, SendTemplate, Sent,
};

/// How many bytes all attachments may have. As text in JSON they grow by a third, and the server, which puts the key
/// into the body, takes 8 MiB.
const MOST_ATTACHED: u64 = 5 * 1024 * 1024;

/// The connector.
#[derive(Debug)]
pub struct MailchimpTransactional;

#[headgate_sdk::connector]
impl MailchimpTransactional {
    fn manifest() -> Manifest {
        let key = SecretField::new("key", "API key").description(
            "mandrillapp.com > Settings > SMTP & API Info > New API Key. Not a key of Mailchimp's marketing API.",
        );
        Manifest::new("mailchimp-transactional", "Mailchimp Transactional")
            .description("Mails through Mailchimp Transactional (Mandrill): send a message, send a template.")
            .config(
                ConfigField::new("api_url", "API address")
                    .description("Where the API is; change it only to reach a stand-in for tests.")
                    .default_value("https://mandrillapp.com/api/1.0")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(Auth::body("key", "API key", "/key", key))
            .verified_by(Verification::new("POST", "/users/ping2").body(json!({})).refused("/name", "Invalid_Key"))
    }

    /// Sends a mail. Each recipient has an outcome of its own.
    #[method(sample = samples::sent)]
    fn send(input: SendMessage) -> Result<Sent> {
        let mut body = json!({ "message": written(input.message)? });
        set(&mut body, "async", input.asynchronous);
        set(&mut body, "send_at", input.send_at);
        set(&mut body, "ip_pool", input.ip_pool);
        post("/messages/send", &body)
    }

    /// Sends a mail made from a template. Each recipient has an outcome of its own.
    #[method(sample = samples::sent)]
    fn send_template(input: SendTemplate) -> Result<Sent> {
        let mut body = json!({
            "template_name": input.template_name,
            "template_content": input.template_content,
            "message": written(input.message)?,
        });
        set(&mut body, "async", input.asynchronous);
        set(&mut body, "send_at", input.send_at);
        set(&mut body, "ip_pool", input.ip_pool);
        post("/messages/send-template", &body)
    }
}

/// Sends a body. The host puts the key into it.
fn post(path: &str, body: &Value) -> Result<Sent> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    let answer = http::post(format!("{}{path}", api.trim_end_matches('/'))).json(body).send()?;
    Ok(Sent { recipients: answer::read(answer)? })
}

fn set(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[name] = value.into();
    }
}

/// A message as Mailchimp takes it: files as base64 in the JSON.
fn written(mut message: Message) -> Result<Value> {
    let (attachments, images) = (std::mem::take(&mut message.attachments), std::mem::take(&mut message.images));
    let size: u64 = attachments.iter().chain(&images).map(|file| file.content.size()).sum();
    if size > MOST_ATTACHED {
        let text =
            format!("The attachments have {size} bytes together; at most {MOST_ATTACHED}. Send links to larger files.");
        return Err(Error::new("invalid_input", text));
    }
    let mut body = serde_json::to_value(message)?;
    for (name, files) in [("attachments", attachments), ("images", images)] {
        if !files.is_empty() {
            body[name] = files.into_iter().map(file).collect();
        }
    }
    Ok(body)
}

fn file(Attachment { name, content }: Attachment) -> Value {
    json!({"type": content.content_type(), "name": name, "content": BASE64.encode(content.bytes())})
}
