//! How the predictions of an export are compared with those of the models that it is made of.

use engine::{Model, PromptSet, SurvivalCost};

use super::prompts::NamedPrompts;
use crate::{error::JobError, estimate::ComparedWork, machine::JobMachine};

/// A comparison, or the reason why there is none.
pub(crate) enum PlannedComparison {
    Made { prompts: PromptSet, work: ComparedWork },
    LeftOut(String),
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
            return Ok(match engine::check_comparable(model) {
                Ok(()) => Self::within_limit(PromptSet::fixed(), work(SurvivalCost::default()), machine),
                Err(error) => Self::LeftOut(error.to_string()),
            });
        };
        let with = |set: PromptSet| {
            let cost = engine::survival_cost(model, &set)?;
            Ok::<_, JobError>(Self::within_limit(set, work(cost), machine))
        };
        match with(set.clone())? {
            Self::LeftOut(_) => with(set.clone().without_samples()),
            made @ Self::Made { .. } => Ok(made),
        }
    }

    fn within_limit(prompts: PromptSet, work: ComparedWork, machine: JobMachine) -> Self {
        let (time, limit) = (work.time(machine), machine.verify_logits);
        match time <= limit && !limit.is_zero() {
            true => Self::Made { prompts, work },
            false => Self::LeftOut(format!(
                "it would take {} s, and may take {} s",
                time.as_secs(),
                limit.as_secs()
            )),
        }
    }
}
