//! Run Once: a flow is tried with an event that somebody writes, kept as a sample, or takes from a recorded run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::FlowManifest;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::event::{EventParts, Pairs};
use crate::domain::flow::{Flow, FlowVersion, Publication};
use crate::domain::id::{Environment, GroupId, TriggerId};
use crate::domain::permission::{Action, Denial, Scope};
use crate::domain::run::Run;
use crate::domain::stand_in::example;
use crate::domain::trigger::{HttpSettings, HttpTrigger, Respond};
use crate::service::Service;
use crate::service::access::{Actor, Who};
use crate::service::calls::mock::Mock;
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing, LogSender, Trial};
use crate::service::samples::EXAMPLE;
use crate::wasm::Event;

/// Headers that a flow never sees: they authenticate the sender.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// How to try a flow.
#[derive(Debug, Clone)]
pub struct RunOnce {
    /// Whose connections it uses.
    pub environment: Environment,
    /// Which version; when absent the published one, and where none is published the newest.
    pub version: Option<u32>,
    /// Through which of its triggers the event pretends to come; when absent the one of the recorded run, or else its
    /// execute trigger.
    pub trigger: Option<TriggerId>,
    /// The event, or what is different about the recorded one or the sample.
    pub parts: EventParts,
    /// The run whose recorded event it is.
    pub from_run: Option<Uuid>,
    /// The sample event of this name; `example` is the one in the schema of the flow's event.
    pub sample: Option<String>,
    /// When present, the flow's calls reach no app: they are answered by these answers, by slot and method, and by the
    /// methods' samples.
    pub mock: Option<BTreeMap<String, Value>>,
    /// Gets the lines of the run's log as they are written.
    pub listener: Option<LogSender>,
}

impl Service {
    /// Runs a flow with an event, published or not, and answers the recorded run.
    pub async fn run_once(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        flow: &str,
        once: RunOnce,
    ) -> Result<Run, ServiceError> {
        let flow = self.flow_for(actor, group, flow, Action::RunOnce)?;
        self.check_environment(group, &once.environment)?;
        actor.authorise_environment(&once.environment)?;
        let recorded = once.from_run.map(|run| self.recorded_run(actor, group, &flow, run)).transpose()?;
        let trigger = self.trigger_for(&flow, once.trigger.as_ref(), recorded.as_ref())?;
        check_key(actor, &flow, &trigger, &once)?;
        let version = match (once.version, flow.published.get(&once.environment)) {
            (None, Some(publication)) => publication.version,
            (wanted, _) => wanted.unwrap_or(flow.latest),
        };
        let version = self.find_version(&flow, version)?;
        let manifest = self.manifest_of(&flow, &version).await?;
        let parts = self.parts(&flow, &version, &manifest, &once, recorded.as_ref())?;
        let mock = once.mock.map(|answers| Mock::new(answers, manifest.slots)).transpose()?;
        let firing = Firing {
            publication: Publication { version: version.version, digest: version.digest },
            environment: once.environment,
            caller: Caller::RunOnce(actor.clone()),
            respond: Respond::Sync,
            timeout: self.settings.timeout(trigger.settings.timeout_ms),
            event: self.event(&trigger, parts)?,
            trigger: trigger.id,
            flow,
        };
        match self.run_tried(firing, Trial { mock, listener: once.listener }).await {
            Ok((run, _)) | Err(ServiceError::Flow { run, .. }) => self.find_run(group, run),
            Err(error) => Err(error),
        }
    }

    /// A run of the flow whose event is used again, for somebody who may read it.
    fn recorded_run(&self, actor: &Actor, group: &GroupId, flow: &Flow, run: Uuid) -> Result<Run, ServiceError> {
        let recorded = self.get_run(actor, group, run)?;
        if recorded.flow == flow.id {
            return Ok(recorded);
        }
        Err(ServiceError::Invalid(format!(
            "The run {run} is one of the flow \"{}\". Name a run of \"{}\": headgate runs --flow {1}",
            recorded.flow_name, flow.name
        )))
    }

    /// The trigger that the event pretends to come through.
    fn trigger_for(
        &self,
        flow: &Flow,
        wanted: Option<&TriggerId>,
        recorded: Option<&Run>,
    ) -> Result<HttpTrigger, ServiceError> {
        let catalog = self.catalog();
        let find = |id: &TriggerId| {
            if let Some(trigger) = catalog.triggers.get(id).filter(|trigger| trigger.flow == flow.id) {
                return Some(HttpTrigger::from(&**trigger));
            }
            let schedule = catalog.schedules.get(id).map(|schedule| &schedule.flow);
            let fires = schedule.or_else(|| catalog.app_triggers.get(id).map(|trigger| &trigger.flow));
            // It has no settings of its own, and lets in no key that could not run the flow anyway.
            let (keys, timeout_ms) = (flow.execute.settings.keys.clone(), flow.execute.settings.timeout_ms);
            let settings = Arc::new(HttpSettings { keys, timeout_ms, ..HttpSettings::initial() });
            (fires == Some(&flow.id)).then(|| HttpTrigger { id: id.clone(), settings, ..flow.execute_trigger() })
        };
        match (wanted, recorded.map(|run| &run.trigger)) {
            (Some(id), _) if *id != flow.execute.id => find(id).ok_or(ServiceError::NotFound { what: "Trigger" }),
            (None, Some(id)) => Ok(find(id).unwrap_or_else(|| flow.execute_trigger())),
            _ => Ok(flow.execute_trigger()),
        }
    }

    /// The event's parts: those that were given, and for the others those of the recorded event or the sample.
    fn parts(
        &self,
        flow: &Flow,
        version: &FlowVersion,
        manifest: &FlowManifest,
        once: &RunOnce,
        recorded: Option<&Run>,
    ) -> Result<EventParts, ServiceError> {
        let parts = once.parts.clone();
        match (recorded, once.sample.as_deref()) {
            (Some(_), Some(_)) => {
                let message = "The event comes from a run (from_run) or from a sample (sample). Leave one out";
                Err(ServiceError::Invalid(message.to_owned()))
            }
            (Some(run), None) => parts.over_record(&run.event).map_err(ServiceError::Invalid),
            (None, Some(EXAMPLE)) => {
                let found = manifest.event.as_ref().and_then(example);
                let found = found.ok_or_else(|| {
                    ServiceError::Invalid(format!(
                        "Version {} of the flow declares no schema of its event with an example. Add one, or keep an event as a sample: headgate samples save {} NAME --event @FILE",
                        version.version, flow.name
                    ))
                })?;
                Ok(parts.over(EventParts { event: Some(found.clone()), ..EventParts::default() }))
            }
            (None, Some(name)) => Ok(parts.over(self.find_sample(flow, &name.parse()?)?.event)),
            (None, None) => Ok(parts),
        }
    }

    /// The event as the trigger would hand it on.
    fn event(&self, trigger: &HttpTrigger, parts: EventParts) -> Result<Event, ServiceError> {
        let invalid = |message: String| Err(ServiceError::Invalid(message));
        let settings = &trigger.settings;
        let taken = || settings.methods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let body = parts.body().map_err(ServiceError::Invalid)?;
        let is_json = parts.body_base64.is_none();
        let first = || if settings.methods.contains("POST") { None } else { settings.methods.first().cloned() };
        let method = parts.method.or_else(first).unwrap_or_else(|| "POST".to_owned());
        if !settings.methods.contains(&method) {
            return invalid(format!(
                "The trigger {} takes {}, and the event is a {method}. Choose another trigger, or give the event another method",
                trigger.id,
                taken()
            ));
        }
        let path = parts.path.unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') {
            return invalid(format!(
                "The path \"{path}\" does not begin with \"/\". Write the path below the trigger's URL"
            ));
        }
        let body = body.unwrap_or_else(|| Bytes::from_static(b"null"));
        let limit = settings.max_body.unwrap_or(self.settings.max_body);
        if body.len() as u64 > limit {
            return Err(ServiceError::TooLarge { limit });
        }
        let mut headers = parts.headers.unwrap_or_default().0;
        for (name, _) in &mut headers {
            name.make_ascii_lowercase();
            if CREDENTIALS.contains(&name.as_str()) {
                return invalid(format!(
                    "A flow never sees the header \"{name}\", as it authenticates the sender. Leave it out"
                ));
            }
        }
        if is_json && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Ok(Event {
            trigger: trigger.id.to_string(),
            method,
            path,
            params: parts.params.unwrap_or_default().0,
            query: parts.query.map(|Pairs(query)| query).unwrap_or_default(),
            headers,
            body,
        })
    }
}

/// A key runs what the trigger would run for it; drafts are for keys that may change flows.
fn check_key(actor: &Actor, flow: &Flow, trigger: &HttpTrigger, once: &RunOnce) -> Result<(), Denial> {
    let Who::Key(key) = actor.who() else { return Ok(()) };
    if !trigger.settings.keys.accepts(&key.id) {
        return Err(Denial::Trigger { key: key.name.clone() });
    }
    let published = flow.published.get(&once.environment);
    let is_published = published.is_some_and(|published| once.version.is_none_or(|wanted| wanted == published.version));
    if is_published || key.scopes.has(Scope::FlowsWrite) {
        return Ok(());
    }
    Err(Denial::NotPublished { flow: flow.name.clone(), environment: once.environment.clone() })
}
