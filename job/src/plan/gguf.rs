//! `gguf`: the model to convert, from base model and adapter, from a full fine-tune, or, if the adapter or its base model
//! is gone, from the merged model of an earlier export; and a file for each quantization type, or one of a size.

use engine::{Adapter, GgufOptions, GgufPlan, Imatrix, Model, RunOptions, title_of};
use shared::domain::{FailureCode, HubRepo, Quantization, TrainingJob, TypeCount};

use super::{
    RequestedExport,
    calibration::NamedText,
    earlier_merge::{self, EarlierMerge},
    gguf_types::GgufTypes,
    imatrix::{self, ImatrixInput},
    prompts::{self, NamedPrompts},
};
use crate::{
    artifact_folder::ArtifactFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{InputFile, InputFolder},
    inputs::{self, BaseModel, FineTune, NoFineTune},
};

/// A GGUF file that a record asks for.
pub(crate) struct GgufRequest {
    pub(crate) types: GgufTypes,
    /// `general.name` of the metadata, which other tools show.
    pub(crate) model_name: String,
    /// The GGUF file's name in `{job_id}/`.
    pub(crate) file_name: String,
    /// The name of the mmproj file (vision and audio encoders and their projectors), as llama.cpp expects it.
    pub(crate) mmproj_name: String,
}

/// One file of a GGUF export.
pub(crate) struct PlannedGguf {
    pub(crate) plan: GgufPlan,
    pub(crate) file_name: String,
    /// How many tensors have each type, if types were chosen for a size.
    pub(crate) types: Option<Vec<TypeCount>>,
    options: GgufOptions,
    /// Why the encoders are in no file.
    without_mmproj: Option<String>,
}

impl PlannedGguf {
    /// The bytes that are written.
    pub(crate) fn bytes(&self) -> u64 {
        self.plan.files(&self.file_name).iter().map(|file| file.size).sum()
    }

    /// The same file, with an importance matrix that was computed after it was planned.
    pub(crate) fn with_imatrix(&self, model: &Model, imatrix: Imatrix) -> Result<GgufPlan, JobError> {
        let plan = GgufPlan::new(model, &self.options.clone().with_imatrix(imatrix))?;
        Ok(match &self.without_mmproj {
            Some(reason) => plan.without_mmproj(reason),
            None => plan,
        })
    }
}

impl GgufRequest {
    /// One for each file.
    pub(crate) fn all(requested: &RequestedExport<'_>) -> Vec<Self> {
        let one = |types| Self::new(types, requested.training_job);
        GgufTypes::all(requested).into_iter().map(one).collect()
    }

    fn new(types: GgufTypes, job: &TrainingJob) -> Self {
        let file_name = gguf_file_name(types);
        let mmproj_name = format!("mmproj-{file_name}");
        Self { types, model_name: model_name(job), file_name, mmproj_name }
    }

    /// Plans the language model's file, which is the first, and for a multimodal model its mmproj file.
    pub(crate) fn plan(
        &self,
        model: &Model,
        imatrix: Option<&ImatrixInput>,
        run: &RunOptions<'_>,
    ) -> Result<Vec<PlannedGguf>, JobError> {
        let options = GgufOptions::new(self.types.output_type()?, &self.model_name);
        let options = match imatrix.filter(|_| self.types.uses_imatrix()) {
            Some(imatrix) => options.with_imatrix(imatrix.planned()),
            None => options,
        };
        let language_model = |options: GgufOptions, without_mmproj: Option<String>| {
            let (options, types) = self.types.choose(model, options, run)?;
            let plan = GgufPlan::new(model, &options)?;
            let plan = match &without_mmproj {
                Some(reason) => plan.without_mmproj(reason),
                None => plan,
            };
            Ok::<_, JobError>(PlannedGguf {
                plan,
                file_name: self.file_name.clone(),
                types,
                options,
                without_mmproj,
            })
        };
        Ok(match plan_mmproj(model, &options)? {
            Mmproj::Planned(mmproj) => {
                let mmproj = PlannedGguf {
                    plan: *mmproj,
                    file_name: self.mmproj_name.clone(),
                    types: None,
                    options: options.clone(),
                    without_mmproj: None,
                };
                vec![language_model(options.with_separate_mmproj(), None)?, mmproj]
            }
            Mmproj::NoEncoders => vec![language_model(options, None)?],
            Mmproj::NotConvertible(reason) => vec![language_model(options, Some(reason))?],
        })
    }

    /// The text that an importance matrix for this file is computed from.
    pub(crate) fn calibration<'a>(&self, input: &'a GgufInput) -> Option<&'a NamedText> {
        input.imatrix.as_ref().filter(|_| self.types.uses_imatrix())?.text()
    }
}

enum Mmproj {
    /// The model is text-only.
    NoEncoders,
    Planned(Box<GgufPlan>),
    /// The language model is usable without its encoders.
    NotConvertible(String),
}

fn plan_mmproj(model: &Model, options: &GgufOptions) -> Result<Mmproj, JobError> {
    if !model.has_encoders()? {
        return Ok(Mmproj::NoEncoders);
    }
    match GgufPlan::mmproj(model, options).map_err(JobError::from) {
        Ok(plan) => Ok(Mmproj::Planned(Box::new(plan))),
        Err(error) if matches!(error.code(), FailureCode::InvalidInput | FailureCode::NotFound) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no mmproj file is written");
            Ok(Mmproj::NotConvertible(error.message()))
        }
        Err(error) => Err(error),
    }
}

fn gguf_file_name(types: GgufTypes) -> String {
    if types == GgufTypes::Named(Quantization::DEFAULT) {
        "model.gguf".to_owned()
    } else {
        format!("model-{}.gguf", types.as_str())
    }
}

/// The training job's name, else the base model's, in the form of a title.
pub(super) fn model_name(job: &TrainingJob) -> String {
    let base_model = || job.base_model_id.as_deref().and_then(|id| id.rsplit('/').next());
    let name = job.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    title_of(name.or_else(base_model).unwrap_or(job.id.as_str()))
}

/// Where the file is published.
pub(crate) fn target(
    requested: &RequestedExport<'_>,
    input: &GgufInput,
    request: &GgufRequest,
) -> Result<ArtifactFolder, JobError> {
    let artifact = format!("gguf {}", request.types.as_str());
    Ok(ArtifactFolder::new(requested.download_folder()?, artifact, input.fingerprint(request)))
}

/// The model to convert.
pub(crate) struct GgufInput {
    pub(crate) weights: ModelWeights,
    /// The fingerprint of its files.
    files: Fingerprint,
    pub(crate) base_model: Option<HubRepo>,
    pub(crate) imatrix: Option<ImatrixInput>,
    pub(crate) prompts: Option<NamedPrompts>,
    /// If the model is the merged model of an earlier export.
    pub(crate) earlier_merge: Option<EarlierMerge>,
}

pub(crate) enum ModelWeights {
    /// A full model.
    FullModel(InputFolder),
    /// A base model and an adapter. Preferred to a merged model of an earlier export: a GGUF file has the tensor order
    /// of its input, and the same export must give the same bytes.
    BaseAndAdapter(InputFolder, Adapter),
}

impl ModelWeights {
    /// The files of the full model or the base model.
    pub(crate) fn files(&self) -> &[InputFile] {
        match self {
            Self::FullModel(input) | Self::BaseAndAdapter(input, _) => &input.files,
        }
    }
}

impl GgufInput {
    fn full_model(requested: &RequestedExport<'_>, input: InputFolder) -> Self {
        let files = Fingerprint::of("gguf").folder("model", &input.model_files());
        let base_model = requested.training_job.base_model_id.as_deref().and_then(|name| name.parse().ok());
        Self {
            weights: ModelWeights::FullModel(input),
            files,
            base_model,
            imatrix: None,
            prompts: None,
            earlier_merge: None,
        }
    }

    fn merged_model(requested: &RequestedExport<'_>, input: InputFolder, merge: EarlierMerge) -> Self {
        tracing::warn!(
            reason = &merge.cause as &dyn std::error::Error,
            from = input.location(),
            "using the merged model of an earlier export"
        );
        let model = Self::full_model(requested, input);
        // the report has the finding
        let files =
            model.files.option("finding", merge.finding.code).option("finding", &merge.finding.message);
        Self { files, earlier_merge: Some(merge), ..model }
    }

    pub(crate) fn model(&self) -> Result<Model, JobError> {
        Ok(match &self.weights {
            ModelWeights::FullModel(input) => Model::new(&input.checkpoint()?),
            ModelWeights::BaseAndAdapter(base, adapter) => Model::with_adapter(&base.checkpoint()?, adapter)?,
        })
    }

    fn fingerprint(&self, request: &GgufRequest) -> String {
        let files = prompts::fingerprint(self.files.clone(), self.prompts.as_ref());
        let options = request.types.fingerprint(files).option("name", &request.model_name);
        match self.imatrix.as_ref().filter(|_| request.types.uses_imatrix()) {
            Some(imatrix) => imatrix.fingerprint(options).finish(),
            None => options.finish(),
        }
    }
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<GgufInput, JobError> {
    let (imatrix, mut input) = (imatrix::find(requested)?, find_model(requested)?);
    if matches!(input.weights, ModelWeights::FullModel(_)) && requested.export.prompts_uri.is_some() {
        if let Some(merge) = input.earlier_merge.take() {
            return Err(merge.refuse_prompts());
        }
        prompts::refuse_for_full_model(requested)?;
    }
    let prompts = prompts::find(requested)?;
    Ok(GgufInput { imatrix, prompts, ..input })
}

fn find_model(requested: &RequestedExport<'_>) -> Result<GgufInput, JobError> {
    let (adapter, input) = match inputs::find_fine_tune(&requested.sources, requested.training_job)? {
        Ok(FineTune::Adapter(adapter, input)) => (adapter, input),
        Ok(FineTune::FullModel(input)) => return Ok(GgufInput::full_model(requested, input)),
        Err(NoFineTune(error)) => {
            let (merged, earlier_merge) = earlier_merge::without_adapter(requested, error)?;
            return Ok(GgufInput::merged_model(requested, merged, earlier_merge));
        }
    };
    let BaseModel { name, input: base } =
        match inputs::base_model(&requested.sources, requested.training_job, &adapter) {
            Ok(base) => base,
            // of which revision an earlier merge was made is not known
            Err(error) if adapter.config().revision.is_some() || error.is_stopped() => return Err(error),
            Err(error) => {
                let (merged, earlier_merge) =
                    earlier_merge::without_base(requested, (&adapter, &input), error)?;
                return Ok(GgufInput::merged_model(requested, merged, earlier_merge));
            }
        };
    let files =
        Fingerprint::of("gguf").folder("adapter", &input.model_files()).folder("base", &base.model_files());
    Ok(GgufInput {
        weights: ModelWeights::BaseAndAdapter(base, adapter),
        files,
        base_model: Some(name),
        imatrix: None,
        prompts: None,
        earlier_merge: None,
    })
}
