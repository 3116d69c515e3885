//! The export engine: merges LoRA adapters into Gemma checkpoints and writes safetensors and GGUF.
//!
//! Everything is streamed by blocks of rows: peak memory depends on the number of threads, never on the size of
//! the model. Inputs are positioned reads ([`Source`], [`Folder`]), outputs are sequential writes whose sizes are
//! known before the first byte ([`Output`]), so local disks, object stores and zip entries look the same.
//!
//! ```no_run
//! use std::sync::Arc;
//! use engine::{Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, OutputType, RunOptions};
//!
//! # fn main() -> engine::Result<()> {
//! let base = Checkpoint::open(Arc::new(LocalFolder::open("base")?))?;
//! let adapter = Adapter::open(Arc::new(LocalFolder::open("adapter")?))?;
//! let model = Model::with_adapter(&base, &adapter)?;
//!
//! let plan = MergePlan::new(&model)?;
//! engine::merge(&plan, &mut LocalOutput::create("merged")?, &RunOptions::default())?;
//!
//! let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "Merged"))?;
//! engine::gguf(&plan, "model.gguf", &mut LocalOutput::create(".")?, &RunOptions::default())?;
//! # Ok(())
//! # }
//! ```

mod checkpoint;
mod convert;
mod error;
mod export;
mod forward;
mod gemma;
mod gguf;
mod imatrix;
mod inspect;
mod io;
mod merge;
mod numerics;
mod peft;
mod plan;
mod progress;
mod quant;
pub mod report;
mod tokenizer;

pub use checkpoint::{Checkpoint, ModelConfig, TensorInfo};
pub use convert::{GgufOptions, GgufPlan, LoraPlan, title_of};
pub use error::{Error, Result};
pub use export::{Difference, Outcome, Verification, gguf, ggufs, merge, verify_gguf, verify_merge};
pub use forward::{LogitDivergence, check_comparable, compare_gguf, compare_merged};
pub use gemma::Architecture;
pub use gguf::{GgufFile, GgufKey, GgufTensor, parse_split_name, split_name};
pub use imatrix::Imatrix;
pub use inspect::{FolderContent, describe, describe_file};
pub use io::{Folder, FolderEntry, LocalFolder, LocalOutput, Output, Source};
pub use merge::Model;
pub use numerics::Dtype;
pub use peft::{Adapter, AdapterConfig};
pub use plan::{MergePlan, PlannedFile, WrittenFile};
pub use progress::{NoProgress, Progress, ProgressUpdate, RunOptions, Stage};
pub use quant::{OutputType, TensorType};
pub use report::ExportReport;
