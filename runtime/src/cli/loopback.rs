//! A loopback address to which the browser of this machine brings something (RFC 8252, section 7.3).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::cli::CliError;
use crate::domain::secret::random_text;
use crate::service::vault::random;

/// As long as the server waits for what a person does at another page.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long a browser may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The longest head of a request that is read.
const MAX_HEAD: usize = 16 << 10;

/// An address of this machine that waits for its browser.
pub(super) struct Loopback {
    listener: TcpListener,
    path: String,
    address: String,
}

/// What the browser shows in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    /// When it brought a code.
    pub(super) code: &'static str,
    /// When it brought the reason why there is none.
    pub(super) error: &'static str,
    /// What is said in the terminal when it brought nothing within 10 minutes.
    pub(super) nothing: &'static str,
}

impl Loopback {
    /// Listens at a free port.
    pub(super) async fn open() -> Result<Self, CliError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(broken)?;
        // Only the browser that was sent here knows the path.
        let path = format!("/{}", random_text(20, random));
        let address = format!("http://{}{path}", listener.local_addr().map_err(broken)?);
        Ok(Self { listener, path, address })
    }

    /// The address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the code that the browser brings.
    pub(super) async fn code(self, pages: Pages) -> Result<String, CliError> {
        let waiting = timeout(PATIENCE, wait(&self.listener, &self.path, pages)).await;
        waiting.map_err(|_| CliError::Usage(pages.nothing.to_owned()))?.map_err(broken)?
    }
}

fn broken(error: std::io::Error) -> CliError {
    CliError::Usage(format!("this machine's browser cannot be waited for: {error}"))
}

/// Waits for the request with the code; others, such as for an icon, are answered and passed over.
async fn wait(listener: &TcpListener, path: &str, pages: Pages) -> std::io::Result<Result<String, CliError>> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(Some(target)) = timeout(REQUEST_TIME, read_target(&mut stream)).await else { continue };
        let brought = brought(&target, path);
        let (status, text) = match &brought {
            Some(Ok(_)) => ("200 OK", pages.code),
            Some(Err(_)) => ("403 Forbidden", pages.error),
            None => ("404 Not Found", "There is nothing here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        // The browser may have gone; the code counts.
        let _ = timeout(REQUEST_TIME, stream.write_all(answer.as_bytes())).await;
        if let Some(brought) = brought {
            return Ok(brought);
        }
    }
}

/// The path and query of a request.
async fn read_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    line.strip_prefix("GET ")?.split(' ').next().map(str::to_owned)
}

/// What a request brings: a code, the reason why there is none, or nothing where it is for something else.
fn brought(target: &str, path: &str) -> Option<Result<String, CliError>> {
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok().filter(|url| url.path() == path)?;
    let value = |name: &str| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    if let Some(code) = value("code") {
        return Some(Ok(code));
    }
    let reason = value("error_description").or_else(|| value("error"))?;
    Some(Err(CliError::Usage(crate::cli::output::plain(&reason))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_that_was_asked_for_brings_a_code() {
        let text = |target: &str| brought(target, "/x").map(|brought| brought.map_err(|error| error.to_string()));
        assert_eq!(text("/x?code=a%2Bb"), Some(Ok("a+b".to_owned())));
        assert_eq!(text("/x?error=access_denied&error_description=He%20said%20no"), Some(Err("He said no".to_owned())));
        for other in ["/favicon.ico", "/?code=a", "/xx?code=a", "/x", "http://evil.example/y?code=a"] {
            assert_eq!(text(other), None, "{other}");
        }
    }
}
