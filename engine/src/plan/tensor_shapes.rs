//! Refuses a model whose tensors do not have the shapes that its configuration gives them.

use super::completeness::{
    check_classifier_complete, check_encoders_complete, check_language_model_complete,
};
use crate::error::{Error, Result};
use crate::gemma::{
    Architecture, ExpectedShape, MappedTensor, MmprojEncoders, TensorShapes, check_linear_factor,
    check_model_type, check_modules, check_sizes, classifier_shape,
};
use crate::merge::{Model, ModelTensor};

/// How the name of the embedding of all layers ends.
const PER_LAYER_EMBEDDING: &str = "embed_tokens_per_layer.weight";

/// Checks the language model.
///
/// # Errors
/// [`Error::InvalidTensor`] with the shape and the one that `config.json` requires.
pub(crate) fn check_language_model(
    model: &Model,
    architecture: Architecture,
    shapes: &TensorShapes,
) -> Result<()> {
    check_shapes(model, |name| Ok(shapes.expected(&architecture.family().map_tensor(name))))?;
    check_vocabulary(model, Some(architecture))?;
    check_head(model, architecture)
}

/// A head has the rows of the embedding. A model whose configuration unties them has a head of its own.
fn check_head(model: &Model, architecture: Architecture) -> Result<()> {
    let is_head =
        |tensor: &&ModelTensor| architecture.family().map_tensor(&tensor.info.name) == MappedTensor::LmHead;
    let (config, rows) = (model.base().config(), model.embedding_rows().stored);
    match model.tensors().iter().find(is_head) {
        Some(head) if head.info.shape.first().copied() != rows => {
            let problem = format!(
                "has the shape {:?}, but the embedding has {} rows",
                head.info.shape,
                rows.unwrap_or(0)
            );
            Err(Error::tensor(model.file_of(head), &head.info.name, problem))
        }
        None if config.class().is_some_and(has_head) && !config.ties_embeddings()? => {
            let problem = "has tie_word_embeddings false, but the model has no lm_head.weight";
            Err(Error::invalid(config.file(), problem))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the class has a head, if no checkpoint stores it: a new one with random weights.
fn has_head(class: &str) -> bool {
    ["ForCausalLM", "ForConditionalGeneration", "Gemma4DSparkModel"].iter().any(|end| class.ends_with(end))
}

/// Checks vision and audio encoders and their projectors.
///
/// # Errors
/// [`Error::InvalidTensor`] with the shape and the one that `config.json` or another tensor requires.
pub(crate) fn check_encoders(model: &Model, encoders: &MmprojEncoders) -> Result<()> {
    check_shapes(model, |name| encoders.expected_shape(name))?;
    let tensors = model.tensors();
    let shapes = tensors.iter().map(|tensor| (tensor.info.name.as_str(), tensor.info.shape.as_slice()));
    encoders.misfit(shapes).map_or(Ok(()), |(number, problem)| {
        Err(Error::tensor(model.file_of(&tensors[number]), &tensors[number].info.name, problem))
    })
}

fn check_shapes(model: &Model, expected: impl Fn(&str) -> Result<Option<ExpectedShape>>) -> Result<()> {
    for tensor in model.tensors() {
        let expected = expected(&tensor.info.name)?;
        if let Some(expected) = expected.filter(|expected| !expected.matches(&tensor.info.shape)) {
            let problem =
                format!("has the shape {:?}, but config.json requires {expected}", tensor.info.shape);
            return Err(Error::tensor(model.file_of(tensor), &tensor.info.name, problem));
        }
    }
    Ok(())
}

/// Checks completeness and shapes, as far as a checkpoint's class is known. A class without GGUF files, or a setting that they cannot express, has no
/// shapes to compare with.
pub(super) fn check_checkpoint(model: &Model) -> Result<()> {
    let config = model.base().config();
    check_model_type(config)?;
    check_sizes(config)?;
    check_linear_factor(config)?;
    check_modules(model.files())?;
    check_floats(model)?;
    check_new_rows(model)?;
    check_classifier_complete(model)?;
    if let Some(architecture) = Architecture::of_checkpoint(config) {
        model.check_layers()?;
        check_language_model_complete(model, architecture)?;
        match TensorShapes::of(architecture.family(), model.files()) {
            Ok(shapes) => {
                check_language_model(model, architecture, &shapes)?;
                check_shapes(model, |name| classifier_shape(config, shapes.hidden_size(), name))?;
            }
            Err(_) => check_vocabulary(model, Some(architecture))?,
        }
    } else {
        check_vocabulary(model, None)?;
    }
    match MmprojEncoders::of(config) {
        Ok(encoders) => {
            check_encoders_complete(model, &encoders)?;
            check_encoders(model, &encoders)
        }
        Err(_) => Ok(()),
    }
}

/// Refuses weights of integers in a model that is not quantized: its layers compute with floats.
fn check_floats(model: &Model) -> Result<()> {
    if model.base().config().top_level("quantization_config").value().is_some() {
        return Ok(());
    }
    let is_wrong = |tensor: &&ModelTensor| {
        let is_parameter = [".weight", ".bias"].iter().any(|suffix| tensor.info.name.ends_with(suffix));
        is_parameter && tensor.info.dtype.is_integer()
    };
    match model.tensors().iter().find(is_wrong) {
        Some(tensor) => {
            let problem = format!(
                "is {}, but config.json has no quantization_config: save the model with float weights",
                tensor.info.dtype
            );
            Err(Error::tensor(model.file_of(tensor), &tensor.info.name, problem))
        }
        None => Ok(()),
    }
}

/// Refuses tokens that the adapter adds to a model with per-layer embeddings of all tokens: those get no rows for them.
/// Where they have no rows for all tokens of the base, as in Gemma 3n, transformers replaces the others.
fn check_new_rows(model: &Model) -> Result<()> {
    let (Some(rows), Some(number)) = (model.resized_vocabulary(), model.embedding()) else { return Ok(()) };
    let is_per_layer = |tensor: &&ModelTensor| tensor.info.name.ends_with(PER_LAYER_EMBEDDING);
    let Some(per_layer) = model.tensors().iter().find(is_per_layer) else { return Ok(()) };
    let known = per_layer.info.shape.first().copied().unwrap_or(0);
    let embedding = &model.tensors()[number];
    let before = model.base().tensors()[embedding.base].shape.first().copied().unwrap_or(0);
    if rows <= known || before > known {
        return Ok(());
    }
    let problem = format!(
        "has {rows} rows in the adapter, but the per-layer embedding has {known}: the new tokens have no rows there, so no model \
         can be made of base and adapter; train without adding tokens"
    );
    Err(Error::tensor(model.file_of(embedding), &embedding.info.name, problem))
}

/// transformers loads no embedding that has other rows than the configuration has tokens, or no row for the padding token.
fn check_vocabulary(model: &Model, architecture: Option<Architecture>) -> Result<()> {
    let config = model.base().config();
    let Some(embedding) = model.embedding().map(|number| &model.tensors()[number]) else { return Ok(()) };
    let rows = embedding.info.shape.first().copied().unwrap_or(0);
    let listed = config.u32("vocab_size")?;
    let default = architecture.and_then(|known| known.family().config_defaults.vocab_size);
    let tokens = listed.or(default).map_or(rows, u64::from);
    if model.resized_vocabulary().is_none() && rows != tokens {
        let problem = match listed {
            Some(_) => format!("has {rows} rows, but vocab_size of config.json is {tokens}"),
            None => format!(
                "has {rows} rows, but config.json has no vocab_size, which is {tokens} then: set it to {rows}"
            ),
        };
        return Err(Error::tensor(model.file_of(embedding), &embedding.info.name, problem));
    }
    let padding = config.field("pad_token_id");
    match padding.i64()? {
        Some(id) if id >= rows.cast_signed() || id < -rows.cast_signed() => Err(padding.invalid(format!(
            "is {id}, but the embedding has {rows} rows, and transformers loads no such model: set it to null"
        ))),
        Some(_) | None => Ok(()),
    }
}
