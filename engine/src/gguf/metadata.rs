//! GGUF metadata: key-value pairs in the order in which they were set.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

/// A value with its type (`gguf_metadata_value_t`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MetadataValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    U64(u64),
    I64(i64),
    F64(f64),
    Strings(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
    /// An array of any other type, with the number of the type.
    List(u32, Vec<MetadataValue>),
}

/// Key-value pairs in order. Setting an existing key keeps its position.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GgufMetadata {
    architecture: String,
    pairs: Vec<(String, MetadataValue)>,
}

impl GgufMetadata {
    /// Metadata that begins with `general.architecture`.
    pub(crate) fn new(architecture: &str) -> Self {
        let mut metadata = Self { architecture: architecture.to_owned(), pairs: Vec::new() };
        metadata.set("general.architecture", architecture);
        metadata
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<MetadataValue>) {
        let value = value.into();
        match self.pairs.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((key.to_owned(), value)),
        }
    }

    /// Sets the key `<architecture>.<key>`.
    pub(crate) fn set_arch_key(&mut self, key: &str, value: impl Into<MetadataValue>) {
        self.set(&format!("{}.{key}", self.architecture), value);
    }

    /// The value of `<architecture>.<key>` if it is a count, or its first element if it is an array with one per layer.
    pub(crate) fn arch_u32(&self, key: &str) -> Option<u32> {
        self.arch_value(key)?.as_u32()
    }

    /// The value of `<architecture>.<key>`.
    pub(crate) fn arch_value(&self, key: &str) -> Option<&MetadataValue> {
        let key = format!("{}.{key}", self.architecture);
        self.pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The value as text; see [`MetadataValue::text`].
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.text())
    }

    /// Moves a pair to the end.
    pub(crate) fn move_to_end(&mut self, key: &str) {
        if let Some(index) = self.pairs.iter().position(|(known, _)| known == key) {
            let pair = self.pairs.remove(index);
            self.pairs.push(pair);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Appends all pairs in the format of the file.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.pairs {
            write_string(key, out);
            out.extend(value.gguf_type().to_le_bytes());
            value.write(out);
        }
    }
}

impl MetadataValue {
    /// The number of the type (`gguf_type`).
    fn gguf_type(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Strings(_) | Self::F32s(_) | Self::I32s(_) | Self::List(..) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(v) => out.push(*v),
            Self::I8(v) => out.extend(v.to_le_bytes()),
            Self::U16(v) => out.extend(v.to_le_bytes()),
            Self::I16(v) => out.extend(v.to_le_bytes()),
            Self::U32(v) => out.extend(v.to_le_bytes()),
            Self::I32(v) => out.extend(v.to_le_bytes()),
            Self::F32(v) => out.extend(v.to_le_bytes()),
            Self::Bool(v) => out.push(u8::from(*v)),
            Self::String(v) => write_string(v, out),
            Self::U64(v) => out.extend(v.to_le_bytes()),
            Self::I64(v) => out.extend(v.to_le_bytes()),
            Self::F64(v) => out.extend(v.to_le_bytes()),
            Self::Strings(list) => {
                write_array_header(8, list.len(), out);
                list.iter().for_each(|v| write_string(v, out));
            }
            Self::F32s(list) => {
                write_array_header(6, list.len(), out);
                list.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Self::I32s(list) => {
                write_array_header(5, list.len(), out);
                list.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Self::List(element_type, list) => {
                write_array_header(*element_type, list.len(), out);
                list.iter().for_each(|v| v.write(out));
            }
        }
    }

    pub(crate) fn as_u32(&self) -> Option<u32> {
        match self {
            Self::U32(value) => Some(*value),
            Self::I32s(list) => list.first().and_then(|value| u32::try_from(*value).ok()),
            Self::U8(_)
            | Self::I8(_)
            | Self::U16(_)
            | Self::I16(_)
            | Self::I32(_)
            | Self::F32(_)
            | Self::Bool(_)
            | Self::String(_)
            | Self::U64(_)
            | Self::I64(_)
            | Self::F64(_)
            | Self::Strings(_)
            | Self::F32s(_)
            | Self::List(..) => None,
        }
    }

    /// The value as text for people; of an array, its length.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::U8(v) => v.to_string(),
            Self::I8(v) => v.to_string(),
            Self::U16(v) => v.to_string(),
            Self::I16(v) => v.to_string(),
            Self::U32(v) => v.to_string(),
            Self::I32(v) => v.to_string(),
            Self::F32(v) => v.to_string(),
            Self::Bool(v) => v.to_string(),
            Self::String(v) => v.clone(),
            Self::U64(v) => v.to_string(),
            Self::I64(v) => v.to_string(),
            Self::F64(v) => v.to_string(),
            Self::Strings(list) => format!("{} strings", list.len()),
            Self::F32s(list) => format!("{} numbers", list.len()),
            Self::I32s(list) => format!("{} numbers", list.len()),
            Self::List(_, list) => format!("{} values", list.len()),
        }
    }
}

fn write_array_header(element_type: u32, length: usize, out: &mut Vec<u8>) {
    out.extend(element_type.to_le_bytes());
    out.extend((length as u64).to_le_bytes());
}

/// Appends a string: its length in bytes, then the bytes.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl From<u32> for MetadataValue {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for MetadataValue {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

impl From<bool> for MetadataValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for MetadataValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for MetadataValue {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_an_existing_key_keeps_its_position() {
        let mut metadata = GgufMetadata::new("gemma");
        metadata.set_arch_key("a", 1_u32);
        metadata.set("b", true);
        metadata.set_arch_key("a", 2_u32);
        let keys: Vec<&str> = metadata.pairs.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["general.architecture", "gemma.a", "b"]);
        assert_eq!(metadata.pairs[1].1, MetadataValue::U32(2));
    }

    #[test]
    fn a_pair_is_key_type_and_value() {
        let mut metadata = GgufMetadata::default();
        metadata.set("k", MetadataValue::Strings(vec!["ab".to_owned()]));
        let mut out = Vec::new();
        metadata.write(&mut out);
        assert_eq!(out, b"\x01\0\0\0\0\0\0\0k\x09\0\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0ab");
    }
}
