//! The plan of a GGUF file: which tensors and metadata it has, in the order, types and bytes of llama.cpp's converter
//! and quantizer.

mod general_metadata;
mod gguf_plan;
mod lora;
mod mmproj;
mod model_name;
mod modelfile;
mod options;
mod planned_tensor;
mod qat;
mod select_tensors;

pub use gguf_plan::GgufPlan;
pub(crate) use gguf_plan::PlannedMatrix;
pub use lora::LoraPlan;
pub use model_name::title_of;
pub use options::GgufOptions;
pub use planned_tensor::TensorSummary;
