//! Selects the type of each tensor by the rules of llama.cpp's converter and of `llama-quantize`
//! (`llama_tensor_get_type`, as far as it concerns Gemma's tensors).

use super::{OutputType, TensorType, TypeOverrides, layer_number};

/// Selects the types of one file's tensors. Must see the tensors in the order of the file, because some rules count
/// them.
#[derive(Debug)]
pub struct TypeSelector<'a> {
    output: OutputType,
    overrides: &'a TypeOverrides,
    shape: ModelShape,
    /// `attn_v` tensors seen so far (`i_attention_wv`).
    attn_v_count: usize,
    /// `ffn_down` tensors seen so far (`i_ffn_down`).
    ffn_down_count: usize,
}

/// What the rules depend on besides names.
#[derive(Debug, Clone, Copy)]
pub struct ModelShape {
    /// The embedding is also the `lm_head`.
    pub tied: bool,
    /// Attention heads per key-value head (`n_gqa`).
    pub gqa: u32,
    /// Layers of the model.
    pub layers: usize,
    /// Layers with an `attn_v` tensor (`n_attention_wv`).
    pub attn_v_layers: usize,
    /// Experts of a layer; 0 without.
    pub experts: u32,
    /// Whether the quantizer has an importance matrix.
    pub has_imatrix: bool,
    /// The file is one of `llama-quantize`, not of the converter.
    pub quantized: bool,
    /// The type of matrices that `llama-quantize` leaves unquantized: that of its source file.
    pub source_type: TensorType,
}

impl Default for ModelShape {
    fn default() -> Self {
        Self {
            tied: false,
            gqa: 0,
            layers: 0,
            attn_v_layers: 0,
            experts: 0,
            has_imatrix: false,
            quantized: true,
            source_type: TensorType::Bf16,
        }
    }
}

impl<'a> TypeSelector<'a> {
    /// A selector for the tensors of one file, in their order.
    pub fn new(output: OutputType, overrides: &'a TypeOverrides, shape: ModelShape) -> Self {
        Self { output, overrides, shape, attn_v_count: 0, ffn_down_count: 0 }
    }

    /// Selects the type of a matrix with rows of `columns` elements (`llama_tensor_get_type`).
    pub fn select(&mut self, name: &str, columns: u64) -> TensorType {
        let default = self.output.default_type();
        if is_f32(name) {
            return TensorType::F32;
        }
        if !self.shape.quantized {
            return if columns.is_multiple_of(default.block_size()) { default } else { TensorType::F16 };
        }
        if stays_unquantized(name) {
            return self.shape.source_type;
        }
        if let Some(fixed) = self.overrides.fixed(name) {
            return fixed;
        }
        if !self.output.is_quantized() {
            return default;
        }
        let wanted = match self.overrides.named(name) {
            Some(named) => named,
            None if self.overrides.pure => default,
            None => self.by_rule(name, columns),
        };
        fallback(wanted, columns)
    }

    /// The type that the rules select (`llama_tensor_get_type_impl`).
    fn by_rule(&mut self, name: &str, columns: u64) -> TensorType {
        let default = self.output.default_type();
        if name == "output.weight" || (self.shape.tied && is_embedding(name)) {
            let is_whole = columns.is_multiple_of(default.block_size());
            let output =
                if is_whole && default != TensorType::Q8_0 { TensorType::Q6K } else { TensorType::Q8_0 };
            self.overrides.output.unwrap_or(output)
        } else if is_embedding(name) {
            default
        } else if name.contains("attn_v.weight") {
            self.attn_v_count += 1;
            let value = self.attn_v(self.attn_v_count - 1).unwrap_or(default);
            if self.shape.experts == 8 { TensorType::Q8_0 } else { value }
        } else if name.contains("attn_k.weight") && self.shape.experts == 8 {
            TensorType::Q8_0
        } else if name.contains("ffn_down") {
            self.ffn_down_count += 1;
            // a layer with experts has several
            let layer = if self.shape.experts > 1 { layer_number(name) } else { None };
            self.ffn_down(layer.unwrap_or(self.ffn_down_count - 1)).unwrap_or(default)
        } else if name.contains("attn_output.weight") {
            self.attn_output().unwrap_or(default)
        } else {
            default
        }
    }

    /// The n-th `attn_v` tensor. Value projections are small and sensitive to quantization.
    fn attn_v(&self, n: usize) -> Option<TensorType> {
        let grouped = self.shape.gqa >= 4;
        match self.output {
            OutputType::Q2_K => Some(if grouped { TensorType::Q4K } else { TensorType::Q3K }),
            OutputType::Q3_K_M => Some(if n < 2 { TensorType::Q5K } else { TensorType::Q4K }),
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::IQ4_NL | OutputType::IQ4_XS => grouped.then_some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => {
                use_more_bits(n, self.shape.attn_v_layers).then_some(TensorType::Q6K)
            }
            OutputType::Q4_K_S => (n < 4).then_some(TensorType::Q5K),
            OutputType::F32
            | OutputType::F16
            | OutputType::BF16
            | OutputType::Q8_0
            | OutputType::Q6_K
            | OutputType::Q5_K_S
            | OutputType::Q5_1
            | OutputType::Q5_0
            | OutputType::Q4_1
            | OutputType::Q4_0
            | OutputType::Q3_K_S => None,
        }
    }

    /// The `ffn_down` tensor of the n-th layer.
    fn ffn_down(&self, n: usize) -> Option<TensorType> {
        let early = n < self.shape.layers / 8;
        match self.output {
            OutputType::Q2_K => Some(TensorType::Q3K),
            OutputType::Q3_K_M => {
                Some(if n < self.shape.layers / 16 { TensorType::Q5K } else { TensorType::Q4K })
            }
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => {
                use_more_bits(n, self.shape.layers).then_some(TensorType::Q6K)
            }
            OutputType::IQ4_NL | OutputType::IQ4_XS => {
                (early && !self.shape.has_imatrix).then_some(TensorType::Q5K)
            }
            OutputType::Q4_K_S => early.then_some(TensorType::Q5K),
            OutputType::Q4_0 => (early && self.shape.has_imatrix).then_some(TensorType::Q4_1),
            OutputType::Q5_0 => (early && self.shape.has_imatrix).then_some(TensorType::Q5_1),
            OutputType::F32
            | OutputType::F16
            | OutputType::BF16
            | OutputType::Q8_0
            | OutputType::Q6_K
            | OutputType::Q5_K_S
            | OutputType::Q5_1
            | OutputType::Q4_1
            | OutputType::Q3_K_S => None,
        }
    }

    fn attn_output(&self) -> Option<TensorType> {
        if self.shape.experts == 8 {
            return self.attn_output_with_8_experts();
        }
        match self.output {
            OutputType::Q2_K => Some(TensorType::Q3K),
            OutputType::Q3_K_M => Some(TensorType::Q4K),
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::F32
            | OutputType::F16
            | OutputType::BF16
            | OutputType::Q8_0
            | OutputType::Q6_K
            | OutputType::Q5_K_M
            | OutputType::Q5_K_S
            | OutputType::Q5_1
            | OutputType::Q5_0
            | OutputType::Q4_K_M
            | OutputType::Q4_K_S
            | OutputType::IQ4_NL
            | OutputType::IQ4_XS
            | OutputType::Q4_1
            | OutputType::Q4_0
            | OutputType::Q3_K_S => None,
        }
    }

    /// The attention of models with 8 experts is small beside the experts.
    fn attn_output_with_8_experts(&self) -> Option<TensorType> {
        match self.output {
            OutputType::Q2_K
            | OutputType::Q3_K_S
            | OutputType::Q3_K_M
            | OutputType::Q4_K_S
            | OutputType::Q4_K_M
            | OutputType::IQ4_NL
            | OutputType::IQ4_XS => Some(TensorType::Q5K),
            OutputType::F32
            | OutputType::F16
            | OutputType::BF16
            | OutputType::Q8_0
            | OutputType::Q6_K
            | OutputType::Q5_K_M
            | OutputType::Q5_K_S
            | OutputType::Q5_1
            | OutputType::Q5_0
            | OutputType::Q4_1
            | OutputType::Q4_0
            | OutputType::Q3_K_L => None,
        }
    }
}

/// The first and the last eighth of the layers, and every third between them (`use_more_bits`).
fn use_more_bits(n: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    n < eighth || n >= 7 * layers / 8 || n.wrapping_sub(eighth) % 3 == 2
}

/// Tensors that stay `f32`, like vectors.
pub fn is_f32(name: &str) -> bool {
    !name.ends_with(".weight")
        || ["altup_correct_coef", "altup_predict_coef", "ffn_gate_inp"].iter().any(|part| name.contains(part))
}

/// Matrices too small to be worth quantizing.
fn stays_unquantized(name: &str) -> bool {
    ["altup", "laurel", "per_layer_model_proj"].iter().any(|part| name.contains(part))
}

pub(super) fn is_embedding(name: &str) -> bool {
    name == "token_embd.weight" || name == "per_layer_token_embd.weight"
}

/// The type for rows that are no multiple of the block size (`tensor_type_fallback`): one with blocks of 32, else F16.
fn fallback(wanted: TensorType, columns: u64) -> TensorType {
    if columns.is_multiple_of(wanted.block_size()) {
        return wanted;
    }
    let smaller = match wanted {
        TensorType::Iq4Xs => TensorType::Iq4Nl,
        TensorType::Q2K | TensorType::Q3K => TensorType::Q4_0,
        TensorType::Q4K => TensorType::Q5_0,
        TensorType::Q5K => TensorType::Q5_1,
        TensorType::Q6K => TensorType::Q8_0,
        TensorType::F32
        | TensorType::F16
        | TensorType::Bf16
        | TensorType::Q4_0
        | TensorType::Q4_1
        | TensorType::Q5_0
        | TensorType::Q5_1
        | TensorType::Q8_0
        | TensorType::Iq4Nl => wanted,
    };
    if columns.is_multiple_of(smaller.block_size()) { smaller } else { TensorType::F16 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The counts that `llama-quantize` prints for the shape of Gemma 3 1B as Q4_K_M.
    #[test]
    fn q4_k_m_of_a_1b_is_mostly_q5_0() {
        let shape = ModelShape { tied: true, gqa: 4, layers: 26, attn_v_layers: 26, ..ModelShape::default() };
        let rules = TypeOverrides::default();
        let mut selector = TypeSelector::new(OutputType::Q4_K_M, &rules, shape);
        let mut counts = BTreeMap::new();
        let mut count = |kind: TensorType| *counts.entry(kind.as_str()).or_insert(0) += 1;
        count(selector.select("token_embd.weight", 1152));
        for layer in 0..26 {
            for (name, columns) in [
                ("attn_k", 1152),
                ("attn_output", 1024),
                ("attn_q", 1152),
                ("attn_v", 1152),
                ("ffn_down", 6912),
                ("ffn_gate", 1152),
                ("ffn_up", 1152),
            ] {
                count(selector.select(&format!("blk.{layer}.{name}.weight"), columns));
            }
        }
        assert_eq!(counts, BTreeMap::from([("Q4_K", 39), ("Q5_0", 117), ("Q6_K", 13), ("Q8_0", 14)]));
    }

    #[test]
    fn small_matrices_keep_the_type_of_the_source() {
        let rules = TypeOverrides::default();
        let selector = |source_type| {
            TypeSelector::new(OutputType::Q4_K_M, &rules, ModelShape { source_type, ..ModelShape::default() })
        };
        for source_type in [TensorType::Bf16, TensorType::F32] {
            assert_eq!(selector(source_type).select("blk.0.laurel_l.weight", 256), source_type);
        }
        assert_eq!(selector(TensorType::Bf16).select("blk.0.altup_predict_coef.weight", 4), TensorType::F32);
    }

    #[test]
    fn rows_that_fit_no_block_become_f16() {
        let rules = TypeOverrides::default();
        for (output, quantized) in [(OutputType::Q4_0, true), (OutputType::Q8_0, false)] {
            let shape = ModelShape { quantized, ..ModelShape::default() };
            let mut selector = TypeSelector::new(output, &rules, shape);
            assert_eq!(selector.select("blk.0.ffn_up.weight", 33), TensorType::F16);
        }
    }

    #[test]
    fn overridden_tensors_are_not_counted_by_the_rules() {
        let tensors = vec!["blk.0.attn_v=q4_0".parse().unwrap()];
        let overrides = TypeOverrides { tensors, ..TypeOverrides::default() };
        let mut selector = TypeSelector::new(OutputType::Q3_K_M, &overrides, ModelShape::default());
        let types = [0, 1, 2, 3].map(|layer| selector.select(&format!("blk.{layer}.attn_v.weight"), 256));
        assert_eq!(types, [TensorType::Q4_0, TensorType::Q5K, TensorType::Q5K, TensorType::Q4K]);
    }

    #[test]
    fn pure_files_have_one_type_and_fallbacks() {
        let overrides = TypeOverrides { pure: true, ..TypeOverrides::default() };
        let shape = ModelShape { tied: true, ..ModelShape::default() };
        let mut selector = TypeSelector::new(OutputType::Q4_K_M, &overrides, shape);
        assert_eq!(selector.select("token_embd.weight", 256), TensorType::Q4K);
        assert_eq!(selector.select("blk.0.attn_v.weight", 256), TensorType::Q4K);
        assert_eq!(selector.select("blk.0.ffn_down.weight", 96), TensorType::Q5_0);
    }
}
