//! `headgate usage`

use clap::Args;

use crate::cli::output::{facts, line, plain, size, table, time};
use crate::cli::{CliError, Context};
use crate::domain::usage::{Period, Tally};
use crate::http::usage::{AddressView, FlowView, GroupUsageView, KeySums, KeyUsageView, PeriodView};

/// Shows what a group's keys, or one key, were used for.
#[derive(Debug, Args)]
pub(super) struct Usage {
    /// Of this key only, by id or name; a deleted one by its id.
    #[arg(long)]
    key: Option<String>,
    /// The beginning: a date or a time. 30 days ago, or 24 hours by hour.
    #[arg(long, value_name = "DATE|TIME")]
    from: Option<String>,
    /// The end: a date, which is included, or a time. Now.
    #[arg(long, value_name = "DATE|TIME")]
    to: Option<String>,
    /// By hour, for at most 31 days, or by day, for at most 400.
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// Prints CSV, a line for each key and period.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    Hour,
    Day,
}

impl Usage {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let group = context.group()?;
        let by = match self.by {
            By::Hour => Period::Hour,
            By::Day => Period::Day,
        };
        let query = [
            ("from", self.from),
            ("to", self.to),
            ("by", Some(by.as_str().to_owned())),
            ("format", self.csv.then(|| "csv".to_owned())),
        ];
        let path = match &self.key {
            Some(key) => vec!["groups", group, "api-keys", key.as_str(), "usage"],
            None => vec!["groups", group, "usage"],
        };
        if self.csv {
            let text = context.client.text_with(&path, &query).await?;
            return line(text.trim_end());
        }
        if self.key.is_some() {
            let usage: KeyUsageView = context.client.get_with(&path, &query).await?;
            return context.output.show(&usage, of_key);
        }
        let usage: GroupUsageView = context.client.get_with(&path, &query).await?;
        context.output.show(&usage, of_group)
    }
}

const HEAD: [&str; 5] = ["requests", "succeeded", "failed", "in", "out"];
const NONE: &str = "No usage in this range. Name another with --from and --to";

fn cells(tally: &Tally) -> [String; 5] {
    let [requests, succeeded, failed] = [tally.requests, tally.succeeded, tally.failed].map(|count| count.to_string());
    [requests, succeeded, failed, size(tally.bytes_in), size(tally.bytes_out)]
}

fn row(name: String, tally: &Tally) -> [String; 6] {
    let [a, b, c, d, e] = cells(tally);
    [name, a, b, c, d, e]
}

fn head(name: &str) -> [&str; 6] {
    let [a, b, c, d, e] = HEAD;
    [name, a, b, c, d, e]
}

fn of_key(usage: &KeyUsageView) -> String {
    let sums = &usage.sums;
    let address = sums.last_address.map(|address| format!(" from {address}")).unwrap_or_default();
    let last = sums.last_used.map_or_else(|| "never".to_owned(), |at| format!("{}{address}", time(at)));
    let top = facts([
        ("key", format!("{} ({}){}", sums.name, sums.key.as_str(), if sums.deleted { ", deleted" } else { "" })),
        ("environment", sums.environment.to_string()),
        ("last used", last),
        ("ever", format!("{} requests, {} failed", usage.ever.requests, usage.ever.failed)),
        ("range", format!("{} to {}", time(usage.from), time(usage.to))),
    ]);
    [top, periods(&usage.periods), flows(&usage.flows), addresses(&usage.addresses)].join("\n\n")
}

fn of_group(usage: &GroupUsageView) -> String {
    let allowance = usage.allowance.unwrap_or_default();
    let of = |bound: Option<u64>| bound.map(|bound| format!(" of {bound}")).unwrap_or_default();
    let month = &usage.month;
    let top = facts([
        ("month", format!("{}, until {}", month.month, time(month.ends))),
        ("runs", format!("{}{}", month.runs, of(allowance.runs_per_month))),
        ("run-seconds", format!("{:.1}{}", month.run_seconds, of(allowance.run_seconds_per_month))),
        ("range", format!("{} to {}", time(usage.from), time(usage.to))),
        ("requests", format!("{}, {} failed", usage.total.requests, usage.total.failed)),
    ]);
    let key = |sums: &KeySums| {
        let gone = if sums.deleted { format!(" ({}, deleted)", sums.key.as_str()) } else { String::new() };
        row(format!("{}{gone}", sums.name), &sums.tally)
    };
    let keys = table(head("key"), usage.keys.iter().map(key), NONE);
    [top, periods(&usage.periods), keys, flows(&usage.flows)].join("\n\n")
}

fn periods(periods: &[PeriodView]) -> String {
    table(head("begin"), periods.iter().map(|period| row(time(period.begin), &period.tally)), NONE)
}

/// Flows that requests reached.
pub(super) fn flows(flows: &[FlowView]) -> String {
    let row = |flow: &FlowView| {
        let id = flow.flow.as_ref().map_or_else(|| "(no flow, or further ones)".to_owned(), ToString::to_string);
        row(flow.name.as_ref().map_or(id, |name| plain(name.as_str())), &flow.tally)
    };
    table(head("flow"), flows.iter().map(row), "No flow was reached.")
}

/// Addresses that requests came from.
pub(super) fn addresses(addresses: &[AddressView]) -> String {
    let row = |from: &AddressView| row(from.address.to_string(), &from.tally);
    table(head("address"), addresses.iter().map(row), NONE)
}
