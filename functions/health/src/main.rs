//! The function `health`.

use shared::{
    config,
    serve::{self, Fatal},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    config::load_dotenv()?;
    telemetry::init(&config::process)?;
    serve::run(health::router(), &config::process).await
}
