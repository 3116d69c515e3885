//! How the predictions of an export are compared with those of the models that it is made of.

use engine::{GgufPlan, Model, PromptSet, SurvivalCost};
use shared::domain::Finding;

use super::prompts::{self, NamedPrompts};
use crate::{error::JobError, estimate::ComparedWork, findings, machine::JobMachine};

/// An export whose predictions are compared.
pub(crate) struct ComparedExport<'a> {
    pub(crate) model: &'a Model,
    /// The prompts of the request.
    pub(crate) prompts: Option<&'a NamedPrompts>,
    /// The plan of the base alone, where the adapter moves weights off a grid of Q4_0: the base in that file with the adapter beside
    /// it is measured too.
    pub(crate) base_on_grid: Option<GgufPlan>,
}

/// A comparison, or the reason why there is none.
pub(crate) enum PlannedComparison {
    Made {
        prompts: PromptSet,
        work: ComparedWork,
    },
    /// It would take longer than the deployment allows.
    TooLong(String),
    /// The predictions of the model cannot be computed.
    NotPossible(String),
}

impl PlannedComparison {
    /// For an export of `exported` bytes, with the prompts of the request or the fixed ones. Where it would take too long, the answers
    /// that are shown are left out, then the adapter beside its base.
    ///
    /// # Errors
    /// When survival of the model cannot be measured with the prompts of the request.
    pub(crate) fn new(
        export: &ComparedExport<'_>,
        exported: u64,
        machine: JobMachine,
    ) -> Result<Self, JobError> {
        let ComparedExport { model, prompts, base_on_grid } = export;
        let with = |set: PromptSet, adapter_beside| {
            let cost = match prompts {
                Some(_) => prompts::survival_cost(model, &set)?,
                None => SurvivalCost::default(),
            };
            let work = ComparedWork { weights: model.bytes(), exported, cost, adapter_beside };
            Ok::<_, JobError>(Self::within_limit(set, work, machine))
        };
        let mut set = prompts.map_or_else(PromptSet::fixed, |prompts| prompts.set.clone());
        let mut planned = with(set.clone(), base_on_grid.is_some())?;
        if planned.is_too_long() && prompts.is_some() {
            set = set.without_samples();
            planned = with(set.clone(), base_on_grid.is_some())?;
        }
        if planned.is_too_long() && base_on_grid.is_some() {
            planned = with(set, false)?;
        }
        match (&planned, prompts) {
            (Self::Made { .. }, None) => Ok(Self::impossible(model)?.unwrap_or(planned)),
            _ => Ok(planned),
        }
    }

    fn is_too_long(&self) -> bool {
        matches!(self, Self::TooLong(_))
    }

    /// Why the predictions of the model cannot be computed, if they cannot.
    fn impossible(model: &Model) -> Result<Option<Self>, JobError> {
        match engine::check_comparable(model) {
            Ok(()) => Ok(None),
            Err(
                error @ (engine::Error::Read { .. } | engine::Error::Write { .. } | engine::Error::Cancelled),
            ) => Err(error.into()),
            Err(error) => Ok(Some(Self::NotPossible(JobError::from(error).message()))),
        }
    }

    /// What a person who asked for `prompts`, or for none, has to know of a comparison that is left out.
    pub(crate) fn finding(&self, prompts: Option<&NamedPrompts>) -> Option<Finding> {
        match self {
            Self::Made { .. } => None,
            Self::TooLong(reason) => prompts.map(|_| findings::survival_not_measured(reason)),
            Self::NotPossible(reason) => Some(findings::predictions_not_compared(reason)),
        }
    }

    fn within_limit(prompts: PromptSet, work: ComparedWork, machine: JobMachine) -> Self {
        let (time, limit) = (work.time(machine), machine.verify_logits);
        match time <= limit && !limit.is_zero() {
            true => Self::Made { prompts, work },
            false => Self::TooLong(format!(
                "it would take {} s, and may take {} s",
                time.as_secs(),
                limit.as_secs()
            )),
        }
    }
}
