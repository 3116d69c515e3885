//! The function `list`.

use std::sync::Arc;

use shared::{
    adapters::{firebase_keys, firestore::Firestore},
    config::{self, process},
    serve::{self, Fatal},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let context = list::Context {
        callers: firebase_keys::verifier(config::Firebase::from(&process)?),
        jobs: Arc::new(Firestore::new(config::Documents::from(&process)?)),
    };
    serve::run(list::router(context), &process).await
}
