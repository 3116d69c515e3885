//! Arithmetic that must equal another program's to the bit: element types, 16-bit floats, torch's special functions, and
//! what llama.cpp's converter does to a tensor's values.

mod dtype;
pub(crate) mod half;
pub(crate) mod simd;
pub(crate) mod torch;
mod transform;

pub use dtype::Dtype;
pub(crate) use transform::TensorTransform;
