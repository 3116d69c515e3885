//! Arithmetic that must equal another program's to the bit: element types, 16-bit floats, torch's special functions, and
//! what llama.cpp's converter does to a tensor's values.

mod dtype;
mod finite;
pub(crate) mod half;
pub(crate) mod simd;
pub(crate) mod torch;
mod transform;

pub use dtype::Dtype;
pub(crate) use finite::first_non_finite;
pub(crate) use transform::TensorTransform;
