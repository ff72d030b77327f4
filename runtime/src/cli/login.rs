//! `headgate login` and `headgate logout`

mod browser;

use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cli::secrets::{Source, read_new_password, read_plain};
use crate::cli::sessions::{Sessions, StoredSession};
use crate::cli::{CliError, Context, TOKEN_VARIABLE};
use crate::http::auth::SessionView;

/// Logs in at a server; the commands then work there in your name.
///
/// The password is asked for, or read from standard input where that is no terminal: first the token with --setup, then
/// the address unless --email names it, then the password, each on a line.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The address to log in with; asked for when absent.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Sets a password with a one-time token: the one that `headgate serve` printed, or an operator's invitation.
    #[arg(long)]
    setup: bool,
    /// Logs in through the server's OpenID provider, with the browser.
    #[arg(long, conflicts_with_all = ["email", "setup"])]
    oidc: bool,
}

/// Ends the session that `login` began.
#[derive(Debug, Args)]
pub(super) struct Logout {}

impl Login {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let session = if self.oidc { browser::log_in(&context.client).await? } else { self.begin(context).await? };
        keep(context, &session).await?;
        if std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty()) {
            eprintln!("note: {TOKEN_VARIABLE} is set, and the commands go by it instead of this session");
        }
        context.output.show(&session.user, |user| format!("Logged in at {} as {}", context.client.server(), user.email))
    }

    async fn begin(self, context: &Context) -> Result<SessionView, CliError> {
        let token = if self.setup { Some(Source::Ask.read("the one-time token")?) } else { None };
        let email = self.email.map_or_else(|| read_plain("your email address"), Ok)?;
        match token {
            Some(token) => {
                let password = read_new_password("the password you choose")?;
                let body =
                    json!({"token": token.expose_secret(), "email": email, "password": password.expose_secret()});
                context.client.send_openly(&["auth", "setup"], &body).await
            }
            None => {
                let password = Source::Ask.read("your password")?;
                let body = json!({"email": email, "password": password.expose_secret()});
                context.client.send_openly(&["auth", "login"], &body).await
            }
        }
    }
}

impl Logout {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let server = context.client.server();
        let sessions = of_user()?;
        if sessions.get(&server)?.is_none() {
            return Err(CliError::Usage(format!("there is no session at {server}. `headgate login` begins one")));
        }
        // Only the session's own token ends it.
        let client = crate::cli::client::Client::new(&server, None)?.with_sessions(Some(sessions.clone()));
        let ended = client.post_only(&["auth", "logout"]).await;
        match ended {
            // It had ended before.
            Ok(()) | Err(CliError::Refused { status: 401, .. }) => {}
            Err(error) => return Err(error),
        }
        sessions.lock().await?.put(&server, None)?;
        context.output.show(&json!({"server": server}), |_| format!("Logged out at {server}"))
    }
}

fn of_user() -> Result<Sessions, CliError> {
    Sessions::of_user().ok_or_else(|| {
        CliError::Usage("sessions cannot be kept without a home. Set HOME or XDG_CONFIG_HOME".to_owned())
    })
}

async fn keep(context: &Context, session: &SessionView) -> Result<(), CliError> {
    let kept = StoredSession::new(session, Timestamp::now());
    of_user()?.lock().await?.put(&context.client.server(), Some(kept))
}
