//! What the methods take and answer. JSON names are Drive's own where it has one.

use headgate_sdk::prelude::*;

/// A file to be uploaded.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upload {
    /// Its name, such as `invoice.pdf`.
    pub name: String,
    /// What is in it.
    pub content: Blob,
    /// Its media type; the blob's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The id of the folder it goes into; My Drive when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What people read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Upload {
    /// A file with this name and content.
    pub fn new(name: impl Into<String>, content: Blob) -> Self {
        Self { name: name.into(), content, content_type: None, folder: None, description: None }
    }

    /// Puts it into the folder with this id.
    #[must_use]
    pub fn into_folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }
}

/// A folder to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateFolder {
    /// Its name.
    pub name: String,
    /// The id of the folder it goes into; My Drive when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What people read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl CreateFolder {
    /// A folder with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Puts it into the folder with this id.
    #[must_use]
    pub fn into_folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self
    }
}

/// Which files and folders to list. All conditions have to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    /// Those of the folder with this id; `root` is My Drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Those with exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A condition in Drive's query language, such as `mimeType = 'text/csv'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Whether those in the bin are listed, instead of those that are not.
    #[serde(default)]
    pub trashed: bool,
    /// The order, such as `modifiedTime desc` or `folder,name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// How many at most, up to 1,000; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// The page: `nextPageToken` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

impl List {
    /// What is in the folder with this id.
    pub fn of_folder(folder: impl Into<String>) -> Self {
        Self { folder: Some(folder.into()), ..Self::default() }
    }

    /// What has exactly this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The conditions in Drive's query language.
    pub(crate) fn conditions(&self) -> String {
        let mut conditions = vec![format!("trashed = {}", self.trashed)];
        conditions.extend(self.folder.iter().map(|folder| format!("{} in parents", quote(folder))));
        conditions.extend(self.name.iter().map(|name| format!("name = {}", quote(name))));
        conditions.extend(self.query.iter().map(|query| format!("({query})")));
        conditions.join(" and ")
    }
}

/// A text in Drive's query language.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A page of files and folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Those of this page.
    #[serde(default)]
    pub files: Vec<File>,
    /// Where to go on; left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// Whether Drive did not search everything.
    #[serde(default)]
    pub incomplete_search: bool,
}

/// A file or a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its media type; `application/vnd.google-apps.folder` for folders.
    pub mime_type: String,
    /// Its size in bytes, as text; Google's own documents and folders have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The ids of the folders it is in.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Where people look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_view_link: Option<String>,
    /// When it was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<String>,
    /// When it was changed last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_time: Option<String>,
    /// The MD5 of its content, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5_checksum: Option<String>,
}
