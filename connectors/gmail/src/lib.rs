//! Gmail: messages of one mailbox, by the public Gmail API, version 1.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use gmail::{Search, Send};
//! use headgate_sdk::prelude::*;
//!
//! # fn example() -> Result<()> {
//! let mail = gmail::Client::open("mail")?;
//! mail.send(Send::to("Ada <ada@example.com>").subject("Grüße").text("Thank you."))?;
//! let found = mail.search(Search::query("from:ada@example.com is:unread"))?;
//! # let _ = found; Ok(())
//! # }
//! ```

mod address;
mod answer;
mod message;
mod mime;
mod new_mail;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;

pub use new_mail::Cursor;
pub use types::{Attachment, Found, FoundMessage, Get, Mail, Message, MessageAttachment, NewMail, Search, Send, Sent};

const SEND: &str = "https://www.googleapis.com/auth/gmail.send";
const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";
const MODIFY: &str = "https://www.googleapis.com/auth/gmail.modify";
const COMPOSE: &str = "https://www.googleapis.com/auth/gmail.compose";

/// A larger message is uploaded: for some accounts Gmail takes no larger JSON than 1 MiB. In bytes, before base64.
const INLINE_MESSAGE: usize = 700 * 1024;

/// The connector.
#[derive(Debug)]
pub struct Gmail;

#[headgate_sdk::connector]
impl Gmail {
    fn manifest() -> Manifest {
        let stand_in = "Change it only to reach a stand-in for tests.";
        let address = |name: &str, title: &str, url: &str| {
            ConfigField::new(name, title).description(stand_in).default_value(url).advanced()
        };
        Manifest::new("gmail", "Gmail")
            .description("Messages of a Gmail mailbox: send, search, get; new mail runs flows.")
            .config(address("api_url", "API address", "https://gmail.googleapis.com/gmail/v1"))
            .config(address(
                "upload_url",
                "API address for large messages",
                "https://gmail.googleapis.com/upload/gmail/v1",
            ))
            .config(address("consent_url", "Address of the consent page", "https://accounts.google.com"))
            .config(address("oauth_url", "Address of the token endpoint", "https://oauth2.googleapis.com"))
            .base_url("${config.api_url}")
            .base_url("${config.upload_url}")
            .auth(Auth::oauth("oauth", "Google", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Google, with your own OAuth client", oauth()))
            .verified_by(Verification::new("GET", "/users/me/profile").account("/emailAddress"))
    }

    /// Sends a message with plain text, HTML or both, and files. The sender is the mailbox's own address, unless `from`
    /// names an alias of it.
    #[method(
        scopes(
            "https://www.googleapis.com/auth/gmail.send",
            "https://www.googleapis.com/auth/gmail.compose",
            "https://www.googleapis.com/auth/gmail.modify"
        ),
        sample = Sent::sample
    )]
    fn send(input: Send) -> Result<Sent> {
        let message = mime::write(&input)?;
        let request = if message.len() > INLINE_MESSAGE {
            let (content_type, body) = mime::upload(input.thread_id.as_deref(), &message)?;
            let url = messages("upload_url")? + "/send";
            http::post(url).query("uploadType", "multipart").bytes(&content_type, body)
        } else {
            http::post(messages("api_url")? + "/send").json(&mime::inline(input.thread_id.as_deref(), &message))
        };
        answer::read(request.send()?)
    }

    /// Finds messages as Gmail's search box does, newest first. Answers their ids; `get` answers what is in them.
    #[method(
        idempotent,
        scopes("https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/gmail.modify"),
        sample = Found::sample
    )]
    fn search(input: Search) -> Result<Found> {
        let mut request = http::get(messages("api_url")?);
        let texts = [("q", Some(input.query).filter(|query| !query.is_empty())), ("pageToken", input.page_token)];
        for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            request = request.query(name, value);
        }
        for label in &input.label_ids {
            request = request.query("labelIds", label);
        }
        if let Some(limit) = input.max_results {
            request = request.query("maxResults", limit);
        }
        answer::read(request.send()?)
    }

    /// Gets one message: its headers, its text and HTML, and which files are attached, on demand with their contents.
    #[method(
        idempotent,
        scopes("https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/gmail.modify"),
        sample = Message::sample
    )]
    fn get(input: Get) -> Result<Message> {
        if matches!(input.id.as_str(), "" | "." | "..") {
            return Err(Error::new("invalid_input", "Name the message by its id, as search answers it."));
        }
        let url = format!("{}/{}", messages("api_url")?, http::encode(&input.id));
        let request = http::get(&url).query("format", "full").limit(message::LIMIT);
        let mut message = message::read(answer::read(request.send()?)?)?;
        if input.attachments {
            for attachment in &mut message.attachments {
                attachment.content = Some(message::attachment(&url, attachment)?);
            }
        }
        Ok(message)
    }

    /// Tells each message that arrives: its headers and how it begins. `get` answers the whole message.
    #[trigger(
        scopes("https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/gmail.modify"),
        sample = Mail::sample
    )]
    fn new_mail(input: NewMail, cursor: Option<Cursor>) -> Result<Polled<Mail, Cursor>> {
        match cursor {
            Some(cursor) => new_mail::poll(&input, cursor),
            None => new_mail::begin(),
        }
    }
}

fn oauth() -> Oauth {
    use headgate_sdk::manifest::ClientAuthentication;

    Oauth::code("${config.consent_url}/o/oauth2/v2/auth", "${config.oauth_url}/token")
        .revocation_url("${config.oauth_url}/revoke")
        .client_authentication(ClientAuthentication::Body)
        // Without both, Google gives a refresh token at the first consent only, or none at all.
        .authorization_param("access_type", "offline")
        .authorization_param("prompt", "consent")
        .scope(ScopeField::new(SEND, "Send messages"))
        .scope(ScopeField::new(READ, "Read messages and settings; also what a test of the connection needs"))
        .scope(ScopeField::new(COMPOSE, "Manage drafts and send messages").optional())
        .scope(ScopeField::new(MODIFY, "Read, compose and send messages").optional())
}

/// The URL of the mailbox's messages, at the address that a setting names.
fn messages(setting: &str) -> Result<String> {
    mailbox(setting, "messages")
}

/// The URL of a part of the mailbox, at the address that a setting names.
fn mailbox(setting: &str, part: &str) -> Result<String> {
    let api = config(setting)
        .ok_or_else(|| Error::new("invalid_config", format!("The connection's setting {setting} is missing.")))?;
    Ok(format!("{}/users/me/{part}", api.trim_end_matches('/')))
}
