//! The plan of a GGUF file: its tensors in order, their types, and the bytes of its headers.

use std::collections::HashMap;
use std::ops::Range;

use kernels::numerics::Dtype;
use kernels::quant::{
    ColumnImportance, ModelShape, OutputType, TensorType, TypeOverrides, TypeSelector, is_f32, layer_number,
};
use ndarray::Array2;

use super::GgufOptions;
use super::general_metadata::{naming, sampling};
use super::lora::LoraPlan;
use super::modelfile::Modelfile;
use super::planned_tensor::{PlannedTensor, PlannedTensors, TensorSummary};
use super::qat::{self, GridUse};
use super::select_tensors::TensorSelection;
use crate::check::{Finding, check_with_tokenizer};
use crate::checkpoint::ModelFiles;
use crate::error::{Error, Result};
use crate::gemma::{self, Architecture, MappedTensor, ParameterSource, TensorShapes};
use crate::gguf::header::{self, GgufTensorInfo};
use crate::gguf::split::{self, SplitLimit};
use crate::gguf::{GgufFile, GgufMetadata, split_name};
use crate::imatrix::Imatrix;
use crate::merge::Model;
use crate::plan::{ExportPlan, FileLayout, PlannedFile, check_language_model, missing_tensor};
use crate::report::{ExportKind, ExportReport, ExportWarning, ReportContext, ReportOptions};
use crate::tokenizer::Tokenizer;

/// The plan of a GGUF file, checked and measured. Nothing is written yet.
#[derive(Debug)]
pub struct GgufPlan {
    model: Model,
    options: ReportOptions,
    /// Small files that are read where base or adapter have them.
    companions: Vec<String>,
    warnings: Vec<ExportWarning>,
    findings: Vec<Finding>,
    /// Of the model that this one drafts for.
    target: Option<ModelFiles>,
    tensors: Vec<PlannedTensor>,
    headers: Vec<FileHeader>,
    modelfile: Option<Modelfile>,
    /// The options, if the adapter moves weights of the base off a grid of Q4_0.
    off_grid: Option<GgufOptions>,
    /// What the rules for types depend on.
    shape: ModelShape,
}

/// A quantized matrix of a planned file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedMatrix<'a> {
    pub(crate) name: &'a str,
    pub(crate) columns: u64,
    pub(crate) elements: u64,
    pub(crate) as_type: TensorType,
    /// The number of the model's tensor with its rows, or the first of them.
    pub(crate) tensor: usize,
    pub(crate) importance: Option<&'a ColumnImportance>,
}

impl PlannedMatrix<'_> {
    /// Bytes in a file in this type, with the padding after them.
    pub(crate) fn padded_bytes(&self, as_type: TensorType) -> u64 {
        let bytes = as_type.bytes(self.elements);
        bytes + header::padding(bytes)
    }
}

/// The bytes before the tensors of a file, and the numbers of the tensors.
#[derive(Debug)]
struct FileHeader {
    bytes: Vec<u8>,
    tensors: Range<usize>,
}

impl GgufPlan {
    /// Reads configuration and tokenizer and plans every tensor.
    ///
    /// # Errors
    /// When the family is not known, the tokenizer is missing or invalid, a tensor is missing, unknown or has the
    /// wrong shape, or the family's files cannot store an lm_head of its own.
    pub fn new(model: &Model, options: &GgufOptions) -> Result<Self> {
        let architecture = Architecture::of(model.base().config())?;
        options.check_types(model)?;
        model.check_layers()?;
        model.base().check_not_empty()?;
        architecture.family().check_expressible(model.base().config())?;
        let target = target_files(model, architecture, options)?;
        let tokenizer_files = target.as_ref().unwrap_or(model.files());
        let tokenizer = Tokenizer::open(tokenizer_files, architecture, model.embedding_rows())?;
        let own_tokenizer = Some(&tokenizer).filter(|_| target.is_none());
        let findings = check_with_tokenizer(model, architecture, own_tokenizer)?;
        let extra = architecture.family().extra_tensors(model.files())?;
        let vocabulary = tokenizer.vocabulary.tokens.len() as u64;
        let selection = TensorSelection::new(model, architecture, vocabulary, options.separate_mmproj);
        let planned = selection.select(&extra)?;
        check_complete(model, architecture, &planned)?;
        let mut tensors = planned.into_vec();
        let output = options.output_type;
        let mut metadata = GgufMetadata::new(architecture.as_str());
        metadata.set("general.type", "model");
        sampling(model.files(), &mut metadata)?;
        naming(options, &tensors, &mut metadata);
        let (files, file_type) = (model.files(), output.file_type());
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let source = ParameterSource { files, extra_tensors: &extra, tensors: &names, file_type };
        architecture.family().write_parameters(&source, &mut metadata)?;
        let shapes = TensorShapes::of_metadata(architecture.family(), &metadata, model.base().config())?;
        check_language_model(model, architecture, &shapes)?;
        metadata.set("general.quantization_version", 2_u32);
        tokenizer.set_metadata(&mut metadata);
        if let Some(mask_token) = architecture.family().target_mask_token {
            metadata.set("tokenizer.ggml.mask_token_id", mask_token(files.config())?);
        }
        if options.is_quantized() {
            metadata.move_to_end("general.quantization_version");
            metadata.move_to_end("general.file_type");
        }
        let shape = set_types(model, &metadata, options, &mut tensors)?;
        let imatrix = options.imatrix.as_deref().filter(|_| options.is_quantized());
        if let Some(imatrix) = imatrix {
            imatrix.set_metadata(&mut metadata);
            set_importances(imatrix, &mut tensors)?;
        }
        let grid = match options.uses_grid && !options.rounds_to_f16() {
            true => qat::mark_grids(model, &mut tensors)?,
            false => GridUse::default(),
        };
        let matrices: Vec<&str> = tensors.iter().filter(|t| is_matrix(t)).map(|t| t.name.as_str()).collect();
        let unmatched = ExportWarning::unmatched_tensor_types(options.types.unmatched(&matrices));
        let modelfile = Some(Modelfile::of(&metadata));
        let headers = file_headers(options.split.as_ref(), metadata, &tensors);
        // whether the adapter can be a file beside the base
        let is_lora = grid.moved > 0 && LoraPlan::is_possible(model);
        let off_grid = is_lora.then(|| options.clone());
        let options = ReportOptions {
            name: options.report_name(),
            quantization: Some(output.as_str()),
            imatrix: imatrix.map(|imatrix| imatrix.sha256().to_owned()),
            calibration: imatrix.and_then(Imatrix::calibration).cloned(),
            types: options.types.clone(),
            through: options.rounds_to_f16().then_some("f16"),
            split_max_size: options.split.as_ref().and_then(SplitLimit::max_bytes),
            qat: (grid.on_grid > 0).then_some("grid"),
        };
        let companions = companions(model)?;
        let moved = (grid.moved > 0).then(|| ExportWarning::moved_off_grid(grid.moved, is_lora));
        let warnings =
            [ExportWarning::of_language_model(model)?, unmatched, moved.into_iter().collect()].concat();
        let model = model.clone();
        Ok(Self {
            model,
            options,
            companions,
            warnings,
            findings,
            target,
            tensors,
            headers,
            modelfile,
            off_grid,
            shape,
        })
    }

    /// Whether files can be made of models of this configuration, if they have a tokenizer. Reads nothing.
    pub fn supports(model: &Model) -> bool {
        let config = model.base().config();
        let expressible = |known: Architecture| known.family().check_expressible(config).is_ok();
        Architecture::of(config).is_ok_and(expressible)
    }

    /// The types that existing files have of the matrices of this plan, if some are others than those of the plan. `files` are all
    /// parts.
    pub fn other_types(&self, files: &[GgufFile]) -> Option<TypeOverrides> {
        let stored: HashMap<&str, TensorType> = files
            .iter()
            .flat_map(|file| &file.tensors)
            .filter_map(|tensor| Some((tensor.name.as_str(), tensor.tensor_type?)))
            .collect();
        let matrices = || self.tensors.iter().filter(|tensor| is_matrix(tensor));
        let type_in_files = |tensor: &PlannedTensor| stored.get(tensor.name.as_str()).copied();
        let is_other =
            |tensor: &PlannedTensor| type_in_files(tensor).is_some_and(|found| found != tensor.as_type);
        if !matrices().any(is_other) {
            return None;
        }
        let types = matrices().filter_map(|tensor| Some((tensor.name.as_str(), type_in_files(tensor)?)));
        Some(TypeOverrides::of_tensors(types))
    }

    /// Whether the importance matrix of the options weights what is stored: it does for the types of `llama-quantize`, and not for
    /// those of the converter.
    pub fn uses_imatrix(&self) -> bool {
        self.options.imatrix.is_some()
    }

    /// Whether base and adapter as two files keep what this one rounds away: the adapter moves weights of the base off a grid of Q4_0, and
    /// can be a GGUF LoRA.
    pub fn is_better_as_a_pair(&self) -> bool {
        self.off_grid.is_some()
    }

    /// The plan of the base alone with the same options, if the adapter moves its weights off a grid of Q4_0 and can be a file beside
    /// it ([`LoraPlan`]).
    pub fn base_on_grid(&self) -> Option<Self> {
        let options = self.off_grid.as_ref()?;
        LoraPlan::new(&self.model, TensorType::F16, "").ok()?;
        Self::new(&Model::new(self.model.base()), options).ok()
    }

    /// A plan of one file without a `Modelfile`.
    pub(super) fn single_file(
        model: Model,
        options: ReportOptions,
        companions: &[&str],
        metadata: GgufMetadata,
        tensors: Vec<PlannedTensor>,
    ) -> Result<Self> {
        let headers = file_headers(None, metadata, &tensors);
        let companions = companions.iter().map(|name| (*name).to_owned()).collect();
        let warnings = ExportWarning::of_encoders(&model)?;
        Ok(Self {
            model,
            options,
            companions,
            warnings,
            findings: Vec::new(),
            target: None,
            tensors,
            headers,
            modelfile: None,
            off_grid: None,
            shape: ModelShape::default(),
        })
    }

    /// Warns that the model's encoders are in no mmproj file, and why.
    #[must_use]
    pub fn without_mmproj(mut self, reason: &str) -> Self {
        self.warnings.push(ExportWarning::mmproj_not_written(reason));
        self
    }

    /// The size in bytes of all GGUF files together.
    pub fn size(&self) -> u64 {
        self.gguf_layouts("").iter().map(FileLayout::size).sum()
    }

    /// The tensors of the files, in order.
    pub fn tensors(&self) -> impl Iterator<Item = TensorSummary<'_>> {
        self.tensors.iter().map(PlannedTensor::stored)
    }

    /// The quantized matrices, in order.
    pub(crate) fn matrices(&self) -> Vec<PlannedMatrix<'_>> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.as_type.block_size() > 1)
            .filter_map(|tensor| {
                Some(PlannedMatrix {
                    name: &tensor.name,
                    columns: *tensor.shape.last()?,
                    elements: tensor.elements(),
                    as_type: tensor.as_type,
                    tensor: tensor.tensors().next()?,
                    importance: tensor.importance.as_ref(),
                })
            })
            .collect()
    }

    /// The names of the tensors that are encoded with the steps of their grid.
    pub(crate) fn names_on_grid(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().filter(|tensor| tensor.on_grid).map(|tensor| tensor.name.as_str())
    }

    /// The types of the quantized matrices that are not of the checkpoint itself: those of modules after it.
    pub(crate) fn module_types(&self) -> impl Iterator<Item = (&str, TensorType)> {
        let quantized = self.tensors.iter().filter(|tensor| tensor.as_type.block_size() > 1);
        let modules = quantized.filter(|tensor| tensor.tensors().next().is_none());
        modules.map(|tensor| (tensor.name.as_str(), tensor.as_type))
    }

    /// The values that the file has of rows of the tensor of this name, from row `first` on.
    pub(crate) fn as_stored(&self, name: &str, first: u64, rows: Array2<f32>) -> Array2<f32> {
        match self.tensors.iter().find(|tensor| tensor.name == name) {
            Some(tensor) => tensor.as_stored(first, rows),
            None => rows,
        }
    }

    /// The types of the quantized matrices in a file of another type by the rules of `llama-quantize`.
    pub(crate) fn types_as(&self, output: OutputType) -> Vec<TensorType> {
        let rules = TypeOverrides::default();
        let mut selector = TypeSelector::new(output, &rules, self.shape);
        let matrices = self.matrices().into_iter();
        matrices.map(|matrix| selector.select(matrix.name, matrix.columns)).collect()
    }

    /// What could not be checked or written: settings of model and adapter that their classes do not have, for example.
    pub fn warnings(&self) -> &[ExportWarning] {
        &self.warnings
    }

    /// What programs that serve the model will meet, the most serious first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The files of an export that is named `name`. The report follows them.
    pub fn files(&self, name: &str) -> Vec<PlannedFile> {
        self.layouts(name).iter().map(PlannedFile::of).collect()
    }

    /// The model's tensors in the order of the file.
    pub(crate) fn tensor_order(&self) -> Vec<usize> {
        self.tensors.iter().flat_map(PlannedTensor::tensors).collect()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The pass that writes an export named `name`.
    pub(crate) fn export_plan(&self, name: &str) -> ExportPlan {
        let (options, companions) = (self.options.clone(), self.companions.clone());
        let context = ReportContext {
            kind: ExportKind::Gguf,
            options,
            companions,
            warnings: self.warnings.clone(),
            findings: self.findings.clone(),
            target: self.target.clone(),
        };
        ExportPlan::new(self.model.clone(), self.layouts(name), context, ExportReport::beside(name))
    }

    /// The GGUF files, and a `Modelfile` beside a single one: Ollama takes no split files.
    fn layouts(&self, name: &str) -> Vec<FileLayout> {
        let mut layouts = self.gguf_layouts(name);
        if let ([only], Some(modelfile)) = (layouts.as_slice(), &self.modelfile) {
            layouts.push(modelfile.layout(&only.name));
        }
        layouts
    }

    fn gguf_layouts(&self, name: &str) -> Vec<FileLayout> {
        let count = self.headers.len();
        let layout = |(number, file): (usize, &FileHeader)| FileLayout {
            name: if count == 1 { name.to_owned() } else { split_name(name, number, count) },
            header: file.bytes.clone(),
            parts: self.tensors[file.tensors.clone()].iter().flat_map(PlannedTensor::parts).collect(),
        };
        self.headers.iter().enumerate().map(layout).collect()
    }
}

/// The files of the model that a drafter drafts for, whose tokenizer it has.
fn target_files(
    model: &Model,
    architecture: Architecture,
    options: &GgufOptions,
) -> Result<Option<ModelFiles>> {
    match (architecture.family().target_mask_token, &options.target) {
        (Some(_), Some(target)) => Ok(Some(target.files(None))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            let problem = "is a drafter, whose file has the tokenizer of the model that it drafts for: give that model too";
            Err(Error::invalid(model.base().location(), problem))
        }
        (None, Some(_)) => {
            let problem = "is no drafter, and has a tokenizer of its own: give no target model";
            Err(Error::invalid(model.base().location(), problem))
        }
    }
}

/// Sets the types of matrices; vectors and norms stay `f32`. For files of `llama-quantize`, sorts the tensors in its
/// order.
fn set_types(
    model: &Model,
    metadata: &GgufMetadata,
    options: &GgufOptions,
    tensors: &mut [PlannedTensor],
) -> Result<ModelShape> {
    let (output, quantized) = (options.output_type, options.is_quantized());
    if quantized {
        tensors.sort_by(|a, b| (layer_number(&a.name), &a.name).cmp(&(layer_number(&b.name), &b.name)));
    }
    let count = |key| metadata.arch_u32(key).unwrap_or(1);
    let shape = ModelShape {
        tied: !tensors.iter().any(|tensor| tensor.name == "output.weight"),
        gqa: count("attention.head_count") / count("attention.head_count_kv").max(1),
        layers: count("block_count") as usize,
        attn_v_layers: tensors.iter().filter(|tensor| tensor.name.contains("attn_v.weight")).count(),
        experts: metadata.arch_u32("expert_count").unwrap_or(0),
        has_imatrix: options.imatrix.is_some(),
        quantized,
        source_type: match model.tensors().iter().all(|tensor| tensor.info.dtype == Dtype::Bf16) {
            _ if options.rounds_to_f16() => TensorType::F16,
            true => TensorType::Bf16,
            false => TensorType::F32,
        },
    };
    let source_type = shape.source_type;
    let mut selector = TypeSelector::new(output, &options.types, shape);
    for tensor in tensors {
        if quantized && is_one_row(&tensor.shape) {
            // ggml knows it as a vector, which llama-quantize copies from the converter's file
            tensor.shape.remove(0);
            tensor.as_type = source_type;
        } else if is_matrix(tensor)
            && let [.., columns] = tensor.shape[..]
        {
            tensor.as_type = selector.select(&tensor.name, columns);
            tensor.through_f16 = options.rounds_to_f16() && !is_f32(&tensor.name);
            if !columns.is_multiple_of(tensor.as_type.block_size()) {
                let (stored, block) = (tensor.as_type, tensor.as_type.block_size());
                let problem = format!(
                    "has rows of {columns} elements, and a block of {stored} has {block}: choose another type"
                );
                return Err(Error::tensor(model.base().location(), &tensor.name, problem));
            }
        }
    }
    Ok(shape)
}

fn is_matrix(tensor: &PlannedTensor) -> bool {
    tensor.shape.len() > 1 && !tensor.name.ends_with("_norm.weight")
}

fn is_one_row(shape: &[u64]) -> bool {
    matches!(shape, [1, _])
}

/// Sets the column importances of quantized tensors. The embedding may be missing from the importance matrix.
fn set_importances(imatrix: &Imatrix, tensors: &mut [PlannedTensor]) -> Result<()> {
    for tensor in tensors.iter_mut().filter(|tensor| tensor.as_type.block_size() > 1) {
        tensor.importance = match imatrix.importance(&tensor.name, &tensor.shape) {
            // as llama-quantize does
            Err(_) if tensor.name == "token_embd.weight" => None,
            importance => importance?,
        };
    }
    Ok(())
}

/// Refuses a model without a required tensor, or with tensors of layers that the configuration does not count.
fn check_complete(model: &Model, architecture: Architecture, planned: &PlannedTensors) -> Result<()> {
    let (config, family) = (model.base().config(), architecture.family());
    let layers = config.required_u32("num_hidden_layers")?;
    if let Some(missing) = planned.missing(&family.required_tensors(config, layers)?) {
        return Err(missing_tensor(model, architecture, layers, missing));
    }
    for tensor in model.tensors() {
        let info = &tensor.info;
        let MappedTensor::Tensor(name, Some(layer)) = family.map_tensor(&info.name) else {
            continue;
        };
        let error = |problem| Err(Error::tensor(model.base().file_of(info), &info.name, problem));
        if layer >= layers {
            return error(format!("is of layer {layer}, but num_hidden_layers is {layers}"));
        }
        if let Some(setting) = family.ignoring_setting(config, layer, &name)? {
            return error(format!(
                "is ignored by transformers with {setting}, and read by llama.cpp: correct config.json, or remove the tensor"
            ));
        }
    }
    Ok(())
}

/// The small files that may contribute to a GGUF file, with those of an embedding model's modules.
fn companions(model: &Model) -> Result<Vec<String>> {
    let mut names = [
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "processor_config.json",
        "generation_config.json",
        "modules.json",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(model.files().additional_templates()?.iter().cloned());
    names.extend(gemma::module_files(model.files())?);
    Ok(names)
}

/// The header of each file.
fn file_headers(
    split: Option<&SplitLimit>,
    metadata: GgufMetadata,
    tensors: &[PlannedTensor],
) -> Vec<FileHeader> {
    let sizes: Vec<u64> = tensors.iter().map(|t| t.bytes() + header::padding(t.bytes())).collect();
    let counts = split.map_or_else(|| vec![tensors.len()], |split| split.tensor_counts(&sizes));
    let (mut metadata, mut first) = (metadata, 0);
    let file_header = |(number, count): (usize, &usize)| {
        let range = first..(first + count).min(tensors.len());
        first = range.end;
        let mut metadata = std::mem::take(&mut metadata);
        if counts.len() > 1 {
            split::set_split_metadata(&mut metadata, number, counts.len(), tensors.len());
        }
        FileHeader { bytes: header::write(&metadata, &tensor_infos(&tensors[range.clone()])), tensors: range }
    };
    counts.iter().enumerate().map(file_header).collect()
}

fn tensor_infos(tensors: &[PlannedTensor]) -> Vec<GgufTensorInfo> {
    let mut offset = 0;
    let info = |tensor: &PlannedTensor| {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let info = GgufTensorInfo { name, shape, tensor_type: tensor.as_type, offset };
        offset += tensor.bytes() + header::padding(tensor.bytes());
        info
    };
    tensors.iter().map(info).collect()
}
