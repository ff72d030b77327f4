//! The way of a webhook: who calls, which trigger, may they, then the run.

mod challenge;
mod signature;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::api_key::{ApiKey, AuthError};
use crate::domain::challenge::Handshake;
use crate::domain::cors::Cors;
use crate::domain::flow::{Flow, Publication};
use crate::domain::id::{FlowId, GroupId, Name, TriggerId};
use crate::domain::permission::{Denial, Scope};
use crate::domain::published_app::PublishedApp;
use crate::domain::trigger::{HttpSettings, Respond, RoutingKey, Trigger};
use crate::service::Service;
use crate::service::access::{Door, KeyPlace, Presented, check_network};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing};
use crate::service::limits::Standing;
use crate::service::published_apps::check_input;
use crate::service::queue::MAX_QUEUED_BODY;
use crate::service::usage::Seen;
use crate::wasm::{Event, Response};

/// Which trigger a request addresses.
#[derive(Debug, Clone)]
pub enum Target {
    /// The trigger behind a routing key; `None` for a text that is none.
    Hook(Option<RoutingKey>),
    /// A flow's execute trigger; `None` for a text that is no flow id.
    Execute(Option<FlowId>),
    /// The trigger at a path of a group; no group for a text that is no name of one.
    Path {
        /// Whose path.
        group: Option<GroupId>,
        /// The path below the group's root as it was sent, with a slash in front.
        path: String,
        /// Whether something that was meant as an API key stands in it.
        holds_key: bool,
    },
    /// A published app of the caller's group; `None` for a text that is no slug.
    App(Option<Name>),
    /// Nothing that exists.
    Nothing,
}

/// A request before its body is read.
#[derive(Debug)]
pub struct Call<'a> {
    /// What it addresses.
    pub target: &'a Target,
    /// The credentials in it.
    pub presented: &'a Presented,
    /// Its method.
    pub method: &'a str,
    /// The value of `?_profile=`.
    pub profile: Option<&'a str>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Which page's script sent it: the header `Origin`.
    pub origin: Option<&'a str>,
    /// Is told which pages' scripts may read the answer, as soon as the trigger is known.
    pub crossing: &'a OnceLock<Cors>,
    /// Whether its query is a handshake (`hub.mode=subscribe`), which comes by `GET`.
    pub subscribes: bool,
    /// Is told which key and which flow it is.
    pub seen: &'a Seen,
}

/// A request that may fire its trigger. What is left to do is to read its body.
pub struct Admitted {
    /// What it was decided by.
    catalog: Arc<Catalog>,
    standing: Option<Standing>,
    key: Arc<ApiKey>,
    flow: Arc<Flow>,
    trigger: TriggerId,
    settings: Arc<HttpSettings>,
    publication: Publication,
    /// The path's parameters.
    params: Vec<(String, String)>,
    /// The app that was called, if it was one.
    app: Option<Arc<PublishedApp>>,
}

/// What a request addresses.
struct Addressed<'a> {
    trigger: &'a TriggerId,
    flow: &'a Arc<Flow>,
    settings: &'a Arc<HttpSettings>,
    params: Vec<(String, String)>,
    /// What else stands at the same path, for other methods.
    beside: Vec<&'a Arc<Trigger>>,
}

/// A request's parts as the flow will see them: without credentials.
pub struct Request {
    /// The method.
    pub method: String,
    /// The path below the trigger's URL.
    pub path: String,
    /// Decoded query parameters.
    pub query: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
    /// The URL as the sender called it, where the signature covers it. It may hold the key: the flow never sees it.
    pub url: Option<SecretString>,
}

/// What the caller is answered.
pub enum Answer {
    /// The flow's own response.
    Response {
        /// Which run.
        run: Uuid,
        /// What it answered.
        response: Response,
    },
    /// The run is durable and will be executed.
    Accepted {
        /// Which run.
        run: Uuid,
    },
    /// The server's part of a handshake; nothing was run.
    Handshake(Handshake),
}

/// What became of a request.
pub struct Fired {
    /// What the caller is answered, or how the run failed.
    pub outcome: Result<Answer, ServiceError>,
    /// Whether it is the answer to an earlier request of the same idempotency key.
    pub replayed: bool,
}

impl Fired {
    /// The end of a run that was made for this very request.
    pub(super) fn first(outcome: Result<Answer, ServiceError>) -> Self {
        Self { outcome, replayed: false }
    }
}

impl Admitted {
    /// The caller's key.
    pub fn key(&self) -> &Arc<ApiKey> {
        &self.key
    }

    /// The flow that its trigger belongs to.
    pub fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// Where the key stands with its limits, if it has some.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// The largest body this trigger takes, in bytes.
    pub fn max_body(&self, service: &Service) -> u64 {
        let limit = self.settings.max_body.unwrap_or(service.settings().max_body);
        match self.settings.respond {
            Respond::Sync => limit,
            Respond::Async => limit.min(MAX_QUEUED_BODY),
        }
    }
}

impl Door<'_> {
    /// Decides whether a request may fire its trigger, but for its key's limits.
    pub fn admit(&self, call: &Call<'_>) -> Result<Admitted, ServiceError> {
        let key = self.authenticate(call.presented)?;
        call.seen.key(&key);
        // First, so that a key that was carried off tells nothing more elsewhere.
        check_network(&key, call.address)?;
        let Addressed { trigger, flow, settings, params, beside } = self.addressed(call, &key)?;
        call.seen.flow(&flow.id);
        if let Some(cors) = &settings.cors {
            // What is decided again when something changed is told as it was at first.
            let _ = call.crossing.set(cors.clone());
        }
        check_place(settings, call.presented)?;
        if !settings.methods.contains(call.method) && !challenge::subscribes(settings, call) {
            return Err(method_not_allowed(settings, &beside));
        }
        self.check_profile(&key, call.profile)?;
        let app = self.app(call.target, &key);
        key.permits(if app.is_some() { Scope::AppsExecute } else { Scope::FlowsExecute })?;
        if !key.covers(&flow.id) {
            return Err(Denial::Flow { key: key.name.clone() }.into());
        }
        if !settings.keys.accepts(&key.id) {
            return Err(Denial::Trigger { key: key.name.clone() }.into());
        }
        check_origin(settings, call.origin)?;
        let publication = flow.published.get(&key.environment).ok_or_else(|| match app {
            // Where its flow is not published, there is no app.
            Some(_) => ServiceError::NotFound { what: "App" },
            None => Denial::NotPublished { flow: flow.name.clone(), environment: key.environment.clone() }.into(),
        })?;
        Ok(Admitted {
            catalog: self.catalog.clone(),
            standing: None,
            flow: flow.clone(),
            trigger: trigger.clone(),
            settings: settings.clone(),
            publication: publication.clone(),
            params,
            app: app.cloned(),
            key,
        })
    }

    /// What a request addresses. Another group's things look like things that do not exist.
    fn addressed(&self, call: &Call<'_>, key: &ApiKey) -> Result<Addressed<'_>, ServiceError> {
        let not_found = || ServiceError::NotFound { what: "Trigger" };
        match call.target {
            Target::Hook(routing_key) => {
                let trigger = routing_key.as_ref().and_then(|routing_key| self.catalog.route(routing_key));
                let trigger = trigger.filter(|trigger| trigger.group == key.group).ok_or_else(not_found)?;
                self.behind(trigger, Vec::new(), Vec::new())
            }
            Target::Execute(id) => {
                let flow = id.as_ref().and_then(|id| self.catalog.flows.get(id));
                let flow = flow.filter(|flow| flow.group == key.group).ok_or_else(not_found)?;
                let (params, beside) = (Vec::new(), Vec::new());
                Ok(Addressed { trigger: &flow.execute.id, flow, settings: &flow.execute.settings, params, beside })
            }
            Target::Path { group, path, holds_key } => {
                let group = group.as_ref().filter(|group| **group == key.group).ok_or_else(not_found)?;
                let found = self.catalog.paths.at(group, &key.environment, path).ok_or_else(not_found)?;
                if *holds_key {
                    return Err(AuthError::WrongPlace.into());
                }
                let taking = found.here.iter().find(|(_, trigger)| trigger.settings.methods.contains(call.method));
                let (template, trigger) = taking.or(found.here.first()).ok_or_else(not_found)?;
                let params = template.params().map(str::to_owned).zip(found.values).collect();
                self.behind(trigger, params, found.here.iter().map(|(_, trigger)| trigger).collect())
            }
            Target::App(_) => {
                let not_found = || ServiceError::NotFound { what: "App" };
                let app = self.app(call.target, key).ok_or_else(not_found)?;
                let flow = self.catalog.flows.get(&app.flow).ok_or_else(not_found)?;
                let (params, beside) = (Vec::new(), Vec::new());
                Ok(Addressed { trigger: &app.trigger, flow, settings: &app.settings, params, beside })
            }
            Target::Nothing => Err(ServiceError::NotFound { what: "Page" }),
        }
    }

    fn behind<'a>(
        &'a self,
        trigger: &'a Arc<Trigger>,
        params: Vec<(String, String)>,
        beside: Vec<&'a Arc<Trigger>>,
    ) -> Result<Addressed<'a>, ServiceError> {
        let flow = self.catalog.flows.get(&trigger.flow).ok_or(ServiceError::NotFound { what: "Trigger" })?;
        Ok(Addressed { trigger: &trigger.id, flow, settings: &trigger.settings, params, beside })
    }

    /// The app of the key's group that a request addresses.
    fn app(&self, target: &Target, key: &ApiKey) -> Option<&Arc<PublishedApp>> {
        let Target::App(slug) = target else { return None };
        slug.as_ref().and_then(|slug| self.catalog.app(&key.group, slug))
    }

    /// The environment that a request names must be the key's. Some groups want it named outside production.
    fn check_profile(&self, key: &ApiKey, profile: Option<&str>) -> Result<(), Denial> {
        let environment = &key.environment;
        match profile {
            // Names are in lower case, and people write `Test`.
            Some(profile) if profile.eq_ignore_ascii_case(environment.as_str()) => Ok(()),
            Some(_) => Err(Denial::Environment { key: key.name.clone(), environment: environment.clone() }),
            None if environment.is_production() => Ok(()),
            None if self.catalog.groups.get(&key.group).is_some_and(|group| group.profile_required) => {
                Err(Denial::ProfileMissing { environment: environment.clone() })
            }
            None => Ok(()),
        }
    }
}

impl Service {
    /// Decides whether a request may fire its trigger, before its body is read. It reads memory only; a request whose
    /// quota has to be reserved first waits for the store.
    pub async fn admit(&self, call: &Call<'_>) -> Result<Admitted, ServiceError> {
        let mut admitted = self.door().admit(call)?;
        admitted.standing = self.limits.charge(&admitted.key, &self.clock).await?;
        Ok(admitted)
    }

    /// Decides again when something changed while the body came in: the key may have been revoked meanwhile.
    pub fn confirm(&self, admitted: &mut Admitted, call: &Call<'_>) -> Result<(), ServiceError> {
        let door = self.door();
        if !Arc::ptr_eq(&door.catalog, &admitted.catalog) {
            *admitted = Admitted { standing: admitted.standing, ..door.admit(call)? };
        }
        Ok(())
    }

    /// Fires the trigger of an admitted request.
    pub async fn fire(self: &Arc<Self>, admitted: &Admitted, request: Request) -> Result<Fired, ServiceError> {
        let Admitted { key, flow, trigger, settings, publication, params, .. } = admitted;
        let shaken = |handshake| Ok(Fired::first(Ok(Answer::Handshake(handshake))));
        if let Some(handshake) = self.answer_subscription(admitted, &request).await? {
            return shaken(handshake);
        }
        let signed_with = match &settings.signature {
            Some(signature) => Some(self.check_signature(flow, trigger, signature, &request).await?),
            None => None,
        };
        if let Some(handshake) = challenge::answer_event(settings, &request, signed_with.as_ref()) {
            return shaken(handshake);
        }
        if let Some(app) = &admitted.app {
            check_input(app, &request.body).await?;
        }
        let firing = Firing {
            environment: key.environment.clone(),
            publication: publication.clone(),
            trigger: trigger.clone(),
            caller: Caller::Key(key.clone()),
            respond: settings.respond,
            timeout: self.settings.timeout(settings.timeout_ms),
            event: Event {
                trigger: trigger.to_string(),
                method: request.method,
                path: request.path,
                params: params.clone(),
                query: request.query,
                headers: request.headers,
                body: request.body,
            },
            flow: flow.clone(),
        };
        match &settings.idempotency {
            Some(rule) => self.fire_once(rule, key, firing).await,
            None => self.fire_now(firing).await,
        }
    }

    /// Fires a trigger, whatever came before.
    pub(super) async fn fire_now(self: &Arc<Self>, firing: Firing) -> Result<Fired, ServiceError> {
        let answer = match firing.respond {
            Respond::Sync => {
                let (run, response) = self.run_now(firing).await?;
                Answer::Response { run, response }
            }
            Respond::Async => Answer::Accepted { run: self.enqueue(firing).await? },
        };
        Ok(Fired::first(Ok(answer)))
    }
}

/// Says which methods a URL takes: its trigger's, and those of others at the same path.
fn method_not_allowed(settings: &HttpSettings, beside: &[&Arc<Trigger>]) -> ServiceError {
    let beside = beside.iter().flat_map(|trigger| &trigger.settings.methods);
    let allowed: BTreeSet<_> = settings.methods.iter().chain(beside).map(String::as_str).collect();
    ServiceError::MethodNotAllowed { allowed: Vec::from_iter(allowed).join(", ") }
}

/// Refuses the scripts of other pages than those that are named. Whoever is no browser names no origin.
fn check_origin(settings: &HttpSettings, origin: Option<&str>) -> Result<(), Denial> {
    match (&settings.cors, origin) {
        (Some(cors), Some(origin)) if !cors.allows(origin) => Err(Denial::Origin(origin.chars().take(100).collect())),
        _ => Ok(()),
    }
}

fn check_place(settings: &HttpSettings, presented: &Presented) -> Result<(), AuthError> {
    match presented.place() {
        Some(KeyPlace::Query) if !settings.key_in_query => Err(AuthError::WrongPlace),
        Some(KeyPlace::Path) if !settings.key_in_path => Err(AuthError::WrongPlace),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
