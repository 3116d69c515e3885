//! Tiny whole models, built into the binary: random weights in the shape of Gemma, a real SentencePiece tokenizer.

/// A model folder: names and contents.
pub(crate) type Files = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../demo-data/", $folder, "/", $name)))),+]
    };
}

pub(crate) const GEMMA2_BASE: Files = files!("gemma2-micro/base":
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

pub(crate) const GEMMA3_BASE: Files = files!("gemma3-micro/base":
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

pub(crate) const GEMMA2_ADAPTER: Files = files!("gemma2-micro/adapter":
    "adapter_config.json",
    "adapter_model.safetensors",
);

pub(crate) const GEMMA3_ADAPTER: Files = files!("gemma3-micro/adapter":
    "adapter_config.json",
    "adapter_model.safetensors",
);

/// The file of that name.
pub(crate) fn file(files: Files, name: &str) -> &'static [u8] {
    files.iter().find(|(n, _)| *n == name).map_or(&[], |(_, bytes)| *bytes)
}
