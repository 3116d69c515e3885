//! The header of a safetensors file: u64 length and JSON, followed by the tensors' bytes without gaps.
//!
//! Format: <https://huggingface.co/docs/safetensors>, "Format". Lengths are checked against the size of the file before
//! memory is allocated.

use std::fmt;

use kernels::numerics::Dtype;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, TRUNCATED};
use crate::io::json;
use crate::io::{Source, refuse_lfs_pointer};

/// The format's maximum length of the JSON.
const MAX_JSON_BYTES: u64 = 100_000_000;

/// A tensor of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderTensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    /// The position of its first byte in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A tensor's entry in the JSON.
#[derive(Deserialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The entries of the JSON without `__metadata__`.
struct HeaderEntries(Vec<(String, HeaderEntry)>);

impl<'de> Deserialize<'de> for HeaderEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = HeaderEntries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderEntries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match map.next_value() {
                Ok(entry) => entries.push((name, entry)),
                Err(error) => return Err(A::Error::custom(format_args!("tensor {name}: {error}"))),
            }
        }
        Ok(HeaderEntries(entries))
    }
}

/// Reads and checks the header. Returns the tensors in the order of their bytes, which cover the file exactly.
pub(crate) fn read(source: &dyn Source) -> Result<Vec<HeaderTensor>> {
    Ok(read_hashed(source)?.0)
}

/// Reads and checks the header like [`read`], and returns the SHA-256 of its bytes, with its length field.
pub(crate) fn read_hashed(source: &dyn Source) -> Result<(Vec<HeaderTensor>, String)> {
    refuse_lfs_pointer(source)?;
    let file = source.location();
    let size = source.size();
    if size < 8 {
        return Err(Error::invalid(file, format!("is {size} bytes: too short for a safetensors file")));
    }
    let mut length = [0; 8];
    source.read_at(0, &mut length).map_err(|e| Error::read(file, e))?;
    if length.starts_with(b"GGUF") {
        return Err(Error::invalid(file, "is a GGUF file, not safetensors: give the model it was made from"));
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_JSON_BYTES {
        return Err(Error::invalid(
            file,
            format!("has a header of {length} bytes; the format allows {MAX_JSON_BYTES}"),
        ));
    }
    if length > size - 8 {
        return Err(Error::invalid(
            file,
            format!("has a header of {length} bytes, but the file has {size}: {TRUNCATED}"),
        ));
    }
    let mut hash = Sha256::new_with_prefix(length.to_le_bytes());
    let mut text = vec![0; length as usize];
    source.read_at(8, &mut text).map_err(|e| Error::read(file, e))?;
    let entries: HeaderEntries = json::parse(file, &text)?;
    hash.update(&text);
    drop(text);
    let data = 8 + length;
    let mut tensors = Vec::with_capacity(entries.0.len());
    for (name, entry) in entries.0 {
        tensors.push(check_tensor(file, size, data, name, entry)?);
    }
    check_unique(file, &tensors)?;
    check_cover(file, size, data, &mut tensors)?;
    Ok((tensors, hex::encode(hash.finalize())))
}

fn check_tensor(file: &str, size: u64, data: u64, name: String, entry: HeaderEntry) -> Result<HeaderTensor> {
    let HeaderEntry { dtype, shape, data_offsets: (begin, end) } = entry;
    let Some(dtype) = Dtype::from_name(&dtype) else {
        return Err(Error::tensor(file, name, format!("has the unknown dtype {dtype:?}")));
    };
    let bytes = shape.iter().try_fold(dtype.bytes(), |product, n| product.checked_mul(*n));
    let Some(bytes) = bytes else {
        return Err(Error::tensor(file, name, format!("has the shape {shape:?}, more than a file can hold")));
    };
    if begin > end {
        return Err(Error::tensor(
            file,
            name,
            format!("lies at {begin}..{end}, which ends before it begins"),
        ));
    }
    let available = size - data;
    if end > available {
        let problem =
            format!("lies at {begin}..{end}, but the file has {available} bytes of tensors: {TRUNCATED}");
        return Err(Error::tensor(file, name, problem));
    }
    if end - begin != bytes {
        let problem = format!("is {} bytes, but {dtype} {shape:?} needs {bytes}", end - begin);
        return Err(Error::tensor(file, name, problem));
    }
    Ok(HeaderTensor { name, dtype, shape, offset: data + begin, bytes })
}

fn check_unique(file: &str, tensors: &[HeaderTensor]) -> Result<()> {
    let mut names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::tensor(file, pair[0], "appears twice")),
        None => Ok(()),
    }
}

/// Checks that tensors cover the file without overlaps or gaps.
fn check_cover(file: &str, size: u64, data: u64, tensors: &mut [HeaderTensor]) -> Result<()> {
    tensors.sort_by_key(|t| (t.offset, t.bytes));
    let mut end = data;
    for tensor in tensors {
        if tensor.offset < end {
            return Err(Error::tensor(file, &tensor.name, "overlaps the previous tensor"));
        }
        if tensor.offset > end {
            return Err(Error::tensor(file, &tensor.name, "leaves a gap after the previous tensor"));
        }
        end += tensor.bytes;
    }
    if end != size {
        return Err(Error::invalid(file, format!("has {} bytes after its last tensor", size - end)));
    }
    Ok(())
}

/// A tensor's entry in the JSON, to be written.
#[derive(Serialize)]
struct WrittenEntry<'a> {
    dtype: &'a str,
    shape: &'a [u64],
    data_offsets: (u64, u64),
}

/// The header of a file with these tensors in this order: length, and JSON padded with spaces to 8 bytes.
pub(crate) fn write<'a>(tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [u64], u64)>) -> Vec<u8> {
    let mut text = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let mut begin = 0;
    for (name, dtype, shape, bytes) in tensors {
        let entry = WrittenEntry { dtype: dtype.as_str(), shape, data_offsets: (begin, begin + bytes) };
        text.push(',');
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        text.push_str(&serde_json::to_string(&entry).unwrap_or_default());
        begin += bytes;
    }
    text.push('}');
    while text.len() % 8 != 0 {
        text.push(' ');
    }
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend_from_slice(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;

    struct Bytes(Vec<u8>);

    impl Source for Bytes {
        fn location(&self) -> &str {
            "model.safetensors"
        }

        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            let end = start + buffer.len();
            buffer.copy_from_slice(self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            tensors in prop::collection::btree_map("[a-z.\"\\\\é0-9]{1,12}", (0_usize..3, prop::collection::vec(0_u64..5, 0..4)), 0..20)
        ) {
            const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];
            let tensors: Vec<_> = tensors.into_iter().map(|(name, (dtype, shape))| {
                let dtype = DTYPES[dtype];
                let bytes = shape.iter().product::<u64>() * dtype.bytes();
                (name, dtype, shape, bytes)
            }).collect();
            let mut file = write(tensors.iter().map(|(n, d, s, b)| (n.as_str(), *d, s.as_slice(), *b)));
            let data = file.len() as u64;
            prop_assert_eq!(data % 8, 0);
            let total: u64 = tensors.iter().map(|(_, _, _, bytes)| bytes).sum();
            file.resize((data + total) as usize, 0);
            let mut offset = data;
            let expected: Vec<_> = tensors.into_iter().map(|(name, dtype, shape, bytes)| {
                let tensor = HeaderTensor { name, dtype, shape, offset, bytes };
                offset += bytes;
                tensor
            }).collect();
            let mut tensors = read(&Bytes(file)).unwrap();
            // a tensor without bytes has the position of the next one, so their order may change
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(tensors, expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), length in 0_u64..100) {
            let mut file = length.to_le_bytes().to_vec();
            file.extend(bytes);
            drop(read(&Bytes(file)));
        }
    }
}
