//! The function `create`.

use std::sync::Arc;

use shared::{
    adapters::{cloud_run::CloudRunJobs, firebase_keys, firestore::Firestore, list_service},
    config::{self, process},
    serve::{self, Fatal},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::Documents::from(&process)?));
    let context = create::Context {
        callers: firebase_keys::verifier(config::Firebase::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        launcher: Arc::new(CloudRunJobs::new(config::Launch::from(&process)?)),
        list: list_service::routes(config::Forward::from(&process)?),
    };
    serve::run(create::router(context), &process).await
}
