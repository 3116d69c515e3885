//! What an export is made of, and whether the base model can be read.

use engine::Adapter;
use shared::domain::{AdapterSummary, BaseAccess, BaseSource, BaseSummary, FailureCode};

use crate::{
    error::JobError,
    input_folder::InputFolder,
    inputs::{self, BaseModel},
    plan::RequestedExport,
};

pub(super) fn summary(adapter: &Adapter) -> AdapterSummary {
    let config = adapter.config();
    AdapterSummary {
        pairs: u32::try_from(adapter.modules()).unwrap_or(u32::MAX),
        rank: config.rank,
        alpha: config.alpha,
        dora: config.dora,
        rslora: config.rslora,
    }
}

pub(super) fn base_summary(base: &BaseModel) -> BaseSummary {
    base_of(base.name.as_str(), &base.input)
}

pub(super) fn base_of(name: &str, input: &InputFolder) -> BaseSummary {
    let revision = input.folder.revision().map(str::to_owned);
    let source = if revision.is_some() { BaseSource::Hub } else { BaseSource::Bucket };
    BaseSummary { model: name.to_owned(), revision, source: Some(source), access: BaseAccess::Ok }
}

/// The base model of an adapter, which its export does not need.
pub(super) fn adapter_base(requested: &RequestedExport<'_>, adapter: &Adapter) -> Option<BaseSummary> {
    let job = requested.training_job;
    let error = match inputs::base_model(&requested.sources, job, adapter) {
        Ok(base) => return Some(base_summary(&base)),
        Err(error) => error,
    };
    tracing::info!(error = &error as &dyn std::error::Error, "the base model was not opened");
    let named = job.base_model_id.as_deref().or(adapter.config().base_model.as_deref());
    Some(BaseSummary { model: named?.to_owned(), revision: None, source: None, access: access(&error) })
}

fn access(error: &JobError) -> BaseAccess {
    if error.is_gated() {
        return BaseAccess::Gated;
    }
    match error.code() {
        FailureCode::AccessDenied => BaseAccess::Denied,
        FailureCode::NotFound => BaseAccess::Missing,
        FailureCode::InvalidInput
        | FailureCode::Interrupted
        | FailureCode::Timeout
        | FailureCode::Cancelled
        | FailureCode::Internal => BaseAccess::Unavailable,
    }
}
