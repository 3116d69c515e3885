//! Files in the safetensors format (<https://github.com/huggingface/safetensors#format>).

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::{DType, TensorSpec, WeightSource};

/// How many bytes of weights are made at a time.
const CHUNK: usize = 1 << 20;

/// Writes a new file of those tensors, with weights from `source`.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write(
    path: &Path,
    dtype: DType,
    tensors: &[TensorSpec],
    source: &mut impl WeightSource,
) -> io::Result<File> {
    let (mut file, _) = create(path, dtype, tensors)?;
    let mut buffer = vec![0; CHUNK];
    for tensor in tensors {
        source.begin_tensor(&tensor.name);
        let mut left = usize::try_from(tensor.elements() * dtype.size()).map_err(io::Error::other)?;
        while left > 0 {
            let chunk = &mut buffer[..left.min(CHUNK)];
            source.fill(dtype, chunk);
            file.write_all(chunk)?;
            left -= chunk.len();
        }
    }
    Ok(file)
}

/// Writes a new file with a header for those tensors and a hole for the weights, which read as zeros and take no
/// space on most file systems. Returns the length of the file.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_sparse(path: &Path, dtype: DType, tensors: &[TensorSpec]) -> io::Result<u64> {
    let (file, length) = create(path, dtype, tensors)?;
    file.set_len(length)?;
    Ok(length)
}

/// A file with its header, and the length that it has with the weights.
fn create(path: &Path, dtype: DType, tensors: &[TensorSpec]) -> io::Result<(File, u64)> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut begin = 0;
    for TensorSpec { name, shape } in tensors {
        let end = begin + shape.iter().product::<u64>() * dtype.size();
        let entry = json!({ "dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end] });
        header.insert(name.clone(), entry);
        begin = end;
    }
    let mut text = Value::Object(header).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = File::create_new(path)?;
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(text.as_bytes())?;
    Ok((file, 8 + text.len() as u64 + begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecoderShape, NormalWeights, SeededWeights};

    #[test]
    fn a_file_has_the_length_that_a_sparse_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = DecoderShape { intermediate_size: 7, ..DecoderShape::gemma3_1b(1, 3) }.tensors();
        for dtype in [DType::BF16, DType::F32] {
            let path = |name: &str| folder.path().join(format!("{name}-{}", dtype.name()));
            let length = write_sparse(&path("sparse"), dtype, &tensors).unwrap();
            let file = write(&path("seeded"), dtype, &tensors, &mut SeededWeights::default()).unwrap();
            assert_eq!(file.metadata().unwrap().len(), length);
            let file = write(&path("normal"), dtype, &tensors, &mut NormalWeights::default()).unwrap();
            assert_eq!(file.metadata().unwrap().len(), length);
        }
    }

    #[test]
    fn the_header_lists_each_tensor_and_ends_at_a_multiple_of_eight() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = [TensorSpec::new("a", [2, 3]), TensorSpec::new("b", [1])];
        write(&path, DType::BF16, &tensors, &mut SeededWeights::default()).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let (length, rest) = bytes.split_first_chunk().unwrap();
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        assert_eq!((length % 8, rest.len()), (0, length + 14));
        let header: Value = serde_json::from_slice(&rest[..length]).unwrap();
        let expected = json!({
            "__metadata__": { "format": "pt" },
            "a": { "dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12] },
            "b": { "dtype": "BF16", "shape": [1], "data_offsets": [12, 14] },
        });
        assert_eq!(header, expected);
    }
}
