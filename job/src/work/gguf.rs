//! `gguf`: files for llama.cpp and Ollama, one for each quantization type.

use std::collections::BTreeMap;

use engine::{ExportedModel, Folder as _, GgufPlan, Imatrix, Model, Outcome, Output};
use shared::domain::{Destination, Stage};

use super::{
    ExportResult, ExportWork, PUSHED, PublishedGguf, proof,
    survival_text::{self, KeptShare},
};
use crate::{
    artifact_folder::{ArtifactFolder, NewArtifact},
    bucket::Bucket,
    error::JobError,
    estimate::CalibrationWork,
    maker::ObtainedArtifact,
    manifest::ManifestFile,
    plan::{
        calibration::NamedText,
        comparison::ComparedExport,
        gguf::{self, GgufInput, GgufRequest, PlannedGguf},
        gguf_types::GgufTypes,
        prompts,
    },
    progress::StageParts,
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let requests = GgufRequest::all(&work.requested);
    let input = gguf::find_input(&work.requested)?;
    let targets: Vec<_> = requests
        .iter()
        .map(|request| gguf::target(&work.requested, &input, request))
        .collect::<Result<_, _>>()?;
    let made = obtain_all(work, &input, &requests, &targets)?;
    let mut result = ExportResult {
        artifacts: Vec::new(),
        proof: made.first().and_then(|first| first.artifact.manifest.proof.clone()),
        message: message(&requests, &made) + &survival_advice(&requests, &made),
    };
    let ggufs = requests.iter().zip(&made).map(|(request, made)| PublishedGguf {
        quantization: request.types.quantization(),
        published: &made.artifact,
        name: &request.file_name,
    });
    let ggufs: Vec<_> = ggufs.collect();
    let types: Vec<_> = requests.iter().map(|request| request.types.as_str()).collect();
    let description = match work.requested.export.max_bytes {
        Some(max_bytes) => {
            format!("Converted for llama.cpp, with types by tensor for {max_bytes} bytes at the most.")
        }
        None => format!("Converted for llama.cpp as {}.", types.join(", ")),
    };
    let names: Vec<_> = requests.iter().map(|request| format!("`{}`", request.file_name)).collect();
    let proofs = names
        .iter()
        .zip(&made)
        .filter_map(|(name, made)| Some((name.as_str(), made.artifact.manifest.proof.as_ref()?)));
    let description = description + &survival_text::survival_section(&proofs.collect::<Vec<_>>());
    result.artifacts =
        work.deliver(&ggufs, input.base_model.as_ref(), input.weights.files(), &description)?;
    if work.has_destination(Destination::HfHub) {
        result.message.push_str(PUSHED);
    }
    if let Some(merge) = &input.earlier_merge {
        result.message.push_str(&format!(". {}", merge.sentence()));
    }
    Ok(result)
}

fn message(requests: &[GgufRequest], made: &[ObtainedArtifact]) -> String {
    let types = |is_reused: bool| {
        let of_kind = requests.iter().zip(made).filter(|(_, made)| made.is_reused == is_reused);
        of_kind.map(|(request, _)| request.types.as_str()).collect::<Vec<_>>().join(", ")
    };
    let has_mmproj = |(request, made): &(&GgufRequest, &ObtainedArtifact)| {
        !made.is_reused && made.artifact.manifest.files.iter().any(|file| file.name == request.mmproj_name)
    };
    let with_mmproj: Vec<_> = requests.iter().zip(made).filter(has_mmproj).collect();
    let mmproj = match with_mmproj[..] {
        [] => String::new(),
        [(request, _)] => format!(", and {} for image and audio input", request.mmproj_name),
        _ => ", each with a file mmproj-… for image and audio input".to_owned(),
    };
    let count = |types: &str| if types.contains(", ") { "files" } else { "file" };
    match (types(false), types(true)) {
        (written, reused) if reused.is_empty() => {
            format!("Wrote the {written} {}{mmproj}", count(&written))
        }
        (written, reused) if written.is_empty() => {
            format!("Reused the {reused} {} of an earlier export: its inputs are unchanged", count(&reused))
        }
        (written, reused) => {
            format!(
                "Wrote the {written} {}{mmproj}; reused the {reused} {} of an earlier export",
                count(&written),
                count(&reused)
            )
        }
    }
}

/// What the files keep of the fine-tune, if one of them keeps little, or the adapter beside its base was measured too.
fn survival_advice(requests: &[GgufRequest], made: &[ObtainedArtifact]) -> String {
    let survival = |made: &ObtainedArtifact| KeptShare::of(made.artifact.manifest.proof.as_ref()?);
    let measured: Vec<_> = requests
        .iter()
        .zip(made)
        .filter_map(|(request, made)| Some((request.types.quantization(), survival(made)?)))
        .collect();
    match measured[..] {
        [(None, survival)] => survival_text::fitted_advice(survival),
        _ => {
            let named = measured.into_iter().filter_map(|(types, survival)| Some((types?, survival)));
            survival_text::survival_advice(&named.collect::<Vec<_>>())
        }
    }
}

/// A file that is not published yet: its number among the requests, its folder, and its plan.
struct PendingGguf<'a> {
    number: usize,
    request: &'a GgufRequest,
    target: &'a ArtifactFolder,
    /// The language model's file is the first.
    files: Vec<PlannedGguf>,
}

/// The published artifacts, and new ones for those that are missing. All of these are written in as few passes over the
/// model as possible, after all of them have been planned.
fn obtain_all(
    work: &ExportWork<'_>,
    input: &GgufInput,
    requests: &[GgufRequest],
    targets: &[ArtifactFolder],
) -> Result<Vec<ObtainedArtifact>, JobError> {
    let mut obtained: BTreeMap<usize, ObtainedArtifact> = BTreeMap::new();
    for (number, target) in targets.iter().enumerate() {
        let published = target.published()?;
        obtained.extend(published.map(|artifact| (number, ObtainedArtifact { artifact, is_reused: true })));
    }
    if obtained.len() < targets.len() {
        let model = input.model()?;
        prompts::check(input.prompts.as_ref(), &model)?;
        let plan = |number: usize| {
            let (request, run) = (&requests[number], work.requested.sources.run_options());
            if let GgufTypes::Fitted(_) = request.types {
                work.progress.begin(Stage::Fetch, "Choosing types for the size", 0);
            }
            let files = request.plan(&model, input.imatrix.as_ref(), &run)?;
            Ok(PendingGguf { number, request, target: &targets[number], files })
        };
        if let Some(text) = requests.iter().find_map(|request| request.calibration(input)) {
            text.work(&model, work.context.machine)?;
        }
        let missing = (0..targets.len()).filter(|number| !obtained.contains_key(number));
        let mut pending = missing.map(plan).collect::<Result<Vec<_>, JobError>>()?;
        // two exports that need the same files claim them in the same order, so that neither waits for the other forever
        let names = pending.iter().flat_map(|pending| &pending.files);
        let names: Vec<_> = names.map(|file| file.file_name.as_str()).collect();
        work.requested.check_destination(&names)?;
        pending.sort_by(|a, b| a.target.fingerprint().cmp(b.target.fingerprint()));
        GgufMaker { work, input, model: &model, written: BTreeMap::new(), obtained: &mut obtained }
            .obtain(&pending, Vec::new())?;
    }
    Ok(obtained.into_values().collect())
}

/// The bytes of the language models' files, and of those beside them.
fn pending_bytes<'a>(pending: impl Iterator<Item = &'a PendingGguf<'a>>) -> (u64, u64) {
    let files = pending.filter_map(|pending| pending.files.split_first());
    files.fold((0, 0), |(models, beside), (model, others)| {
        (models + model.bytes(), beside + others.iter().map(PlannedGguf::bytes).sum::<u64>())
    })
}

/// Makes several artifacts: claims one after the other, and writes those that nobody else makes together.
struct GgufMaker<'a> {
    work: &'a ExportWork<'a>,
    input: &'a GgufInput,
    model: &'a Model,
    /// By their numbers, before they are published.
    written: BTreeMap<usize, NewArtifact>,
    obtained: &'a mut BTreeMap<usize, ObtainedArtifact>,
}

impl GgufMaker<'_> {
    /// Obtains `pending`, while those in `claimed` wait to be written into their folders.
    fn obtain(
        &mut self,
        pending: &[PendingGguf<'_>],
        claimed: Vec<(&PendingGguf<'_>, Bucket)>,
    ) -> Result<(), JobError> {
        let Some((first, rest)) = pending.split_first() else {
            return self.write(&claimed);
        };
        let mut claimed = Some(claimed);
        let made = self.work.obtain(first.target, |folder| {
            let mut claimed = claimed.take().unwrap_or_default();
            claimed.push((first, folder.clone()));
            self.obtain(rest, claimed)?;
            let missing = || JobError::Internal("a file of the export was not written".to_owned());
            self.written.remove(&first.number).ok_or_else(missing)
        })?;
        self.obtained.insert(first.number, made);
        match claimed {
            // somebody else made it
            Some(claimed) => self.obtain(rest, claimed),
            None => Ok(()),
        }
    }

    /// Writes files into their folders, the language models together.
    fn write(&mut self, claimed: &[(&PendingGguf<'_>, Bucket)]) -> Result<(), JobError> {
        let Self { work, model, .. } = *self;
        if claimed.is_empty() {
            return Ok(());
        }
        let (models, beside) = pending_bytes(claimed.iter().map(|(pending, _)| *pending));
        let calibration = self.calibration(claimed)?;
        let multiplied = calibration.map_or(0, |(_, calibration)| calibration.multiplied());
        let mut parts = StageParts::new(Stage::Export, multiplied + models + beside);
        let imatrix = calibration.map(|(text, calibration)| {
            work.progress.begin_part(
                parts.next(multiplied),
                format!("Computing an importance matrix from {}", text.name()),
            );
            text.measure(model, calibration, &work.run_options(model))
        });
        let computed = self.with_computed_imatrix(claimed, imatrix.transpose()?.as_ref())?;
        let language_models = claimed.iter().zip(&computed).filter_map(|((pending, folder), computed)| {
            let PlannedGguf { plan, file_name, .. } = pending.files.first()?;
            Some((computed.as_ref().unwrap_or(plan), file_name.as_str(), folder.upload()))
        });
        let mut language_models: Vec<_> = language_models.collect();
        let names: Vec<_> = language_models.iter().map(|(_, name, _)| *name).collect();
        work.progress.begin_part(parts.next(models), format!("Writing {}", names.join(", ")));
        let files = language_models.iter_mut();
        let files = files.map(|(plan, name, upload)| (*plan, *name, upload as &mut dyn Output)).collect();
        let outcomes = engine::ggufs_to_each(files, &work.run_options(model))?;
        // before the comparisons, which take an unknown time
        let beside = claimed.iter().map(|(pending, folder)| self.write_beside(pending, folder, &mut parts));
        let beside = beside.collect::<Result<Vec<_>, JobError>>()?;
        for ((((pending, folder), computed), outcome), beside) in
            claimed.iter().zip(&computed).zip(outcomes).zip(beside)
        {
            let mut new = self.finish(pending, computed.as_ref(), folder, outcome)?;
            new.files.extend(beside);
            self.written.insert(pending.number, new);
        }
        Ok(())
    }

    /// The text of the importance matrix that is computed now, if one of the files needs it.
    fn calibration(
        &self,
        claimed: &[(&PendingGguf<'_>, Bucket)],
    ) -> Result<Option<(&NamedText, CalibrationWork)>, JobError> {
        let Self { work, input, model, .. } = *self;
        let text = claimed.iter().find_map(|(pending, _)| pending.request.calibration(input));
        text.map(|text| Ok((text, text.work(model, work.context.machine)?))).transpose()
    }

    /// The plans of the language models that need the computed importance matrix.
    fn with_computed_imatrix(
        &self,
        claimed: &[(&PendingGguf<'_>, Bucket)],
        imatrix: Option<&Imatrix>,
    ) -> Result<Vec<Option<GgufPlan>>, JobError> {
        let Self { input, model, .. } = *self;
        let plan = |(pending, _): &(&PendingGguf<'_>, Bucket)| {
            let planned = pending.files.first().filter(|_| pending.request.calibration(input).is_some());
            planned
                .zip(imatrix)
                .map(|(planned, imatrix)| planned.with_imatrix(model, imatrix.clone()))
                .transpose()
        };
        claimed.iter().map(plan).collect()
    }

    /// Writes the files beside a language model's.
    fn write_beside(
        &self,
        pending: &PendingGguf<'_>,
        folder: &Bucket,
        parts: &mut StageParts,
    ) -> Result<Vec<ManifestFile>, JobError> {
        let Self { work, model, .. } = *self;
        let mut written = Vec::new();
        for file in pending.files.iter().skip(1) {
            let PlannedGguf { plan, file_name, .. } = file;
            work.progress.begin_part(parts.next(file.bytes()), format!("Writing {file_name}"));
            let outcome = engine::gguf(plan, file_name, &mut folder.upload(), &work.run_options(model))?;
            written.extend(outcome.files.into_iter().map(Into::into));
        }
        Ok(written)
    }

    /// Compares the predictions of a language model's file. `computed` is its plan with a computed importance matrix.
    fn finish(
        &self,
        pending: &PendingGguf<'_>,
        computed: Option<&GgufPlan>,
        folder: &Bucket,
        mut outcome: Outcome,
    ) -> Result<NewArtifact, JobError> {
        let Self { work, input, model, .. } = *self;
        let Some(PlannedGguf { plan, file_name, .. }) = pending.files.first() else {
            return Err(JobError::Internal("a GGUF export has no file".to_owned()));
        };
        if let Some(merge) = &input.earlier_merge {
            proof::add_finding(&mut outcome, merge.finding.clone(), folder)?;
        }
        let base_on_grid = computed.unwrap_or(plan).base_on_grid();
        let compared = ComparedExport { model, prompts: input.prompts.as_ref(), base_on_grid };
        let compared = proof::compare_predictions(work, compared, (&mut outcome, folder), || {
            let files = folder.snapshot().map_err(JobError::bucket("list", folder.location()))?;
            let file = files.open(file_name).map_err(JobError::bucket("read", file_name))?;
            Ok(ExportedModel::Gguf(vec![work.requested.sources.cache().source(file)]))
        })?;
        let proof = proof::summarize(&outcome, Some(file_name), compared);
        Ok(NewArtifact { files: outcome.files.into_iter().map(Into::into).collect(), proof })
    }
}
