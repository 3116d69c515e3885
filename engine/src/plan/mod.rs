//! What an export will write, to the byte, before any of it is written.

mod completeness;
mod export_plan;
mod layout;
mod merge_plan;
mod tensor_shapes;

pub(crate) use completeness::{missing_encoder_tensor, missing_tensor};
pub(crate) use export_plan::{ExportPlan, PlannedReport};
pub use export_plan::{PlannedFile, WrittenFile};
pub(crate) use layout::{FileLayout, FilePart, PartContent};
pub use merge_plan::MergePlan;
pub(crate) use tensor_shapes::{check_encoders, check_language_model};
