//! Plans exports for the function `plan`: the inputs are found and checked as by the job, and the engine's plans say what would
//! be written.

mod draft;
mod kinds;
mod summaries;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hub_client::HubSettings;
use secrecy::SecretString;
use shared::{
    domain::{Export, Plan, TrainingJob},
    ports::{ExportPlanner, PlanError, PortError},
};
use tokio::runtime::Handle;

use crate::{
    context::Locations, error::JobError, machine::JobMachine, plan::RequestedExport,
    progress::ProgressTracker, read_cache::ReadCache, sources::InputSources,
};

/// Longest time for one response of the Hub, and for all retries of a request. Requests of the service end after 60 seconds.
const HUB_DEADLINE: Duration = Duration::from_secs(10);
const HUB_PATIENCE: Duration = Duration::from_secs(20);

/// Plans exports from headers and small files.
pub struct Planner {
    locations: Arc<Locations>,
    machine: JobMachine,
}

impl Planner {
    /// A planner of exports that read and write these locations on that machine. The Hub is waited for as long as a request
    /// may take.
    #[must_use]
    pub fn new(locations: Locations, machine: JobMachine) -> Self {
        let hub = &locations.hub;
        let hub = HubSettings {
            deadline: hub.deadline.min(HUB_DEADLINE),
            patience: hub.patience.min(HUB_PATIENCE),
            ..hub.clone()
        };
        Self { locations: Arc::new(Locations { hub, ..locations }), machine }
    }
}

/// Stops the blocking work when nobody waits for it any more.
struct StopOnDrop(Arc<ProgressTracker>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[async_trait]
impl ExportPlanner for Planner {
    async fn plan(
        &self,
        export: &Export,
        job: &TrainingJob,
        hf_token: Option<&SecretString>,
    ) -> Result<Plan, PlanError> {
        let (locations, machine) = (Arc::clone(&self.locations), self.machine);
        let (export, training_job, hf_token) = (export.clone(), job.clone(), hf_token.cloned());
        let (progress, runtime) = (Arc::new(ProgressTracker::new()), Handle::current());
        let _stop = StopOnDrop(Arc::clone(&progress));
        let planned = tokio::task::spawn_blocking(move || {
            let sources =
                InputSources::new(&locations, hf_token.as_ref(), &progress, &runtime, ReadCache::new(0));
            let (buckets, training_job) = (&locations.buckets, &training_job);
            let requested = RequestedExport { sources, buckets, export: &export, training_job };
            kinds::plan(&requested, machine)
        });
        match planned.await {
            Ok(planned) => planned.map_err(plan_error),
            Err(panic) => Err(failed(panic).into()),
        }
    }
}

/// What the caller has to resolve is a refusal. The Hub may be available again later. Anything else is a fault of the service.
fn plan_error(error: JobError) -> PlanError {
    if error.code().is_for_the_caller() {
        tracing::info!(error = &error as &dyn std::error::Error, "the export would fail");
        return PlanError::Refused { failure: error.failure(), field: error.field() };
    }
    if let Some(retry_after) = error.hub_retry_after() {
        tracing::warn!(error = &error as &dyn std::error::Error, "the Hub is not available");
        return PlanError::HubUnavailable { message: error.message(), retry_after };
    }
    failed(error).into()
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::Failed { what: "planning the export", source: source.into() }
}
