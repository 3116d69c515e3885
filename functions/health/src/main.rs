//! The binary of the function `health`.

use shared::{
    config,
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&config::process)?;
    serve::run(health::router(), &config::process).await
}
