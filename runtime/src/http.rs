//! Routes and mapping only: a handler extracts, calls one use case, maps.

pub mod alerts;
pub mod api_keys;
pub mod app_registrations;
pub mod app_triggers;
pub mod audit;
pub mod auth;
pub mod client_address;
pub mod connections;
pub mod connectors;
pub mod doctor;
pub mod export;
pub mod extract;
pub mod flows;
pub mod groups;
pub mod health;
pub mod hooks;
pub mod limits;
pub mod linger;
pub mod members;
pub mod oauth;
pub mod oidc;
pub mod problem;
pub mod published_apps;
pub mod runs;
pub mod samples;
pub mod schedules;
pub mod secrets;
pub mod server;
pub mod triggers;
pub mod usage;
pub mod users;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::routing::{any, get};
use axum::{Json, Router, middleware};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Service;

/// What the handlers work with.
pub struct Api {
    /// The use cases.
    pub service: Arc<Service>,
    /// Where callers reach the server, without a trailing slash: the beginning of the URLs it shows.
    pub public_url: String,
    /// Whether the server takes work; false while it stops.
    pub ready: AtomicBool,
}

/// The state all handlers share.
pub type ApiState = Arc<Api>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headgate",
        description = "Manages groups, API keys, connectors, connections, flows, triggers and runs. Requests carry an access token from `POST /api/v1/auth/login` or an API key with the right scope: `Authorization: Bearer ...`."
    ),
    modifiers(&BearerToken),
    security(("token" = []))
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn management() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(people())
        .merge(app_routes())
        .merge(flow_routes())
        .routes(routes!(audit::list))
        .routes(routes!(audit::list_server))
        .routes(routes!(audit::verify))
        .routes(routes!(doctor::examine))
        .routes(routes!(export::export))
        .routes(routes!(export::import))
        .routes(routes!(secrets::show))
        .routes(routes!(secrets::rotate))
        .routes(routes!(usage::of_group))
        .routes(routes!(usage::of_key))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::list_server))
        .routes(routes!(alerts::acknowledge_server))
}

/// Groups, the people in them, and keys.
fn people() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::get, groups::update))
        .routes(routes!(members::list, members::add))
        .routes(routes!(members::change, members::remove))
        .routes(routes!(auth::set_up))
        .routes(routes!(auth::login))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(auth::change_password))
        .routes(routes!(auth::rotate_signing_key))
        .routes(routes!(oidc::start))
        .routes(routes!(oidc::callback))
        .routes(routes!(oidc::token))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::update, users::delete))
        .routes(routes!(users::invite))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::get, api_keys::update, api_keys::delete))
        .routes(routes!(api_keys::regenerate))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(api_keys::disable))
        .routes(routes!(api_keys::enable))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(api_keys::investigate))
}

/// Connectors, and connections to the apps behind them.
fn app_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(connectors::list, connectors::install))
        .routes(routes!(connectors::get, connectors::remove))
        .routes(routes!(connectors::list_versions))
        .routes(routes!(connectors::roll_back))
        .routes(routes!(connectors::server::list, connectors::server::install))
        .routes(routes!(connectors::server::get, connectors::server::remove))
        .routes(routes!(connectors::server::list_versions))
        .routes(routes!(connectors::server::roll_back))
        .routes(routes!(connections::list, connections::create))
        .routes(routes!(oauth::authorize))
        .routes(routes!(oauth::finish))
        .routes(routes!(app_registrations::list, app_registrations::create))
        .routes(routes!(app_registrations::get, app_registrations::update, app_registrations::delete))
        .routes(routes!(app_registrations::list_server, app_registrations::create_server))
        .routes(routes!(
            app_registrations::get_server,
            app_registrations::update_server,
            app_registrations::delete_server
        ))
        .routes(routes!(connections::get, connections::update, connections::delete))
        .routes(routes!(connections::test))
        .routes(routes!(connections::disconnect))
        .routes(routes!(connections::accept_upgrade))
}

/// Flows, what fires them, and their runs.
fn flow_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(triggers::list, triggers::create))
        .routes(routes!(triggers::get, triggers::update, triggers::delete))
        .routes(routes!(triggers::renew_routing_key))
        .routes(routes!(published_apps::list, published_apps::create))
        .routes(routes!(published_apps::get, published_apps::update, published_apps::delete))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::get, schedules::update, schedules::delete))
        .routes(routes!(schedules::fire))
        .routes(routes!(app_triggers::list, app_triggers::create))
        .routes(routes!(app_triggers::get, app_triggers::update, app_triggers::delete))
        .routes(routes!(app_triggers::poll))
        .routes(routes!(runs::run_once))
        .routes(routes!(samples::list))
        .routes(routes!(samples::save, samples::delete))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get))
        .routes(routes!(flows::list, flows::create))
        .routes(routes!(flows::get, flows::update, flows::delete))
        .routes(routes!(flows::versions::list_versions, flows::versions::push_version))
        .routes(routes!(flows::versions::get_version))
        .routes(routes!(flows::versions::compare_versions))
        .routes(routes!(flows::publications::publish))
        .routes(routes!(flows::publications::promote))
        .routes(routes!(flows::publications::roll_back))
        .routes(routes!(flows::publications::unpublish))
        .routes(routes!(flows::publications::list_publications))
        .routes(routes!(flows::bind_slot))
}

/// The description of the management API (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    management().into_openapi()
}

/// All routes. Whatever is neither management nor health is a webhook, known or not.
///
/// Only the health pages, the description of the API, which is the same on every server, and what brings a session
/// (below `/api/v1/auth`) are open to everybody; so is the page to which apps send browsers back (`/oauth/callback`).
pub fn router(api: ApiState) -> Router {
    let (management, document) = management().split_for_parts();
    let document = Arc::new(document);
    Router::new()
        .merge(management.layer(middleware::from_fn(limits::tell)))
        .route("/api/v1/openapi.json", get(move || async move { Json((*document).clone()) }))
        .route("/api/v1", any(extract::unknown_operation))
        .route("/api/v1/{*rest}", any(extract::unknown_operation))
        .route("/oauth/callback", get(oauth::callback))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(hooks::receive)
        .method_not_allowed_fallback(extract::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(api.clone(), usage::count))
        .with_state(api)
}
