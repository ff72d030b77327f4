//! What the methods take and answer. JSON names are Mailchimp's own, but for files, which are blobs.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::Value;

/// A mail to be sent.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The mail.
    pub message: Message,
    /// Whether Mailchimp answers before it has tried; always so for more than 10 recipients.
    #[serde(default, rename = "async", skip_serializing_if = "Option::is_none")]
    pub asynchronous: Option<bool>,
    /// When to send it, in UTC as `YYYY-MM-DD HH:MM:SS`; at once when left out. Mailchimp takes money for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// From which of the account's pools of addresses it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_pool: Option<String>,
}

impl From<Message> for SendMessage {
    fn from(message: Message) -> Self {
        Self { message, ..Self::default() }
    }
}

/// A mail to be made from a template and sent.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendTemplate {
    /// The template's name or slug.
    pub template_name: String,
    /// What becomes of the template's editable regions (`mc:edit`).
    #[serde(default)]
    pub template_content: Vec<Content>,
    /// The rest of the mail; what it says goes before what the template says.
    pub message: Message,
    /// Whether Mailchimp answers before it has tried; always so for more than 10 recipients.
    #[serde(default, rename = "async", skip_serializing_if = "Option::is_none")]
    pub asynchronous: Option<bool>,
    /// When to send it, in UTC as `YYYY-MM-DD HH:MM:SS`; at once when left out. Mailchimp takes money for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// From which of the account's pools of addresses it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_pool: Option<String>,
}

impl SendTemplate {
    /// A mail by this template.
    pub fn new(template: impl Into<String>, message: Message) -> Self {
        Self { template_name: template.into(), message, ..Self::default() }
    }
}

/// A mail.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The sender's address, of a domain that the account has verified. A template may say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_email: Option<String>,
    /// The sender's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// Who gets it.
    pub to: Vec<Recipient>,
    /// The subject. A template may say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text in HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Further headers, such as `Reply-To`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether it goes before others of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub important: Option<bool>,
    /// Whether opening it is tracked; the account's choice when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_opens: Option<bool>,
    /// Whether clicks are tracked; the account's choice when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_clicks: Option<bool>,
    /// Whether each recipient sees the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_recipients: Option<bool>,
    /// `mailchimp` or `handlebars`: how placeholders are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_language: Option<String>,
    /// What placeholders stand for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global_merge_vars: Vec<Content>,
    /// What they stand for in one recipient's mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_vars: Vec<RecipientVariables>,
    /// Words to count mails by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// For which of the account's subaccounts it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subaccount: Option<String>,
    /// Up to 10 values by names, to find the mail by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// Files; 5 MiB together with the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Pictures that the HTML shows as `<img src="cid:NAME">`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Attachment>,
}

impl Message {
    /// A mail of this sender with this subject, to nobody yet.
    pub fn new(from: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { from_email: Some(from.into()), subject: Some(subject.into()), ..Self::default() }
    }

    /// Somebody else gets it, too.
    #[must_use]
    pub fn to(mut self, email: impl Into<String>) -> Self {
        self.to.push(Recipient { email: email.into(), name: None, kind: None });
        self
    }

    /// Its text in HTML.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Its plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// What a placeholder stands for.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, content: impl Into<Value>) -> Self {
        self.global_merge_vars.push(Content { name: name.into(), content: content.into() });
        self
    }

    /// A file goes with it.
    #[must_use]
    pub fn attach(mut self, name: impl Into<String>, content: Blob) -> Self {
        self.attachments.push(Attachment { name: name.into(), content });
        self
    }
}

/// Who gets a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The address.
    pub email: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In which header; `to` when left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// In which header a recipient stands.
#[expect(missing_docs, reason = "the names are those of the headers")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    To,
    Cc,
    Bcc,
}

/// What a placeholder or a region of a template stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its name.
    pub name: String,
    /// A text; with handlebars also a list or an object.
    pub content: Value,
}

/// What placeholders stand for in one recipient's mail.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipientVariables {
    /// The recipient's address.
    pub rcpt: String,
    /// The placeholders.
    pub vars: Vec<Content>,
}

/// A file that goes with a mail. Its media type is the blob's.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The file's name.
    pub name: String,
    /// What is in it.
    pub content: Blob,
}

/// What became of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// One outcome for each recipient.
    pub recipients: Vec<Delivery>,
}

impl Sent {
    /// Those who get no mail.
    pub fn refused(&self) -> impl Iterator<Item = &Delivery> {
        self.recipients.iter().filter(|one| matches!(one.status.as_str(), "rejected" | "invalid"))
    }
}

/// What became of one recipient's mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// The address.
    pub email: String,
    /// `sent`, `queued`, `scheduled`, `rejected` or `invalid`.
    pub status: String,
    /// Why it was rejected, such as `hard-bounce`, `unsub`, `unsigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_reason: Option<String>,
    /// Why it is queued, such as `attachments`, `multiple-recipients`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_reason: Option<String>,
    /// The mail's id; left out where it is invalid.
    #[serde(default, rename = "_id", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}
