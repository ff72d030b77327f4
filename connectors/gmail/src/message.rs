//! Messages as Gmail answers them: a tree of parts.

use base64::Engine as _;
use base64::alphabet::URL_SAFE as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use headgate_sdk::prelude::*;

use crate::answer;
use crate::types::{Message, MessageAttachment};

/// How large an answer may be, in bytes: a whole message or file of Gmail's 25 MB, in base64.
pub(crate) const LIMIT: usize = 36 * 1024 * 1024;
/// How deep parts are followed; forwarded messages in messages go on for as long as somebody likes.
const DEEPEST: usize = 16;

/// Gmail pads its base64 or does not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A message in Gmail's form.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Raw {
    id: String,
    thread_id: String,
    label_ids: Vec<String>,
    snippet: String,
    internal_date: Option<String>,
    payload: Part,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Part {
    mime_type: String,
    filename: String,
    headers: Vec<Header>,
    body: Content,
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    attachment_id: Option<String>,
    size: u64,
    data: Option<String>,
}

/// The message with its parts sorted out.
pub(crate) fn read(raw: Raw) -> Result<Message> {
    let Raw { id, thread_id, label_ids, snippet, internal_date, payload } = raw;
    let header = |name: &str| {
        let found = payload.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.clone())
    };
    let mut message = Message {
        from: header("From"),
        to: header("To"),
        cc: header("Cc"),
        subject: header("Subject"),
        date: header("Date"),
        message_id: header("Message-ID"),
        id,
        thread_id,
        label_ids,
        snippet,
        internal_date,
        ..Message::default()
    };
    sort(payload, &mut message, 0)?;
    Ok(message)
}

/// The content of an attachment of the message at `url`.
pub(crate) fn attachment(url: &str, attachment: &MessageAttachment) -> Result<Blob> {
    let url = format!("{url}/attachments/{}", http::encode(&attachment.attachment_id));
    let content: Content = answer::read(http::get(url).limit(LIMIT).send()?)?;
    Blob::from_bytes(&attachment.content_type, &decode(&content.data.unwrap_or_default())?)
}

fn sort(part: Part, message: &mut Message, depth: usize) -> Result<()> {
    let Part { mime_type, filename, body, parts, .. } = part;
    match (body.attachment_id, body.data) {
        (Some(attachment_id), _) => message.attachments.push(MessageAttachment {
            name: filename,
            content_type: mime_type,
            size: body.size,
            attachment_id,
            content: None,
        }),
        (None, Some(data)) if filename.is_empty() => {
            let place = match mime_type.as_str() {
                "text/plain" => &mut message.text,
                "text/html" => &mut message.html,
                _ => return Ok(()),
            };
            // Gmail answers texts in UTF-8, whatever they came in. Of several the first is the message's own.
            if place.is_none() {
                *place = Some(String::from_utf8_lossy(&decode(&data)?).into_owned());
            }
        }
        _ => {}
    }
    if depth < DEEPEST {
        for part in parts {
            sort(part, message, depth + 1)?;
        }
    }
    Ok(())
}

fn decode(data: &str) -> Result<Vec<u8>> {
    BASE64.decode(data).map_err(|error| Error::new("invalid_answer", format!("Gmail's answer is not base64: {error}.")))
}
