//! The command line: a client of the HTTP API, plus `serve`, `demo`, `new`, `build` and `dev`.

mod alerts;
mod api_keys;
mod app_registrations;
mod app_triggers;
mod apps;
mod audit;
mod build;
mod checkout;
mod client;
mod connections;
mod connectors;
mod demo;
mod dev;
mod doctor;
mod error;
mod export;
mod flows;
mod groups;
mod import;
mod login;
mod logs;
mod loopback;
mod members;
mod module_signature;
mod new;
mod output;
mod pairs;
mod progress;
mod publish;
mod push;
mod run_once;
mod runs;
mod samples;
mod schedules;
mod secrets;
mod serve;
mod sessions;
mod triggers;
mod usage;
mod users;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use crate::domain::id::GroupId;
use crate::wasm::{Compiler, SUBCOMMAND, compile_child};
use client::Client;
use output::Output;
use sessions::Sessions;

pub use error::CliError;

/// Holds an access token or an API key, for programs.
const TOKEN_VARIABLE: &str = "HEADGATE_TOKEN";

/// Headgate: a self-hosted flow runtime.
///
/// Webhooks come in through API keys; flows run sandboxed; they reach apps only through granted connections.
#[derive(Debug, Parser)]
#[command(name = "headgate", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
    #[clap(skip)]
    compiler: Option<Compiler>,
}

#[derive(Debug, Args)]
struct Global {
    /// Where the server is.
    #[arg(long, global = true, env = "HEADGATE_URL", default_value = client::DEFAULT_URL, help_heading = "Server")]
    url: String,
    /// The group to work in. Who you are is taken from HEADGATE_TOKEN, or from `headgate login`.
    #[arg(long, short, global = true, env = "HEADGATE_GROUP", help_heading = "Server")]
    group: Option<GroupId>,
    /// Prints the API's JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server.
    Serve(serve::Serve),
    /// Compiles one component, as the server asks on standard input.
    #[command(name = SUBCOMMAND, hide = true)]
    CompileModule,
    /// Shows a whole journey: a webhook runs a flow that calls an app whose secret it never sees.
    Demo(demo::Demo),
    /// Makes a crate for a flow or a connector.
    New(new::New),
    /// Builds a crate to a component, and says its size, digest and imports.
    Build(build::Build),
    /// Builds a crate whenever it changes, and runs it with the last event.
    Dev(Box<dev::Dev>),
    /// Logs in at a server; the commands then work there in your name.
    Login(login::Login),
    /// Ends the session that `login` began.
    Logout(login::Logout),
    /// Users: the people of the server.
    #[command(subcommand)]
    Users(users::Command),
    /// Members: who belongs to a group, and what they may do there.
    #[command(subcommand)]
    Members(members::Command),
    /// Groups: who owns what.
    #[command(subcommand)]
    Groups(groups::Command),
    /// API keys: who may call.
    #[command(subcommand)]
    Keys(api_keys::Command),
    /// The audit log: who changed what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Connectors: components that offer the methods of an app.
    #[command(subcommand)]
    Connectors(connectors::Command),
    /// Connections: stored credentials of one connector.
    #[command(subcommand)]
    Connections(connections::Command),
    /// App registrations: OAuth clients, for connections.
    #[command(subcommand)]
    AppRegistrations(app_registrations::Command),
    /// Flows: what runs.
    #[command(subcommand)]
    Flows(flows::Command),
    /// Triggers: what fires a flow.
    #[command(subcommand)]
    Triggers(Box<triggers::Command>),
    /// Published apps: flows offered to whoever has a key with the scope apps:execute.
    #[command(subcommand)]
    Apps(apps::Command),
    /// Schedules: times at which a flow runs.
    #[command(subcommand)]
    Schedules(schedules::Command),
    /// App triggers: apps that are asked for new records, each of which runs a flow.
    #[command(subcommand)]
    AppTriggers(app_triggers::Command),
    /// Pushes a flow's next version, or installs a connector; builds it first when given a crate.
    Push(push::Push),
    /// Publishes a version of a flow, from the next request on.
    Publish(publish::PublishVersion),
    /// Publishes in one environment what is published in another.
    Promote(publish::PromoteVersion),
    /// Publishes again what was published before.
    Rollback(publish::RollBack),
    /// Publishes nothing any more in an environment.
    Unpublish(publish::UnpublishVersion),
    /// Compares two versions of a flow, or what is published in two environments.
    Diff(publish::Diff),
    /// Run Once: runs a flow with an event, published or not.
    Run(run_once::RunOnce),
    /// Sample events of flows, to try them with.
    #[command(subcommand)]
    Samples(samples::Command),
    /// Lists runs, or shows one with its steps.
    Runs(runs::Runs),
    /// Shows what runs logged.
    Logs(logs::Logs),
    /// Shows what keys were used for, and what the group spent this month.
    Usage(usage::Usage),
    /// Writes everything of a group into a file, to be imported on another server.
    Export(export::Export),
    /// Makes a group of a file that `export` wrote.
    Import(import::Import),
    /// Checks the store, its key, the clock, modules, disk space and what connections reach.
    Doctor(doctor::Doctor),
    /// Secrets: the key that all of them are encrypted under.
    #[command(subcommand)]
    Secrets(secrets::rotation::Command),
    /// Alerts: what somebody should look at.
    #[command(subcommand)]
    Alerts(alerts::Command),
}

/// What the commands that talk to a server work with.
struct Context {
    client: Client,
    group: Option<GroupId>,
    output: Output,
}

impl Context {
    fn new(global: Global) -> Result<Self, CliError> {
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).map(SecretString::from);
        let client = Client::new(&global.url, token)?.with_sessions(Sessions::of_user());
        Ok(Self { client, group: global.group, output: Output::new(global.json) })
    }

    /// The group to work in.
    fn group(&self) -> Result<&str, CliError> {
        self.group.as_ref().map(GroupId::as_str).ok_or_else(|| {
            CliError::Usage(
                "no group is named. Name one with --group or HEADGATE_GROUP; `headgate groups list` shows them"
                    .to_owned(),
            )
        })
    }
}

impl Cli {
    /// Names another compiler for the server than this very program: for programs that are not `headgate` themselves.
    #[must_use]
    pub fn with_compiler(self, compiler: Compiler) -> Self {
        Self { compiler: Some(compiler), ..self }
    }

    /// Does what the command line asks for.
    pub async fn run(self) -> Result<(), CliError> {
        let output = Output::new(self.global.json);
        match self.command {
            Command::Serve(serve) => serve.run(output, compiler(self.compiler)?).await,
            Command::CompileModule => compile_child(),
            Command::Demo(demo) => demo.run(compiler(self.compiler)?).await,
            Command::New(new) => new.run(output),
            Command::Build(build) => build.run(output).await,
            Command::Dev(dev) => dev.run(&Context::new(self.global)?).await,
            Command::Login(login) => login.run(&Context::new(self.global)?).await,
            Command::Logout(logout) => logout.run(&Context::new(self.global)?).await,
            Command::Users(command) => command.run(&Context::new(self.global)?).await,
            Command::Members(command) => command.run(&Context::new(self.global)?).await,
            Command::Groups(command) => command.run(&Context::new(self.global)?).await,
            Command::Keys(command) => command.run(&Context::new(self.global)?).await,
            Command::Audit(command) => command.run(&Context::new(self.global)?).await,
            Command::Connectors(command) => command.run(&Context::new(self.global)?).await,
            Command::Connections(command) => command.run(&Context::new(self.global)?).await,
            Command::AppRegistrations(command) => command.run(&Context::new(self.global)?).await,
            Command::Flows(command) => command.run(&Context::new(self.global)?).await,
            Command::Triggers(command) => command.run(&Context::new(self.global)?).await,
            Command::Apps(command) => command.run(&Context::new(self.global)?).await,
            Command::Schedules(command) => command.run(&Context::new(self.global)?).await,
            Command::AppTriggers(command) => command.run(&Context::new(self.global)?).await,
            Command::Push(push) => push.run(&Context::new(self.global)?).await,
            Command::Publish(publish) => publish.run(&Context::new(self.global)?).await,
            Command::Promote(promote) => promote.run(&Context::new(self.global)?).await,
            Command::Rollback(rollback) => rollback.run(&Context::new(self.global)?).await,
            Command::Unpublish(unpublish) => unpublish.run(&Context::new(self.global)?).await,
            Command::Diff(diff) => diff.run(&Context::new(self.global)?).await,
            Command::Run(run) => run.run(&Context::new(self.global)?).await,
            Command::Samples(command) => command.run(&Context::new(self.global)?).await,
            Command::Runs(runs) => runs.run(&Context::new(self.global)?).await,
            Command::Logs(logs) => logs.run(&Context::new(self.global)?).await,
            Command::Usage(usage) => usage.run(&Context::new(self.global)?).await,
            Command::Export(export) => export.run(&Context::new(self.global)?).await,
            Command::Import(import) => import.run(&Context::new(self.global)?).await,
            Command::Doctor(doctor) => doctor.run(&Context::new(self.global)?).await,
            Command::Secrets(command) => command.run(&Context::new(self.global)?).await,
            Command::Alerts(command) => command.run(&Context::new(self.global)?).await,
        }
    }
}

/// What compiles components for a server.
fn compiler(named: Option<Compiler>) -> Result<Compiler, CliError> {
    named.map_or_else(Compiler::of_this_program, Ok).map_err(|error| {
        let lost = "the program's own file cannot be found, and it is needed to compile components";
        CliError::Server(anyhow::Error::new(error).context(lost))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_stands_in_the_design_of_people_and_connections_is_understood() {
        understands(&[
            "headgate serve --setup-token --print-settings --listen 127.0.0.1:0",
            "headgate demo --once",
            "headgate new flow my-flow --path /tmp/x",
            "headgate build examples/echo --json",
            "headgate build --new-key builder.pem",
            "headgate dev examples/echo --flow echo --env test --event {} --mock --mock-answer crm.get={}",
            "headgate build . --sign builder.pem",
            "headgate push . --sign builder.pem",
            "headgate login --email ada@example.com --url https://flows.example.com",
            "headgate login --setup",
            "headgate login --oidc",
            "headgate logout",
            "headgate users list",
            "headgate users create ada@example.com --name Ada --operator",
            "headgate users show ada@example.com",
            "headgate users invite ada@example.com",
            "headgate users update ada@example.com --disable --no-operator",
            "headgate users delete ada@example.com",
            "headgate -g acme members list",
            "headgate -g acme members add ada@example.com --role editor",
            "headgate -g acme members change ada@example.com --role owner",
            "headgate -g acme members remove ada@example.com",
            "headgate groups create acme --environment staging --owner ada@example.com",
            "headgate -g acme keys create erp --env test --expires 90d",
            "headgate --json keys revoke erp --group acme",
            "headgate keys create erp --flow a --flow b --scopes flows:execute --network 203.0.113.0/24 --rate-per-minute 60",
            "headgate keys update erp --read-only --expires never --daily-quota none",
            "headgate keys rotate erp --overlap 7d",
            "headgate keys regenerate erp --secondary",
            "headgate keys investigate erp",
            "headgate audit list --noun api-key --limit 5",
            "headgate audit verify --expect 7:00ff",
            "headgate connectors install hubspot.wasm --server --force",
            "headgate connectors rollback hubspot --to 2",
            "headgate connectors remove hubspot --force",
            "headgate connections create --connector hubspot --name x --env test --config k=v --secret k=env:TOKEN",
            "headgate connections authorize x --env test",
            "headgate app-registrations list --server",
            "headgate app-registrations create --server --connector gmail --client-id 1 --client-secret - --token-host oauth2.googleapis.com",
            "headgate -g acme app-registrations create --connector gmail --name ours --client-id 1 --public",
            "headgate app-registrations update ours --client-secret env:S",
            "headgate app-registrations show ours",
            "headgate app-registrations delete app_0123456789abcdefghij",
            "headgate connections bind my-flow crm x --env test",
            "headgate push . --flow my-flow --note first",
            "headgate groups update acme --add-environment staging --runs-per-month 1000 --alerts-to https://x.example/a --new-alert-secret",
        ]);
    }

    #[test]
    fn what_stands_in_the_design_of_flows_is_understood() {
        understands(&[
            "headgate triggers create my-flow --key erp --methods GET,POST --respond async --timeout 5s --key-in-query --key-in-path --github-secret env:S",
            "headgate triggers update my-flow trg_aaaaaaaaaaaaaaaaaaaa --every-key --respond sync --no-signature",
            "headgate schedules create my-flow @daily --time-zone Europe/Berlin --jitter 60 --overlap queue --catch-up last --event {\"a\":1}",
            "headgate schedules update my-flow trg_aaaaaaaaaaaaaaaaaaaa --enabled false --event null",
            "headgate app-triggers create my-flow con_aaaaaaaaaaaaaaaaaaaa new_contact --every 1m --input {\"list\":\"a\"}",
            "headgate app-triggers update my-flow trg_aaaaaaaaaaaaaaaaaaaa --enabled false --begin-anew",
            "headgate app-triggers poll my-flow trg_aaaaaaaaaaaaaaaaaaaa",
            "headgate schedules fire my-flow trg_aaaaaaaaaaaaaaaaaaaa",
            "headgate triggers routing-key my-flow trg_aaaaaaaaaaaaaaaaaaaa",
            "headgate apps create order-entry --flow orders --title Orders --schema @s.json --sample {} --respond async",
            "headgate apps update order-entry --slug orders --no-schema",
            "headgate publish my-flow --version 2 --env test",
            "headgate promote my-flow test production",
            "headgate rollback my-flow --to 2 --env test",
            "headgate unpublish my-flow --env test",
            "headgate diff my-flow",
            "headgate diff my-flow 1 production",
            "headgate flows update my-flow --name other --description Orders",
            "headgate flows delete my-flow --force",
            "headgate flows versions my-flow --before 7 --limit 5",
            "headgate flows version my-flow 7",
            "headgate flows publications my-flow --env test",
            "headgate run my-flow --event {} --env test --version 2",
            "headgate run my-flow --from-run 0191d2a4-7c5f-7000-8000-000000000000 --trigger trg_0123456789abcdefghij --header a=b --query c=d",
            "headgate run my-flow --sample order --mock --mock-answer crm.get={}",
            "headgate samples save my-flow order --event @order.json --description first",
            "headgate runs --flow my-flow --limit 5",
            "headgate logs --flow my-flow --follow",
            "headgate usage --key erp --from 2026-11-01 --to 2026-11-22 --by hour --csv",
            "headgate export acme --with-secrets -o acme.archive",
            "headgate import acme.archive --as acme-two --new-keys",
            "headgate import acme.archive --without-secrets",
            "headgate doctor --data-dir /var/lib/headgate --json",
            "headgate alerts list --state open",
            "headgate alerts acknowledge alr_0123456789abcdefghij --note seen",
        ]);
    }

    fn understands(lines: &[&str]) {
        for line in lines {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }

    /// The words of a line as a shell splits it, where nothing but double quotes is special.
    fn words(line: &str) -> Vec<String> {
        let part = |(at, part): (usize, &str)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        line.split('"').enumerate().flat_map(part).collect()
    }

    #[test]
    fn every_command_of_the_pages_is_understood() {
        let page = include_str!("../docs/api-keys.md");
        let lines = page.lines().map(str::trim).filter(|line| line.starts_with("headgate "));
        let lines: Vec<_> = lines.collect();
        assert!(lines.len() > 20, "{lines:?}");
        for line in lines {
            let line = line.replace("TRIGGER", "trg_aaaaaaaaaaaaaaaaaaaa");
            if let Err(error) = Cli::try_parse_from(words(&line)) {
                panic!("{line}: {error}");
            }
        }
    }
}
