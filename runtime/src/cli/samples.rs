//! `headgate samples`

use clap::Subcommand;
use http::Method;

use crate::cli::output::{facts, line, table, time};
use crate::cli::run_once::EventArgs;
use crate::cli::{CliError, Context};
use crate::domain::id::Name;
use crate::http::samples::{NewSample, SampleView};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the sample events of a flow.
    List {
        /// The flow's id or name.
        flow: String,
    },
    /// Keeps an event with a flow, to try it with: `headgate run FLOW --sample NAME`.
    Save {
        /// The flow's id or name.
        flow: String,
        /// The sample's name; one of the same name is replaced.
        name: Name,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        event: EventArgs,
    },
    /// Deletes a sample event.
    Delete {
        /// The flow's id or name.
        flow: String,
        /// The sample's name.
        name: Name,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        match self {
            Self::List { flow } => {
                let samples: Vec<SampleView> =
                    context.client.get(&["groups", group, "flows", &flow, "samples"]).await?;
                context.output.show(&samples, |samples| list(samples))
            }
            Self::Save { flow, name, description, event } => {
                let path = ["groups", group, "flows", &flow, "samples", name.as_str()];
                let new = NewSample { description, event: event.parts()? };
                let sample: SampleView = context.client.send(Method::PUT, &path, &new).await?;
                context.output.show(&sample, |sample| {
                    facts([
                        ("name", sample.name.to_string()),
                        ("description", sample.description.clone()),
                        ("saved", time(sample.saved)),
                        ("try it", format!("headgate run {flow} --sample {}", sample.name)),
                    ])
                })
            }
            Self::Delete { flow, name } => {
                context.client.delete(&["groups", group, "flows", &flow, "samples", name.as_str()]).await?;
                if context.output.is_json() { Ok(()) } else { line(&format!("Deleted {name}.")) }
            }
        }
    }
}

fn list(samples: &[SampleView]) -> String {
    let row = |sample: &SampleView| [sample.name.to_string(), sample.description.clone(), time(sample.saved)];
    let none = "No sample events yet. Keep one with `headgate samples save FLOW NAME --event @FILE`";
    table(["name", "description", "saved"], samples.iter().map(row), none)
}
