//! What the engine found about serving a model, as plans and records have it.

use engine::Severity;
use shared::domain::{Finding, FindingSeverity};

use crate::error::without_folders;

/// The findings of a plan or report.
pub(crate) fn of_engine(findings: &[engine::Finding]) -> Vec<Finding> {
    let finding = |finding: &engine::Finding| Finding {
        code: finding.code.to_owned(),
        severity: match finding.severity {
            Severity::Note => FindingSeverity::Note,
            Severity::Warning => FindingSeverity::Warning,
            Severity::Error => FindingSeverity::Error,
        },
        message: without_folders(&finding.message),
        remedy: finding.remedy.to_owned(),
    };
    findings.iter().map(finding).collect()
}

/// A finding in the message of an export whose record has no proof.
pub(crate) fn sentence(finding: &engine::Finding) -> String {
    let engine::Finding { code, message, remedy, .. } = finding;
    format!("{}: {remedy} ({code})", without_folders(message))
}

const SURVIVAL_NOT_MEASURED: &str = "survival_not_measured";
const PREDICTIONS_NOT_COMPARED: &str = "predictions_not_compared";

/// Whether the finding is about a comparison that is left out.
pub(crate) fn is_of_comparison(finding: &Finding) -> bool {
    [SURVIVAL_NOT_MEASURED, PREDICTIONS_NOT_COMPARED].contains(&finding.code.as_str())
}

/// Survival is not measured with the prompts of the request.
pub(crate) fn survival_not_measured(reason: &str) -> Finding {
    Finding {
        code: SURVIVAL_NOT_MEASURED.to_owned(),
        severity: FindingSeverity::Warning,
        message: format!("survival is not measured with the prompts of prompts_uri, because {reason}"),
        remedy: "give prompts with answers, which take the least time".to_owned(),
    }
}

/// The predictions of an export cannot be compared, so there are neither logits nor survival.
pub(crate) fn predictions_not_compared(reason: &str) -> Finding {
    Finding {
        code: PREDICTIONS_NOT_COMPARED.to_owned(),
        severity: FindingSeverity::Warning,
        message: format!(
            "the predictions of the export are not compared with those that it is made from: {reason}"
        ),
        remedy: "correct that to have logits and survival; the export does not need it".to_owned(),
    }
}
