//! Which tensor of a file gets which type: the choices of llama.cpp's converter and of `llama-quantize`
//! (`llama_tensor_get_type_impl`, as far as Gemma's tensors come in its way).

use super::{OutputType, TensorType};

/// A file's choices. The tensors must be asked for in the order of the file, because some choices count them.
#[derive(Debug)]
pub(crate) struct TypeSelector {
    output: OutputType,
    shape: ModelShape,
    values_seen: usize,
    downs_seen: usize,
}

/// What the choices depend on besides names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelShape {
    /// The embedding serves as the head.
    pub(crate) tied: bool,
    /// Query heads for each key-value head.
    pub(crate) group: u32,
    pub(crate) layers: usize,
    /// Layers that have values of their own.
    pub(crate) values: usize,
    pub(crate) experts: u32,
    /// There is an importance matrix.
    pub(crate) important: bool,
    /// The type of the matrices in the file that would be quantised; those too small for it keep that.
    pub(crate) from: TensorType,
}

impl Default for ModelShape {
    fn default() -> Self {
        let from = TensorType::Bf16;
        Self { tied: false, group: 0, layers: 0, values: 0, experts: 0, important: false, from }
    }
}

impl TypeSelector {
    pub(crate) fn new(output: OutputType, shape: ModelShape) -> Self {
        Self { output, shape, values_seen: 0, downs_seen: 0 }
    }

    /// The type of the matrix of this name whose rows are `columns` long.
    pub(crate) fn choose(&mut self, name: &str, columns: u64) -> TensorType {
        let usual = self.output.usual();
        if is_exact(name) {
            return TensorType::F32;
        }
        if self.output.is_the_converters() {
            return if columns.is_multiple_of(usual.block()) { usual } else { TensorType::F16 };
        }
        if is_small(name) {
            return self.shape.from;
        }
        let wanted = if name == "output.weight" || (self.shape.tied && is_embedding(name)) {
            if columns.is_multiple_of(usual.block()) { TensorType::Q6K } else { TensorType::Q8_0 }
        } else if is_embedding(name) {
            usual
        } else if name.contains("attn_v.weight") {
            self.values_seen += 1;
            let value = self.value(self.values_seen - 1).unwrap_or(usual);
            if self.shape.experts == 8 { TensorType::Q8_0 } else { value }
        } else if name.contains("attn_k.weight") && self.shape.experts == 8 {
            TensorType::Q8_0
        } else if name.contains("ffn_down") {
            self.downs_seen += 1;
            // experts have several in a layer
            let layer = if self.shape.experts > 1 { layer_of(name) } else { None };
            self.floor_int(layer.unwrap_or(self.downs_seen - 1)).unwrap_or(usual)
        } else if name.contains("attn_output.weight") {
            self.attention_output().unwrap_or(usual)
        } else {
            usual
        };
        fit(wanted, columns)
    }

    /// The value projection of the n-th layer, which is small and matters much.
    fn value(&self, n: usize) -> Option<TensorType> {
        let shared = self.shape.group >= 4;
        match self.output {
            OutputType::Q2_K => Some(if shared { TensorType::Q4K } else { TensorType::Q3K }),
            OutputType::Q3_K_M => Some(if n < 2 { TensorType::Q5K } else { TensorType::Q4K }),
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::IQ4_NL | OutputType::IQ4_XS => shared.then_some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => {
                more_bits(n, self.shape.values).then_some(TensorType::Q6K)
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

    /// The down projection of the n-th layer.
    fn floor_int(&self, n: usize) -> Option<TensorType> {
        let early = n < self.shape.layers / 8;
        match self.output {
            OutputType::Q2_K => Some(TensorType::Q3K),
            OutputType::Q3_K_M => {
                Some(if n < self.shape.layers / 16 { TensorType::Q5K } else { TensorType::Q4K })
            }
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => {
                more_bits(n, self.shape.layers).then_some(TensorType::Q6K)
            }
            OutputType::IQ4_NL | OutputType::IQ4_XS => {
                (early && !self.shape.important).then_some(TensorType::Q5K)
            }
            OutputType::Q4_K_S => early.then_some(TensorType::Q5K),
            OutputType::Q4_0 => (early && self.shape.important).then_some(TensorType::Q4_1),
            OutputType::Q5_0 => (early && self.shape.important).then_some(TensorType::Q5_1),
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

    fn attention_output(&self) -> Option<TensorType> {
        if self.shape.experts == 8 {
            return self.attention_output_of_eight();
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

    /// The same with eight experts, whose attention is small beside them.
    fn attention_output_of_eight(&self) -> Option<TensorType> {
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

/// The first and the last eighth of the layers, and every third between them.
fn more_bits(n: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    n < eighth || n >= 7 * layers / 8 || n.wrapping_sub(eighth) % 3 == 2
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Matrices that stay as exact as vectors, and scales.
fn is_exact(name: &str) -> bool {
    !name.ends_with(".weight")
        || ["altup_correct_coef", "altup_predict_coef", "ffn_gate_inp"].iter().any(|part| name.contains(part))
}

/// Matrices too small to be worth quantising; they keep the checkpoint's values.
fn is_small(name: &str) -> bool {
    ["altup", "laurel", "per_layer_model_proj"].iter().any(|part| name.contains(part))
}

fn is_embedding(name: &str) -> bool {
    name == "token_embd.weight" || name == "per_layer_token_embd.weight"
}

/// The nearest_int type in blocks of 32 for rows that are no multiple of 256, and F16 where 32 does not go either.
fn fit(wanted: TensorType, columns: u64) -> TensorType {
    if columns.is_multiple_of(wanted.block()) {
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
    if columns.is_multiple_of(smaller.block()) { smaller } else { TensorType::F16 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The counts that `llama-quantize` prints for the shape of Gemma 3 1B as Q4_K_M.
    #[test]
    fn q4_k_m_of_a_1b_is_mostly_q5_0() {
        let shape = ModelShape { tied: true, group: 4, layers: 26, values: 26, ..ModelShape::default() };
        let mut mixture = TypeSelector::new(OutputType::Q4_K_M, shape);
        let mut counts = BTreeMap::new();
        let mut count = |kind: TensorType| *counts.entry(kind.as_str()).or_insert(0) += 1;
        count(mixture.choose("token_embd.weight", 1152));
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
                count(mixture.choose(&format!("blk.{layer}.{name}.weight"), columns));
            }
        }
        assert_eq!(counts, BTreeMap::from([("Q4_K", 39), ("Q5_0", 117), ("Q6_K", 13), ("Q8_0", 14)]));
    }

    #[test]
    fn small_matrices_keep_the_values_of_the_checkpoint() {
        let of = |from| TypeSelector::new(OutputType::Q4_K_M, ModelShape { from, ..ModelShape::default() });
        for from in [TensorType::Bf16, TensorType::F32] {
            assert_eq!(of(from).choose("blk.0.laurel_l.weight", 256), from);
        }
        assert_eq!(of(TensorType::Bf16).choose("blk.0.altup_predict_coef.weight", 4), TensorType::F32);
    }

    #[test]
    fn odd_rows_become_f16() {
        assert_eq!(
            TypeSelector::new(OutputType::Q4_0, ModelShape::default()).choose("blk.0.ffn_up.weight", 33),
            TensorType::F16
        );
        assert_eq!(
            TypeSelector::new(OutputType::Q8_0, ModelShape::default()).choose("blk.0.ffn_up.weight", 33),
            TensorType::F16
        );
    }
}
