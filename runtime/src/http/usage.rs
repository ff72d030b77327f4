//! `/api/v1/groups/{group}/usage`, and the counting of requests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderValue, header};
use http_body::Body as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, Name};
use crate::domain::usage::{Allowance, Hour, Period, Tally, UsageRange};
use crate::http::ApiState;
use crate::http::client_address::client_address;
use crate::http::extract::{Named, Params};
use crate::http::groups::MonthView;
use crate::http::problem::{Problem, ProblemBody, Refused};
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::usage::{FlowUsage, GroupUsage, KeyUsage, Seen};

/// A request under way. It is counted at its end, also when its caller goes away before the answer: then it has failed.
struct UnderWay {
    api: ApiState,
    seen: Arc<Seen>,
    address: Option<IpAddr>,
    succeeded: bool,
    bytes_out: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.api.service.count(&self.seen, self.succeeded, self.bytes_out, self.address);
    }
}

/// Counts each request, if a key was authenticated by it.
pub async fn count(State(api): State<ApiState>, mut request: Request, next: Next) -> Response {
    let seen = Arc::new(Seen::default());
    seen.received(request.body().size_hint().exact().unwrap_or_default());
    let address = client_address(request.extensions());
    request.extensions_mut().insert(seen.clone());
    let mut under_way = UnderWay { api, seen, address, succeeded: false, bytes_out: 0 };
    let response = next.run(request).await;
    under_way.succeeded = response.extensions().get::<Refused>().is_none();
    under_way.bytes_out = response.body().size_hint().exact().unwrap_or_default();
    response
}

/// Where to say what a request turns out to be.
pub fn seen(extensions: &Extensions) -> Arc<Seen> {
    extensions.get::<Arc<Seen>>().cloned().unwrap_or_default()
}

/// Which usage to answer, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageParams {
    /// The beginning: a date or a time (RFC 3339). 30 days ago, or 24 hours by hour.
    #[param(example = "2026-11-01")]
    pub from: Option<String>,
    /// The end: a date, which is included, or a time. Now.
    #[param(example = "2026-11-22")]
    pub to: Option<String>,
    /// By hour, for at most 31 days, or by day, for at most 400.
    pub by: Option<Period>,
    /// As JSON, or as a CSV file.
    pub format: Option<Format>,
}

/// How usage is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As JSON.
    #[default]
    Json,
    /// As CSV: a line for each key and period.
    Csv,
}

/// A period with use.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PeriodView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub begin: Timestamp,
    /// What was counted in it.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What was used of a flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FlowView {
    /// Its id; absent for requests that reached no flow and for flows beyond the hundredth of a key's day.
    #[schema(value_type = Option<String>, example = "flw_0aB1cD2eF3gH4iJ5kL6m")]
    pub flow: Option<FlowId>,
    /// Its name, while it exists.
    #[schema(value_type = Option<String>, example = "orders")]
    pub name: Option<Name>,
    /// What was counted.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A key's sums.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeySums {
    /// Its id.
    #[schema(value_type = String, example = "k3yIdOfTheEr")]
    pub key: ApiKeyId,
    /// Its name, or the one it had when it was deleted.
    #[schema(value_type = String, example = "erp")]
    pub name: Name,
    /// Where it works.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// Whether there is no such key any more.
    pub deleted: bool,
    /// When it was used last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
    /// From where.
    #[schema(value_type = Option<String>, example = "198.51.100.4")]
    pub last_address: Option<IpAddr>,
    /// What was counted in the range.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a key was used for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyUsageView {
    /// When the range begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// How it is broken down.
    pub by: Period,
    /// The key, and its sums in the range.
    #[serde(flatten)]
    pub sums: KeySums,
    /// Everything it was ever used for.
    pub ever: Tally,
    /// The range by period; periods without use are left out.
    pub periods: Vec<PeriodView>,
    /// The range by flow, on whole days.
    pub flows: Vec<FlowView>,
    /// The range by the address that requests came from, on whole days; at most 50 addresses of a day are named.
    pub addresses: Vec<AddressView>,
}

/// What was used from an address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddressView {
    /// The address.
    #[schema(value_type = String, example = "203.0.113.7")]
    pub address: IpAddr,
    /// What was counted.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a group's keys were used for, and what it spent this month.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupUsageView {
    /// When the range begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// How it is broken down.
    pub by: Period,
    /// The range as a whole.
    pub total: Tally,
    /// The range by period; periods without use are left out.
    pub periods: Vec<PeriodView>,
    /// The range by key, at most 1,000 of them, those that are deleted included.
    pub keys: Vec<KeySums>,
    /// The range by flow, on whole days.
    pub flows: Vec<FlowView>,
    /// What the group spent in the present month, whoever called.
    pub month: MonthView,
    /// What it may spend in a month; without bounds when absent.
    pub allowance: Option<Allowance>,
}

fn periods(periods: BTreeMap<Hour, Tally>) -> Vec<PeriodView> {
    periods.into_iter().map(|(hour, tally)| PeriodView { begin: hour.begin(), tally }).collect()
}

pub(super) fn flows(usage: FlowUsage) -> Vec<FlowView> {
    let named = usage.flows.into_iter().map(|(flow, (name, tally))| FlowView { flow: Some(flow), name, tally });
    let elsewhere = FlowView { flow: None, name: None, tally: usage.elsewhere };
    named.chain((usage.elsewhere.requests > 0).then_some(elsewhere)).collect()
}

/// Addresses, the one with the most requests first.
pub(super) fn addresses(usage: BTreeMap<IpAddr, Tally>) -> Vec<AddressView> {
    let mut addresses: Vec<_> = usage.into_iter().map(|(address, tally)| AddressView { address, tally }).collect();
    addresses.sort_by_key(|view| std::cmp::Reverse(view.tally.requests));
    addresses
}

impl From<&KeyUsage> for KeySums {
    fn from(usage: &KeyUsage) -> Self {
        Self {
            key: usage.key,
            name: usage.name.clone(),
            environment: usage.environment.clone(),
            deleted: usage.deleted,
            last_used: usage.last.map(|last| last.at),
            last_address: usage.last.and_then(|last| last.address),
            tally: usage.sum,
        }
    }
}

impl KeyUsageView {
    fn of(usage: KeyUsage, range: &UsageRange) -> Self {
        Self {
            from: range.hours.start.begin(),
            to: range.hours.end.begin(),
            by: range.by,
            sums: KeySums::from(&usage),
            ever: usage.ever,
            periods: periods(usage.periods),
            flows: flows(usage.flows),
            addresses: addresses(usage.addresses),
        }
    }
}

impl GroupUsageView {
    fn of(usage: GroupUsage, range: &UsageRange) -> Self {
        Self {
            from: range.hours.start.begin(),
            to: range.hours.end.begin(),
            by: range.by,
            total: usage.sum,
            periods: periods(usage.periods),
            keys: usage.keys.iter().map(KeySums::from).collect(),
            flows: flows(usage.flows),
            month: MonthView::of(usage.month, &usage.spent),
            allowance: usage.allowance,
        }
    }
}

fn range(api: &ApiState, params: &UsageParams) -> Result<UsageRange, Problem> {
    let by = params.by.unwrap_or(Period::Day);
    let range = UsageRange::parse(params.from.as_deref(), params.to.as_deref(), by, api.service.now());
    Ok(range.map_err(ServiceError::Invalid)?)
}

/// A CSV file with a line for each key and period.
fn csv_file(name: &str, keys: &[KeyUsage]) -> Result<Response, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["key", "name", "environment", "begin", "requests", "succeeded", "failed", "bytes_in", "bytes_out"];
    let mut written = writer.write_record(head);
    for key in keys {
        for (hour, tally) in &key.periods {
            let Tally { requests, succeeded, failed, bytes_in, bytes_out } = tally;
            let numbers = [requests, succeeded, failed, bytes_in, bytes_out].map(u64::to_string);
            let facts = [key.key.as_str(), key.name.as_str(), key.environment.as_str(), &hour.begin().to_string()]
                .map(str::to_owned);
            written = written.and_then(|()| writer.write_record(facts.iter().chain(&numbers)));
        }
    }
    written.map_err(ServiceError::internal("writing CSV"))?;
    let text = writer.into_inner().map_err(|error| ServiceError::internal("writing CSV")(error.to_string()))?;
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    let disposition = HeaderValue::from_str(&disposition).map_err(ServiceError::internal("naming a file"))?;
    let mut response = ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response();
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// What a file of a range is called.
fn file_name(of: &str, range: &UsageRange) -> String {
    let last = Hour(range.hours.end.0 - 1).day();
    format!("headgate-usage-{of}-{}-{last}-by-{}", range.hours.start.day(), range.by.as_str())
}

/// Shows what a group's keys were used for in a range, and what the group spent this month.
#[utoipa::path(get, path = "/api/v1/groups/{group}/usage", tag = "usage", params(("group" = String, Path), UsageParams), responses(
    (status = OK, body = GroupUsageView, description = "With `format=csv` a CSV file, a line for each key and period"),
    (status = BAD_REQUEST, description = "The range cannot be read or is too long", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn of_group(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Params(params): Params<UsageParams>,
) -> Result<Response, Problem> {
    let range = range(&api, &params)?;
    let usage = api.service.group_usage(&actor, &group, range.clone()).await?;
    match params.format.unwrap_or_default() {
        Format::Json => Ok(Json(GroupUsageView::of(usage, &range)).into_response()),
        Format::Csv => csv_file(&file_name(group.as_str(), &range), &usage.keys),
    }
}

/// Shows what a key was used for in a range. A key that was deleted is known by its id.
#[utoipa::path(get, path = "/api/v1/groups/{group}/api-keys/{key}/usage", tag = "usage", params(("group" = String, Path), ("key" = String, Path), UsageParams), responses(
    (status = OK, body = KeyUsageView, description = "With `format=csv` a CSV file, a line for each period"),
    (status = BAD_REQUEST, description = "The range cannot be read or is too long", body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn of_key(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, key)): Named<(GroupId, String)>,
    Params(params): Params<UsageParams>,
) -> Result<Response, Problem> {
    let range = range(&api, &params)?;
    let usage = api.service.key_usage(&actor, &group, &key, range.clone()).await?;
    match params.format.unwrap_or_default() {
        Format::Json => Ok(Json(KeyUsageView::of(usage, &range)).into_response()),
        Format::Csv => csv_file(&file_name(&format!("{group}-{}", usage.name), &range), std::slice::from_ref(&usage)),
    }
}
