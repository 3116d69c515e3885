//! How the predictions of an export are compared with those of the models that it is made of.

use engine::{Model, PromptSet, SurvivalCost};
use shared::domain::Finding;

use super::prompts::NamedPrompts;
use crate::{error::JobError, estimate::ComparedWork, findings, machine::JobMachine};

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
    /// For an export of `exported` bytes, with the prompts of the request or the fixed ones. The answers that are shown are left out
    /// where the rest alone is within the limit of time.
    ///
    /// # Errors
    /// When survival of the model cannot be measured with the prompts of the request.
    pub(crate) fn new(
        model: &Model,
        exported: u64,
        prompts: Option<&NamedPrompts>,
        machine: JobMachine,
    ) -> Result<Self, JobError> {
        let work = |cost| ComparedWork { weights: model.bytes(), exported, cost };
        let Some(NamedPrompts { set, .. }) = prompts else {
            let fixed = Self::within_limit(PromptSet::fixed(), work(SurvivalCost::default()), machine);
            let Self::Made { .. } = fixed else { return Ok(fixed) };
            return match engine::check_comparable(model) {
                Ok(()) => Ok(fixed),
                Err(
                    error @ (engine::Error::Read { .. }
                    | engine::Error::Write { .. }
                    | engine::Error::Cancelled),
                ) => Err(error.into()),
                Err(error) => Ok(Self::NotPossible(JobError::from(error).message())),
            };
        };
        let with = |set: PromptSet| {
            let cost = engine::survival_cost(model, &set)?;
            Ok::<_, JobError>(Self::within_limit(set, work(cost), machine))
        };
        match with(set.clone())? {
            Self::TooLong(_) => with(set.clone().without_samples()),
            planned @ (Self::Made { .. } | Self::NotPossible(_)) => Ok(planned),
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
