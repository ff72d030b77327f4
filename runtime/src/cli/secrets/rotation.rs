//! `headgate secrets`

use std::time::Duration;

use clap::Subcommand;
use indicatif::ProgressBar;
use reqwest::Method;

use crate::cli::output::{facts, time};
use crate::cli::{CliError, Context};
use crate::http::secrets::{RotationState, RotationView, SecretsView};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Shows which key all secrets are encrypted under, and how far its replacement is.
    Show,
    /// Replaces that key while the server works, and waits until it is done. For operators.
    Rotate,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Show => context.output.show(&context.client.get(&["secrets"]).await?, show),
            Self::Rotate => {
                let view = rotate(context).await?;
                context.output.show(&view, show)?;
                check_finished(view.rotation)
            }
        }
    }
}

async fn rotate(context: &Context) -> Result<SecretsView, CliError> {
    let mut view: SecretsView = context.client.send(Method::POST, &["secrets", "rotate"], &()).await?;
    let bar = if context.output.is_json() { ProgressBar::hidden() } else { ProgressBar::new(0) };
    while let Some(rotation) = view.rotation.as_ref().filter(|rotation| rotation.state == RotationState::Running) {
        bar.set_length(rotation.total);
        bar.set_position(rotation.done);
        tokio::time::sleep(ASK_EVERY).await;
        view = context.client.get(&["secrets"]).await?;
    }
    bar.finish_and_clear();
    Ok(view)
}

/// A rotation that stopped is a failure, also to scripts: both keys are still needed.
fn check_finished(rotation: Option<RotationView>) -> Result<(), CliError> {
    match rotation {
        Some(RotationView { state: RotationState::Finished, .. }) => Ok(()),
        stopped => {
            let why = stopped.and_then(|rotation| rotation.failed);
            let why = why.unwrap_or_else(|| "the server stopped before. It goes on at its next start".to_owned());
            Err(CliError::RotationStopped(why))
        }
    }
}

fn show(view: &SecretsView) -> String {
    let rotation = view.rotation.as_ref().map_or_else(|| "none yet".to_owned(), state);
    let mut text = facts([("key", view.key.clone()), ("rotation", rotation)]);
    if !view.retired.is_empty() {
        text += "\n\nThese keys were replaced. Nothing needs them but backups of the store from before: remove them with those.\n";
        text += &view.retired.join("\n");
    }
    text
}

fn state(rotation: &RotationView) -> String {
    let RotationView { from, to, done, total, .. } = rotation;
    match (rotation.state, rotation.finished, &rotation.failed) {
        (RotationState::Finished, Some(finished), _) => format!("from {from} to {to}, finished at {}", time(finished)),
        (RotationState::Interrupted, _, Some(failed)) => format!("from {from} to {to}, stopped: {failed}"),
        (RotationState::Interrupted, ..) => format!("from {from} to {to}, stopped; rotate again to go on"),
        _ => format!("from {from} to {to}, {done} of {total} keys done"),
    }
}
