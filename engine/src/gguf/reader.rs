//! Reads the header of GGUF files, to inspect or verify them.
//!
//! Lengths are checked against the rest of the file before memory is allocated.

use std::ops::Range;

use kernels::quant::TensorType;
use kernels::resize;

use super::MetadataValue;
use super::header::ALIGNMENT;
use crate::error::{Error, Result, TRUNCATED};
use crate::io::{Source, refuse_lfs_pointer};

/// Ten times the largest known header; most of a header is vocabulary.
const MAX_HEADER_BYTES: u64 = 256 << 20;

/// The header of a GGUF file.
#[derive(Debug, Clone)]
pub struct GgufFile {
    /// The metadata, in the order of the file.
    pub key_values: Vec<GgufKeyValue>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<GgufTensor>,
}

/// A key-value pair of the metadata.
#[derive(Debug, Clone)]
pub struct GgufKeyValue {
    /// The key.
    pub key: String,
    /// The value.
    pub(crate) value: MetadataValue,
    /// The byte range of key, type and value in the file.
    pub byte_range: Range<u64>,
}

impl GgufKeyValue {
    /// The value as text; of an array, its length.
    pub fn text(&self) -> String {
        self.value.text()
    }
}

/// A tensor of the file.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    /// The name.
    pub name: String,
    /// The dimensions in ggml's order: the length of a row first.
    pub shape: Vec<u64>,
    /// The type, if this engine supports it.
    pub tensor_type: Option<TensorType>,
    /// The number of the type (`ggml_type`).
    pub ggml_type: u32,
    /// The byte range of the data in the file; empty if the type is not supported.
    pub byte_range: Range<u64>,
}

impl GgufFile {
    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&MetadataValue> {
        self.key_values.iter().find(|pair| pair.key == key).map(|k| &k.value)
    }

    /// The value of a key, if it is a count.
    pub(crate) fn u32(&self, key: &str) -> Option<u32> {
        self.value(key)?.as_u32()
    }

    /// The value of a key, if it is an array of strings.
    pub(crate) fn strings(&self, key: &str) -> Option<&[String]> {
        match self.value(key) {
            Some(MetadataValue::Strings(list)) => Some(list),
            _ => None,
        }
    }

    /// Parses the header of a file of this size; `None` if it is invalid.
    pub(crate) fn parse(header: &[u8], size: u64) -> Option<Self> {
        HeaderReader { bytes: header, position: 0 }.file(size).ok()
    }

    /// Reads the header.
    ///
    /// # Errors
    /// When the file is not GGUF version 2 or 3, is truncated, or has an invalid length.
    pub fn open(source: &dyn Source) -> Result<Self> {
        refuse_lfs_pointer(source)?;
        let mut header = vec![0; source.size().min(1 << 20) as usize];
        loop {
            source.read_at(0, &mut header).map_err(|e| Error::read(source.location(), e))?;
            let mut reader = HeaderReader { bytes: &header, position: 0 };
            match reader.file(source.size()) {
                Ok(file) => return Ok(file),
                Err(HeaderError::Invalid(problem)) => return Err(Error::invalid(source.location(), problem)),
                Err(HeaderError::Incomplete) => {}
            }
            let longer = (header.len() as u64 * 4).min(source.size()).min(MAX_HEADER_BYTES);
            if longer == header.len() as u64 {
                return Err(Error::invalid(
                    source.location(),
                    format!("ends inside the header: {TRUNCATED}"),
                ));
            }
            resize::bytes(&mut header, longer as usize);
        }
    }
}

/// Why a header cannot be read.
enum HeaderError {
    /// The header continues after the bytes read so far.
    Incomplete,
    Invalid(String),
}

struct HeaderReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> HeaderReader<'a> {
    fn file(&mut self, size: u64) -> Result<GgufFile, HeaderError> {
        if self.take(4)? != b"GGUF" {
            return Err(HeaderError::Invalid("is not a GGUF file".to_owned()));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(HeaderError::Invalid(format!(
                "is GGUF version {version}; versions 2 and 3 are supported"
            )));
        }
        let (tensors, pairs) = (self.u64()?, self.u64()?);
        let key_values = self.list(pairs, Self::key_value)?;
        let mut tensors = self.list(tensors, Self::tensor)?;
        let alignment = key_values.iter().find(|pair| pair.key == "general.alignment");
        let alignment = alignment.and_then(|pair| pair.value.as_u32());
        let alignment = u64::from(alignment.filter(|a| *a > 0).unwrap_or(ALIGNMENT as u32));
        let data = (self.position as u64).next_multiple_of(alignment);
        for tensor in &mut tensors {
            set_byte_range(tensor, data, size)?;
        }
        Ok(GgufFile { key_values, tensors })
    }

    fn list<T>(
        &mut self,
        count: u64,
        read: impl Fn(&mut Self) -> Result<T, HeaderError>,
    ) -> Result<Vec<T>, HeaderError> {
        // grows with the entries: the count may be wrong
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn key_value(&mut self) -> Result<GgufKeyValue, HeaderError> {
        let start = self.position as u64;
        let key = self.string()?;
        let gguf_type = self.u32()?;
        let value = self.value(gguf_type, 0)?;
        Ok(GgufKeyValue { key, value, byte_range: start..self.position as u64 })
    }

    fn value(&mut self, gguf_type: u32, depth: u32) -> Result<MetadataValue, HeaderError> {
        Ok(match gguf_type {
            0 => MetadataValue::U8(self.array::<1>()?[0]),
            1 => MetadataValue::I8(i8::from_le_bytes(self.array()?)),
            2 => MetadataValue::U16(u16::from_le_bytes(self.array()?)),
            3 => MetadataValue::I16(i16::from_le_bytes(self.array()?)),
            4 => MetadataValue::U32(self.u32()?),
            5 => MetadataValue::I32(i32::from_le_bytes(self.array()?)),
            6 => MetadataValue::F32(f32::from_le_bytes(self.array()?)),
            7 => MetadataValue::Bool(self.array::<1>()?[0] != 0),
            8 => MetadataValue::String(self.string()?),
            9 => self.array_value(depth)?,
            10 => MetadataValue::U64(self.u64()?),
            11 => MetadataValue::I64(i64::from_le_bytes(self.array()?)),
            12 => MetadataValue::F64(f64::from_le_bytes(self.array()?)),
            other => {
                return Err(HeaderError::Invalid(format!("has a metadata value of unknown type {other}")));
            }
        })
    }

    fn array_value(&mut self, depth: u32) -> Result<MetadataValue, HeaderError> {
        const MAX_DEPTH: u32 = 4;
        if depth == MAX_DEPTH {
            return Err(HeaderError::Invalid(format!("has arrays nested more than {MAX_DEPTH} deep")));
        }
        let (element_type, count) = (self.u32()?, self.u64()?);
        Ok(match element_type {
            5 => MetadataValue::I32s(self.list(count, |r| Ok(i32::from_le_bytes(r.array()?)))?),
            6 => MetadataValue::F32s(self.list(count, |r| Ok(f32::from_le_bytes(r.array()?)))?),
            8 => MetadataValue::Strings(self.list(count, Self::string)?),
            _ => MetadataValue::List(element_type, self.list(count, |r| r.value(element_type, depth + 1))?),
        })
    }

    fn tensor(&mut self) -> Result<GgufTensor, HeaderError> {
        const MAX_DIMENSIONS: u32 = 4;
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(HeaderError::Invalid(format!(
                "gives tensor {name} {dimensions} dimensions; the maximum is {MAX_DIMENSIONS}"
            )));
        }
        let shape = self.list(u64::from(dimensions), Self::u64)?;
        let ggml_type = self.u32()?;
        let offset = self.u64()?;
        let tensor_type = TensorType::from_ggml_type(ggml_type);
        Ok(GgufTensor { name, shape, tensor_type, ggml_type, byte_range: offset..offset })
    }

    fn string(&mut self) -> Result<String, HeaderError> {
        let length = self.u64()?;
        let length = usize::try_from(length).map_err(|_| HeaderError::Incomplete)?;
        String::from_utf8(self.take(length)?.to_vec())
            .map_err(|_| HeaderError::Invalid("has a string that is not UTF-8".to_owned()))
    }

    fn u32(&mut self) -> Result<u32, HeaderError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, HeaderError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        self.take(N)?.try_into().map_err(|_| HeaderError::Incomplete)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HeaderError> {
        let end = self.position.checked_add(length).ok_or(HeaderError::Incomplete)?;
        let bytes = self.bytes.get(self.position..end).ok_or(HeaderError::Incomplete)?;
        self.position = end;
        Ok(bytes)
    }
}

/// Replaces a tensor's offset in the data section by its byte range in the file.
fn set_byte_range(tensor: &mut GgufTensor, data: u64, size: u64) -> Result<(), HeaderError> {
    let name = &tensor.name;
    let Some(start) = tensor.byte_range.start.checked_add(data).filter(|s| *s <= size) else {
        return Err(HeaderError::Invalid(format!("ends before tensor {name} begins: {TRUNCATED}")));
    };
    tensor.byte_range = start..start;
    let elements = tensor.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
    if elements.is_none() {
        return Err(HeaderError::Invalid(format!("gives tensor {name} more elements than a file can hold")));
    }
    let Some(tensor_type) = tensor.tensor_type else { return Ok(()) };
    let bytes = elements.and_then(|n| (n / tensor_type.block_size()).checked_mul(tensor_type.block_bytes()));
    match bytes.and_then(|b| start.checked_add(b)) {
        Some(end) if end <= size => tensor.byte_range = start..end,
        Some(_) | None => {
            return Err(HeaderError::Invalid(format!("ends inside tensor {name}: {TRUNCATED}")));
        }
    }
    Ok(())
}
