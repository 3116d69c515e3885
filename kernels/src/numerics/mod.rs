//! Arithmetic that matches another program bit for bit: element types, 16-bit floats, torch's special functions, and
//! the transforms that llama.cpp's converter applies to tensors.

mod dtype;
mod finite;
pub mod half;
pub(crate) mod simd;
pub mod torch;
mod transform;

pub use dtype::Dtype;
pub use finite::first_non_finite;
pub use transform::TensorTransform;
