//! Checkpoints and LoRA adapters with the tensor names and shapes of Gemma and pseudo-random weights, for the demo of
//! the local stack, the benchmarks and the memory test.
//!
//! [`DecoderShape`] lists the tensors of a model, [`safetensors`] writes them to a file, with weights from a
//! [`WeightSource`] or as a sparse file, and [`sentencepiece`] and [`tokenizer_json`] write a tokenizer
//! for the vocabulary.

mod decoder_shape;
mod dtype;
pub mod safetensors;
pub mod sentencepiece;
pub mod tokenizer_json;
mod weights;

pub use decoder_shape::{DecoderShape, TensorSpec};
pub use dtype::DType;
pub use weights::{NormalWeights, SeededWeights, WeightSource};
