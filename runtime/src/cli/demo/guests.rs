//! The demo's components, built from the examples.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::CliError;
use crate::cli::build::{self, Options};
use crate::cli::demo::story::Story;
use crate::cli::output::size;
use crate::cli::push::{self, Component};

/// The demo's components.
pub(super) struct Guests {
    pub(super) hubspot: Component,
    pub(super) update_lead_status: Component,
    pub(super) echo: Component,
}

/// Builds them, and says what came out.
pub(super) async fn build(source: &Path, story: &mut Story) -> Result<Guests, CliError> {
    story.step("Build the example components from source")?;
    let target_dir = target_dir(source)?;
    // One after the other: built together, cargo would turn the connector's exports on inside the flow.
    let guests = Guests {
        hubspot: build_one(source, "connectors/hubspot", &target_dir).await?,
        update_lead_status: build_one(source, "examples/update-lead-status", &target_dir).await?,
        echo: build_one(source, "examples/echo", &target_dir).await?,
    };
    for component in [&guests.hubspot, &guests.update_lead_status, &guests.echo] {
        let kind = component.inspection.world.map_or_else(|| "unknown".to_owned(), |world| world.to_string());
        let bytes = size(component.bytes.len() as u64);
        story.say(&format!("{:<20} {kind:<10} {bytes:>10}   {}", component.name, component.inspection.digest))?;
    }
    Ok(guests)
}

/// A folder of its own, so that no other build has to wait.
fn target_dir(source: &Path) -> Result<PathBuf, CliError> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source.join("target"), PathBuf::from);
    Ok(std::path::absolute(&target).map_err(CliError::file("find", &target))?.join("guests"))
}

async fn build_one(source: &Path, package: &str, target_dir: &Path) -> Result<Component, CliError> {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("      {spinner} {prefix}: {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_prefix(package.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let progress = |line: &str| bar.set_message(line.to_owned());
    let options = Options { target_dir: Some(target_dir), progress: Some(&progress), quick: false };
    let built = build::build(&source.join(package), &options).await;
    bar.finish_and_clear();
    let built = built?;
    push::read(&built.path, built.name)
}
