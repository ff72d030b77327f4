//! `headgate serve`

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::cli::CliError;
use crate::cli::output::{Output, line, table};
use crate::settings::{KEY_VARIABLE, LogFormat, Settings, Sources};
use crate::wasm::Compiler;

/// Starts the server.
///
/// Settings come from headgate.toml (or --config), then HEADGATE_ variables, then these flags.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The settings' file; headgate.toml in this folder when absent, if there is one.
    #[arg(long, value_name = "FILE", env = "HEADGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where callers reach the server, such as https://flows.example.com.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where everything is kept.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// What is logged, such as `info` or `info,headgate=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How a line of the log looks.
    #[arg(long)]
    log_format: Option<LogFormat>,
    /// Makes a one-time token for an operator even where there is one: for when the last one forgot the password.
    #[arg(long)]
    setup_token: bool,
    /// Prints every setting with its value and its default, and ends.
    #[arg(long)]
    print_settings: bool,
}

impl Serve {
    pub(super) async fn run(self, output: Output, compiler: Compiler) -> Result<(), CliError> {
        let print = self.print_settings;
        let settings = self.settings()?;
        if print {
            return output.show(&settings, show);
        }
        start_log(&settings);
        let mut signals = Signals::new()?;
        let app = App::start(settings, key_of_environment(), compiler).await.map_err(CliError::Server)?;
        tracing::info!(address = %app.address(), version = env!("CARGO_PKG_VERSION"), "listening");
        greet(&app)?;
        signals.next().await;
        tracing::info!("stopping: running flows may end; a second signal stops at once");
        tokio::select! {
            stopped = app.stop() => stopped.map_err(CliError::Server)?,
            () = signals.next() => return Err(CliError::Interrupted),
        }
        tracing::info!("stopped");
        Ok(())
    }

    fn settings(self) -> Result<Settings, CliError> {
        let log_format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let flags = [
            ("listen", self.listen.map(|address| address.to_string())),
            ("public_url", self.public_url),
            ("data_dir", self.data_dir),
            ("log", self.log),
            ("log_format", log_format),
            ("users.setup_token", self.setup_token.then(|| true.to_string())),
        ];
        let flags: BTreeMap<_, _> = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(Settings::load(Sources::of_process(self.config, flags))?)
    }
}

/// The key-encryption key, where an operator keeps it in the environment.
pub(super) fn key_of_environment() -> Option<SecretString> {
    std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(SecretString::from)
}

/// Writes the log to standard error: standard output is for what was asked for.
pub(super) fn start_log(settings: &Settings) {
    let filter = EnvFilter::new(&settings.log);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if let Err(error) = started {
        // Whoever runs the command inside a larger program has a log already.
        tracing::debug!(%error, "a log was started before");
    }
}

/// Says where the server is and, where a token was made, how to become its operator. A token that nobody could read ends the
/// start, as nobody could use the server.
fn greet(app: &App) -> Result<(), CliError> {
    let at = format!("Headgate listens at {}", app.public_url());
    let Some(token) = app.setup_token() else {
        if let Err(error) = line(&at) {
            tracing::warn!(error = %error.report(), "standard output is closed");
        }
        return Ok(());
    };
    let text = format!(
        "{at}\n\nThis one-time token makes an operator; whoever has it administers the server:\n\n  {}\n\nIn another terminal, enter it with an address and a password of your choice:\n\n  headgate login --setup --url http://{}\n",
        token.expose_secret(),
        app.address()
    );
    line(&text).map_err(|_| {
        let lost = "the setup token cannot be shown, as standard output is closed. Start again with it open; a new token is made then";
        CliError::Server(anyhow::Error::msg(lost))
    })
}

fn show(settings: &Settings) -> String {
    let defaults = Settings::default().listing();
    let row = |(key, value): (String, String)| {
        let default = defaults.get(&key).cloned().unwrap_or_default();
        let value = if value == default { String::new() } else { value };
        [key, default, value]
    };
    table(["setting", "default", "set to"], settings.listing().into_iter().map(row), "")
}

/// What asks the server to stop: SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::Server(anyhow::Error::new(error).context("signals cannot be received")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_with_its_default() {
        let settings = Settings { log: "debug".to_owned(), ..Settings::default() };
        let text = show(&settings);
        for wanted in [
            "listen",
            "data_dir",
            "service.queue",
            "wasm.memory_bytes",
            "egress.allow_private",
            "egress.connect_timeout",
        ] {
            assert!(text.lines().any(|line| line.starts_with(wanted)), "{wanted} in\n{text}");
        }
        let log = text.lines().find(|line| line.starts_with("log ")).unwrap();
        assert_eq!(log.split_whitespace().collect::<Vec<_>>(), ["log", "info", "debug"]);
        assert!(text.contains("127.0.0.1:8080"), "{text}");
    }
}
