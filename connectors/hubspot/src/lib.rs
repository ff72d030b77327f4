//! HubSpot: contacts, by the public CRM API, version 3.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use hubspot::{GetContact, UpdateContact};
//!
//! # fn example() -> Result<()> {
//! let crm = hubspot::Client::open("crm")?;
//! let contact = crm.get_contact(GetContact::by_email("ada@example.com").with(["firstname", "hs_lead_status"]))?;
//! crm.update_contact(UpdateContact::by_id(contact.id).set("hs_lead_status", "CONNECTED"))?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod new_contact;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::polling::Window;
use headgate_sdk::prelude::*;

pub use types::{
    Contact, CreateContact, Direction, Filter, FilterGroup, GetContact, NewContact, Next, Operator, Paging, Properties,
    SearchContacts, SearchResult, Sort, UpdateContact,
};

/// The connector.
#[derive(Debug)]
pub struct Hubspot;

#[headgate_sdk::connector]
impl Hubspot {
    fn manifest() -> Manifest {
        let token = SecretField::new("token", "Access token")
            .description("HubSpot > Settings > Integrations > Private Apps > your app > Auth. It starts with pat-.");
        Manifest::new("hubspot", "HubSpot")
            .description("Contacts of HubSpot CRM: get, search, create, update; new ones run flows.")
            .config(
                ConfigField::new("api_url", "API address")
                    .description("Where HubSpot's API is; change it only to reach a stand-in for tests.")
                    .default_value("https://api.hubapi.com"),
            )
            .config(
                ConfigField::new("consent_url", "Address of the consent page")
                    .description("Change it to the one of your data centre, or to reach a stand-in for tests.")
                    .default_value("https://app.hubspot.com")
                    .advanced(),
            )
            .config(
                ConfigField::new("optional_scope", "Optional scopes")
                    .description("The scopes that the OAuth app calls optional, separated by spaces.")
                    .default_value("")
                    .advanced(),
            )
            .base_url("${config.api_url}")
            .auth(Auth::bearer("private_app", "Private app", token))
            .auth(Auth::oauth("oauth", "HubSpot", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "HubSpot, with your own app", oauth()))
            .verification("GET", "/crm/v3/objects/contacts?limit=1")
    }

    /// Gets one contact, by its id or by its e-mail address.
    #[method(idempotent, scopes("crm.objects.contacts.read"), sample = Contact::sample)]
    fn get_contact(input: GetContact) -> Result<Contact> {
        let contact = types::reference(input.id.as_deref(), input.email.as_deref())?;
        let mut request = contact.address(http::get(contacts(Some(&contact))?));
        if !input.properties.is_empty() {
            request = request.query("properties", input.properties.join(","));
        }
        answer::read(request.send()?)
    }

    /// Finds contacts by filters, by words, or both. At most 10,000 can be paged through.
    #[method(idempotent, scopes("crm.objects.contacts.read"), sample = SearchResult::sample)]
    fn search_contacts(input: SearchContacts) -> Result<SearchResult> {
        let url = contacts(None)? + "/search";
        answer::read(http::post(url).json(&input).send()?)
    }

    /// Creates a contact. Fails with `conflict` when the e-mail address is taken; its details name the existing id.
    #[method(scopes("crm.objects.contacts.write"), sample = Contact::sample)]
    fn create_contact(input: CreateContact) -> Result<Contact> {
        answer::read(http::post(contacts(None)?).json(&input).send()?)
    }

    /// Sets some properties of a contact, by its id or by its e-mail address. The others keep their values.
    #[method(idempotent, scopes("crm.objects.contacts.write"), sample = Contact::sample)]
    fn update_contact(input: UpdateContact) -> Result<Contact> {
        let contact = types::reference(input.id.as_deref(), input.email.as_deref())?;
        let request = contact.address(http::patch(contacts(Some(&contact))?));
        answer::read(request.json(&serde_json::json!({ "properties": input.properties })).send()?)
    }

    /// Tells each contact that is created, in the order of creation.
    #[trigger(scopes("crm.objects.contacts.read"), sample = Contact::sample)]
    fn new_contact(input: NewContact, cursor: Option<Window>) -> Result<Polled<Contact, Window>> {
        match cursor {
            Some(window) => new_contact::poll(&input, window),
            None => new_contact::begin(),
        }
    }
}

/// HubSpot's OAuth API of 2026-03; version 1 ends in February 2027.
fn oauth() -> Oauth {
    use headgate_sdk::manifest::{ClientAuthentication, TokenFields};

    Oauth::code("${config.consent_url}/oauth/authorize", "${config.api_url}/oauth/2026-03/token")
        .revocation_url("${config.api_url}/oauth/2026-03/token/revoke")
        .introspection_url("${config.api_url}/oauth/2026-03/token/introspect")
        .client_authentication(ClientAuthentication::Body)
        .authorization_param("optional_scope", "${config.optional_scope}")
        .token_fields(TokenFields { scope: "/scopes".into(), ..TokenFields::default() })
        // HubSpot asks for it of every app.
        .scope(ScopeField::new("oauth", "Basic access").required())
        .scope(ScopeField::new("crm.objects.contacts.read", "See contacts"))
        .scope(ScopeField::new("crm.objects.contacts.write", "Create and change contacts"))
}

/// The URL of all contacts, or of one.
fn contacts(contact: Option<&types::Reference<'_>>) -> Result<String> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    let url = format!("{}/crm/v3/objects/contacts", api.trim_end_matches('/'));
    Ok(match contact {
        Some(contact) => format!("{url}/{}", http::encode(contact.value())),
        None => url,
    })
}
