//! What the methods could answer, for flows that are only tried.

use crate::types::{File, Files};

pub(crate) fn file() -> File {
    File {
        id: "1a2B3c4D5e6F7g8H9i0J".into(),
        name: "invoice.pdf".into(),
        mime_type: "application/pdf".into(),
        size: Some("52311".into()),
        parents: vec!["0AbCdEfGhIjKl".into()],
        web_view_link: Some("https://drive.google.com/file/d/1a2B3c4D5e6F7g8H9i0J/view".into()),
        created_time: Some("2026-01-02T03:04:05.000Z".into()),
        modified_time: Some("2026-01-02T03:04:05.000Z".into()),
        md5_checksum: Some("9e107d9d372bb6826bd81d3542a419d6".into()),
    }
}

pub(crate) fn folder() -> File {
    File { name: "Invoices".into(), mime_type: crate::FOLDER.into(), size: None, md5_checksum: None, ..file() }
}

pub(crate) fn files() -> Files {
    Files { files: vec![file()], next_page_token: None, incomplete_search: false }
}
