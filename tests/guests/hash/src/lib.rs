//! Answers the body byte for byte, with its SHA-256 in the header `x-body-sha256`. It declares that it opens no slot, and
//! opens the one that the header `x-open-slot` names.

use headgate_sdk::prelude::*;
use sha2::{Digest, Sha256};

#[headgate_sdk::flow(slots())]
fn hash(event: Event) -> Result<Response> {
    if let Some(slot) = event.headers.get("x-open-slot") {
        Connection::open(slot)?;
    }
    let digest = Sha256::digest(event.body.bytes());
    let content_type = event.headers.get("content-type").unwrap_or("application/octet-stream").to_owned();
    Ok(Response::new(200)
        .header("content-type", content_type)
        .header("x-body-sha256", format!("{digest:x}"))
        .body(event.body))
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::Host;

    use super::*;

    #[test]
    fn answers_the_body_and_its_digest() {
        let answer = hash(Event::post("abc")).unwrap();
        assert_eq!(answer.body.text().unwrap(), "abc");
        assert_eq!(
            answer.headers.get("x-body-sha256"),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
    }

    #[test]
    fn opens_no_slot_that_it_does_not_declare() {
        let host = Host::new();
        host.slot("crm").answers("get", ());
        let mut event = Event::post("abc");
        event.headers.push("x-open-slot", "crm");
        assert_eq!(hash(event).unwrap_err().code, "slot_undeclared");
    }
}
