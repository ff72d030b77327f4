//! Messages as they travel: headers (RFC 5322), parts (RFC 2045, 2046), words that are not ASCII (RFC 2047, 2231).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use headgate_sdk::prelude::*;
use serde_json::{Value, json};

use crate::address;
use crate::types::{Attachment, Send};

/// Gmail's bound on the people who get one message.
const MOST_RECIPIENTS: usize = 500;
/// Gmail's bound on a message as it travels, in bytes.
const LARGEST_MESSAGE: usize = 25 * 1000 * 1000;
/// How long a subject may be, in bytes: far more than anybody reads.
const LONGEST_SUBJECT: usize = 2000;
/// How long the name of a file may be, in bytes, as file systems have it.
const LONGEST_NAME: usize = 255;
/// What fits into one line without folding (RFC 5322, section 2.1.1), with room for the header's name.
const PLAIN_LINE: usize = 66;
/// So many bytes become a line of base64 of 76 characters (RFC 2045, section 6.8).
const BASE64_LINE: usize = 57;
/// So many bytes become an encoded word that fits behind a header's name into a line of 76 characters (RFC 2047,
/// section 2).
const WORD: usize = 39;

/// What stands between parts. All of them are base64, which never has `_`, so no content can hold a boundary.
const MIXED: &str = "=_mixed";
const ALTERNATIVE: &str = "=_alternative";
const UPLOAD: &str = "=_upload";

/// The message as it travels.
pub(crate) fn write(message: &Send) -> Result<Vec<u8>> {
    let recipients = message.to.len() + message.cc.len() + message.bcc.len();
    if recipients == 0 {
        return Err(invalid("Somebody has to get the message: name an address in to, cc or bcc."));
    }
    if recipients > MOST_RECIPIENTS {
        return Err(invalid(format!("The message has {recipients} recipients; Gmail takes {MOST_RECIPIENTS}.")));
    }
    let mut out = Out::default();
    out.addresses("From", message.from.as_slice())?;
    out.addresses("To", &message.to)?;
    out.addresses("Cc", &message.cc)?;
    out.addresses("Bcc", &message.bcc)?;
    out.addresses("Reply-To", message.reply_to.as_slice())?;
    check_line("the subject", &message.subject)?;
    if message.subject.len() > LONGEST_SUBJECT {
        return Err(invalid(format!("The subject is longer than {LONGEST_SUBJECT} bytes.")));
    }
    out.header("Subject", &unstructured(&message.subject));
    if let Some(id) = &message.in_reply_to {
        let id = message_id(id)?;
        out.header("In-Reply-To", &id);
        out.header("References", &id);
    }
    out.header("MIME-Version", "1.0");
    out.body(message)?;
    Ok(out.0)
}

/// The message inside of JSON.
pub(crate) fn inline(thread: Option<&str>, message: &[u8]) -> Value {
    let mut body = json!({"raw": URL_SAFE.encode(message)});
    if let Some(thread) = thread {
        body["threadId"] = thread.into();
    }
    body
}

/// The message beside its JSON, and the media type of both together.
pub(crate) fn upload(thread: Option<&str>, message: &[u8]) -> Result<(String, Vec<u8>)> {
    let about = thread.map_or_else(|| json!({}), |thread| json!({ "threadId": thread }));
    let mut out = Out::default();
    out.text(&format!("--{UPLOAD}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n"));
    out.text(&format!("--{UPLOAD}\r\nContent-Type: message/rfc822\r\n\r\n"));
    out.bytes(message)?;
    out.text(&format!("\r\n--{UPLOAD}--\r\n"));
    Ok((format!("multipart/related; boundary=\"{UPLOAD}\""), out.0))
}

/// Refuses what would end a line: it could begin a header that nobody meant to write.
pub(crate) fn check_line(what: &str, text: &str) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(invalid(format!("There is a line break or another control character in {what}. Take it out.")));
    }
    Ok(())
}

/// A text as encoded words, one a line. None of them ends inside a character.
pub(crate) fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join("\r\n ")
}

/// A header's value without a structure. Plain where it fits into one line and cannot be read as an encoded word.
fn unstructured(text: &str) -> String {
    if text.is_ascii() && text.len() <= PLAIN_LINE && !text.contains("=?") {
        text.to_owned()
    } else {
        encoded_words(text)
    }
}

fn message_id(id: &str) -> Result<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    if !plain || !id.contains('@') || id.len() > 250 {
        return Err(invalid("inReplyTo is not a message id such as <a1b2@mail.example.com>."));
    }
    Ok(format!("<{id}>"))
}

/// The media type of a file. What has structure of its own is sent as bytes, because base64 is not allowed for it
/// (RFC 2046, section 5).
fn media_type(attachment: &Attachment) -> Result<String> {
    let own = attachment.content.content_type();
    let text = attachment.content_type.as_deref().unwrap_or(&own);
    let token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let (essence, parameters) = (essence.trim().to_ascii_lowercase(), parameters.trim());
    let sound = essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    let parameter = |text: &str| text.trim().split_once('=').is_some_and(|(name, value)| token(name) && token(value));
    if !sound || !(parameters.is_empty() || parameters.split(';').all(parameter)) || text.len() > PLAIN_LINE {
        return Err(invalid(format!("\"{}\" is not a media type such as application/pdf.", text.escape_debug())));
    }
    if essence.starts_with("multipart/") || essence.starts_with("message/") {
        return Ok("application/octet-stream".to_owned());
    }
    Ok(if parameters.is_empty() { essence } else { format!("{essence}; {parameters}") })
}

/// The name of a file, in both ways: as old readers know it, and whole (RFC 2231).
fn disposition(name: &str) -> Result<String> {
    check_line("a file's name", name)?;
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(invalid(format!("A file's name has 1 to {LONGEST_NAME} bytes.")));
    }
    let plain = |c: char| if c.is_ascii() && !"\"\\/".contains(c) { c } else { '_' };
    let fallback: String = name.chars().map(plain).collect();
    let whole = if fallback == name { String::new() } else { format!(";\r\n filename*=UTF-8''{}", http::encode(name)) };
    Ok(format!("attachment;\r\n filename=\"{fallback}\"{whole}"))
}

/// The message so far.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.0.len() + bytes.len() > LARGEST_MESSAGE {
            let message =
                "The message is larger than the 25 MB that Gmail sends, which become 18 MB of files. Send a link.";
            return Err(Error::new("message_too_large", message));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn header(&mut self, name: &str, value: &str) {
        self.text(&format!("{name}: {value}\r\n"));
    }

    /// One address a line, so that no line is too long.
    fn addresses(&mut self, name: &str, addresses: &[String]) -> Result<()> {
        if addresses.is_empty() {
            return Ok(());
        }
        let addresses = addresses.iter().map(|text| address::write(text)).collect::<Result<Vec<_>>>()?;
        self.header(name, &addresses.join(",\r\n "));
        Ok(())
    }

    fn body(&mut self, message: &Send) -> Result<()> {
        if message.attachments.is_empty() {
            return self.content(message);
        }
        self.header("Content-Type", &format!("multipart/mixed; boundary=\"{MIXED}\""));
        self.text(&format!("\r\n--{MIXED}\r\n"));
        self.content(message)?;
        for attachment in &message.attachments {
            self.text(&format!("--{MIXED}\r\n"));
            self.header("Content-Type", &media_type(attachment)?);
            self.header("Content-Disposition", &disposition(&attachment.name)?);
            self.base64(&attachment.content.bytes())?;
        }
        self.text(&format!("--{MIXED}--\r\n"));
        Ok(())
    }

    /// The text, the HTML, or both for the reader to choose from: what is preferred comes last.
    fn content(&mut self, message: &Send) -> Result<()> {
        match (&message.text, &message.html) {
            (Some(text), Some(html)) => {
                self.header("Content-Type", &format!("multipart/alternative; boundary=\"{ALTERNATIVE}\""));
                for (kind, content) in [("plain", text), ("html", html)] {
                    self.text(&format!("\r\n--{ALTERNATIVE}\r\n"));
                    self.words(kind, content)?;
                }
                self.text(&format!("--{ALTERNATIVE}--\r\n"));
                Ok(())
            }
            (None, Some(html)) => self.words("html", html),
            (text, None) => self.words("plain", text.as_deref().unwrap_or_default()),
        }
    }

    fn words(&mut self, kind: &str, content: &str) -> Result<()> {
        self.header("Content-Type", &format!("text/{kind}; charset=utf-8"));
        self.base64(content.as_bytes())
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<()> {
        self.header("Content-Transfer-Encoding", "base64");
        self.text("\r\n");
        for line in bytes.chunks(BASE64_LINE) {
            self.bytes(STANDARD.encode(line).as_bytes())?;
            self.text("\r\n");
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("invalid_input", message)
}
