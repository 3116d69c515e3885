//! What the engine found about serving a model, as plans and records have it.

use engine::Severity;
use shared::domain::{Finding, FindingSeverity};

/// The findings of a plan or report.
pub(crate) fn of_engine(findings: &[engine::Finding]) -> Vec<Finding> {
    let finding = |finding: &engine::Finding| Finding {
        code: finding.code.to_owned(),
        severity: match finding.severity {
            Severity::Note => FindingSeverity::Note,
            Severity::Warning => FindingSeverity::Warning,
            Severity::Error => FindingSeverity::Error,
        },
        message: finding.message.clone(),
        remedy: finding.remedy.to_owned(),
    };
    findings.iter().map(finding).collect()
}
