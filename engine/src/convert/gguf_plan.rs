//! Which tensors a GGUF file has, in which order, type and place.

use std::collections::HashSet;
use std::ops::Range;

use super::GgufOptions;
use super::general_metadata::{naming, sampling};
use super::modelfile::Modelfile;
use super::planned_tensor::PlannedTensor;
use super::select_tensors::choose;
use crate::error::{Error, Result};
use crate::gemma;
use crate::gemma::{Architecture, MappedTensor};
use crate::gguf::GgufMetadata;
use crate::gguf::header;
use crate::gguf::header::GgufTensorInfo;
use crate::gguf::split::SplitLimit;
use crate::gguf::{split, split_name};
use crate::imatrix::Imatrix;
use crate::merge::Model;
use crate::numerics::Dtype;
use crate::plan::{ExportPlan, FileLayout, PlannedFile};
use crate::quant::{ModelShape, TensorType, TypeSelector};
use crate::report::{ExportKind, ExportReport, ReportContext, ReportOptions};
use crate::tokenizer::Tokenizer;

/// A GGUF export, checked and measured, with nothing written yet.
#[derive(Debug)]
pub struct GgufPlan {
    model: Model,
    options: ReportOptions,
    /// Small files that are read where base or adapter have them.
    companions: Vec<String>,
    chosen: Vec<PlannedTensor>,
    files: Vec<FileHeader>,
    modelfile: Option<Modelfile>,
}

/// The beginning of a file, and which of the chosen tensors follow.
#[derive(Debug)]
struct FileHeader {
    bytes: Vec<u8>,
    tensors: Range<usize>,
}

impl GgufPlan {
    /// Reads configuration and tokenizer and places every tensor.
    ///
    /// # Errors
    /// When the family is not known, the tokenizer is missing or broken, a tensor is missing, unknown or has the
    /// wrong shape, or an untied head has no place in the family's files.
    pub fn new(model: &Model, options: &GgufOptions) -> Result<Self> {
        let config = model.base().config();
        let architecture = Architecture::of(config)?;
        model.check_layers()?;
        let tokenizer = Tokenizer::of(model.files(), architecture, model.embedding_rows())?;
        let given = architecture.extra_tensors(model.files())?;
        let mut chosen: Vec<PlannedTensor> = given.iter().map(PlannedTensor::given).collect();
        let vocabulary = tokenizer.vocabulary.tokens.len() as u64;
        choose(model, architecture, vocabulary, options.towers_apart, &mut chosen)?;
        check_complete(model, architecture, &chosen)?;
        let mut metadata = GgufMetadata::new(architecture.as_str());
        metadata.set("general.type", "model");
        sampling(model.files(), &mut metadata)?;
        match &options.labels {
            None => naming(&options.folder, &chosen, &mut metadata),
            Some(labels) => labels.iter().for_each(|(key, value)| metadata.set(key, value.clone())),
        }
        architecture.parameters(model.files(), &given, options.output_type.file_type(), &mut metadata)?;
        metadata.set("general.quantization_version", 2_u32);
        tokenizer.write(&mut metadata);
        if !options.output_type.is_the_converters() {
            metadata.move_to_end("general.quantization_version");
            metadata.move_to_end("general.file_type");
        }
        let imatrix = options.imatrix.as_deref().filter(|_| !options.output_type.is_the_converters());
        set_types(model, &metadata, options, &mut chosen);
        if let Some(imatrix) = imatrix {
            imatrix.describe(&mut metadata);
            weigh(imatrix, &mut chosen)?;
        }
        let modelfile = Some(Modelfile::of(&metadata));
        let files = heads(options.split.as_ref(), metadata, &chosen);
        let options = ReportOptions {
            name: Some(options.folder.clone()).filter(|_| options.labels.is_none()),
            quantization: Some(options.output_type.as_str()),
            imatrix: imatrix.map(|imatrix| imatrix.sha256().to_owned()),
            through: options.through_f16.then_some("f16"),
            split_max_size: options.split.as_ref().and_then(SplitLimit::size),
        };
        let companions = companions(model)?;
        Ok(Self { model: model.clone(), options, companions, chosen, files, modelfile })
    }

    /// A plan of one file that no `Modelfile` goes with.
    pub(super) fn alone(
        model: Model,
        options: ReportOptions,
        companions: &[&str],
        metadata: GgufMetadata,
        chosen: Vec<PlannedTensor>,
    ) -> Self {
        let files = heads(None, metadata, &chosen);
        let companions = companions.iter().map(|name| (*name).to_owned()).collect();
        Self { model, options, companions, chosen, files, modelfile: None }
    }

    /// The exact size in bytes, of all GGUF files together.
    pub fn size(&self) -> u64 {
        self.ggufs("").iter().map(FileLayout::size).sum()
    }

    /// The files it will make where the whole is called `name`; the report comes after them.
    pub fn files(&self, name: &str) -> Vec<PlannedFile> {
        self.layouts(name).iter().map(PlannedFile::of).collect()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The pass that makes the files where the whole is called `name`.
    pub(crate) fn export_plan(&self, name: &str) -> ExportPlan {
        let (options, companions) = (self.options.clone(), self.companions.clone());
        let context = ReportContext { kind: ExportKind::Gguf, options, companions };
        ExportPlan::new(self.model.clone(), self.layouts(name), context, ExportReport::beside(name))
    }

    /// The GGUF files, and beside a single one, which is all that Ollama takes, a `Modelfile`.
    fn layouts(&self, name: &str) -> Vec<FileLayout> {
        let mut layouts = self.ggufs(name);
        if let ([only], Some(modelfile)) = (layouts.as_slice(), &self.modelfile) {
            layouts.push(modelfile.layout(&only.name));
        }
        layouts
    }

    fn ggufs(&self, name: &str) -> Vec<FileLayout> {
        let count = self.files.len();
        let layout = |(number, file): (usize, &FileHeader)| FileLayout {
            name: if count == 1 { name.to_owned() } else { split_name(name, number, count) },
            header: file.bytes.clone(),
            parts: self.chosen[file.tensors.clone()].iter().flat_map(PlannedTensor::parts).collect(),
        };
        self.files.iter().enumerate().map(layout).collect()
    }
}

/// Gives matrices their types. Vectors and norms stay `f32`. Files that `llama-quantize` makes are in its order.
fn set_types(model: &Model, metadata: &GgufMetadata, options: &GgufOptions, chosen: &mut [PlannedTensor]) {
    let output = options.output_type;
    if !output.is_the_converters() {
        chosen.sort_by(|a, b| (layer_of(&a.name), &a.name).cmp(&(layer_of(&b.name), &b.name)));
    }
    let count = |key| metadata.own_u32(key).unwrap_or(1);
    let shape = ModelShape {
        tied: !chosen.iter().any(|c| c.name == "output.weight"),
        group: count("attention.head_count") / count("attention.head_count_kv").max(1),
        layers: count("block_count") as usize,
        values: chosen.iter().filter(|c| c.name.contains("attn_v.weight")).count(),
        experts: metadata.own_u32("expert_count").unwrap_or(0),
        important: options.imatrix.is_some(),
        from: match model.tensors().iter().all(|tensor| tensor.info.dtype == Dtype::Bf16) {
            _ if options.through_f16 => TensorType::F16,
            true => TensorType::Bf16,
            false => TensorType::F32,
        },
    };
    let mut mixture = TypeSelector::new(output, shape);
    for tensor in chosen {
        if let [.., _, columns] = tensor.shape[..]
            && !tensor.name.ends_with("_norm.weight")
        {
            tensor.as_type = mixture.choose(&tensor.name, columns);
            tensor.through_f16 = options.through_f16 && tensor.as_type.block() > 1;
        }
    }
}

/// Gives matrices the importances of their columns. A tensor that the matrix does not know has none, which is so for
/// the embedding; one that does not fit is of another model.
fn weigh(imatrix: &Imatrix, chosen: &mut [PlannedTensor]) -> Result<()> {
    for tensor in chosen.iter_mut().filter(|c| c.as_type.block() > 1) {
        tensor.importance = match imatrix.of(&tensor.name, &tensor.shape) {
            // llama-quantize does without, too
            Err(_) if tensor.name == "token_embd.weight" => None,
            importance => importance?,
        };
    }
    Ok(())
}

/// The layer in a GGUF name; what is in none comes first.
fn layer_of(name: &str) -> Option<u32> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// A file that lacks a tensor loads in nothing.
fn check_complete(model: &Model, architecture: Architecture, chosen: &[PlannedTensor]) -> Result<()> {
    let names: HashSet<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    let config = model.base().config();
    let layers = config.need_u32("num_hidden_layers")?;
    let mut needed = architecture.needed();
    for layer in 0..layers {
        needed.extend(architecture.needed_in_layer(config, layer)?);
    }
    if let Some(name) = needed.iter().find(|name| !names.contains(name.as_str())) {
        let problem = format!("has no tensor for {name}, which {layers} layers of {architecture} need");
        return Err(Error::invalid(model.base().location(), problem));
    }
    for tensor in model.tensors() {
        let info = &tensor.info;
        if let MappedTensor::Tensor(_, Some(layer)) = architecture.map_tensor(&info.name)
            && layer >= layers
        {
            let problem = format!("is of layer {layer}, but num_hidden_layers is {layers}");
            return Err(Error::tensor(model.base().file_of(info), &info.name, problem));
        }
    }
    Ok(())
}

/// The small files that a GGUF file may be made of, with those of the modules behind an embedding model.
fn companions(model: &Model) -> Result<Vec<String>> {
    let mut names = [
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "generation_config.json",
        "modules.json",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(gemma::module_files(model.files())?);
    Ok(names)
}

/// The beginning of each file.
fn heads(split: Option<&SplitLimit>, metadata: GgufMetadata, chosen: &[PlannedTensor]) -> Vec<FileHeader> {
    let sizes: Vec<u64> = chosen.iter().map(|c| c.bytes() + header::padding(c.bytes())).collect();
    let counts = split.map_or_else(|| vec![chosen.len()], |split| split.counts(&sizes));
    let (mut metadata, mut first) = (metadata, 0);
    let head = |(number, count): (usize, &usize)| {
        let tensors = first..(first + count).min(chosen.len());
        first = tensors.end;
        let mut metadata = std::mem::take(&mut metadata);
        if counts.len() > 1 {
            split::describe(&mut metadata, number, counts.len(), chosen.len());
        }
        FileHeader { bytes: header::write(&metadata, &describe(&chosen[tensors.clone()])), tensors }
    };
    counts.iter().enumerate().map(head).collect()
}

fn describe(chosen: &[PlannedTensor]) -> Vec<GgufTensorInfo> {
    let mut offset = 0;
    let one = |c: &PlannedTensor| {
        let described =
            GgufTensorInfo { name: c.name.clone(), shape: c.shape.clone(), as_type: c.as_type, offset };
        offset += c.bytes() + header::padding(c.bytes());
        described
    };
    chosen.iter().map(one).collect()
}
