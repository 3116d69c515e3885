//! The towers that look and listen, with their projectors, which llama.cpp takes in a file of their own: one file a
//! family.

mod clip;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gemma4_unified;
mod preprocessor;
mod tensor_map;

use tensor_map::{TensorMap, needed};

use super::MappedTensor;
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;
use crate::numerics::TensorTransform;
use crate::quant::{OutputType, TensorType};

/// The towers of a multimodal model, as its configuration describes them.
#[derive(Debug)]
pub(crate) struct MmprojEncoders {
    family: ProjectorFamily,
    vision: ModelConfig,
    /// Not every model has one.
    audio: Option<ModelConfig>,
}

#[derive(Debug, Clone, Copy)]
enum ProjectorFamily {
    Gemma3,
    Gemma3n,
    Gemma4,
    Gemma4Unified,
}

impl MmprojEncoders {
    /// What `config.json` says the model has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when it has no vision tower, or one of another class.
    pub(crate) fn of(config: &ModelConfig) -> Result<Self> {
        let class = config.class().or_else(|| config.model_type()).unwrap_or("a model without architectures");
        let family = match class {
            "Gemma3ForConditionalGeneration" | "gemma3" => Some(ProjectorFamily::Gemma3),
            "Gemma3nForConditionalGeneration" | "gemma3n" => Some(ProjectorFamily::Gemma3n),
            "Gemma4ForConditionalGeneration" | "gemma4" => Some(ProjectorFamily::Gemma4),
            "Gemma4UnifiedForConditionalGeneration" | "gemma4_unified" => {
                Some(ProjectorFamily::Gemma4Unified)
            }
            _ => None,
        };
        let (Some(family), Some(vision)) = (family, config.part("vision_config")) else {
            return Err(Error::unsupported(config.file(), format!("an mmproj file for {class}")).advise(
                "it is made from multimodal models (Gemma3ForConditionalGeneration, Gemma4ForConditionalGeneration and so on)",
            ));
        };
        let audio = match family {
            ProjectorFamily::Gemma3 => None,
            ProjectorFamily::Gemma3n | ProjectorFamily::Gemma4 | ProjectorFamily::Gemma4Unified => {
                config.part("audio_config")
            }
        };
        let audio = audio.filter(|part| !part.is_empty());
        Ok(Self { family, vision, audio })
    }

    /// What becomes of the checkpoint's tensor of this name.
    pub(crate) fn place(&self, name: &str) -> MappedTensor {
        let name = name.strip_prefix("model.").unwrap_or(name);
        if name.starts_with("language_model.") || name == "lm_head.weight" {
            return MappedTensor::Skipped;
        }
        match self.family {
            ProjectorFamily::Gemma3 => gemma3::place(name),
            ProjectorFamily::Gemma3n => gemma3n::place(name, &self.parts()),
            ProjectorFamily::Gemma4 | ProjectorFamily::Gemma4Unified => gemma4::place(name, &self.parts()),
        }
    }

    fn parts(&self) -> Vec<&'static TensorMap> {
        match self.family {
            ProjectorFamily::Gemma3 => gemma3::PARTS.iter().collect(),
            ProjectorFamily::Gemma3n => gemma3n::parts(self.audio.is_some()),
            ProjectorFamily::Gemma4 => gemma4::parts(self.audio.is_some()),
            ProjectorFamily::Gemma4Unified => gemma4_unified::parts(self.audio.is_some()),
        }
    }

    /// The shape of a tensor in the file and how its values get there, or what is wrong with the shape it has.
    pub(crate) fn form(&self, name: &str, shape: &[u64]) -> Result<(Vec<u64>, TensorTransform), String> {
        match self.family {
            ProjectorFamily::Gemma3 => Ok((shape.to_vec(), gemma3::form(name))),
            ProjectorFamily::Gemma3n => Ok((gemma3n::shape(name, shape), TensorTransform::IDENTITY)),
            ProjectorFamily::Gemma4 => gemma4::form(name, shape),
            ProjectorFamily::Gemma4Unified => gemma4_unified::form(&self.vision, name, shape),
        }
    }

    /// The type of matrices that have the same, or nearly the same, in every file.
    pub(crate) fn fixed_type(&self, name: &str, output: OutputType) -> Option<TensorType> {
        match self.family {
            ProjectorFamily::Gemma3 => gemma3::fixed_type(name),
            ProjectorFamily::Gemma3n => gemma3n::fixed_type(name),
            ProjectorFamily::Gemma4 | ProjectorFamily::Gemma4Unified => gemma4::fixed_type(name, output),
        }
    }

    /// The tensors that a file cannot lack, of towers that have `held` tensors.
    pub(crate) fn needed(&self, held: usize) -> Result<Vec<String>> {
        let (vision, audio) = match self.family {
            ProjectorFamily::Gemma3 => (gemma3::layers(&self.vision)?, 0),
            ProjectorFamily::Gemma3n => (0, gemma3n::layers(self.audio.as_ref())?),
            ProjectorFamily::Gemma4 => gemma4::layers(&self.vision, self.audio.as_ref())?,
            ProjectorFamily::Gemma4Unified => (0, 0),
        };
        for layers in [vision, audio] {
            if layers as usize > held {
                let problem =
                    format!("says num_hidden_layers is {layers}, but the towers have {held} tensors");
                return Err(Error::invalid(self.vision.file(), problem));
            }
        }
        Ok(self.parts().into_iter().flat_map(|part| needed(part, vision, audio)).collect())
    }

    /// Writes the parameters, in the converter's order.
    pub(crate) fn parameters(
        &self,
        files: &ModelFiles,
        file_type: u32,
        out: &mut GgufMetadata,
    ) -> Result<()> {
        out.set("general.file_type", file_type);
        match self.family {
            ProjectorFamily::Gemma3 => gemma3::parameters(files, &self.vision, out),
            ProjectorFamily::Gemma3n => gemma3n::parameters(files, &self.vision, self.audio.as_ref(), out),
            ProjectorFamily::Gemma4 => gemma4::parameters(files, &self.vision, self.audio.as_ref(), out),
            ProjectorFamily::Gemma4Unified => {
                gemma4_unified::parameters(files, &self.vision, self.audio.as_ref(), out)
            }
        }
    }
}
