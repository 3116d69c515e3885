//! EmbeddingGemma (`Gemma3TextModel`): Gemma 3 without an lm_head, with the pooling and dense modules of
//! sentence-transformers.

use super::attention::AttentionRules;
use super::family::{ModelFamily, ParameterSource, VocabMismatch, no_own_tensors};
use super::gemma3;
use super::sentence_transformers::{dense_modules, pooling_type};
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

pub(super) static FAMILY: ModelFamily = ModelFamily {
    name: "gemma-embedding",
    classes: &["Gemma3TextModel"],
    tensor_names: &gemma3::TENSOR_NAMES,
    config_defaults: gemma3::CONFIG_DEFAULTS,
    attention: AttentionRules {
        reads_query_scalar: true,
        is_causal: false,
        ..AttentionRules::with_period(6)
    },
    norm_shift: 1.0,
    vocab_mismatch: VocabMismatch::Truncate,
    has_lm_head: true,
    target_mask_token: None,
    parameters,
    extra_tensors: dense_modules,
    own_tensors: no_own_tensors,
    mmproj: &[],
};

fn parameters(family: &ModelFamily, source: &ParameterSource<'_>, out: &mut GgufMetadata) -> Result<()> {
    let config = source.files.config();
    if config.field("sliding_window").value().is_none() {
        return Err(Error::invalid(config.file(), "has no sliding_window"));
    }
    gemma3::parameters(family, source, out)?;
    for dense in source.extra_tensors {
        let name = dense.name.trim_end_matches(".weight");
        let [out_features, in_features] = dense.shape[..] else { continue };
        out.set_arch_key(&format!("{name}_feat_in"), in_features as u32);
        out.set_arch_key(&format!("{name}_feat_out"), out_features as u32);
    }
    if let Some(pooling) = pooling_type(source.files)? {
        out.set_arch_key("pooling_type", pooling);
    }
    Ok(())
}
