//! `headgate login --oidc`: the browser brings a code to a loopback address (RFC 8252, section 7.3).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::cli::CliError;
use crate::cli::client::Client;
use crate::domain::secret::{SECRET_LENGTH, random_text};
use crate::http::auth::SessionView;
use crate::service::vault::random;

/// As long as the server waits for the provider.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long a browser may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The longest head of a request that is read.
const MAX_HEAD: usize = 16 << 10;

/// Waits until somebody has logged in with the browser; answers their session.
pub(super) async fn log_in(client: &Client) -> Result<SessionView, CliError> {
    let broken =
        |error: std::io::Error| CliError::Usage(format!("this machine's browser cannot be waited for: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(broken)?;
    // Only the browser that was sent here knows the path.
    let path = format!("/{}", random_text(20, random));
    let redirect = format!("http://{}{path}", listener.local_addr().map_err(broken)?);
    let verifier = random_text(SECRET_LENGTH, random);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let query = [("redirect_uri", Some(redirect)), ("code_challenge", Some(challenge))];
    let page = client.page(&["auth", "oidc", "start"], &query);
    eprintln!("Open this page in a browser on this machine, and log in there:\n\n  {page}\n");
    let waiting = timeout(PATIENCE, wait(&listener, &path)).await;
    let too_long = || CliError::Usage("nobody logged in within 10 minutes. Run the command again".to_owned());
    let code = waiting.map_err(|_| too_long())?.map_err(broken)??;
    client.send_openly(&["auth", "oidc", "token"], &json!({"code": code, "code_verifier": verifier})).await
}

/// Waits for the request with the code; others, such as for an icon, are answered and passed over.
async fn wait(listener: &TcpListener, path: &str) -> std::io::Result<Result<String, CliError>> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(Some(target)) = timeout(REQUEST_TIME, read_target(&mut stream)).await else { continue };
        let brought = brought(&target, path);
        let (status, text) = match &brought {
            Some(Ok(_)) => ("200 OK", "You are logged in. This page can be closed."),
            Some(Err(_)) => ("403 Forbidden", "You are not logged in. The terminal says why. This page can be closed."),
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
