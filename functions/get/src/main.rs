//! The function `get`.

use std::sync::Arc;

use shared::{
    adapters::{download_links, firebase_keys, firestore::Firestore},
    config::{self, process},
    serve::{self, Fatal},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::Documents::from(&process)?));
    let context = get::Context {
        callers: firebase_keys::verifier(config::Firebase::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        links: download_links::links(&config::Downloads::from(&process)?),
    };
    serve::run(get::router(context), &process).await
}
