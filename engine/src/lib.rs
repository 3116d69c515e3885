//! The export engine: merges LoRA adapters into Gemma checkpoints and writes safetensors and GGUF.
//!
//! Everything is streamed by blocks of rows: peak memory depends on the number of threads, never on the size of
//! the model. Inputs are positioned reads ([`Source`], [`Folder`]), outputs are sequential writes whose sizes are
//! known before the first byte ([`Output`]), so local disks, object stores and zip entries look the same.
//!
//! ```no_run
//! use std::sync::Arc;
//! use engine::{Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, OutputType, Run};
//!
//! # fn main() -> engine::Result<()> {
//! let base = Checkpoint::open(Arc::new(LocalFolder::open("base")?))?;
//! let adapter = Adapter::open(Arc::new(LocalFolder::open("adapter")?))?;
//! let model = Model::with_adapter(&base, &adapter)?;
//!
//! let plan = MergePlan::new(&model)?;
//! engine::merge(&plan, &mut LocalOutput::create("merged")?, &Run::default())?;
//!
//! let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "Merged"))?;
//! engine::gguf(&plan, "model.gguf", &mut LocalOutput::create(".")?, &Run::default())?;
//! # Ok(())
//! # }
//! ```

mod arch;
mod checkpoint;
mod error;
mod gguf;
mod half;
mod inspect;
mod io;
mod json;
mod kept;
mod logits;
mod lora;
mod model;
mod pipeline;
mod progress;
mod quant;
pub mod report;
mod tokenizer;
mod wide;

pub use arch::Architecture;
pub use checkpoint::{Checkpoint, Config, Dtype, TensorInfo};
pub use error::{Error, Result};
pub use gguf::{
    GgufFile, GgufKey, GgufOptions, GgufPlan, GgufTensor, LoraPlan, split_name, split_of, title_of,
};
pub use inspect::{Description, describe, describe_file};
pub use io::{Entry, Folder, LocalFolder, LocalOutput, Output, Source};
pub use logits::{Logits, check_comparable, compare_gguf, compare_merged};
pub use lora::{Adapter, AdapterConfig};
pub use model::Model;
pub use pipeline::{
    Difference, MergePlan, Outcome, PlannedFile, Run, Summary, Verdict, WrittenFile, gguf, ggufs, merge,
    verify_gguf, verify_merge,
};
pub use progress::{Progress, Silent, Stage, Update};
pub use quant::{Imatrix, OutputType, TensorType};
pub use report::Report;
