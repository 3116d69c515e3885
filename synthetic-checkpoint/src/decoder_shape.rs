//! The sizes of a Gemma decoder, and the tensors that follow from them.

use serde_json::{Map, Value};

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TensorSpec {
    /// The name in the checkpoint.
    pub name: String,
    /// The sizes of its dimensions, rows before columns.
    pub shape: Vec<u64>,
}

impl TensorSpec {
    /// A tensor of that name and shape.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<u64>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// How many weights it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// The sizes of a decoder, named as in its `config.json`.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of config.json")]
pub struct DecoderShape {
    pub hidden_size: u64,
    pub intermediate_size: u64,
    pub num_hidden_layers: u64,
    pub num_attention_heads: u64,
    pub num_key_value_heads: u64,
    pub head_dim: u64,
    pub vocab_size: u64,
    /// Whether queries and keys are normalized, as in Gemma 3 and not in Gemma 2.
    pub has_qk_norm: bool,
}

impl DecoderShape {
    /// Gemma 3 1B, which has 26 layers and 262,144 tokens.
    #[must_use]
    pub fn gemma3_1b(num_hidden_layers: u64, vocab_size: u64) -> Self {
        Self {
            hidden_size: 1_152,
            intermediate_size: 6_912,
            num_hidden_layers,
            num_attention_heads: 4,
            num_key_value_heads: 1,
            head_dim: 256,
            vocab_size,
            has_qk_norm: true,
        }
    }

    /// The fields of `config.json` that hold the sizes.
    #[must_use]
    pub fn config_sizes(&self) -> Map<String, Value> {
        let fields = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab_size),
        ];
        fields.into_iter().map(|(name, size)| (name.to_owned(), size.into())).collect()
    }

    /// The tensors of that layer, sorted by name.
    #[must_use]
    pub fn layer_tensors(&self, layer: u64) -> Vec<TensorSpec> {
        let name = |module: &str| format!("model.layers.{layer}.{module}.weight");
        let linears =
            self.linears().map(|(module, rows, columns)| TensorSpec::new(name(module), [rows, columns]));
        let norms = self.norms().map(|(module, size)| TensorSpec::new(name(module), [size]));
        let mut tensors: Vec<_> = linears.into_iter().chain(norms).collect();
        tensors.sort();
        tensors
    }

    /// The tensors beside the layers: the embedding, which is the `lm_head` too, and the last norm.
    #[must_use]
    pub fn outer_tensors(&self) -> [TensorSpec; 2] {
        [
            TensorSpec::new("model.embed_tokens.weight", [self.vocab_size, self.hidden_size]),
            TensorSpec::new("model.norm.weight", [self.hidden_size]),
        ]
    }

    /// All tensors of the model, sorted by name.
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let layers = (0..self.num_hidden_layers).flat_map(|layer| self.layer_tensors(layer));
        let mut tensors: Vec<_> = layers.chain(self.outer_tensors()).collect();
        tensors.sort();
        tensors
    }

    /// The tensors of a LoRA adapter for every linear module of the layers, as PEFT names them, sorted by name.
    #[must_use]
    pub fn lora_tensors(&self, rank: u64) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        for layer in 0..self.num_hidden_layers {
            for (module, rows, columns) in self.linears() {
                let module = format!("base_model.model.model.layers.{layer}.{module}");
                tensors.push(TensorSpec::new(format!("{module}.lora_A.weight"), [rank, columns]));
                tensors.push(TensorSpec::new(format!("{module}.lora_B.weight"), [rows, rank]));
            }
        }
        tensors.sort();
        tensors
    }

    /// The linear modules of a layer: name, rows (outputs), columns (inputs).
    fn linears(&self) -> [(&'static str, u64, u64); 7] {
        let (hidden, intermediate) = (self.hidden_size, self.intermediate_size);
        let (queries, keys) =
            (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        [
            ("mlp.down_proj", hidden, intermediate),
            ("mlp.gate_proj", intermediate, hidden),
            ("mlp.up_proj", intermediate, hidden),
            ("self_attn.k_proj", keys, hidden),
            ("self_attn.o_proj", hidden, queries),
            ("self_attn.q_proj", queries, hidden),
            ("self_attn.v_proj", keys, hidden),
        ]
    }

    /// The norms of a layer: name and size.
    fn norms(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let layer = [
            "input_layernorm",
            "post_attention_layernorm",
            "post_feedforward_layernorm",
            "pre_feedforward_layernorm",
        ];
        let qk: &[_] = if self.has_qk_norm { &["self_attn.k_norm", "self_attn.q_norm"] } else { &[] };
        let (hidden_size, head_dim) = (self.hidden_size, self.head_dim);
        layer
            .into_iter()
            .map(move |name| (name, hidden_size))
            .chain(qk.iter().map(move |name| (*name, head_dim)))
    }
}
