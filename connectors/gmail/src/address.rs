//! E-mail addresses as they stand in headers (RFC 5322, section 3.4).

use headgate_sdk::prelude::*;

use crate::mime;

/// How long the part before `@` may be, in bytes (RFC 5321, section 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;
/// How long an address may be, in bytes (RFC 5321, erratum 1690).
const LONGEST: usize = 254;
/// How long a name may be, in bytes, so that nobody hides an address behind one.
const LONGEST_NAME: usize = 200;

/// An address as a header takes it: `a@b.example`, or `"Name" <a@b.example>`.
pub(crate) fn write(text: &str) -> Result<String> {
    mime::check_line("an address", text)?;
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"').trim(), address),
        None => ("", text),
    };
    if !is_address(address) {
        return Err(refused(text, "it is not of the form ada@example.com or Ada Lovelace <ada@example.com>"));
    }
    if name.len() > LONGEST_NAME {
        return Err(refused(address, "its name is too long"));
    }
    if name.is_empty() {
        return Ok(address.to_owned());
    }
    if name.is_ascii() && !name.contains("=?") {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        return Ok(format!("\"{name}\" <{address}>"));
    }
    Ok(format!("{}\r\n <{address}>", mime::encoded_words(name)))
}

/// Whether it is a dot-atom, `@` and the name of a host. Quoted local parts, address literals and comments are valid in
/// RFC 5322, and nobody's address.
fn is_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let host = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let dots = |text: &str| text.starts_with('.') || text.ends_with('.') || text.contains("..");
    address.len() <= LONGEST
        && (1..=LONGEST_LOCAL).contains(&local.len())
        && local.bytes().all(atom)
        && !dots(local)
        && domain.contains('.')
        && domain.split('.').all(host)
}

fn refused(text: &str, reason: &str) -> Error {
    let hint = if text.is_ascii() { "" } else { "; write a domain with other letters in its form xn--" };
    Error::new("invalid_input", format!("The address \"{text}\" cannot be used: {reason}{hint}."))
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn writes_addresses() {
        let long = format!("{}@example.com", "a".repeat(64));
        let cases = [
            ("ada@example.com", "ada@example.com"),
            (" ada+crm@mail.example.co.uk ", "ada+crm@mail.example.co.uk"),
            ("<ada@example.com>", "ada@example.com"),
            ("Ada Lovelace <ada@example.com>", "\"Ada Lovelace\" <ada@example.com>"),
            ("\"Lovelace, Ada\" <ada@example.com>", "\"Lovelace, Ada\" <ada@example.com>"),
            ("A \"the\" B\\ <ada@example.com>", "\"A \\\"the\\\" B\\\\\" <ada@example.com>"),
            ("eve@evil.example <ada@example.com>", "\"eve@evil.example\" <ada@example.com>"),
            ("Zoë <zoe@example.com>", "=?UTF-8?B?Wm/Dqw==?=\r\n <zoe@example.com>"),
            ("=?x <ada@example.com>", "=?UTF-8?B?PT94?=\r\n <ada@example.com>"),
            (long.as_str(), long.as_str()),
        ];
        for (text, expected) in cases {
            assert_eq!(write(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        let bad = [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@example..com",
            ".ada@example.com",
            "a..b@example.com",
            "ada@-example.com",
            "ada@[127.0.0.1]",
            "\"a b\"@example.com",
            "a b@example.com",
            "ada@example.com, eve@example.com",
            "ada@example.com>, eve@example.com",
            "Ada <ada@example.com> eve@example.com",
            "zoë@example.com",
            "ada@exämple.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "Ada\n <ada@example.com>",
            "Ada\u{85} <ada@example.com>",
            &format!("{}@example.com", "a".repeat(65)),
            &format!("ada@{}.com", "a.".repeat(130)),
            &format!("{} <ada@example.com>", "n".repeat(201)),
        ];
        for text in bad {
            assert_eq!(write(text).map_err(|error| error.code), Err("invalid_input".to_owned()), "{text:?}");
        }
    }
}
