//! Keys, as a person reads them.

use jiff::Timestamp;

use crate::cli::output::{facts, table, time};
use crate::cli::{audit, usage};
use crate::domain::api_key::SecretSlot;
use crate::domain::permission::Scope;
use crate::http::api_keys::{ApiKeyPage, ApiKeyView, CreatedApiKey, InvestigationView, Permission, UsedBy};

pub(super) fn list(keys: &[ApiKeyView]) -> String {
    let row = |key: &ApiKeyView| {
        let last_used = key.last_used.map_or_else(|| "never".to_owned(), time);
        let (name, environment) = (key.name.to_string(), key.environment.to_string());
        [name, key.prefix.clone(), environment, status(key), date(Some(key.created)), last_used, date(key.expires)]
    };
    let none = "No keys yet. Make one with `headgate keys create NAME`";
    table(
        ["name", "begins with", "environment", "status", "created", "last used", "expires"],
        keys.iter().map(row),
        none,
    )
}

pub(super) fn made(made: &CreatedApiKey) -> String {
    format!("{}\n\nThis is the key. It is shown now and never again:\n\n  {}\n", one(&made.view), made.api_key)
}

pub(super) fn one(key: &ApiKeyView) -> String {
    let or = |text: &str, number: Option<String>| number.unwrap_or_else(|| text.to_owned());
    let networks: Vec<_> = key.networks.iter().map(ToString::to_string).collect();
    let scopes: Vec<_> = key.scopes.iter().copied().map(Scope::as_str).collect();
    let used = match (key.last_used, key.last_address) {
        (None, _) => "never".to_owned(),
        (Some(at), None) => time(at),
        (Some(at), Some(address)) => format!("{} from {address}", time(at)),
    };
    facts([
        ("id", key.id.to_string()),
        ("name", key.name.to_string()),
        ("environment", key.environment.to_string()),
        ("class", key.class.as_str().to_owned()),
        ("status", status(key)),
        ("description", key.description.clone()),
        ("permission", permission(key)),
        ("scopes", scopes.join(", ")),
        ("networks", if networks.is_empty() { "every network".to_owned() } else { networks.join(", ") }),
        ("requests a minute", or("the server's", key.rate_per_minute.map(|rate| rate.to_string()))),
        ("requests a day", or("the server's", key.daily_quota.map(|quota| quota.to_string()))),
        ("values", values(key)),
        ("created", time(key.created)),
        ("last used", used),
        ("expires", key.expires.map_or_else(|| "never".to_owned(), time)),
    ])
}

pub(super) fn page(page: &ApiKeyPage) -> String {
    format!("{}\n\n{}", one(&page.view), used_by(&page.used_by))
}

pub(super) fn investigation(found: &InvestigationView) -> String {
    let numbered = |(at, step): (usize, &String)| format!("{}. {step}", at + 1);
    let steps: Vec<_> = found.next_steps.iter().enumerate().map(numbered).collect();
    let findings: Vec<_> = found.findings.iter().map(|finding| format!("- {finding}")).collect();
    let older = if found.older_audit { "\nThere may be older ones: headgate audit list" } else { "" };
    format!(
        "{}\n\nWHAT STANDS OUT\n{}\n\nUSE IN THE LAST 30 DAYS\n{}\n\n{}\n\nCHANGES\n{}{older}\n\nIF IT IS IN WRONG HANDS\n{}",
        page(&found.page),
        findings.join("\n"),
        usage::flows(&found.flows),
        usage::addresses(&found.addresses),
        audit::list(&found.audit),
        steps.join("\n")
    )
}

fn status(key: &ApiKeyView) -> String {
    let flags = [(key.rotation_due, "rotation due"), (key.unused, "unused")];
    let flags = flags.into_iter().filter_map(|(holds, flag)| holds.then_some(flag));
    [key.status.as_str()].into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

fn permission(key: &ApiKeyView) -> String {
    match &key.permission {
        Permission::AllFlows {} => "all flows".to_owned(),
        Permission::ReadOnly {} => "read-only".to_owned(),
        Permission::SelectedFlows { flows } => format!("selected flows: {}", flows.join(", ")),
    }
}

fn values(key: &ApiKeyView) -> String {
    let value = |secret: &crate::http::api_keys::SecretView| {
        let slot = match secret.slot {
            SecretSlot::Primary => "primary",
            SecretSlot::Secondary => "secondary",
            SecretSlot::Overlap => "old",
        };
        let end = secret.not_after.map(|end| format!(" until {}", time(end))).unwrap_or_default();
        format!("{slot} since {}{end}", time(secret.created))
    };
    key.secrets.iter().map(value).collect::<Vec<_>>().join("; ")
}

fn date(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn used_by(uses: &UsedBy) -> String {
    let how = |named: bool| if named { "named" } else { "accepts every key" }.to_owned();
    let row = |trigger: &crate::http::api_keys::UsedTriggerView| {
        let kind = if trigger.execute { "execute" } else { "http" };
        let (flow, id) = (trigger.flow_name.to_string(), trigger.id.to_string());
        [flow, kind.to_owned(), id, how(trigger.named), trigger.description.clone()]
    };
    let none = "No flow can be run with it at present.";
    table(["flow", "trigger", "id", "key", "description"], uses.triggers.iter().map(row), none)
}
