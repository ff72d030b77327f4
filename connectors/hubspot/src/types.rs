//! What the methods take and answer. JSON names are HubSpot's own.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;

/// Properties by their internal names, such as `firstname` or `hs_lead_status`.
pub type Properties = BTreeMap<String, Option<String>>;

/// A contact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Its id.
    pub id: String,
    /// The properties that were asked for, or HubSpot's choice of them.
    #[serde(default)]
    pub properties: Properties,
    /// When it was created (ISO 8601).
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was changed last (ISO 8601).
    #[serde(default)]
    pub updated_at: Option<String>,
    /// Whether it was deleted, and can still be restored.
    #[serde(default)]
    pub archived: bool,
}

impl Contact {
    /// A contact as HubSpot could answer it.
    pub fn sample() -> Self {
        let properties = [("email", "ada@example.com"), ("firstname", "Ada"), ("hs_lead_status", "NEW")];
        let time = Some("2026-01-02T03:04:05.678Z".to_owned());
        Self {
            id: "51".into(),
            properties: properties.map(|(name, value)| (name.into(), Some(value.into()))).into(),
            created_at: time.clone(),
            updated_at: time,
            archived: false,
        }
    }

    /// The value of a property, unless it is empty or was not asked for.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_deref().filter(|value| !value.is_empty())
    }
}

/// Which contact to get: by `id` or by `email`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetContact {
    /// The contact's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The contact's primary e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Which properties to answer; HubSpot's choice when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
}

impl GetContact {
    /// The contact with this id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }

    /// The contact with this primary e-mail address.
    pub fn by_email(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), ..Self::default() }
    }

    /// Asks for these properties.
    #[must_use]
    pub fn with<T: Into<String>>(mut self, properties: impl IntoIterator<Item = T>) -> Self {
        self.properties.extend(properties.into_iter().map(Into::into));
        self
    }
}

/// Which contacts to find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchContacts {
    /// A contact is found when all filters of one group fit it. At most 5 groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_groups: Vec<FilterGroup>,
    /// Words to be found in the default properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The order; HubSpot takes one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorts: Vec<Sort>,
    /// Which properties to answer; HubSpot's choice when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
    /// How many at most, up to 200; 10 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The page: `paging.next.after` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl SearchContacts {
    /// The contacts whose property has this value.
    pub fn equal(property: impl Into<String>, value: impl Into<String>) -> Self {
        let filter = Filter {
            property_name: property.into(),
            operator: Operator::Eq,
            value: Some(value.into()),
            high_value: None,
            values: Vec::new(),
        };
        Self { filter_groups: vec![FilterGroup { filters: vec![filter] }], ..Self::default() }
    }

    /// Asks for these properties.
    #[must_use]
    pub fn with<T: Into<String>>(mut self, properties: impl IntoIterator<Item = T>) -> Self {
        self.properties.extend(properties.into_iter().map(Into::into));
        self
    }

    /// Answers at most so many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// Filters that all have to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterGroup {
    /// The filters; at most 6.
    pub filters: Vec<Filter>,
}

/// A condition on one property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// The property's internal name.
    pub property_name: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The upper end, for `BETWEEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_value: Option<String>,
    /// With which, for `IN` and `NOT_IN`; text in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a property is compared.
#[expect(missing_docs, reason = "the names are HubSpot's and say what they are")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    Between,
    In,
    NotIn,
    HasProperty,
    NotHasProperty,
    ContainsToken,
    NotContainsToken,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sort {
    /// The property's internal name.
    pub property_name: String,
    /// Which end comes first.
    pub direction: Direction,
}

/// Which end of an order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Direction {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}

/// A page of found contacts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchResult {
    /// How many there are on all pages.
    pub total: u64,
    /// The contacts of this page.
    pub results: Vec<Contact>,
    /// Where to go on; left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paging: Option<Paging>,
}

impl SearchResult {
    /// A page as HubSpot could answer it.
    pub fn sample() -> Self {
        Self { total: 1, results: vec![Contact::sample()], paging: None }
    }
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paging {
    /// The next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

/// The next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// What to give as `after`.
    pub after: String,
}

/// Which new contacts are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// Which properties to tell; HubSpot's choice when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
    /// Only contacts that all of these filters fit; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// A contact to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateContact {
    /// Its properties; `email` is what tells contacts apart.
    pub properties: Properties,
}

impl CreateContact {
    /// A contact with this e-mail address.
    pub fn new(email: impl Into<String>) -> Self {
        Self::default().set("email", email)
    }

    /// Sets a property.
    #[must_use]
    pub fn set(mut self, property: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(property.into(), Some(value.into()));
        self
    }
}

/// Which contact to change, by `id` or by `email`, and what to set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateContact {
    /// The contact's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The contact's primary e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The properties to set; an empty text clears one.
    pub properties: Properties,
}

impl UpdateContact {
    /// The contact with this id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }

    /// The contact with this primary e-mail address.
    pub fn by_email(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), ..Self::default() }
    }

    /// Sets a property.
    #[must_use]
    pub fn set(mut self, property: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(property.into(), Some(value.into()));
        self
    }
}

/// How one contact is named.
pub(crate) enum Reference<'a> {
    Id(&'a str),
    Email(&'a str),
}

/// The contact that an input names: by one of both, and not by a text that would make another path of the URL.
pub(crate) fn reference<'a>(id: Option<&'a str>, email: Option<&'a str>) -> Result<Reference<'a>> {
    let names_one = |text: &str| !matches!(text, "" | "." | "..");
    match (id, email) {
        (Some(id), None) if names_one(id) => Ok(Reference::Id(id)),
        (None, Some(email)) if names_one(email) => Ok(Reference::Email(email)),
        _ => Err(Error::new("invalid_input", "Name the contact either by its id or by its email.")),
    }
}

impl Reference<'_> {
    pub(crate) fn value(&self) -> &str {
        match self {
            Self::Id(value) | Self::Email(value) => value,
        }
    }

    /// Tells HubSpot which of both it is.
    pub(crate) fn address(&self, request: http::Request) -> http::Request {
        match self {
            Self::Id(_) => request,
            Self::Email(_) => request.query("idProperty", "email"),
        }
    }
}
