//! The binary of the function `create`.

use std::sync::Arc;

use shared::{
    adapters::{
        cloud_run::CloudRunJobs, firebase_keys, firestore::Firestore, identity_tokens, kms::KmsKey,
        list_service,
    },
    config::{self, process},
    ports::JobLauncher,
    serve::{self, FatalError},
    service::hub_token::SealingLauncher,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?).connected_early());
    let launcher: Arc<dyn JobLauncher> =
        CloudRunJobs::new(config::CloudRunConfig::from(&process)?).connected_to_launch();
    let launcher = match config::KmsConfig::from(&process)? {
        Some(key) => Arc::new(SealingLauncher { launcher, key: Arc::new(KmsKey::new(key)) }),
        None => launcher,
    };
    let list = config::ListServiceConfig::from(&process)?;
    let identity = identity_tokens::for_list(&list);
    let context = create::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        launcher,
        retention_days: config::RetentionConfig::from(&process)?.days,
        limits: config::caller_limits(&process)?,
        list: list_service::routes(list, identity),
    };
    serve::run(create::router(context), &process).await
}
