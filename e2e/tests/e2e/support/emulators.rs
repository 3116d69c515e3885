//! The emulators of Firestore, Firebase Auth and Cloud Storage, through their HTTP APIs.

use std::{fs, path::Path};

use serde_json::{Value, json};
use shared::testing::emulator;

/// The project for which the Auth emulator issues tokens.
pub(crate) const PROJECT: &str = "demo-export";

/// The addresses of the emulators.
pub(crate) struct Emulators {
    pub(crate) firestore: String,
    pub(crate) auth: String,
    pub(crate) storage: String,
}

/// Unique names, so that tests can share the emulators.
pub(crate) struct Names {
    pub(crate) job_id: String,
    /// The bucket of raw models.
    pub(crate) raw: String,
    /// The bucket of downloads.
    pub(crate) files: String,
    /// The bucket of base models.
    pub(crate) bases: String,
}

impl Names {
    pub(crate) fn unique() -> Self {
        let unique = uuid::Uuid::new_v4().simple();
        Self {
            job_id: format!("job-{unique}"),
            raw: format!("models{unique}"),
            files: format!("files{unique}"),
            bases: format!("bases{unique}"),
        }
    }
}

impl Emulators {
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            firestore: emulator("FIRESTORE_EMULATOR_HOST")?,
            auth: emulator("FIREBASE_AUTH_EMULATOR_HOST")?,
            storage: emulator("STORAGE_EMULATOR_HOST")?,
        })
    }

    pub(crate) async fn create_buckets(&self, names: &Names) {
        for bucket in [&names.raw, &names.files, &names.bases] {
            let put = reqwest::Client::new().put(format!("{}/{bucket}", self.storage));
            put.send().await.unwrap().error_for_status().unwrap();
        }
    }

    /// Uploads the files of a folder.
    pub(crate) async fn upload(&self, bucket: &str, folder: &Path, to: &str) {
        let client = reqwest::Client::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let url = format!("{}/{bucket}/{to}/{}", self.storage, entry.file_name().to_str().unwrap());
            let response = client.put(url).body(fs::read(entry.path()).unwrap()).send().await.unwrap();
            response.error_for_status().unwrap();
        }
    }

    /// Creates a user. Returns the uid and an ID token.
    pub(crate) async fn sign_up(&self) -> (String, String) {
        let url = format!("http://{}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any", self.auth);
        let post = reqwest::Client::new().post(url).json(&json!({"returnSecureToken": true}));
        let user: Value = post.send().await.unwrap().json().await.unwrap();
        (user["localId"].as_str().unwrap().to_owned(), user["idToken"].as_str().unwrap().to_owned())
    }

    /// Writes a completed training job, as the Training Service does.
    pub(crate) async fn insert_training_job(&self, names: &Names, owner: &str, base_model: &str) {
        let text = |value: &str| json!({ "stringValue": value });
        let adapter = text(&format!("gs://{}/adapters", names.raw));
        let raw = json!({"mapValue": {"fields": {"adapter": adapter}}});
        let fields = json!({
            "user_id": text(owner), "status": text("completed"), "job_name": text("merged"),
            "base_model_id": text(base_model), "artifacts": {"mapValue": {"fields": {"raw": raw}}},
            "unknown_field": text("kept"),
        });
        let url = format!("{}?documentId={}", self.collection_url("training_jobs"), names.job_id);
        let post = reqwest::Client::new().post(url).bearer_auth("owner").json(&json!({ "fields": fields }));
        post.send().await.unwrap().error_for_status().unwrap();
    }

    /// All documents of a collection, as JSON text.
    pub(crate) async fn documents(&self, collection: &str) -> String {
        let get = reqwest::Client::new().get(self.collection_url(collection)).bearer_auth("owner");
        get.send().await.unwrap().text().await.unwrap()
    }

    fn collection_url(&self, collection: &str) -> String {
        let firestore = &self.firestore;
        format!("http://{firestore}/v1/projects/{PROJECT}/databases/(default)/documents/{collection}")
    }
}
