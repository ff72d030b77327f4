//! Google Drive, by OAuth with the group's own client.

use headgate_tests::apps::Caller;
use headgate_tests::apps::google_drive::{Drive, FOLDER};
use serde_json::json;

#[tokio::test]
async fn uploads_makes_folders_and_lists() {
    let drive = Drive::start().await;
    let caller = Caller::start("google-drive", &drive.fake.app).await;
    caller.authorize(drive.connection("files"), &drive.fake.oauth).await;
    let content = "a,b\n".repeat(100_000);
    let file = json!({"$text": content, "content_type": "text/csv"});
    let uploaded = caller.call("upload", json!({"name": "a.csv", "content": file, "folder": FOLDER})).await.unwrap();
    assert_eq!((&uploaded["mimeType"], &uploaded["size"]), (&json!("text/csv"), &json!("400000")));
    let (about, bytes) = drive.files().remove(0);
    assert_eq!((&about["name"], bytes.as_slice()), (&json!("a.csv"), content.as_bytes()));

    let made = caller.call("create_folder", json!({"name": "2026", "folder": FOLDER})).await.unwrap();
    assert_eq!(made["mimeType"], "application/vnd.google-apps.folder");
    let listed = caller.call("list", json!({"folder": FOLDER})).await.unwrap();
    assert_eq!(listed["files"], json!([uploaded]));
    let nowhere = json!({"name": "b", "content": {"$text": "b"}, "folder": "1None"});
    assert_eq!(caller.refused("upload", nowhere).await.0, "not_found");
}
