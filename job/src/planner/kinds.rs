//! The plan of each kind of export.

use engine::ExportReport;
use shared::domain::{ArtifactKind, Destination, ExpectedFile, GgufKind, Plan, RepositorySummary};

use super::{
    draft::{PlanDraft, expected, expected_file, report, sizes, total},
    summaries::{adapter_base, base_summary, summary},
};
use crate::{
    archive::zip_size,
    error::JobError,
    hub::CARD_FILE,
    input_folder::InputFolder,
    machine::JobMachine,
    manifest::ManifestFile,
    plan::{
        RequestedExport,
        adapter::{self, AdapterInput},
        comparison::ComparedExport,
        gguf::{self, GgufRequest},
        imatrix::ImatrixInput,
        lora,
        merged::{self, MergeInput, MergedInput, PlannedMerge},
    },
};

/// Plans an export, or fails as its job would.
pub(super) fn plan(requested: &RequestedExport<'_>, machine: JobMachine) -> Result<Plan, JobError> {
    let mut draft = match requested.export.kind {
        ArtifactKind::Adapter => plan_adapter(requested)?,
        ArtifactKind::Merged => plan_merged(requested, machine)?,
        ArtifactKind::Gguf => match requested.export.gguf_kind {
            GgufKind::Model => plan_gguf(requested, machine)?,
            GgufKind::Lora => plan_lora(requested)?,
        },
    };
    let hub = destination(requested, &mut draft)?;
    let mut files = draft.downloads;
    if hub.is_some() {
        let others = draft.pushed.into_iter().filter(|file| file.name != CARD_FILE);
        let others: Vec<_> = others.filter(|file| files.iter().all(|one| one.name != file.name)).collect();
        files.extend(others);
    }
    Ok(Plan {
        files,
        bytes_read: draft.work.bytes_read,
        bytes_written: draft.work.bytes_written,
        parameters: draft.parameters,
        types: draft.types,
        adapter: draft.adapter,
        base: draft.base,
        hub,
        reused: draft.is_reused,
        estimate: draft.work.estimate(machine),
        warnings: draft.warnings,
    })
}

/// The repository that the files are pushed to, and the work of pushing them.
fn destination(
    requested: &RequestedExport<'_>,
    draft: &mut PlanDraft,
) -> Result<Option<RepositorySummary>, JobError> {
    let file = |file: &ExpectedFile| ManifestFile {
        name: file.name.clone(),
        size: file.bytes.unwrap_or_default(),
        sha256: String::new(),
    };
    let files: Vec<_> = draft.pushed.iter().map(file).collect();
    let Some(destination) = requested.push_destination(&files)? else { return Ok(None) };
    let hub = requested.sources.hub()?;
    let state = hub.destination(&destination)?;
    let bytes = total(&draft.pushed);
    draft.work.read(bytes);
    draft.work.write(bytes);
    Ok(Some(state))
}

fn plan_adapter(requested: &RequestedExport<'_>) -> Result<PlanDraft, JobError> {
    let AdapterInput { adapter, packed, published } = adapter::find_input(requested)?;
    let mut draft = PlanDraft { adapter: Some(summary(&adapter)), ..PlanDraft::default() };
    draft.base = adapter_base(requested, &adapter);
    // the values of its weights are checked
    draft.work.read(packed.size());
    if requested.has_destination(Destination::Gcs) {
        let files: Vec<_> = packed.files.iter().map(|file| (file.name.as_str(), file.size)).collect();
        let zip = expected(adapter::ZIP_FILE, zip_size(&files));
        draft.is_reused = adapter::zip_target(requested, &packed)?.published()?.is_some();
        if !draft.is_reused {
            draft.work.read(packed.size());
            draft.work.write(total([&zip]));
        }
        draft.downloads = vec![zip];
    }
    if let Some(published) = published {
        // the files are hashed before they are pushed
        draft.work.read(published.size());
        draft.pushed =
            published.plan.files().iter().map(|file| expected(file.name.as_str(), file.size)).collect();
    }
    Ok(draft)
}

fn plan_merged(requested: &RequestedExport<'_>, machine: JobMachine) -> Result<PlanDraft, JobError> {
    match merged::find_input(requested)? {
        MergedInput::BaseAndAdapter(input) => plan_merge(requested, &input, machine),
        MergedInput::FullModel(input) => plan_full_model(requested, &input),
    }
}

fn plan_merge(
    requested: &RequestedExport<'_>,
    input: &MergeInput,
    machine: JobMachine,
) -> Result<PlanDraft, JobError> {
    let MergeInput { base, adapter, prompts, target } = input;
    let PlannedMerge { model, plan } = PlannedMerge::new(&base.input, adapter)?;
    let files: Vec<_> = plan.files().into_iter().map(expected_file).collect();
    let mut draft = PlanDraft {
        parameters: Some(model.base().parameters()),
        adapter: Some(summary(adapter)),
        base: Some(base_summary(base)),
        ..PlanDraft::default()
    };
    draft.warn_of(plan.warnings());
    draft.find(plan.findings());
    let raw = target.published()?;
    if let Some(raw) = &raw {
        draft.reuse_comparison(raw);
    } else {
        draft.work.read(base.input.weights());
        draft.work.merge(base.input.weights());
        draft.work.write(total(&files));
        let compared = ComparedExport { model: &model, prompts: prompts.as_ref(), base_on_grid: None };
        draft.compare(&compared, total(&files), machine)?;
    }
    draft.is_reused = raw.is_some();
    if requested.has_destination(Destination::Gcs) {
        let zip = expected(merged::ZIP_FILE, zip_size(&sizes(&files)));
        let published = match raw.as_ref().and_then(|raw| raw.manifest.files.split_last()) {
            Some((report, files)) => merged::zip_target(requested, files, Some(report))?.published()?,
            None => None,
        };
        draft.is_reused = published.is_some();
        if published.is_none() {
            draft.work.read(total(&files));
            draft.work.write(total([&zip]));
        }
        draft.downloads = vec![zip, report(ExportReport::FILE)];
    }
    draft.pushed = files;
    draft.pushed.push(report(ExportReport::FILE));
    Ok(draft)
}

/// Whether an earlier export has packed the files is not known before they are read.
fn plan_full_model(requested: &RequestedExport<'_>, input: &InputFolder) -> Result<PlanDraft, JobError> {
    let PlannedMerge { model, plan } = PlannedMerge::own_files(input)?;
    let files: Vec<_> = plan.files().into_iter().map(expected_file).collect();
    let mut draft = PlanDraft { parameters: Some(model.base().parameters()), ..PlanDraft::default() };
    draft.warn_of(plan.warnings());
    draft.find(plan.findings());
    draft.work.read(total(&files));
    draft.work.merge(input.weights());
    if requested.has_destination(Destination::Gcs) {
        let zip = expected(merged::ZIP_FILE, zip_size(&sizes(&files)));
        draft.work.read(total(&files));
        draft.work.write(total([&zip]));
        draft.downloads = vec![zip];
    }
    draft.pushed = files;
    Ok(draft)
}

fn plan_gguf(requested: &RequestedExport<'_>, machine: JobMachine) -> Result<PlanDraft, JobError> {
    let requests = GgufRequest::all(requested);
    let input = gguf::find_input(requested)?;
    let model = input.model()?;
    let mut draft =
        PlanDraft { parameters: Some(model.base().parameters()), is_reused: true, ..PlanDraft::default() };
    draft.describe(&input);
    let weights = model.bytes();
    draft.work.read(input.imatrix.as_ref().map_or(0, ImatrixInput::size));
    let (mut passes, mut calibration) = (Vec::new(), None);
    for request in &requests {
        let published = gguf::target(requested, &input, request)?.published()?;
        published.iter().for_each(|published| draft.reuse_comparison(published));
        let is_published = published.is_some();
        draft.is_reused &= is_published;
        let run = requested.sources.run_options();
        for (number, planned) in request.plan(&model, input.imatrix.as_ref(), &run)?.into_iter().enumerate() {
            draft.warn_of(planned.plan.warnings());
            draft.find(planned.plan.findings());
            draft.choose(planned.types);
            let files: Vec<_> =
                planned.plan.files(&planned.file_name).into_iter().map(expected_file).collect();
            if !is_published {
                draft.work.write(total(&files));
                // the language model's file is the first
                if number == 0 {
                    let base_on_grid = planned.plan.base_on_grid();
                    let prompts = input.prompts.as_ref();
                    let compared = ComparedExport { model: &model, prompts, base_on_grid };
                    draft.compare(&compared, total(&files), machine)?;
                }
            }
            draft.pushed.extend(files);
            draft.pushed.push(report(&ExportReport::beside(&planned.file_name)));
        }
        if !is_published {
            calibration = calibration.or(request.calibration(&input));
            let is_converter_type = request.types.is_converter_type()?;
            draft.work.convert(weights, is_converter_type);
            if !passes.contains(&is_converter_type) {
                passes.push(is_converter_type);
            }
        }
    }
    let mut readings = passes.len() as u64;
    if let Some(text) = calibration {
        let calibration = text.work(&model, machine)?;
        readings += calibration.passes;
        draft.work.calibrate(&calibration);
    }
    draft.work.read_weights(weights, readings, machine);
    if requested.has_destination(Destination::Gcs) {
        draft.downloads.clone_from(&draft.pushed);
    }
    Ok(draft)
}

fn plan_lora(requested: &RequestedExport<'_>) -> Result<PlanDraft, JobError> {
    let input = lora::find_input(requested)?;
    let mut draft = PlanDraft {
        adapter: Some(summary(&input.adapter)),
        base: Some(base_summary(&input.base)),
        is_reused: true,
        ..PlanDraft::default()
    };
    for (file, plan) in input.files.iter().zip(input.plans()?) {
        draft.warn_of(plan.warnings());
        draft.find(plan.findings());
        let planned = expected(file.name.as_str(), plan.size());
        if file.target.published()?.is_none() {
            draft.is_reused = false;
            draft.work.read(input.adapter_size);
            draft.work.write(plan.size());
        }
        draft.pushed.push(planned);
    }
    if requested.has_destination(Destination::Gcs) {
        draft.downloads.clone_from(&draft.pushed);
    }
    Ok(draft)
}
