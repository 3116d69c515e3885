//! The export engine: merges LoRA adapters into Gemma checkpoints and writes safetensors and GGUF.
//!
//! Merged weights equal PEFT's bit for bit, and GGUF files those of llama.cpp's converter and quantizer byte for byte,
//! with the exceptions that `docs/ENGINE.md` lists. What cannot be done exactly is refused by name before the first byte
//! is written.
//!
//! # Flow
//!
//! ```text
//! Checkpoint ─┐                 ┌─ MergePlan ─┐                    ┌─ merge ──┐   files,
//!             ├─ Model (targets)┤             ├─ export (parallel) ┤          ├─► report
//! Adapter ────┘                 └─ GgufPlan ──┘                    └─ gguf ───┘   (Outcome)
//! ```
//!
//! 1. [`Checkpoint`] and [`Adapter`] read configurations and headers, no weights.
//! 2. [`Model`] matches every change of the adapter with one tensor of the base.
//! 3. [`MergePlan`] and [`GgufPlan`] fix the layout of every output file to the byte, and refuse what is not exact.
//! 4. [`merge()`], [`gguf()`] and [`ggufs`] read, merge and encode row blocks in parallel and write them in order.
//! 5. The [`ExportReport`] lists inputs and outputs by hash, the effect on every tensor, and the error of every stored
//!    one. [`verify_merge`], [`verify_gguf`], [`verify_adapter`] and [`verify_lora`] do steps 1 to 4 again and compare; [`compare_merged`] and
//!    [`compare_gguf`] compare logits, and [`measure_survival`] tells how much of a fine-tune is left.
//!
//! # Input and output
//!
//! Weights are streamed in chunks of rows: peak memory depends on the number of threads, never on the size of the model.
//! Inputs are positioned reads ([`Source`], [`Folder`]). Outputs are sequential writes whose sizes are known before the
//! first byte ([`Output`]), so local disks, object stores and zip entries are written alike. Nothing is visible under its
//! name until it is finished. A [`LocalOutput`] can keep what is finished when an export ends early, for a later run.
//!
//! # Modules
//!
//! From the ground up; each uses only those before it: `error`, `progress`, `io`, `checkpoint`, `gguf` (the format),
//! `imatrix`, `peft`, `gemma`, `tokenizer`, `merge`, `check` (what servers need), `report`, `plan`, `adapter_copy` (an adapter as
//! it is), `convert` (plans of GGUF files), `export`, `forward` (predictions), `survival`, `calibration` (importance matrices), `type_fit` (types for
//! a size), `inspect`, `output_revision`. Arithmetic on weights is the crate `kernels`.
//! `docs/ENGINE.md` describes them.
//!
//! # Example
//!
//! `examples/` has programs that merge, convert and verify.
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

mod adapter_copy;
mod calibration;
mod check;
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
mod left_out;
mod merge;
mod output_revision;
mod peft;
mod plan;
mod progress;
pub mod report;
mod survival;
mod tokenizer;
mod type_fit;

pub use adapter_copy::{AdapterPlan, CopiedAdapter};
pub use calibration::{CalibrationCost, CalibrationText, MeasuredImatrix, calibration_cost, measure_imatrix};
pub use check::{Finding, Severity, check_adapter_values, check_serving};
pub use checkpoint::{
    Checkpoint, ModelConfig, TensorInfo, companion_files, is_companion, is_model_weights, is_tokenizer_file,
};
pub use convert::{GgufOptions, GgufPlan, LoraPlan, TensorSummary, title_of};
pub use error::{Error, Result};
pub use export::{
    Difference, KeptExport, Outcome, Verification, gguf, ggufs, ggufs_to_each, merge, rewrite_report,
    verify_adapter, verify_gguf, verify_lora, verify_merge,
};
pub use forward::{LogitDivergence, check_comparable, compare_gguf, compare_merged};
pub use gemma::Architecture;
pub use gguf::{GgufFile, GgufKeyValue, GgufTensor, parse_split_name, split_name};
pub use imatrix::Imatrix;
pub use inspect::{FolderContent, describe, describe_file};
pub use io::{
    Discard, ErrorInFolder, FileAppeared, Folder, FolderEntry, LocalFolder, LocalOutput, OpenedOnce, Output,
    Source, is_directly_in, keep_attributes, refuse_lfs_pointer, rename_new, sync_folder,
};
pub use kernels::numerics::Dtype;
pub use kernels::quant::{NamedType, OutputType, TensorType, TypeOverrides};
pub use left_out::LeftOut;
pub use merge::Model;
pub use output_revision::OUTPUT_REVISION;
pub use peft::{Adapter, AdapterConfig, is_adapter_file, sixteen_bit_name};
pub use plan::{MergePlan, PlannedFile, WrittenFile};
pub use progress::{NoProgress, Progress, ProgressUpdate, ResumeState, RunOptions, RunPart, Stage};
pub use report::{ExportReport, TurnEndProbability};
pub use survival::{
    ExportedModel, PromptSet, SurvivalCost, TurnEnd, check_turn_end, measure_survival,
    measure_survival_beside, measure_turn_end, survival_cost,
};
pub use type_fit::{FittedTypes, fit_types};
