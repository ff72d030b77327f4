//! What the methods take and answer. JSON names are Notion's own.

use std::collections::BTreeMap;

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

/// How many hexadecimal digits an id has, besides hyphens.
const ID_DIGITS: usize = 32;

/// Which pages of a database to find.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryDatabase {
    /// The database's id: the 32 digits in its link, before `?v=`.
    pub database_id: String,
    /// A filter, such as `{"property": "Status", "status": {"equals": "Open"}}`; everything when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The order, such as `{"property": "Name", "direction": "ascending"}`; the first counts most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorts: Vec<Value>,
    /// The ids of the properties to answer; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_properties: Vec<String>,
    /// How many at most, up to 100, which is also what Notion gives when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// The page: `next_cursor` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cursor: Option<String>,
}

impl QueryDatabase {
    /// All pages of the database with this id.
    pub fn of(database_id: impl Into<String>) -> Self {
        Self { database_id: database_id.into(), ..Self::default() }
    }

    /// Only those that fit a filter.
    #[must_use]
    pub fn filter(mut self, filter: Value) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Only so many at a time.
    #[must_use]
    pub fn limit(mut self, page_size: u32) -> Self {
        self.page_size = Some(page_size);
        self
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(filter) = &self.filter {
            body["filter"] = filter.clone();
        }
        if !self.sorts.is_empty() {
            body["sorts"] = self.sorts.clone().into();
        }
        if let Some(size) = self.page_size {
            body["page_size"] = size.into();
        }
        if let Some(cursor) = &self.start_cursor {
            body["start_cursor"] = cursor.as_str().into();
        }
        body
    }
}

/// A page of pages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pages {
    /// The pages found.
    pub results: Vec<Page>,
    /// Whether there are more.
    #[serde(default)]
    pub has_more: bool,
    /// Where to go on; null on the last page.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl Pages {
    /// Pages as Notion could answer them.
    pub fn sample() -> Self {
        Self { results: vec![Page::sample()], has_more: false, next_cursor: None }
    }
}

/// Which changed pages are told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The database's id: the 32 digits in its link, before `?v=`.
    pub database_id: String,
    /// Only pages that fit this filter when they are polled, such as `{"property": "Status", "status": {"equals": "Open"}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The ids of the properties to tell; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_properties: Vec<String>,
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Its id.
    pub id: String,
    /// Where people look at it.
    #[serde(default)]
    pub url: Option<String>,
    /// When it was created (ISO 8601).
    #[serde(default)]
    pub created_time: Option<String>,
    /// When it was changed last (ISO 8601).
    #[serde(default)]
    pub last_edited_time: Option<String>,
    /// Whether it was archived.
    #[serde(default)]
    pub archived: bool,
    /// Whether it is in the bin.
    #[serde(default)]
    pub in_trash: bool,
    /// What it belongs to.
    #[serde(default)]
    pub parent: Value,
    /// Its properties by their names, each as Notion has its type.
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
}

impl Page {
    /// A page as Notion could answer it.
    pub fn sample() -> Self {
        let name = json!({"id": "title", "type": "title", "title": [{"type": "text", "plain_text": "Ada Lovelace"}]});
        let time = Some("2026-01-02T03:04:00.000Z".to_owned());
        Self {
            id: "59833787-2cf9-4fdf-8782-e53db20768a5".into(),
            url: Some("https://www.notion.so/Ada-598337872cf94fdf8782e53db20768a5".into()),
            created_time: time.clone(),
            last_edited_time: time,
            archived: false,
            in_trash: false,
            parent: json!({"type": "database_id", "database_id": "668d797c-76fa-4934-9b05-ad288df2d136"}),
            properties: [("Name".to_owned(), name), ("Age".to_owned(), json!({"type": "number", "number": 36}))].into(),
        }
    }

    /// A property of the type title or text as plain text; nothing when it is of another type or not there.
    pub fn plain_text(&self, property: &str) -> Option<String> {
        let property = self.properties.get(property)?;
        let parts = property.get("title").or_else(|| property.get("rich_text"))?.as_array()?;
        Some(parts.iter().filter_map(|part| part["plain_text"].as_str()).collect())
    }
}

/// A page to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePage {
    /// Where it belongs.
    pub parent: Parent,
    /// Its properties by their names; below a page only `title`.
    #[serde(default)]
    pub properties: BTreeMap<String, Value>,
    /// Its content, as Notion's blocks; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Value>,
    /// Its icon, such as `{"type": "emoji", "emoji": "🙂"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<Value>,
}

/// Where a page belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    /// To the database with this id.
    DatabaseId(String),
    /// Below the page with this id.
    PageId(String),
}

impl CreatePage {
    /// A page of the database with this id.
    pub fn in_database(id: impl Into<String>) -> Self {
        Self::below(Parent::DatabaseId(id.into()))
    }

    /// A page below the page with this id.
    pub fn below_page(id: impl Into<String>) -> Self {
        Self::below(Parent::PageId(id.into()))
    }

    fn below(parent: Parent) -> Self {
        Self { parent, properties: BTreeMap::new(), children: Vec::new(), icon: None }
    }

    /// Sets the property that is the title; below a page it is called `title`.
    #[must_use]
    pub fn title(self, property: impl Into<String>, text: impl Into<String>) -> Self {
        let text: String = text.into();
        self.set(property, json!({"title": [{"text": {"content": text}}]}))
    }

    /// Sets a property, as Notion has its type.
    #[must_use]
    pub fn set(mut self, property: impl Into<String>, value: Value) -> Self {
        self.properties.insert(property.into(), value);
        self
    }

    /// Adds a paragraph to its content.
    #[must_use]
    pub fn paragraph(mut self, text: impl Into<String>) -> Self {
        let text: String = text.into();
        self.children.push(json!({
            "object": "block",
            "type": "paragraph",
            "paragraph": {"rich_text": [{"type": "text", "text": {"content": text}}]}
        }));
        self
    }
}

/// Which page to get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrievePage {
    /// Its id: the 32 digits at the end of its link.
    pub page_id: String,
    /// The ids of the properties to answer; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_properties: Vec<String>,
}

impl RetrievePage {
    /// The page with this id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { page_id: id.into(), filter_properties: Vec::new() }
    }
}

/// An id, which cannot be anything else in a path.
pub(crate) fn id<'a>(field: &str, id: &'a str) -> Result<&'a str> {
    let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
    if digits == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Ok(id);
    }
    let message = format!("{field} is not an id of Notion: copy the 32 digits out of the link.");
    Err(Error::new("invalid_input", message))
}
