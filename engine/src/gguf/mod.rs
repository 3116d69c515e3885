//! GGUF version 3: metadata, tensor descriptions, and tensors at multiples of 32 bytes.
//!
//! Order of keys and tensors, padding and types are llama.cpp's converter's, so that files are equal byte for byte.

mod choose;
mod chosen;
mod compare;
mod form;
mod general;
mod head;
mod lora;
mod metadata;
mod mmproj;
mod modelfile;
mod name;
mod options;
mod plan;
mod read;
mod softplus;
mod split;

pub(crate) use compare::differences;
pub(crate) use form::Form;
pub use lora::LoraPlan;
pub(crate) use metadata::{Metadata, Value};
pub use name::title_of;
pub use options::GgufOptions;
pub use plan::GgufPlan;
pub use read::{GgufFile, GgufKey, GgufTensor};
pub use split::{split_name, split_of};
