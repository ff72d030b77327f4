//! `headgate demo`: a whole journey on a server of its own, told step by step.

mod crm;
mod guests;
mod journey;
mod story;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::cli::client::Client;
use crate::cli::serve::{Signals, start_log};
use crate::cli::{CliError, checkout};
use crate::domain::secret::random_text;
use crate::service::vault::random;
use crate::settings::Settings;
use crate::wasm::Compiler;
use crm::Crm;
use journey::Journey;
use story::Story;

/// Shows a whole journey: a webhook runs a flow that calls an app whose secret it never sees.
///
/// Everything is real except the app: a small local server stands in for HubSpot, and says so.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Ends after the journey, with status 0 if everything was as it should be.
    #[arg(long)]
    once: bool,
    /// Where the demo's server listens; any free port when absent.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// An empty folder to keep the demo's data in; a temporary one, removed at the end, when absent.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Letters and digits of the operator's password: 119 bits.
const PASSWORD_LENGTH: usize = 20;

/// Where the demo's data is.
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Demo {
    pub(super) async fn run(self, compiler: Compiler) -> Result<(), CliError> {
        let here = std::env::current_dir().map_err(CliError::file("find", Path::new(".")))?;
        let source = checkout::above(&here).ok_or_else(|| {
            CliError::Usage(
                "the demo builds Headgate's examples from source. Run it in a checkout of Headgate".to_owned(),
            )
        })?;
        let mut signals = Signals::new()?;
        let stopping = CancellationToken::new();
        let _stop_crm = stopping.clone().drop_guard();
        tokio::select! {
            shown = self.show(&source, compiler, stopping) => {
                let running = shown?;
                if !self.once {
                    running.journey.invite()?;
                    signals.next().await;
                }
                running.app.stop().await.map_err(CliError::Server)
            }
            () = signals.next() => Err(CliError::Interrupted),
        }
    }

    /// Goes the whole way; what runs then goes on running.
    async fn show(&self, source: &Path, compiler: Compiler, stopping: CancellationToken) -> Result<Running, CliError> {
        let mut story = Story::begin()?;
        let guests = guests::build(source, &mut story).await?;
        let secret = SecretString::from(format!("pat-demo-{}", random_text(32, random)));
        let crm = self.start_crm(&secret, stopping, &mut story).await?;
        let folder = self.folder()?;
        let app = self.start_server(&folder, &crm, compiler, &mut story).await?;
        let setup = app.setup_token().cloned().ok_or_else(|| {
            CliError::Usage(format!("{} was used before. Choose an empty folder for the demo", folder.path().display()))
        })?;
        let client = Client::new(&format!("http://{}", app.address()), None)?;
        let password = SecretString::from(random_text(PASSWORD_LENGTH, random));
        let client = journey::become_operator(client, &setup, &password, &mut story).await?;
        let url = app.public_url().to_owned();
        let mut journey = Journey { story, client, url, password, secret, crm, deployed: None };
        journey.go(guests, folder.path()).await?;
        Ok(Running { app, journey, _folder: folder })
    }

    async fn start_crm(
        &self,
        secret: &SecretString,
        stopping: CancellationToken,
        story: &mut Story,
    ) -> Result<Crm, CliError> {
        story.step("Start a stand-in for the CRM")?;
        let crm = Crm::start(secret.clone(), stopping).await?;
        story.say(
            "This is not HubSpot: it is a small server of this demo that answers a few of HubSpot's paths (CRM API v3)",
        )?;
        story.say(&format!("from memory, with three leads, at http://{}", crm.address))?;
        let probe = reqwest::Client::builder().no_proxy().build();
        let probe = probe.map_err(|source| CliError::Broken { url: crm.address.to_string(), source })?;
        let url = format!("http://{}/crm/v3/objects/contacts", crm.address);
        let asked = |token: &str| probe.get(&url).bearer_auth(token).send();
        for (token, status, said) in
            [("wrong-token", 401, "with a wrong bearer token"), (secret.expose_secret(), 200, "with the right one")]
        {
            let answer = asked(token).await.map_err(|source| CliError::Broken { url: url.clone(), source })?;
            story.say(&format!("asked {said} it answers {}", answer.status()))?;
            story::expect(answer.status().as_u16() == status, || {
                format!("the stand-in answers {} {said}", answer.status())
            })?;
        }
        Ok(crm)
    }

    async fn start_server(
        &self,
        folder: &Folder,
        crm: &Crm,
        compiler: Compiler,
        story: &mut Story,
    ) -> Result<App, CliError> {
        story.step("Start the server on an embedded store")?;
        let exemption = crm.address.to_string();
        let mut settings = Settings {
            listen: self.listen,
            data_dir: folder.path().to_owned(),
            log: "warn".to_owned(),
            ..Settings::default()
        };
        settings.egress.allow_private.push(
            exemption
                .parse()
                .map_err(|error: crate::wasm::egress::ExemptionError| CliError::Usage(error.to_string()))?,
        );
        start_log(&settings);
        let app = App::start(settings, None, compiler).await.map_err(CliError::Server)?;
        story.say(&format!(
            "it listens at {}, and keeps everything in {}",
            app.public_url(),
            folder.path().display()
        ))?;
        story.say("connections may not reach private addresses, so the operator exempts the stand-in, as for any app in-house:")?;
        story.say(&format!("egress.allow_private = [\"{exemption}\"]"))?;
        Ok(app)
    }

    fn folder(&self) -> Result<Folder, CliError> {
        match &self.data_dir {
            Some(path) => Ok(Folder::Kept(path.clone())),
            None => {
                let folder = tempfile::Builder::new().prefix("headgate-demo-").tempdir();
                folder.map(Folder::Temporary).map_err(CliError::file("make a folder in", &std::env::temp_dir()))
            }
        }
    }
}

/// A demo whose journey is over.
struct Running {
    app: App,
    journey: Journey,
    /// Removed when the demo ends.
    _folder: Folder,
}
