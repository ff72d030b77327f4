//! The trigger `new_mail`: the mailbox's history.

use std::collections::BTreeSet;

use headgate_sdk::polling::INVALID_CURSOR;
use headgate_sdk::prelude::*;

use crate::types::{Mail, NewMail};
use crate::{answer, mailbox, message, messages};

/// How many steps of the history one poll asks for; each message in them is one more request.
const PAGE: u32 = 25;

/// How far the mailbox's history is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The step after which messages are new.
    history_id: String,
    /// The page to ask for, while one is left over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    history_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    #[serde(default)]
    history: Vec<Step>,
    next_page_token: Option<String>,
    history_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    #[serde(default)]
    messages_added: Vec<Added>,
}

#[derive(Debug, Deserialize)]
struct Added {
    message: Named,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

/// Begins now.
pub(crate) fn begin() -> Result<Polled<Mail, Cursor>> {
    let Profile { history_id } = answer::read(http::get(mailbox("api_url", "profile")?).send()?)?;
    Ok(Polled::new(Cursor { history_id, page: None }))
}

/// Asks for one page of what arrived since.
pub(crate) fn poll(input: &NewMail, cursor: Cursor) -> Result<Polled<Mail, Cursor>> {
    let (history, begun) = match history(input, &cursor) {
        Err(error) if error.code == "not_found" => {
            let message = format!(
                "Gmail does not know history {} any more, which is usual after a week without polls. Mail that came \
                 since then cannot be told",
                cursor.history_id
            );
            return Err(Error::new(INVALID_CURSOR, message));
        }
        // Gmail does not know the page any more: the same history again, whose messages have the same ids.
        Err(error) if error.code == "invalid_request" && cursor.page.is_some() => {
            let begun = Cursor { page: None, ..cursor };
            (history(input, &begun)?, begun)
        }
        asked => (asked?, cursor),
    };
    let next = match history.next_page_token {
        Some(token) => Cursor { page: Some(token), ..begun },
        None => Cursor { history_id: history.history_id, page: None },
    };
    let more = next.page.is_some();
    let mut polled = Polled::new(next).more(more);
    let mut told = BTreeSet::new();
    for Added { message: Named { id } } in history.history.into_iter().flat_map(|step| step.messages_added) {
        if told.insert(id.clone())
            && let Some(mail) = mail(&id)?
        {
            polled = polled.record(id, mail);
        }
    }
    Ok(polled)
}

fn history(input: &NewMail, cursor: &Cursor) -> Result<History> {
    let mut request = http::get(mailbox("api_url", "history")?)
        .query("startHistoryId", &cursor.history_id)
        .query("historyTypes", "messageAdded")
        .query("labelId", &input.label_id)
        .query("maxResults", PAGE);
    if let Some(page) = &cursor.page {
        request = request.query("pageToken", page);
    }
    answer::read(request.send()?)
}

/// A message without its content; nothing where it is deleted already.
fn mail(id: &str) -> Result<Option<Mail>> {
    let url = format!("{}/{}", messages("api_url")?, http::encode(id));
    match answer::read(http::get(url).query("format", "metadata").send()?) {
        Ok(raw) => Ok(Some(message::read(raw)?.into())),
        Err(error) if error.code == "not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use headgate_sdk::polling::INVALID_CURSOR;
    use headgate_sdk::testing::{Host, poll};
    use serde_json::{Value, json};

    use crate::Gmail;

    const MAILBOX: &str = "https://gmail.googleapis.com/gmail/v1/users/me";

    fn added(step: &str, id: &str) -> Value {
        let message = json!({"id": id, "threadId": id, "labelIds": ["UNREAD", "INBOX"]});
        json!({"id": step, "messages": [{"id": id, "threadId": id}], "messagesAdded": [{"message": message}]})
    }

    fn expect_mail(host: &Host, id: &str) {
        let headers = json!([{"name": "From", "value": "ada@example.com"}, {"name": "Subject", "value": "Order"}]);
        let payload = json!({"mimeType": "text/plain", "headers": headers});
        host.http("GET", &format!("{MAILBOX}/messages/{id}")).query("format", "metadata").answer(
            200,
            &json!({"id": id, "threadId": id, "labelIds": ["INBOX"], "snippet": "Thank you", "payload": payload}),
        );
    }

    #[test]
    fn begins_now_and_follows_the_history() {
        let host = Host::of::<Gmail>();
        let profile = json!({"emailAddress": "me@example.com", "messagesTotal": 1, "historyId": "100"});
        host.http("GET", &format!("{MAILBOX}/profile")).answer(200, &profile);
        let begun = poll::<Gmail>("new_mail", &json!({}), None).unwrap();
        assert_eq!((begun.records, &begun.cursor), (vec![], &json!({"history_id": "100"})));

        // The same message in two steps, one that is deleted already, and a page after it.
        let steps = [added("101", "m1"), added("102", "m2"), added("103", "m1")];
        let page = json!({"history": steps, "nextPageToken": "p2", "historyId": "110"});
        let asked = host.http("GET", &format!("{MAILBOX}/history")).query("startHistoryId", "100");
        asked.query("historyTypes", "messageAdded").query("labelId", "INBOX").answer(200, &page);
        expect_mail(&host, "m1");
        host.http("GET", &format!("{MAILBOX}/messages/m2")).answer(404, &json!({"error": {"message": "Not Found"}}));
        let first = poll::<Gmail>("new_mail", &json!({}), Some(&begun.cursor)).unwrap();
        let records: Vec<_> = first.records.iter().map(|record| (&record.id[..], &record.data["subject"])).collect();
        assert_eq!((records, first.more), (vec![("m1", &json!("Order"))], true));

        let page = json!({"history": [added("105", "m3")], "historyId": "111"});
        let asked = host.http("GET", &format!("{MAILBOX}/history")).query("startHistoryId", "100");
        asked.query("pageToken", "p2").answer(200, &page);
        expect_mail(&host, "m3");
        let second = poll::<Gmail>("new_mail", &json!({}), Some(&first.cursor)).unwrap();
        assert_eq!((second.records.len(), second.more, second.cursor), (1, false, json!({"history_id": "111"})));
    }

    #[test]
    fn nothing_new_moves_the_cursor() {
        let host = Host::of::<Gmail>();
        let asked = host.http("GET", &format!("{MAILBOX}/history")).query("labelId", "Label_7");
        asked.answer(200, &json!({"historyId": "120"}));
        let input = json!({"labelId": "Label_7"});
        let polled = poll::<Gmail>("new_mail", &input, Some(&json!({"history_id": "100"}))).unwrap();
        assert_eq!((polled.records, polled.cursor), (vec![], json!({"history_id": "120"})));
    }

    #[test]
    fn a_history_that_gmail_forgot_is_said() {
        let host = Host::of::<Gmail>();
        let gone = json!({"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}});
        host.http("GET", &format!("{MAILBOX}/history")).answer(404, &gone);
        let cursor = json!({"history_id": "1", "page": "p"});
        let error = poll::<Gmail>("new_mail", &json!({}), Some(&cursor)).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), (INVALID_CURSOR, false));
        assert!(error.message.contains("does not know history 1 any more"), "{}", error.message);
        assert_eq!(host.requests().len(), 1, "it does not begin anew by itself");
    }

    #[test]
    fn a_limit_in_the_midst_loses_nothing() {
        let host = Host::of::<Gmail>();
        let page = json!({"history": [added("101", "m1")], "historyId": "110"});
        host.http("GET", &format!("{MAILBOX}/history")).answer(200, &page);
        let busy =
            json!({"error": {"message": "Too many concurrent requests", "errors": [{"reason": "rateLimitExceeded"}]}});
        host.http("GET", &format!("{MAILBOX}/messages/m1")).answer(429, &busy);
        let error = poll::<Gmail>("new_mail", &json!({}), Some(&json!({"history_id": "100"}))).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("rate_limited", true));
    }
}
