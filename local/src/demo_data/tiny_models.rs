//! Tiny but complete models with random weights in the shape of Gemma and a trained SentencePiece tokenizer, built into
//! the binary.

/// The files of a model: names and contents.
pub(crate) type ModelFiles = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../demo-data/", $folder, "/", $name)))),+]
    };
}

pub(crate) const GEMMA2_BASE: ModelFiles = files!("gemma2-micro/base":
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
);

pub(crate) const GEMMA3_BASE: ModelFiles = files!("gemma3-micro/base":
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
);

pub(crate) const GEMMA2_ADAPTER: ModelFiles = files!("gemma2-micro/adapter":
    "adapter_config.json",
    "adapter_model.safetensors",
);

pub(crate) const GEMMA3_ADAPTER: ModelFiles = files!("gemma3-micro/adapter":
    "adapter_config.json",
    "adapter_model.safetensors",
);

/// The file of that name.
pub(crate) fn file(files: ModelFiles, name: &str) -> &'static [u8] {
    files.iter().find(|(n, _)| *n == name).map_or(&[], |(_, bytes)| *bytes)
}
