//! What is known of an export while it is planned.

use engine::{PlannedFile, report::ExportWarning};
use shared::domain::{
    AdapterSummary, BaseSummary, ExpectedFile, Finding, FindingSeverity, PlanWarning, TypeCount,
};

use super::summaries::{base_of, summary};
use crate::{
    artifact_folder::PublishedArtifact,
    error::{JobError, without_folders},
    estimate::WorkAmount,
    findings,
    machine::JobMachine,
    plan::{
        comparison::{ComparedExport, PlannedComparison},
        gguf::{GgufInput, ModelWeights},
    },
};

/// What is known of an export before the Hub is asked.
#[derive(Default)]
pub(super) struct PlanDraft {
    /// The files for download.
    pub(super) downloads: Vec<ExpectedFile>,
    /// The files of the repository.
    pub(super) pushed: Vec<ExpectedFile>,
    pub(super) work: WorkAmount,
    pub(super) parameters: Option<u64>,
    /// Of tensors, if they are chosen for a size.
    pub(super) types: Option<Vec<TypeCount>>,
    pub(super) adapter: Option<AdapterSummary>,
    pub(super) base: Option<BaseSummary>,
    pub(super) is_reused: bool,
    pub(super) warnings: Vec<PlanWarning>,
}

impl PlanDraft {
    pub(super) fn warn(&mut self, code: &str, message: impl Into<String>) {
        let (code, message) = (code.to_owned(), without_folders(&message.into()));
        self.add(PlanWarning { code, message, severity: FindingSeverity::Warning, remedy: None });
    }

    fn add(&mut self, warning: PlanWarning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Adds what programs that serve the model will meet, but for notes.
    pub(super) fn find(&mut self, findings: &[engine::Finding]) {
        let findings = findings::of_engine(findings).into_iter();
        findings
            .filter(|finding| finding.severity > FindingSeverity::Note)
            .for_each(|one| self.add_finding(one));
    }

    fn add_finding(&mut self, finding: Finding) {
        let Finding { code, severity, message, remedy } = finding;
        self.add(PlanWarning { code, message, severity, remedy: Some(remedy) });
    }

    /// The types that are chosen for a size, and the work of it.
    pub(super) fn choose(&mut self, types: Option<Vec<TypeCount>>) {
        if let Some(types) = types {
            self.work.fit(types.iter().map(|count| u64::from(count.tensors)).sum());
            self.types = Some(types);
        }
    }

    /// The comparison of the predictions of an export of `exported` bytes.
    pub(super) fn compare(
        &mut self,
        export: &ComparedExport<'_>,
        exported: u64,
        machine: JobMachine,
    ) -> Result<(), JobError> {
        let planned = PlannedComparison::new(export, exported, machine)?;
        if let Some(finding) = planned.finding(export.prompts) {
            self.add_finding(finding);
        }
        if let PlannedComparison::Made { work, .. } = planned {
            self.work.compare(&work, machine);
        }
        Ok(())
    }

    /// What was left out of the comparison of an artifact that is reused.
    pub(super) fn reuse_comparison(&mut self, artifact: &PublishedArtifact) {
        let findings = artifact.manifest.proof.iter().flat_map(|proof| &proof.findings);
        let left_out = findings.filter(|finding| findings::is_of_comparison(finding));
        left_out.for_each(|finding| self.add_finding(finding.clone()));
    }

    pub(super) fn warn_of(&mut self, warnings: &[ExportWarning]) {
        warnings.iter().for_each(|warning| self.warn(warning.code, warning.message.as_str()));
    }

    /// What a GGUF file is made of.
    pub(super) fn describe(&mut self, input: &GgufInput) {
        match &input.weights {
            ModelWeights::BaseAndAdapter(base, adapter) => {
                self.adapter = Some(summary(adapter));
                self.base = input.base_model.as_ref().map(|name| base_of(name.as_str(), base));
            }
            ModelWeights::FullModel(_) => {
                let findings = input.earlier_merge.as_ref().map(|merge| merge.finding.clone());
                self.find(findings.as_slice());
            }
        }
    }
}

pub(super) fn total<'a>(files: impl IntoIterator<Item = &'a ExpectedFile>) -> u64 {
    files.into_iter().filter_map(|file| file.bytes).sum()
}

pub(super) fn sizes(files: &[ExpectedFile]) -> Vec<(&str, u64)> {
    files.iter().map(|file| (file.name.as_str(), file.bytes.unwrap_or_default())).collect()
}

pub(super) fn expected(name: impl Into<String>, bytes: u64) -> ExpectedFile {
    ExpectedFile { name: name.into(), bytes: Some(bytes) }
}

pub(super) fn expected_file(file: PlannedFile) -> ExpectedFile {
    expected(file.name, file.size)
}

pub(super) fn report(name: &str) -> ExpectedFile {
    ExpectedFile { name: name.to_owned(), bytes: None }
}
