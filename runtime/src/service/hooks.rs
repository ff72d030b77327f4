//! The way of a webhook: who calls, which trigger, may they, then the run.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::domain::api_key::{ApiKey, AuthError};
use crate::domain::flow::{Flow, Publication};
use crate::domain::id::{FlowId, TriggerId};
use crate::domain::permission::{Denial, Scope};
use crate::domain::trigger::{HttpSettings, Respond, RoutingKey, Signature};
use crate::service::Service;
use crate::service::access::{KeyPlace, Presented};
use crate::service::error::ServiceError;
use crate::service::executor::{Caller, Firing};
use crate::service::queue::MAX_QUEUED_BODY;
use crate::service::triggers::signature_place;
use crate::wasm::{Event, Response};

/// Which trigger a request addresses.
#[derive(Debug, Clone)]
pub enum Target {
    /// The trigger behind a routing key; `None` for a text that is none.
    Hook(Option<RoutingKey>),
    /// A flow's execute trigger; `None` for a text that is no flow id.
    Execute(Option<FlowId>),
    /// Nothing that exists.
    Nothing,
}

/// A request that may fire its trigger. What is left to do is to read its body.
pub struct Admitted {
    key: Arc<ApiKey>,
    flow: Arc<Flow>,
    trigger: TriggerId,
    settings: Arc<HttpSettings>,
    publication: Publication,
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
}

impl Admitted {
    /// The largest body this trigger takes, in bytes.
    pub fn max_body(&self, service: &Service) -> u64 {
        let limit = self.settings.max_body.unwrap_or(service.settings().max_body);
        match self.settings.respond {
            Respond::Sync => limit,
            Respond::Async => limit.min(MAX_QUEUED_BODY),
        }
    }
}

impl Service {
    /// Decides whether a request may fire its trigger, before its body is read. It reads memory only.
    ///
    /// `profile` is the value of `?_profile=`.
    pub fn admit(
        &self,
        target: &Target,
        presented: &Presented,
        method: &str,
        profile: Option<&str>,
    ) -> Result<Admitted, ServiceError> {
        let catalog = self.catalog.load();
        let key = self.authenticate(&catalog, presented)?;
        let not_found = || ServiceError::NotFound { what: "Trigger" };
        let (trigger, flow, settings) = match target {
            Target::Hook(routing_key) => {
                let trigger = routing_key.as_ref().and_then(|routing_key| catalog.route(routing_key));
                let trigger = trigger.filter(|trigger| trigger.group == key.group).ok_or_else(not_found)?;
                (&trigger.id, catalog.flows.get(&trigger.flow).ok_or_else(not_found)?, &trigger.settings)
            }
            Target::Execute(id) => {
                let flow = id.as_ref().and_then(|id| catalog.flows.get(id));
                let flow = flow.filter(|flow| flow.group == key.group).ok_or_else(not_found)?;
                (&flow.execute.id, flow, &flow.execute.settings)
            }
            Target::Nothing => return Err(ServiceError::NotFound { what: "Page" }),
        };
        check_place(settings, presented)?;
        if !settings.methods.contains(method) {
            let allowed: Vec<_> = settings.methods.iter().map(String::as_str).collect();
            return Err(ServiceError::MethodNotAllowed { allowed: allowed.join(", ") });
        }
        if profile.is_some_and(|profile| profile != key.environment.as_str()) {
            let denial = Denial::Environment { key: key.name.clone(), environment: key.environment.clone() };
            return Err(denial.into());
        }
        key.permits(Scope::FlowsExecute)?;
        if !key.covers(&flow.id) {
            return Err(Denial::Flow { key: key.name.clone() }.into());
        }
        if !settings.keys.accepts(&key.id) {
            return Err(Denial::Trigger { key: key.name.clone() }.into());
        }
        let publication = flow
            .published
            .get(&key.environment)
            .ok_or_else(|| Denial::NotPublished { flow: flow.name.clone(), environment: key.environment.clone() })?;
        let publication = publication.clone();
        Ok(Admitted { key, flow: flow.clone(), trigger: trigger.clone(), settings: settings.clone(), publication })
    }

    /// Fires the trigger of an admitted request.
    pub async fn fire(self: &Arc<Self>, admitted: Admitted, request: Request) -> Result<Answer, ServiceError> {
        let Admitted { key, flow, trigger, settings, publication } = admitted;
        if let Some(signature) = &settings.signature {
            self.check_signature(&flow, &trigger, signature, &request).await?;
        }
        let firing = Firing {
            environment: key.environment.clone(),
            publication,
            trigger: trigger.clone(),
            caller: Caller::Key(key),
            respond: settings.respond,
            timeout: self.settings.timeout(settings.timeout_ms),
            event: Event {
                trigger: trigger.to_string(),
                method: request.method,
                path: request.path,
                params: Vec::new(),
                query: request.query,
                headers: request.headers,
                body: request.body,
            },
            flow,
        };
        match firing.respond {
            Respond::Sync => {
                let (run, response) = self.run_now(firing).await?;
                Ok(Answer::Response { run, response })
            }
            Respond::Async => Ok(Answer::Accepted { run: self.enqueue(firing).await? }),
        }
    }

    async fn check_signature(
        &self,
        flow: &Flow,
        trigger: &TriggerId,
        signature: &Signature,
        request: &Request,
    ) -> Result<(), ServiceError> {
        let secret = self.vault.open_secret(signature_place(&flow.group, trigger), &signature.secret).await;
        let secret = secret.map_err(ServiceError::internal("opening a signing secret"))?;
        let name = signature.scheme.header();
        let value = request.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let valid =
            value.is_some_and(|value| signature.scheme.verify(secret.expose_secret().as_bytes(), &request.body, value));
        if valid {
            return Ok(());
        }
        Err(ServiceError::from(Denial::Signature(match value {
            None => format!("The signature is missing. This trigger wants it in the header {name}"),
            Some(_) => format!(
                "The signature in {name} does not fit the body. Check that sender and trigger have the same secret, and that nothing in between changes the body"
            ),
        })))
    }
}

fn check_place(settings: &HttpSettings, presented: &Presented) -> Result<(), AuthError> {
    match presented.place() {
        Some(KeyPlace::Query) if !settings.key_in_query => Err(AuthError::WrongPlace),
        Some(KeyPlace::Path) if !settings.key_in_path => Err(AuthError::WrongPlace),
        _ => Ok(()),
    }
}
