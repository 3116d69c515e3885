//! Arithmetic on weights, element by element: everything whose bits or speed matter.
//!
//! - [`numerics`]: element types, 16-bit floats, transforms of a tensor's values
//! - [`quant`]: ggml's block types, and the type of each tensor in a file
//! - [`lora`]: the sums of a LoRA in PEFT's order
//! - [`product`]: products of few rows with a matrix
//! - [`change_sums`]: a stored change of weights against the wanted one
//! - [`error_stats`]: differences between values and their stored form
//! - [`resize`]: lengths of buffers
//!
//! Nothing here reads or writes files. The crate is compiled with optimization also in development: without it these loops take
//! a hundred times as long.

pub mod change_sums;
pub mod error_stats;
pub mod lora;
pub mod numerics;
pub mod product;
pub mod quant;
pub mod resize;
