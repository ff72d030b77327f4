//! What the methods take and answer. JSON names are Gmail's own where it has one.

use headgate_sdk::prelude::*;

/// A message to be sent. Addresses are `ada@example.com` or `Ada Lovelace <ada@example.com>`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Send {
    /// Who gets it. Somebody has to be in `to`, `cc` or `bcc`; 500 at most in all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Who gets a copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// Who gets a copy without the others' knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// An alias of the mailbox to send as; the mailbox's own address when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where answers go; the sender when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The subject, in one line.
    #[serde(default)]
    pub subject: String,
    /// The message as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The message as HTML. With `text` beside it, each reader shows what it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Files; 25 MB at most together, as they are encoded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The thread that it belongs to. Gmail wants `inReplyTo` and the thread's subject, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The `messageId` of the message that it answers, such as `<a1b2@mail.example.com>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
}

impl Send {
    /// A message to this address.
    pub fn to(address: impl Into<String>) -> Self {
        Self { to: vec![address.into()], ..Self::default() }
    }

    /// Sets the subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets the plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets the HTML.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Attaches a file.
    #[must_use]
    pub fn attach(mut self, name: impl Into<String>, content: Blob) -> Self {
        self.attachments.push(Attachment { name: name.into(), content, content_type: None });
        self
    }
}

/// A file to be sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// Its name, such as `invoice.pdf`.
    pub name: String,
    /// What is in it.
    pub content: Blob,
    /// Its media type; the blob's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// A message that was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// Its thread's id.
    pub thread_id: String,
    /// The ids of its labels, such as `SENT`.
    #[serde(default)]
    pub label_ids: Vec<String>,
}

impl Sent {
    /// An answer as Gmail could give it.
    pub fn sample() -> Self {
        Self { id: "18c1a2b3c4d5e6f7".into(), thread_id: "18c1a2b3c4d5e6f7".into(), label_ids: vec!["SENT".into()] }
    }
}

/// Which messages to find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Search {
    /// What Gmail's search box takes, such as `from:ada@example.com has:attachment newer_than:7d`.
    #[serde(default)]
    pub query: String,
    /// Only messages that have all of these labels, by their ids, such as `INBOX`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_ids: Vec<String>,
    /// How many at most, up to 500; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<u32>,
    /// The page: `nextPageToken` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

impl Search {
    /// What Gmail's search box would find.
    pub fn query(query: impl Into<String>) -> Self {
        Self { query: query.into(), ..Self::default() }
    }

    /// Answers at most so many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.max_results = Some(limit);
        self
    }
}

/// A page of found messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The messages of this page, newest first.
    #[serde(default)]
    pub messages: Vec<FoundMessage>,
    /// Where to go on; left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// About how many there are.
    #[serde(default)]
    pub result_size_estimate: u64,
}

impl Found {
    /// A page as Gmail could answer it.
    pub fn sample() -> Self {
        let message = FoundMessage { id: "18c1a2b3c4d5e6f7".into(), thread_id: "18c1a2b3c4d5e6f7".into() };
        Self { messages: vec![message], next_page_token: None, result_size_estimate: 1 }
    }
}

/// A found message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundMessage {
    /// Its id.
    pub id: String,
    /// Its thread's id.
    pub thread_id: String,
}

/// Which message to get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    /// Its id.
    pub id: String,
    /// Whether the contents of its attachments are wanted, too.
    #[serde(default)]
    pub attachments: bool,
}

impl Get {
    /// The message with this id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: id.into(), attachments: false }
    }
}

/// A message.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its thread's id.
    pub thread_id: String,
    /// The ids of its labels, such as `INBOX` and `UNREAD`.
    pub label_ids: Vec<String>,
    /// How it begins.
    pub snippet: String,
    /// When Gmail got it, in milliseconds since 1970.
    pub internal_date: Option<String>,
    /// The header `From`; encoded words are left as they came, here and in the others.
    pub from: Option<String>,
    /// The header `To`.
    pub to: Option<String>,
    /// The header `Cc`.
    pub cc: Option<String>,
    /// The header `Subject`.
    pub subject: Option<String>,
    /// The header `Date`.
    pub date: Option<String>,
    /// The header `Message-ID`, for answers.
    pub message_id: Option<String>,
    /// The plain text.
    pub text: Option<String>,
    /// The HTML.
    pub html: Option<String>,
    /// The attached files.
    pub attachments: Vec<MessageAttachment>,
}

impl Message {
    /// A message as Gmail could answer it.
    pub fn sample() -> Self {
        let Mail { id, thread_id, label_ids, snippet, internal_date, from, to, cc, subject, date, message_id } =
            Mail::sample();
        let (text, html) = (Some("Thank you for your order.\r\n".to_owned()), None);
        let attachments = Vec::new();
        Self {
            id,
            thread_id,
            label_ids,
            snippet,
            internal_date,
            from,
            to,
            cc,
            subject,
            date,
            message_id,
            text,
            html,
            attachments,
        }
    }
}

/// Which new messages are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewMail {
    /// Only messages that arrive with this label, by its id; `INBOX` when left out.
    #[serde(default = "inbox")]
    pub label_id: String,
}

/// A message without its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Its id, by which `get` answers the whole message.
    pub id: String,
    /// Its thread's id.
    pub thread_id: String,
    /// The ids of its labels, such as `INBOX` and `UNREAD`.
    pub label_ids: Vec<String>,
    /// How it begins.
    pub snippet: String,
    /// When Gmail got it, in milliseconds since 1970.
    pub internal_date: Option<String>,
    /// The header `From`; encoded words are left as they came, here and in the others.
    pub from: Option<String>,
    /// The header `To`.
    pub to: Option<String>,
    /// The header `Cc`.
    pub cc: Option<String>,
    /// The header `Subject`.
    pub subject: Option<String>,
    /// The header `Date`.
    pub date: Option<String>,
    /// The header `Message-ID`, for answers.
    pub message_id: Option<String>,
}

impl Mail {
    /// A message as Gmail could answer it.
    pub fn sample() -> Self {
        Self {
            id: "18c1a2b3c4d5e6f7".into(),
            thread_id: "18c1a2b3c4d5e6f7".into(),
            label_ids: vec!["INBOX".into(), "UNREAD".into()],
            snippet: "Thank you for your order.".into(),
            internal_date: Some("1767323045000".into()),
            from: Some("Ada Lovelace <ada@example.com>".into()),
            to: Some("sales@example.com".into()),
            cc: None,
            subject: Some("Order A-7".into()),
            date: Some("Fri, 2 Jan 2026 03:04:05 +0000".into()),
            message_id: Some("<a1b2@mail.example.com>".into()),
        }
    }
}

impl From<Message> for Mail {
    fn from(message: Message) -> Self {
        let Message {
            id, thread_id, label_ids, snippet, internal_date, from, to, cc, subject, date, message_id, ..
        } = message;
        Self { id, thread_id, label_ids, snippet, internal_date, from, to, cc, subject, date, message_id }
    }
}

fn inbox() -> String {
    "INBOX".into()
}

/// A file of a message.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageAttachment {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// By which Gmail answers its content; good for a short time.
    pub attachment_id: String,
    /// What is in it, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Blob>,
}
