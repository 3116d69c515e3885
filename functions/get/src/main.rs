//! The binary of the function `get`.

use std::sync::Arc;

use shared::{
    adapters::{download_links, firebase_keys, firestore::Firestore},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?).connected_early());
    let context = get::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        links: download_links::links(&config::DownloadsConfig::from(&process)?),
    };
    serve::run(get::router(context), &process).await
}
