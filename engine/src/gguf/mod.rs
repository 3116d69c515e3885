//! The GGUF format, version 3: metadata, tensor infos, and tensors at multiples of 32 bytes, as gguf-py writes them.

pub(crate) mod header;
mod header_diff;
mod metadata;
mod metadata_keys;
mod reader;
pub(crate) mod split;

pub(crate) use header_diff::differences;
pub(crate) use metadata::{GgufMetadata, MetadataValue};
pub(crate) use metadata_keys::MetadataKeys;
pub use reader::{GgufFile, GgufKeyValue, GgufTensor};
pub use split::{parse_split_name, split_name};
