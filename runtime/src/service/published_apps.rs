//! Published apps: flows offered to whoever has a key with the scope `apps:execute`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::domain::flow::Flow;
use crate::domain::id::{Environment, GroupId, Name, TriggerId};
use crate::domain::input_schema::{InputError, InputSchema};
use crate::domain::permission::Action;
use crate::domain::published_app::PublishedApp;
use crate::domain::secret::random_text;
use crate::domain::trigger::{HttpSettings, Respond};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys::given;
use crate::service::catalog::Catalog;
use crate::service::check_description;
use crate::service::error::ServiceError;
use crate::service::flows;
use crate::service::record::Record;
use crate::service::vault::random;

/// The most apps a group can have: their schemas lie in memory with the configuration.
const MAX_APPS: usize = 200;

/// The longest title, in bytes.
const LONGEST_TITLE: usize = 200;

/// The largest sample, in bytes of JSON.
const MAX_SAMPLE: usize = 8 << 10;

/// The largest input that is checked where it came in; a larger one would keep other callers waiting, and goes to a thread.
const CHECKED_AT_ONCE: usize = 16 << 10;

/// The places for checks that take long: each keeps a core of the machine busy meanwhile.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// How long a caller waits for such a place.
const CHECK_WAIT: Duration = Duration::from_secs(5);

/// An app to be made, or what is to become different about one. What is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AppChanges {
    /// Its name in the path, unique in the group. A new app needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "order-entry")]
    pub slug: Option<Name>,
    /// The flow it runs, by id or name. A new app needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "orders")]
    pub flow: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Order entry")]
    pub title: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Books an order and answers its number")]
    pub description: Option<String>,
    /// The JSON Schema of its input; `null` for any input. A new app takes what its flow says of its event when this is absent.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}))]
    pub schema: Option<Option<Value>>,
    /// An input that it takes, to begin with; `null` for none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"sku": "A-1"}))]
    pub sample: Option<Option<Value>>,
    /// How it answers: with the flow's response, as apps begin, or with 202 and the run's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// How long a synchronous caller waits at most, in milliseconds; `null` for the server's default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 10_000)]
    pub timeout_ms: Option<Option<u64>>,
    /// The largest input in bytes; `null` for the server's default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 65_536)]
    pub max_body: Option<Option<u64>>,
}

/// An app with what is known of its flow.
pub struct AppState {
    /// The app.
    pub app: Arc<PublishedApp>,
    /// The flow's name.
    pub flow: Name,
    /// Where it is published, so that keys of there can run it.
    pub available: Vec<Environment>,
}

impl Service {
    /// A group's apps, by slug. A key for selected flows sees those of its flows.
    pub fn list_apps(&self, actor: &Actor, group: &GroupId) -> Result<Vec<AppState>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListApps)?;
        let apps = catalog.apps_of(group).filter(|app| actor.sees_flow(&app.flow));
        Ok(apps.filter_map(|app| state(&catalog, app)).collect())
    }

    /// One app.
    pub fn get_app(&self, actor: &Actor, group: &GroupId, slug: &Name) -> Result<AppState, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetApp)?;
        let app = catalog.app(group, slug).filter(|app| actor.sees_flow(&app.flow));
        app.and_then(|app| state(&catalog, app)).ok_or_else(not_found)
    }

    /// Offers a flow as an app.
    pub async fn create_app(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        mut wanted: AppChanges,
    ) -> Result<AppState, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::CreateApp)?;
        let (Some(slug), Some(flow)) = (wanted.slug.take(), wanted.flow.take()) else {
            let message = "Name the app's slug, such as order-entry, and the flow it runs";
            return Err(ServiceError::Invalid(message.to_owned()));
        };
        let flow = self.flow_for(actor, group, &flow, Action::CreateApp)?;
        if wanted.schema.is_none() {
            wanted.schema = Some(self.described_event(&flow).await?);
        }
        let mut app = PublishedApp {
            group: group.clone(),
            flow: flow.id.clone(),
            trigger: TriggerId::from_random(&random_text(20, random))?,
            title: slug.to_string(),
            slug,
            description: String::new(),
            schema: None,
            sample: None,
            settings: Arc::new(HttpSettings::initial()),
            created: self.now(),
        };
        self.change_app(&mut app, wanted)?;
        let mut edit = self.edit(actor, group, Action::CreateApp).await?;
        check_free(edit.catalog(), group, &app.slug)?;
        if edit.catalog().apps_of(group).count() >= MAX_APPS {
            let message = format!("The group has {MAX_APPS} apps, and no more are possible. Delete one first");
            return Err(ServiceError::Conflict(message));
        }
        // The flow may have gone meanwhile.
        flows::find(edit.catalog(), group, flow.id.as_str())?;
        let app = Arc::new(app);
        edit.put(Record::PublishedApp(app.clone()));
        edit.save().await?;
        state(&self.catalog(), &app).ok_or_else(not_found)
    }

    /// Changes an app, with effect on the very next request.
    pub async fn update_app(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        slug: &Name,
        changes: AppChanges,
    ) -> Result<AppState, ServiceError> {
        let mut edit = self.edit(actor, group, Action::UpdateApp).await?;
        let before = find(edit.catalog(), actor, group, slug)?;
        let mut app = PublishedApp::clone(&before);
        if let Some(flow) = &changes.flow {
            app.flow = flows::find(edit.catalog(), group, flow)?.id.clone();
            if !actor.sees_flow(&app.flow) {
                return Err(ServiceError::NotFound { what: "Flow" });
            }
        }
        if let Some(slug) = changes.slug.clone().filter(|slug| *slug != app.slug) {
            check_free(edit.catalog(), group, &slug)?;
            app.slug = slug;
            edit.remove(&Record::PublishedApp(before));
        }
        self.change_app(&mut app, changes)?;
        let app = Arc::new(app);
        edit.put(Record::PublishedApp(app.clone()));
        edit.save().await?;
        state(&self.catalog(), &app).ok_or_else(not_found)
    }

    /// Offers a flow no longer: the app's URL answers 404 from the next request on.
    pub async fn delete_app(self: &Arc<Self>, actor: &Actor, group: &GroupId, slug: &Name) -> Result<(), ServiceError> {
        let mut edit = self.edit(actor, group, Action::DeleteApp).await?;
        let app = find(edit.catalog(), actor, group, slug)?;
        edit.remove(&Record::PublishedApp(app));
        edit.save().await
    }

    fn change_app(&self, app: &mut PublishedApp, changes: AppChanges) -> Result<(), ServiceError> {
        if let Some(title) = changes.title {
            if title.trim().is_empty() || title.len() > LONGEST_TITLE {
                let message = format!("The title must have at least one character and at most {LONGEST_TITLE} bytes");
                return Err(ServiceError::Invalid(message));
            }
            app.title = title;
        }
        if let Some(description) = changes.description {
            check_description(&description)?;
            app.description = description;
        }
        if let Some(schema) = changes.schema {
            app.schema = schema.map(InputSchema::new).transpose().map_err(ServiceError::Invalid)?;
        }
        if let Some(sample) = changes.sample {
            app.sample = sample;
        }
        check_sample(app)?;
        let mut settings = HttpSettings::clone(&app.settings);
        settings.respond = changes.respond.unwrap_or(settings.respond);
        settings.timeout_ms = changes.timeout_ms.unwrap_or(settings.timeout_ms);
        settings.max_body = changes.max_body.unwrap_or(settings.max_body);
        self.check_bounds(&settings)?;
        app.settings = Arc::new(settings);
        Ok(())
    }

    /// What a flow that is published says of its event.
    async fn described_event(&self, flow: &Flow) -> Result<Option<Value>, ServiceError> {
        let published = flow.published.get(&Environment::production()).or(flow.published.values().next());
        let Some(publication) = published else { return Ok(None) };
        let version = self.find_version(flow, publication.version)?;
        Ok(self.manifest_of(flow, &version).await?.event)
    }
}

/// Refuses an input that the app's schema does not allow. The flow gets the bytes as they came.
pub(super) async fn check_input(app: &Arc<PublishedApp>, body: &Bytes) -> Result<(), ServiceError> {
    if app.schema.is_none() {
        return Ok(());
    }
    let looked = if body.len() <= CHECKED_AT_ONCE {
        look_at(app, body)
    } else {
        let (app, body) = (app.clone(), body.clone());
        checked(tokio::task::spawn_blocking(move || look_at(&app, &body))).await?
    };
    let errors = match looked {
        Looked::Checked(errors) => errors,
        Looked::Costly(input) => {
            let full =
                || ServiceError::Overloaded { what: "Other large inputs are being checked", retry_after: CHECK_WAIT };
            let place = timeout(CHECK_WAIT, CHECKS.acquire()).await.map_err(|_| full())?.map_err(|_| full())?;
            let app = app.clone();
            // The place is held until the check is over, also when the caller has gone.
            let checking = tokio::task::spawn_blocking(move || {
                let _held = place;
                app.schema.as_ref().and_then(|schema| schema.check(&input).err()).unwrap_or_default()
            });
            checked(checking).await?
        }
    };
    if errors.is_empty() { Ok(()) } else { Err(ServiceError::Input { errors }) }
}

async fn checked<T>(checking: JoinHandle<T>) -> Result<T, ServiceError> {
    checking.await.map_err(ServiceError::internal("checking an app's input"))
}

/// What became of an input at first sight.
enum Looked {
    /// It was checked, and this is wrong with it.
    Checked(Vec<InputError>),
    /// Its check takes long.
    Costly(Value),
}

fn look_at(app: &PublishedApp, body: &[u8]) -> Looked {
    let Some(schema) = &app.schema else { return Looked::Checked(Vec::new()) };
    match serde_json::from_slice::<Value>(body) {
        Ok(input) if schema.is_costly(&input) => Looked::Costly(input),
        Ok(input) => Looked::Checked(schema.check(&input).err().unwrap_or_default()),
        Err(error) => {
            let message = format!("the body is not JSON: {error}");
            Looked::Checked(vec![InputError { path: String::new(), message }])
        }
    }
}

fn check_sample(app: &PublishedApp) -> Result<(), ServiceError> {
    let Some(sample) = &app.sample else { return Ok(()) };
    if sample.to_string().len() > MAX_SAMPLE {
        return Err(ServiceError::Invalid(format!("The sample must have at most {MAX_SAMPLE} bytes")));
    }
    let errors = app.schema.as_ref().map_or(Ok(()), |schema| schema.check(sample));
    errors.map_err(|errors| {
        let told: Vec<_> = errors.iter().map(|error| format!("\"{}\": {}", error.path, error.message)).collect();
        let message = format!(
            "The sample does not fit the schema. Correct one of them, or leave the sample out: {}",
            told.join("; ")
        );
        ServiceError::Invalid(message)
    })
}

fn state(catalog: &Catalog, app: &Arc<PublishedApp>) -> Option<AppState> {
    let flow = catalog.flows.get(&app.flow)?;
    let available = flow.published.keys().cloned().collect();
    Some(AppState { app: app.clone(), flow: flow.name.clone(), available })
}

fn check_free(catalog: &Catalog, group: &GroupId, slug: &Name) -> Result<(), ServiceError> {
    if catalog.app(group, slug).is_some() {
        let message = format!("An app \"{slug}\" exists already. Choose another slug, or change that one");
        return Err(ServiceError::Conflict(message));
    }
    Ok(())
}

fn find(catalog: &Catalog, actor: &Actor, group: &GroupId, slug: &Name) -> Result<Arc<PublishedApp>, ServiceError> {
    let app = catalog.app(group, slug).filter(|app| actor.sees_flow(&app.flow));
    app.cloned().ok_or_else(not_found)
}

fn not_found() -> ServiceError {
    ServiceError::NotFound { what: "App" }
}
