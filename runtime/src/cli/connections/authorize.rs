//! `headgate connections authorize`: a person consents in the browser, and the terminal waits.

use std::process::{Command, Stdio};

use http::Method;
use serde_json::json;

use super::{Which, show};
use crate::cli::loopback::{Loopback, Pages};
use crate::cli::output::{line, plain};
use crate::cli::{CliError, Context};
use crate::http::connections::ConnectionView;
use crate::http::oauth::{AuthorizationView, Authorize};

const PAGES: Pages = Pages {
    code: "The app gave its consent. The terminal says whether the connection is authorized. This page can be closed.",
    error: "The connection is not authorized. The terminal says why. This page can be closed.",
    nothing: "nobody consented within 10 minutes. Run the command again",
};

/// Opens the app's page, or prints it, and waits until somebody consented there.
pub(super) async fn run(context: &Context, which: &Which) -> Result<(), CliError> {
    let id = which.find(context).await?.id;
    let path = ["groups", context.group()?, "connections", id.as_str(), "authorize"];
    let loopback = Loopback::open().await?;
    let begin = Authorize { return_to: Some(loopback.address().to_owned()) };
    let begun: AuthorizationView = context.client.send(Method::POST, &path, &begin).await?;
    eprintln!(
        "Open this page in a browser on this machine, and consent there:\n\n  {}\n\nThe app has to know the redirect URI {}",
        plain(&begun.url),
        plain(&begun.redirect_uri)
    );
    open_browser(&begun.url);
    let code = loopback.code(PAGES).await?;
    let [groups, group, connections, id, authorize] = path;
    let path = [groups, group, connections, id, authorize, "finish"];
    let connected: ConnectionView = context.client.send(Method::POST, &path, &json!({ "code": code })).await?;
    if context.output.is_json() {
        return context.output.show(&connected, show::one);
    }
    let account = connected.account.map(|account| format!(" with the account {}", plain(&account)));
    let (name, account) = (connected.name, account.unwrap_or_default());
    line(&format!("The connection \"{name}\" is authorized{account}. Flows can use it from now on."))
}

/// Opens a page on the desktop, where there is one. The page was printed: whatever goes wrong here does no harm.
fn open_browser(url: &str) {
    // A server could name a file, or an option of the opener.
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return;
    }
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opener = match () {
        () if cfg!(target_os = "macos") => "open",
        () if desktop => "xdg-open",
        () => return,
    };
    let mut command = Command::new(opener);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.spawn());
}
