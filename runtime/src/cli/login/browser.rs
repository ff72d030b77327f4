//! `headgate login --oidc`: the browser brings a code to a loopback address.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cli::CliError;
use crate::cli::client::Client;
use crate::cli::loopback::{Loopback, Pages};
use crate::domain::secret::{SECRET_LENGTH, random_text};
use crate::http::auth::SessionView;
use crate::service::vault::random;

const PAGES: Pages = Pages {
    code: "You are logged in. This page can be closed.",
    error: "You are not logged in. The terminal says why. This page can be closed.",
    nothing: "nobody logged in within 10 minutes. Run the command again",
};

/// Waits until somebody has logged in with the browser; answers their session.
pub(super) async fn log_in(client: &Client) -> Result<SessionView, CliError> {
    let loopback = Loopback::open().await?;
    let verifier = random_text(SECRET_LENGTH, random);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let query = [("redirect_uri", Some(loopback.address().to_owned())), ("code_challenge", Some(challenge))];
    let page = client.page(&["auth", "oidc", "start"], &query);
    eprintln!("Open this page in a browser on this machine, and log in there:\n\n  {page}\n");
    let code = loopback.code(PAGES).await?;
    client.send_openly(&["auth", "oidc", "token"], &json!({"code": code, "code_verifier": verifier})).await
}
