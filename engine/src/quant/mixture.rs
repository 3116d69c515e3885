//! Which tensor of a file gets which type: the choices of llama.cpp's converter and of `llama-quantize`
//! (`llama_tensor_get_type_impl`, as far as Gemma's tensors come in its way).

use super::{OutputType, TensorType};

/// A file's choices. The tensors must be asked for in the order of the file, because some choices count them.
#[derive(Debug)]
pub(crate) struct Mixture {
    output: OutputType,
    /// The embedding serves as the head.
    tied: bool,
    /// Query heads for each key-value head.
    group: u32,
    layers: usize,
    /// There is an importance matrix.
    important: bool,
    values_seen: usize,
    downs_seen: usize,
}

impl Mixture {
    pub(crate) fn new(output: OutputType, tied: bool, group: u32, layers: usize, important: bool) -> Self {
        Self { output, tied, group, layers, important, values_seen: 0, downs_seen: 0 }
    }

    /// The type of the matrix of this name whose rows are `columns` long.
    pub(crate) fn choose(&mut self, name: &str, columns: u64) -> TensorType {
        let usual = self.output.usual();
        if self.output.is_the_converters() {
            return if columns.is_multiple_of(usual.block()) { usual } else { TensorType::F16 };
        }
        let wanted = if name == "output.weight" || (self.tied && is_embedding(name)) {
            if columns.is_multiple_of(usual.block()) { TensorType::Q6K } else { TensorType::Q8_0 }
        } else if is_embedding(name) {
            usual
        } else if name.contains("attn_v.weight") {
            self.values_seen += 1;
            self.value(self.values_seen - 1).unwrap_or(usual)
        } else if name.contains("ffn_down") {
            self.downs_seen += 1;
            self.down(self.downs_seen - 1).unwrap_or(usual)
        } else if name.contains("attn_output.weight") {
            self.attention_output().unwrap_or(usual)
        } else {
            usual
        };
        fit(wanted, columns)
    }

    /// The value projection of the n-th layer, which is small and matters much.
    fn value(&self, n: usize) -> Option<TensorType> {
        let shared = self.group >= 4;
        match self.output {
            OutputType::Q2_K => Some(if shared { TensorType::Q4K } else { TensorType::Q3K }),
            OutputType::Q3_K_M => Some(if n < 2 { TensorType::Q5K } else { TensorType::Q4K }),
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::IQ4_NL | OutputType::IQ4_XS => shared.then_some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => self.more_bits(n).then_some(TensorType::Q6K),
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
    fn down(&self, n: usize) -> Option<TensorType> {
        let early = n < self.layers / 8;
        match self.output {
            OutputType::Q2_K => Some(TensorType::Q3K),
            OutputType::Q3_K_M => Some(if n < self.layers / 16 { TensorType::Q5K } else { TensorType::Q4K }),
            OutputType::Q3_K_L => Some(TensorType::Q5K),
            OutputType::Q4_K_M | OutputType::Q5_K_M => self.more_bits(n).then_some(TensorType::Q6K),
            OutputType::IQ4_NL | OutputType::IQ4_XS => (early && !self.important).then_some(TensorType::Q5K),
            OutputType::Q4_K_S => early.then_some(TensorType::Q5K),
            OutputType::Q4_0 => (early && self.important).then_some(TensorType::Q4_1),
            OutputType::Q5_0 => (early && self.important).then_some(TensorType::Q5_1),
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

    /// The first and the last eighth of the layers, and every third between them.
    fn more_bits(&self, n: usize) -> bool {
        let eighth = self.layers / 8;
        n < eighth || n >= 7 * self.layers / 8 || (n - eighth) % 3 == 2
    }
}

fn is_embedding(name: &str) -> bool {
    name == "token_embd.weight" || name == "per_layer_token_embd.weight"
}

/// The nearest type in blocks of 32 for rows that are no multiple of 256, and F16 where 32 does not go either.
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
        let mut mixture = Mixture::new(OutputType::Q4_K_M, true, 4, 26, false);
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
    fn odd_rows_become_f16() {
        assert_eq!(
            Mixture::new(OutputType::Q4_0, true, 1, 1, false).choose("blk.0.ffn_up.weight", 33),
            TensorType::F16
        );
        assert_eq!(
            Mixture::new(OutputType::Q8_0, true, 1, 1, false).choose("blk.0.ffn_up.weight", 33),
            TensorType::F16
        );
    }
}
