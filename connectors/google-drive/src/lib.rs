//! Google Drive: files and folders, by the public Drive API, version 3.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use google_drive::{CreateFolder, List, Upload};
//! use headgate_sdk::prelude::*;
//!
//! # fn example(pdf: Blob) -> Result<()> {
//! let drive = google_drive::Client::open("files")?;
//! let folder = drive.create_folder(CreateFolder::new("Invoices"))?;
//! drive.upload(Upload::new("2026-01.pdf", pdf).into_folder(&folder.id))?;
//! let files = drive.list(List::of_folder(&folder.id))?.files;
//! # let _ = files; Ok(())
//! # }
//! ```

mod answer;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;
use serde_json::{Value, json};

pub use types::{CreateFolder, File, Files, List, Upload};

const FOLDER: &str = "application/vnd.google-apps.folder";
/// What is answered of a file.
const FIELDS: &str = "id,name,mimeType,size,parents,webViewLink,createdTime,modifiedTime,md5Checksum";

/// The connector.
#[derive(Debug)]
pub struct GoogleDrive;

#[headgate_sdk::connector]
impl GoogleDrive {
    fn manifest() -> Manifest {
        let stand_in = "Change it only to reach a stand-in for tests.";
        let address = |name: &str, title: &str, url: &str| {
            ConfigField::new(name, title).description(stand_in).default_value(url).advanced()
        };
        Manifest::new("google-drive", "Google Drive")
            .description("Files and folders of Google Drive: upload, create folders, list.")
            .config(address("api_url", "API address", "https://www.googleapis.com/drive/v3"))
            .config(address("upload_url", "API address for contents", "https://www.googleapis.com/upload/drive/v3"))
            .config(address("consent_url", "Address of the consent page", "https://accounts.google.com"))
            .config(address("oauth_url", "Address of the token endpoint", "https://oauth2.googleapis.com"))
            .base_url("${config.api_url}")
            .base_url("${config.upload_url}")
            .auth(Auth::oauth("oauth", "Google", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Google, with your own OAuth client", oauth()))
            .verified_by(Verification::new("GET", "/about?fields=user").account("/user/emailAddress"))
    }

    /// Uploads a file. Drive allows several of the same name: a second upload makes a second file.
    #[method(
        scopes("https://www.googleapis.com/auth/drive.file", "https://www.googleapis.com/auth/drive"),
        sample = samples::file
    )]
    fn upload(input: Upload) -> Result<File> {
        let content_type = input.content_type.clone().unwrap_or_else(|| input.content.content_type());
        let mut about = json!({"name": name(&input.name)?, "mimeType": content_type});
        describe(&mut about, input.folder.as_deref(), input.description.as_deref());
        let size = input.content.size();
        let begun = http::post(files("upload_url")?)
            .query("uploadType", "resumable")
            .query("supportsAllDrives", true)
            .query("fields", FIELDS)
            .header("x-upload-content-type", content_type.as_str())
            .header("x-upload-content-length", size.to_string())
            .json(&about)
            .send()?;
        let place = begun.header("location").map(str::to_owned);
        answer::check(begun)?;
        let place =
            place.ok_or_else(|| Error::new("invalid_answer", "Google did not say where to upload the file."))?;
        let sent = http::put(place).header("content-type", content_type).blob(input.content).send();
        answer::read(sent.map_err(|error| too_large(error, size))?)
    }

    /// Makes a folder. Drive allows several of the same name: a second call makes a second folder.
    #[method(
        scopes("https://www.googleapis.com/auth/drive.file", "https://www.googleapis.com/auth/drive"),
        sample = samples::folder
    )]
    fn create_folder(input: CreateFolder) -> Result<File> {
        let mut about = json!({"name": name(&input.name)?, "mimeType": FOLDER});
        describe(&mut about, input.folder.as_deref(), input.description.as_deref());
        let request = http::post(files("api_url")?).query("supportsAllDrives", true).query("fields", FIELDS);
        answer::read(request.json(&about).send()?)
    }

    /// Lists files and folders, by folder, by name, by Drive's own query language, or all that the connection may see.
    #[method(
        idempotent,
        scopes(
            "https://www.googleapis.com/auth/drive.file",
            "https://www.googleapis.com/auth/drive.readonly",
            "https://www.googleapis.com/auth/drive"
        ),
        sample = samples::files
    )]
    fn list(input: List) -> Result<Files> {
        let mut request = http::get(files("api_url")?)
            .query("q", input.conditions())
            .query("fields", format!("nextPageToken,incompleteSearch,files({FIELDS})"))
            .query("supportsAllDrives", true)
            .query("includeItemsFromAllDrives", true);
        if let Some(size) = input.page_size {
            request = request.query("pageSize", size);
        }
        for (name, value) in [("orderBy", input.order_by), ("pageToken", input.page_token)] {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        answer::read(request.send()?)
    }
}

fn oauth() -> Oauth {
    use headgate_sdk::manifest::ClientAuthentication;

    let scope =
        |name: &str, description: &str| ScopeField::new(format!("https://www.googleapis.com/auth/{name}"), description);
    Oauth::code("${config.consent_url}/o/oauth2/v2/auth", "${config.oauth_url}/token")
        .revocation_url("${config.oauth_url}/revoke")
        .client_authentication(ClientAuthentication::Body)
        // Without both, Google gives a refresh token at the first consent only, or none at all.
        .authorization_param("access_type", "offline")
        .authorization_param("prompt", "consent")
        .scope(scope("drive.file", "Files and folders that were made through this connection"))
        .scope(scope("drive.readonly", "See all files and folders").optional())
        .scope(scope("drive", "See, change and delete all files and folders").optional())
}

/// Says of a file that the host does not send what to do. How much it sends is a setting of the server, so that only
/// the host knows; Google's own refusals are answers.
fn too_large(error: Error, size: u64) -> Error {
    if error.code != "invalid_request" {
        return error;
    }
    let message = format!(
        "The file has {size} bytes, and the server did not send it. Where that is more than its egress.max_request_body (32 MiB unless set otherwise), upload a smaller file, or have the operator raise it."
    );
    Error::new("file_too_large", message).details(json!({ "size": size }))
}

/// A name that somebody can find again.
fn name(name: &str) -> Result<&str> {
    if name.trim().is_empty() {
        return Err(Error::new("invalid_input", "Give the file or folder a name."));
    }
    Ok(name)
}

fn describe(about: &mut Value, folder: Option<&str>, description: Option<&str>) {
    if let Some(folder) = folder {
        about["parents"] = json!([folder]);
    }
    if let Some(description) = description {
        about["description"] = description.into();
    }
}

/// The URL of all files, at the address that a setting names.
fn files(setting: &str) -> Result<String> {
    let api = config(setting)
        .ok_or_else(|| Error::new("invalid_config", format!("The connection's setting {setting} is missing.")))?;
    Ok(format!("{}/files", api.trim_end_matches('/')))
}
