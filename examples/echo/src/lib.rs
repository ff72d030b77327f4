//! The smallest flow: answers the body as it came, with its content type.

use headgate_sdk::prelude::*;

#[headgate_sdk::flow]
fn echo(event: Event) -> Result<Response> {
    let content_type = event.headers.get("content-type").unwrap_or("application/octet-stream");
    Ok(Response::new(200).header("content-type", content_type).body(event.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_body_with_its_content_type() {
        let mut event = Event::post(&b"\x00\xff"[..]);
        event.headers.push("content-type", "image/png");
        let answer = echo(event).unwrap();
        assert_eq!(answer.headers.get("content-type"), Some("image/png"));
        assert_eq!(*answer.body.bytes(), [0, 255]);
    }
}
