//! Vision and audio encoders and their projectors, which llama.cpp reads from a file of their own: one file a
//! multimodal class.

mod clip_metadata;
mod encoder_shapes;
mod family;
mod fixed_settings;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gemma4_unified;
mod mobilenet;
mod preprocessor;
mod subsampling;
mod tensor_map;

pub(super) use family::MmprojFamily;
pub(super) use gemma3::GEMMA3;
pub(super) use gemma3n::GEMMA3N;
pub(super) use gemma4::GEMMA4;
pub(super) use gemma4_unified::GEMMA4_UNIFIED;
pub(crate) use tensor_map::is_clip_limit_name;

use std::collections::HashSet;

use family::{EncoderConfigs, EncoderLayers, EncoderTensor, TransformedShape, UnusedModule};
use kernels::quant::{OutputType, TensorType};
use tensor_map::{EncoderKind, TensorMap};

use super::canonical_name::{canonical_name, is_in_language_model};
use super::known_fields::check_encoder_types;
use super::{Architecture, ExpectedShape, MappedTensor};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

/// The encoders of a multimodal model, as its configuration describes them.
#[derive(Debug)]
pub(crate) struct MmprojEncoders {
    family: &'static MmprojFamily,
    vision: ModelConfig,
    /// `None` if the model has no audio encoder.
    audio: Option<ModelConfig>,
    text_hidden: Option<u64>,
}

impl MmprojEncoders {
    /// The encoders that `config.json` describes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the class has no vision encoder, or is not a known one.
    pub(crate) fn of(config: &ModelConfig) -> Result<Self> {
        let class = config.class().or_else(|| config.model_type()).unwrap_or("a model without architectures");
        let mut families = Architecture::ALL.iter().flat_map(|known| known.family().mmproj).copied();
        let family = families.find(|family| family.classes.contains(&class));
        let (Some(family), Some(vision)) = (family, config.section("vision_config")?) else {
            return Err(Error::unsupported(config.file(), format!("an mmproj file for {class}")).advise(
                "it is made from multimodal models (Gemma3ForConditionalGeneration, Gemma4ForConditionalGeneration and so on)",
            ));
        };
        config.require_text_config()?;
        check_encoder_types(config)?;
        let audio = if family.audio_maps.is_empty() { None } else { config.section("audio_config")? };
        let audio = audio.filter(|part| !part.is_empty());
        let text_hidden = config.u32("hidden_size")?.map(u64::from);
        Ok(Self { family, vision, audio, text_hidden })
    }

    /// Refuses settings that llama.cpp has as constants with other values.
    pub(crate) fn check_expressible(&self) -> Result<()> {
        let [vision, audio] = self.family.fixed_settings;
        fixed_settings::check(&self.vision, "vision_config", vision)?;
        self.audio.as_ref().map_or(Ok(()), |config| fixed_settings::check(config, "audio_config", audio))
    }

    /// The GGUF name of the checkpoint's tensor of this name.
    pub(crate) fn map_tensor(&self, name: &str) -> MappedTensor {
        if is_in_language_model(name) {
            return MappedTensor::Skipped;
        }
        (self.family.map_tensor)(&canonical_name(name), &self.tensor_maps())
    }

    /// The module that the model does not use, if the checkpoint's tensor of this name is in it.
    pub(crate) fn unused_module(&self, name: &str) -> Option<&'static str> {
        self.unused(name).map(|(module, _)| module.name)
    }

    /// The setting because of which transformers ignores the tensors of an unused module.
    pub(crate) fn ignoring_setting(&self) -> Result<Option<String>> {
        let Some(module) = self.family.unused_module else { return Ok(None) };
        Ok(self.ignores(module)?.then(|| format!("vision_config.{} false", module.setting)))
    }

    /// The unused module with this tensor, and the tensor's name in it.
    fn unused(&self, name: &str) -> Option<(&'static UnusedModule, String)> {
        let module = self.family.unused_module?;
        canonical_name(name).strip_prefix(module.prefix).map(|tensor| (module, tensor.to_owned()))
    }

    fn ignores(&self, module: &UnusedModule) -> Result<bool> {
        Ok(self.vision.bool(module.setting)? == Some(false))
    }

    fn tensor_maps(&self) -> Vec<&'static TensorMap> {
        let audio = if self.audio.is_some() { self.family.audio_maps } else { &[] };
        self.family.vision_maps.iter().chain(audio).copied().collect()
    }

    fn configs(&self) -> EncoderConfigs<'_> {
        EncoderConfigs { vision: &self.vision, audio: self.audio.as_ref(), text_hidden: self.text_hidden }
    }

    /// The shape that the configuration gives the checkpoint's tensor of this name; `None` where it is not known.
    pub(crate) fn expected_shape(&self, name: &str) -> Result<Option<ExpectedShape>> {
        let configs = self.configs();
        if let Some((module, tensor)) = self.unused(name) {
            return if self.ignores(module)? { Ok(None) } else { (module.tensor_shape)(&configs, &tensor) };
        }
        let MappedTensor::Tensor(name, _) = self.map_tensor(name) else { return Ok(None) };
        for kind in [EncoderKind::Vision, EncoderKind::Audio] {
            let layer = name.strip_prefix(kind.layer_prefix()).and_then(|rest| rest.strip_prefix('.'));
            if let Some((_, tensor)) = layer.and_then(|layer| layer.split_once('.')) {
                let sizes = (self.family.layer_sizes)(&configs, kind)?;
                return Ok(sizes.and_then(|sizes| sizes.in_layer(tensor)));
            }
        }
        (self.family.tensor_shape)(&configs, &name)
    }

    /// The position of the first tensor whose shape does not fit the others', and why. The tensors have the checkpoint's
    /// names and shapes.
    pub(crate) fn misfit<'a>(
        &self,
        tensors: impl Iterator<Item = (&'a str, &'a [u64])>,
    ) -> Option<(usize, String)> {
        let in_file = |name: &str| match self.map_tensor(name) {
            MappedTensor::Tensor(name, _) => name,
            MappedTensor::Skipped
            | MappedTensor::StackPart { .. }
            | MappedTensor::LmHead
            | MappedTensor::Unknown => String::new(),
        };
        let tensors = tensors.map(|(name, shape)| EncoderTensor { name, shape, in_file: in_file(name) });
        (self.family.misfit)(&tensors.collect::<Vec<_>>())
    }

    /// The shape of the tensor of this GGUF name and how its values are stored, or what is wrong with its shape in the
    /// checkpoint.
    pub(crate) fn transform(&self, name: &str, shape: &[u64]) -> Result<TransformedShape, String> {
        (self.family.transform)(&self.vision, name, shape)
    }

    /// The type of a matrix whose type does not follow the file's.
    pub(crate) fn fixed_type(&self, name: &str, output: OutputType) -> Option<TensorType> {
        (self.family.fixed_type)(name, output)
    }

    /// The tensors that a file requires, of a model that has those of these names.
    pub(crate) fn required_tensors(&self, names: &HashSet<String>) -> Result<Vec<String>> {
        let tensors = names.len();
        let layers @ EncoderLayers { vision, audio } = (self.family.encoder_layers)(&self.configs())?;
        if let Some(layers) = [vision, audio].into_iter().find(|layers| *layers as usize > tensors) {
            let problem =
                format!("has num_hidden_layers {layers}, but the encoders have only {tensors} tensors");
            return Err(Error::invalid(self.vision.file(), problem));
        }
        let required = self.tensor_maps().into_iter().flat_map(|map| map.required_tensors(layers));
        Ok(required.chain((self.family.required_by)(names)).collect())
    }

    /// Writes the metadata, in the converter's order.
    pub(crate) fn write_parameters(
        &self,
        files: &ModelFiles,
        file_type: u32,
        out: &mut GgufMetadata,
    ) -> Result<()> {
        out.set("general.file_type", file_type);
        (self.family.parameters)(files, &self.configs(), out)
    }
}
