//! The runtime of requests.

use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, FailureKind};

/// A runtime whose results other threads wait for.
pub(crate) fn start() -> Result<Runtime, Failure> {
    // a second provider is none: this one is there already
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| {
        Failure::new(FailureKind::Other, format!("the runtime of requests cannot be started: {error}"))
    })
}
