//! GGUF version 3: metadata, tensor descriptions, and tensors at multiples of 32 bytes.
//!
//! Order of keys and tensors, padding and types are llama.cpp's converter's, so that files are equal byte for byte.

mod choose;
mod chosen;
mod general;
mod head;
mod metadata;
mod name;
mod plan;
mod read;

pub(crate) use metadata::{Metadata, Value};
pub use name::title_of;
pub use plan::{GgufOptions, GgufPlan};
pub use read::{GgufFile, GgufKey, GgufTensor};
