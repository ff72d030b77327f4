//! Everything about one key in one view, for when something is wrong with it.

use std::sync::Arc;

use crate::domain::api_key::KeyStatus;
use crate::domain::audit::AuditEntry;
use crate::domain::id::GroupId;
use crate::domain::permission::Action;
use crate::domain::usage::{Period, Tally, UsageRange};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys::{KeyState, KeyUses, find_seen, uses};
use crate::service::error::ServiceError;
use crate::service::usage::KeyUsage;

/// Audit entries shown at most.
const SHOWN_ENTRIES: usize = 100;

/// Everything about one key.
#[derive(Debug, Clone)]
pub struct Investigation {
    /// The key, and when and from where it was used last.
    pub state: KeyState,
    /// What it can be used for.
    pub uses: KeyUses,
    /// The newest entries of the audit log about it, or made with it.
    pub audit: Vec<AuditEntry>,
    /// Whether there may be older entries than these.
    pub older: bool,
    /// What it was used for in the last 30 days, with the addresses its requests came from.
    pub usage: KeyUsage,
    /// What stands out.
    pub findings: Vec<String>,
    /// What to do if the key is in wrong hands, in this order.
    pub next_steps: Vec<String>,
}

impl Service {
    /// Gathers everything about one key.
    pub async fn investigate_api_key(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        key: &str,
    ) -> Result<Investigation, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::InvestigateApiKey)?;
        let key = find_seen(&catalog, actor, group, key)?;
        let page = self.audit_about(group, "api-key", key.id.as_str(), SHOWN_ENTRIES)?;
        let uses = uses::of(&catalog, &key);
        let range = UsageRange::parse(None, None, Period::Day, self.now()).map_err(ServiceError::Invalid)?;
        // Whoever may investigate sees what the key was used for.
        let usage = self.key_usage(&Actor::system(), group, key.id.as_str(), range).await?;
        let failed = self.failed_lately(&key.id);
        let state = self.key_state(key);
        let findings = findings(&state, &uses, &usage, failed);
        let next_steps = next_steps(&state, &uses);
        let (audit, older) = (page.entries, page.next.is_some());
        Ok(Investigation { state, uses, audit, older, usage, findings, next_steps })
    }
}

fn findings(state: &KeyState, uses: &KeyUses, usage: &KeyUsage, failed: u64) -> Vec<String> {
    let key = &state.key;
    let mut findings = Vec::new();
    findings.push(match &state.last_used {
        Some(last) => {
            let from = last.address.map(|address| format!(" from {address}")).unwrap_or_default();
            format!("It was used last at {}{from}", last.at.strftime("%Y-%m-%d %H:%M:%S UTC"))
        }
        None => "No use of it is recorded".to_owned(),
    });
    let Tally { requests, failed: unsuccessful, .. } = usage.sum;
    let facts = [
        (
            requests > 0,
            format!("In the last 30 days it made {requests} requests, {unsuccessful} of them without success"),
        ),
        (usage.addresses.len() > 1, format!("Its requests came from {} addresses", usage.addresses.len())),
        (failed > 0, format!("It was presented {failed} times in the last minutes and refused")),
        (state.status == KeyStatus::Expiring, "It expires soon".to_owned()),
        (state.unused, "It has not been used for long".to_owned()),
        (state.rotation_due, "Its primary value is older than recommended".to_owned()),
        (key.expires.is_none() && key.revoked.is_none(), "It never expires".to_owned()),
        (key.networks.is_empty(), "It may be used from every network".to_owned()),
        (key.secrets.len() > 1, format!("{} values of it are valid at the same time", key.secrets.len())),
        (!uses.flows.is_empty(), format!("Flows it can run: {}", uses.flows.len())),
    ];
    findings.extend(facts.into_iter().filter_map(|(holds, text)| holds.then_some(text)));
    findings
}

/// The five steps after a key was compromised.
fn next_steps(state: &KeyState, uses: &KeyUses) -> Vec<String> {
    let key = &state.key;
    let senders: Vec<_> = uses.flows.iter().filter(|flow| flow.named).map(|flow| flow.name.as_str()).collect();
    let senders = if senders.is_empty() { "every sender that has the key".to_owned() } else { senders.join(", ") };
    let stop = match state.status {
        KeyStatus::Revoked => "The key is revoked already; nothing more is to be stopped".to_owned(),
        _ => format!("Stop it at once: headgate keys revoke {}", key.name),
    };
    vec![
        stop,
        format!("Make a new key with a name of its own: headgate keys create NAME --env {}", key.environment),
        format!("Give the new key to the senders, and to the triggers that name the old one: {senders}"),
        "Look through what was run with it: headgate runs, and headgate runs RUN for each that you do not know"
            .to_owned(),
        "Report the incident to whoever is in charge of security, with what stands here".to_owned(),
    ]
}
