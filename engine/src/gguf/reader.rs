//! Reading GGUF files: for looking into them, and for checking what was written.
//!
//! Every length is checked against what is left of the file before anything is allocated for it.

use std::ops::Range;

use super::MetadataValue;
use super::header::ALIGNMENT;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::quant::TensorType;

/// Heads are mostly vocabularies; the largest known take a tenth of this.
const MOST_HEAD: u64 = 256 << 20;

/// A GGUF file's head.
#[derive(Debug, Clone)]
pub struct GgufFile {
    /// The pairs in order.
    pub keys: Vec<GgufKey>,
    /// The tensors in order.
    pub tensors: Vec<GgufTensor>,
}

/// One of the pairs.
#[derive(Debug, Clone)]
pub struct GgufKey {
    /// The key.
    pub name: String,
    /// The value.
    pub(crate) value: MetadataValue,
    /// Where key, type and value lie in the file.
    pub bytes: Range<u64>,
}

impl GgufKey {
    /// The value in a few words; long lists are counted.
    pub fn text(&self) -> String {
        self.value.text()
    }
}

/// One of the tensors.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    /// The name.
    pub name: String,
    /// The length of a row first.
    pub shape: Vec<u64>,
    /// How it is stored, if this engine knows the type.
    pub stored: Option<TensorType>,
    /// The type's number.
    pub code: u32,
    /// Where its bytes lie in the file; empty when the type is not known.
    pub bytes: Range<u64>,
}

impl GgufFile {
    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&MetadataValue> {
        self.keys.iter().find(|k| k.name == key).map(|k| &k.value)
    }

    /// The value of a key, if it is a count.
    pub(crate) fn u32(&self, key: &str) -> Option<u32> {
        self.value(key)?.as_u32()
    }

    /// The value of a key, if it is a list of strings.
    pub(crate) fn strings(&self, key: &str) -> Option<&[String]> {
        match self.value(key) {
            Some(MetadataValue::Strings(list)) => Some(list),
            _ => None,
        }
    }

    /// Reads the head of a file of that size; `None` when it is broken.
    pub(crate) fn of_head(head: &[u8], size: u64) -> Option<Self> {
        HeaderReader { bytes: head, at: 0 }.file(size).ok()
    }

    /// Reads the head.
    ///
    /// # Errors
    /// When the file is no GGUF of version 2 or 3, is truncated, or lies about a length.
    pub fn open(source: &dyn Source) -> Result<Self> {
        let mut head = vec![0; source.size().min(1 << 20) as usize];
        loop {
            source.read_at(0, &mut head).map_err(|e| Error::read(source.location(), e))?;
            let mut reader = HeaderReader { bytes: &head, at: 0 };
            match reader.file(source.size()) {
                Ok(file) => return Ok(file),
                Err(ReadError::Broken(problem)) => return Err(Error::invalid(source.location(), problem)),
                Err(ReadError::More) => {}
            }
            let longer = (head.len() as u64 * 4).min(source.size()).min(MOST_HEAD);
            if longer == head.len() as u64 {
                return Err(Error::invalid(
                    source.location(),
                    "ends in the middle of its head: is it truncated?",
                ));
            }
            head.resize(longer as usize, 0);
        }
    }
}

/// Why reading went no further.
enum ReadError {
    /// What has been read of the file ends here.
    More,
    Broken(String),
}

struct HeaderReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderReader<'a> {
    fn file(&mut self, size: u64) -> Result<GgufFile, ReadError> {
        if self.take(4)? != b"GGUF" {
            return Err(ReadError::Broken("is not a GGUF file".to_owned()));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(ReadError::Broken(format!("is GGUF version {version}; 2 and 3 are known")));
        }
        let (tensors, keys) = (self.u64()?, self.u64()?);
        let keys = self.list(keys, Self::key)?;
        let mut tensors = self.list(tensors, Self::tensor)?;
        let alignment = keys.iter().find(|k| k.name == "general.alignment").and_then(|k| k.value.as_u32());
        let alignment = u64::from(alignment.filter(|a| *a > 0).unwrap_or(ALIGNMENT as u32));
        let data = (self.at as u64).next_multiple_of(alignment);
        for tensor in &mut tensors {
            place(tensor, data, size)?;
        }
        Ok(GgufFile { keys, tensors })
    }

    fn list<T>(
        &mut self,
        count: u64,
        read: impl Fn(&mut Self) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        // grows as entries are really there, whatever the count says
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn key(&mut self) -> Result<GgufKey, ReadError> {
        let start = self.at as u64;
        let name = self.string()?;
        let code = self.u32()?;
        let value = self.value(code, 0)?;
        Ok(GgufKey { name, value, bytes: start..self.at as u64 })
    }

    fn value(&mut self, code: u32, depth: u32) -> Result<MetadataValue, ReadError> {
        Ok(match code {
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
            other => return Err(ReadError::Broken(format!("has a value of the unknown type {other}"))),
        })
    }

    fn array_value(&mut self, depth: u32) -> Result<MetadataValue, ReadError> {
        const DEEPEST: u32 = 4;
        if depth == DEEPEST {
            return Err(ReadError::Broken("has lists in lists in lists".to_owned()));
        }
        let (code, count) = (self.u32()?, self.u64()?);
        Ok(match code {
            5 => MetadataValue::I32s(self.list(count, |r| Ok(i32::from_le_bytes(r.array()?)))?),
            6 => MetadataValue::F32s(self.list(count, |r| Ok(f32::from_le_bytes(r.array()?)))?),
            8 => MetadataValue::Strings(self.list(count, Self::string)?),
            _ => MetadataValue::List(code, self.list(count, |r| r.value(code, depth + 1))?),
        })
    }

    fn tensor(&mut self) -> Result<GgufTensor, ReadError> {
        const MOST_DIMENSIONS: u32 = 4;
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(ReadError::Broken(format!("says tensor {name} has {dimensions} dimensions")));
        }
        let shape = self.list(u64::from(dimensions), Self::u64)?;
        let code = self.u32()?;
        let offset = self.u64()?;
        Ok(GgufTensor { name, shape, stored: TensorType::from_ggml_type(code), code, bytes: offset..offset })
    }

    fn string(&mut self) -> Result<String, ReadError> {
        let length = self.u64()?;
        let length = usize::try_from(length).map_err(|_| ReadError::More)?;
        String::from_utf8(self.take(length)?.to_vec())
            .map_err(|_| ReadError::Broken("has text that is not UTF-8".to_owned()))
    }

    fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.take(N)?.try_into().map_err(|_| ReadError::More)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ReadError> {
        let end = self.at.checked_add(length).ok_or(ReadError::More)?;
        let taken = self.bytes.get(self.at..end).ok_or(ReadError::More)?;
        self.at = end;
        Ok(taken)
    }
}

/// Turns the offset a tensor claims into its place in the file.
fn place(tensor: &mut GgufTensor, data: u64, size: u64) -> Result<(), ReadError> {
    let name = &tensor.name;
    let Some(start) = tensor.bytes.start.checked_add(data).filter(|s| *s <= size) else {
        return Err(ReadError::Broken(format!("says tensor {name} lies past its end: is it truncated?")));
    };
    tensor.bytes = start..start;
    let elements = tensor.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
    if elements.is_none() {
        return Err(ReadError::Broken(format!("gives tensor {name} more elements than any file can hold")));
    }
    let Some(stored) = tensor.stored else { return Ok(()) };
    let bytes = elements.and_then(|n| (n / stored.block_size()).checked_mul(stored.block_bytes()));
    match bytes.and_then(|b| start.checked_add(b)) {
        Some(end) if end <= size => tensor.bytes = start..end,
        Some(_) | None => {
            return Err(ReadError::Broken(format!("ends before tensor {name} does: is it truncated?")));
        }
    }
    Ok(())
}
