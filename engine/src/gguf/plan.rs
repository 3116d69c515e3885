//! Which tensors a GGUF file has, in which order, type and place.

use std::collections::HashSet;
use std::sync::Arc;

use super::head::{self, Described};
use super::{Metadata, name};
use crate::arch::{Architecture, Place};
use crate::checkpoint::TensorInfo;
use crate::model::{Model, Scratch};
use crate::pipeline::layout::{Content, Layout, Part};
use crate::quant::{Imatrix, Mixture, OutputType, TensorType};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// What a GGUF file is to be.
#[derive(Debug, Clone)]
pub struct GgufOptions {
    output_type: OutputType,
    folder: String,
    imatrix: Option<Arc<Imatrix>>,
}

impl GgufOptions {
    /// `folder` is what the converter would find the merged model's folder called; name, base name, fine-tune and
    /// size label in the metadata are read from it. A name with a space is taken as it is.
    pub fn new(output_type: OutputType, folder: impl Into<String>) -> Self {
        Self { output_type, folder: folder.into(), imatrix: None }
    }

    /// Lets an importance matrix weigh the columns, where the type can make use of it.
    #[must_use]
    pub fn with_imatrix(self, imatrix: Imatrix) -> Self {
        Self { imatrix: Some(Arc::new(imatrix)), ..self }
    }
}

/// A GGUF export, checked and measured, with nothing written yet.
#[derive(Debug)]
pub struct GgufPlan {
    model: Model,
    head: Vec<u8>,
    chosen: Vec<Chosen>,
}

/// A tensor of the model and its form in the file.
#[derive(Debug, Clone)]
struct Chosen {
    tensor: usize,
    name: String,
    /// With surplus rows already cut.
    shape: Vec<u64>,
    shift: f32,
    as_type: TensorType,
    importance: Option<Arc<[f32]>>,
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
        let tokenizer = Tokenizer::of(model)?;
        let mut chosen = choose(model, architecture, tokenizer.vocabulary.tokens.len() as u64)?;
        check_complete(model, architecture, &chosen)?;
        let parameters = chosen.iter().map(|c| c.shape.iter().product::<u64>()).sum();
        let mut metadata = Metadata::new(architecture.as_str());
        metadata.set("general.type", "model");
        sampling(model, &mut metadata)?;
        naming(&options.folder, parameters, &mut metadata);
        architecture.parameters(config, options.output_type.file_type(), &mut metadata)?;
        metadata.set("general.quantization_version", 2_u32);
        tokenizer.write(architecture == Architecture::Gemma, &mut metadata);
        if !options.output_type.is_the_converters() {
            metadata.move_to_end("general.quantization_version");
            metadata.move_to_end("general.file_type");
        }
        let imatrix = options.imatrix.as_deref().filter(|_| !options.output_type.is_the_converters());
        set_types(&metadata, options.output_type, imatrix.is_some(), &mut chosen);
        if let Some(imatrix) = imatrix {
            imatrix.describe(&mut metadata);
            weigh(imatrix, &mut chosen)?;
        }
        let head = head::write(&metadata, &describe(&chosen));
        Ok(Self { model: model.clone(), head, chosen })
    }

    /// The file's exact size in bytes.
    pub fn size(&self) -> u64 {
        self.layout("").size()
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn layout(&self, name: &str) -> Layout {
        Layout {
            name: name.to_owned(),
            head: self.head.clone(),
            parts: self.chosen.iter().map(Chosen::part).collect(),
        }
    }
}

impl Chosen {
    fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    fn bytes(&self) -> u64 {
        self.as_type.bytes(self.elements())
    }

    fn part(&self) -> Part {
        let (tensor, elements, shift, as_type) = (self.tensor, self.elements(), self.shift, self.as_type);
        let row = if as_type.block() == 1 { 1 } else { self.shape.last().copied().unwrap_or(1) };
        let importance = self.importance.clone();
        let content = Content::Encoded { tensor, elements, row, shift, as_type, importance };
        Part { content, bytes: self.bytes(), padding: head::padding(self.bytes()) }
    }
}

/// The model's tensors in the converter's order. A merged model is what PEFT saves: one file, so tensors come by
/// name. A model as it is keeps its shards' order, by name within each.
fn in_order(model: &Model) -> Vec<usize> {
    let mut order: Vec<usize> = (0..model.tensors().len()).collect();
    let merged = model.adapter().is_some();
    let key = |i: &usize| {
        let info = &model.tensors()[*i].info;
        (if merged { 0 } else { info.shard }, info.name.as_str())
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    order
}

fn choose(model: &Model, architecture: Architecture, vocabulary: u64) -> Result<Vec<Chosen>> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut names = HashSet::new();
    for tensor in in_order(model) {
        let info = &model.tensors()[tensor].info;
        let file = || model.file_of(&model.tensors()[tensor]);
        let name = match architecture.place(&info.name) {
            Place::Tensor(name, _) => name,
            Place::Head if architecture.has_output() => "output.weight".to_owned(),
            Place::Head => {
                refuse_own_head(model, tensor)?;
                continue;
            }
            Place::Left => continue,
            Place::Unknown => {
                return Err(Error::tensor(file(), &info.name, format!("has no place in {architecture}")));
            }
        };
        if !info.dtype.is_float() {
            let problem = format!("is {}; GGUF is made from F32, F16 and BF16 weights", info.dtype);
            return Err(Error::tensor(file(), &info.name, problem));
        }
        if !names.insert(name.clone()) {
            return Err(Error::tensor(file(), &info.name, format!("is a second {name}")));
        }
        let mut shape = info.shape.clone();
        if name == "token_embd.weight" {
            fit_embedding(model, architecture, info, vocabulary, &mut shape)?;
        }
        let shift = architecture.shift(&info.name);
        chosen.push(Chosen { tensor, name, shape, shift, as_type: TensorType::F32, importance: None });
    }
    Ok(chosen)
}

/// Gives matrices their types. Vectors and norms stay `f32`. Files that `llama-quantize` makes are in its order.
fn set_types(metadata: &Metadata, output: OutputType, important: bool, chosen: &mut [Chosen]) {
    if !output.is_the_converters() {
        chosen.sort_by(|a, b| (layer_of(&a.name), &a.name).cmp(&(layer_of(&b.name), &b.name)));
    }
    let count = |key| metadata.own_u32(key).unwrap_or(1);
    let group = count("attention.head_count") / count("attention.head_count_kv").max(1);
    let layers = count("block_count") as usize;
    let tied = !chosen.iter().any(|c| c.name == "output.weight");
    let mut mixture = Mixture::new(output, tied, group, layers, important);
    for tensor in chosen {
        if let [.., _, columns] = tensor.shape[..]
            && !tensor.name.ends_with("_norm.weight")
        {
            tensor.as_type = mixture.choose(&tensor.name, columns);
        }
    }
}

/// Gives matrices the importances of their columns. A tensor that the matrix does not know has none, which is so for
/// the embedding; one that does not fit is of another model.
fn weigh(imatrix: &Imatrix, chosen: &mut [Chosen]) -> Result<()> {
    for tensor in chosen.iter_mut().filter(|c| c.as_type.block() > 1) {
        let Some(importance) = imatrix.of(&tensor.name) else { continue };
        let columns = tensor.shape.last().copied().unwrap_or(0);
        if importance.len() as u64 == columns {
            tensor.importance = Some(importance.into());
        } else if tensor.name != "token_embd.weight" {
            let problem =
                format!("has {columns} columns, the importance matrix {} of them", importance.len());
            return Err(Error::invalid("importance matrix", format!("tensor {} {problem}", tensor.name)));
        }
    }
    Ok(())
}

/// The layer in a GGUF name; what is in none comes first.
fn layer_of(name: &str) -> Option<u32> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Rows and vocabulary must agree, or llama.cpp refuses the file.
fn fit_embedding(
    model: &Model,
    architecture: Architecture,
    info: &TensorInfo,
    vocabulary: u64,
    shape: &mut [u64],
) -> Result<()> {
    let Some(rows) = shape.first_mut() else { return Ok(()) };
    if *rows > vocabulary && architecture.trims_embedding() {
        *rows = vocabulary;
    }
    if *rows != vocabulary {
        let problem = format!("has {rows} rows, but the tokenizer has {vocabulary} tokens");
        return Err(Error::tensor(model.base().file_of(info), &info.name, problem));
    }
    Ok(())
}

/// llama.cpp reads no head for this family; one that equals the embedding can be left out, another cannot.
fn refuse_own_head(model: &Model, head: usize) -> Result<()> {
    let embedding = model.tensors().iter().position(|t| t.info.name.ends_with("embed_tokens.weight"));
    let same = match embedding {
        Some(embedding) => same_values(model, head, embedding)?,
        None => false,
    };
    if same {
        return Ok(());
    }
    let file = model.file_of(&model.tensors()[head]);
    Err(Error::unsupported(file, "GGUF for a Gemma 1 or 2 whose lm_head differs from its embedding")
        .advise("llama.cpp has no place for it; export it as a merged model instead"))
}

fn same_values(model: &Model, one: usize, other: usize) -> Result<bool> {
    const STEP: u64 = 1 << 20;
    let (a, b) = (&model.tensors()[one].info, &model.tensors()[other].info);
    if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
        return Ok(false);
    }
    let granule = model.granule(one).max(model.granule(other));
    let step = (STEP / granule).max(1) * granule;
    let (mut scratch, mut left, mut right) = (Scratch::default(), Vec::new(), Vec::new());
    let mut first = 0;
    while first < a.elements() {
        let count = step.min(a.elements() - first);
        model.read(one, first, count, &mut scratch, &mut left)?;
        model.read(other, first, count, &mut scratch, &mut right)?;
        if left != right {
            return Ok(false);
        }
        first += count;
    }
    Ok(true)
}

/// A file that lacks a tensor loads in nothing.
fn check_complete(model: &Model, architecture: Architecture, chosen: &[Chosen]) -> Result<()> {
    let names: HashSet<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    let config = model.base().config();
    let layers = config.need_u32("num_hidden_layers")?;
    let missing = |name: &str| {
        let problem = format!("has no tensor for {name}, which {layers} layers of {architecture} need");
        Err(Error::invalid(model.base().location(), problem))
    };
    for name in ["token_embd.weight", "output_norm.weight"] {
        if !names.contains(name) {
            return missing(name);
        }
    }
    for layer in 0..layers {
        for tensor in architecture.layer_tensors() {
            let name = format!("blk.{layer}.{tensor}.weight");
            if !names.contains(name.as_str()) {
                return missing(&name);
            }
        }
    }
    for tensor in chosen {
        let info = &model.tensors()[tensor.tensor].info;
        if let Place::Tensor(_, Some(layer)) = architecture.place(&info.name)
            && layer >= layers
        {
            let problem = format!("is of layer {layer}, but num_hidden_layers is {layers}");
            return Err(Error::tensor(model.base().file_of(info), &info.name, problem));
        }
    }
    Ok(())
}

fn describe(chosen: &[Chosen]) -> Vec<Described> {
    let mut offset = 0;
    let one = |c: &Chosen| {
        let described =
            Described { name: c.name.clone(), shape: c.shape.clone(), as_type: c.as_type, offset };
        offset += c.bytes() + head::padding(c.bytes());
        described
    };
    chosen.iter().map(one).collect()
}

/// What `generation_config.json` recommends.
fn sampling(model: &Model, out: &mut Metadata) -> Result<()> {
    let Some(source) = model.companion("generation_config.json")? else { return Ok(()) };
    let bytes = crate::io::read_source(&*source)?;
    // not every model has a valid one, and it is only advice
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return Ok(()) };
    let number = |key: &str| config.get(key).and_then(serde_json::Value::as_f64).map(|n| n as f32);
    let whole =
        |key: &str| config.get(key).and_then(serde_json::Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let mut set = |key: &str, value: Option<super::Value>| {
        if let Some(value) = value {
            out.set(&format!("general.sampling.{key}"), value);
        }
    };
    let float = |key: &str| number(key).map(super::Value::F32);
    let int = |key: &str| whole(key).map(super::Value::I32);
    set("sequence", config.get("sequence").and_then(|v| v.as_str()).map(super::Value::from));
    set("top_k", int("top_k"));
    set("top_p", float("top_p"));
    set("min_p", float("min_p"));
    set("xtc_probability", float("xtc_probability"));
    set("xtc_threshold", float("xtc_threshold"));
    set("temp", float("temperature"));
    set("penalty_last_n", int("penalty_last_n"));
    set("penalty_repeat", float("penalty_repeat").or_else(|| float("repetition_penalty")));
    set("mirostat", int("mirostat"));
    set("mirostat_tau", float("mirostat_tau"));
    set("mirostat_eta", float("mirostat_eta"));
    Ok(())
}

fn naming(folder: &str, parameters: u64, out: &mut Metadata) {
    let name = name::Name::of(folder, parameters);
    out.set("general.name", name.title);
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            out.set(&format!("general.{key}"), value);
        }
    };
    set("version", name.version);
    set("organization", name.organization);
    set("finetune", name.finetune);
    set("basename", name.basename);
    set("size_label", Some(name.size_label.unwrap_or_else(|| name::size_label(parameters))));
}
