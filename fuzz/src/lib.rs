//! Hostile input for every reader of the engine: whatever the bytes, a reader answers or says what is wrong with them.
//! It does not panic, and what it allocates is in proportion to what it was given.
//!
//! `make fuzz` looks for inputs that break this. `corpus/` keeps those that took a new way through the code, and a
//! test sends them all through the same readers again.

mod folder;
mod meter;

use std::sync::Arc;

use engine::{Adapter, Checkpoint, GgufOptions, GgufPlan, Imatrix, Model, OutputType, Result};

use folder::{Bytes, Overlay};

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("adapter_config", ADAPTER_CONFIG),
    ("gguf", GGUF),
    ("imatrix", IMATRIX),
    ("safetensors", SAFETENSORS),
    ("tokenizer_json", TOKENIZER_JSON),
    ("tokenizer_model", TOKENIZER_MODEL),
];

/// `adapter_config.json`, with the tensors and the base it was made for.
pub const ADAPTER_CONFIG: Target = Target(|bytes| {
    let adapter = Overlay::new("adapter").with("adapter_config.json", bytes.to_vec());
    let base = checkpoint(Overlay::new("base"))?;
    Model::with_adapter(&base, &Adapter::open(Arc::new(adapter))?).map(drop)
});

/// A GGUF file, as `gemma-export inspect` reads it.
pub const GGUF: Target = Target(|bytes| engine::describe_file(&Bytes::new("model.gguf", bytes)).map(drop));

/// An importance matrix, in either format.
pub const IMATRIX: Target = Target(|bytes| Imatrix::open(&Bytes::new("imatrix", bytes), "imatrix").map(drop));

/// A safetensors file; and the same bytes as the header of one, which mutations of whole files seldom reach.
pub const SAFETENSORS: Target = Target(|bytes| {
    let header = (bytes.len() as u64).to_le_bytes();
    for file in [bytes.to_vec(), [&header, bytes, &[0; 4096]].concat()] {
        let base = Overlay::new("base").without(&["safetensors", "index.json"]);
        drop(checkpoint(base.with("model.safetensors", file)));
    }
    Ok(())
});

/// `tokenizer.json`, where there is no `tokenizer.model`.
pub const TOKENIZER_JSON: Target = Target(|bytes| {
    plan(Overlay::new("base").without(&["tokenizer.model"]).with("tokenizer.json", bytes.to_vec()))
});

/// `tokenizer.model`
pub const TOKENIZER_MODEL: Target =
    Target(|bytes| plan(Overlay::new("base").with("tokenizer.model", bytes.to_vec())));

/// A reader that takes any bytes.
#[derive(Clone, Copy)]
pub struct Target(fn(&[u8]) -> Result<()>);

impl Target {
    /// What is held besides: the small fixture around the input, and what is planned for it.
    const ROOM: usize = 4 << 20;
    /// Bytes held for a byte of input: JSON's `0,` becomes eight, in a vector that grows by doubling, twice.
    const TIMES: usize = 64;

    /// Lets the reader read.
    ///
    /// # Panics
    /// When the reader does, and when it held more memory than its input justifies.
    pub fn check(self, bytes: &[u8]) {
        let before = meter::reset();
        drop((self.0)(bytes));
        let held = meter::peak().saturating_sub(before);
        let most = Self::ROOM + Self::TIMES * bytes.len();
        assert!(held <= most, "held {held} bytes of memory for an input of {}", bytes.len());
    }
}

fn checkpoint(folder: Overlay) -> Result<Checkpoint> {
    Checkpoint::open(Arc::new(folder))
}

fn plan(base: Overlay) -> Result<()> {
    let base = checkpoint(base)?;
    GgufPlan::new(&Model::new(&base), &GgufOptions::new(OutputType::Q8_0, "fuzz")).map(drop)
}
