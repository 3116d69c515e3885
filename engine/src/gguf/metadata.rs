//! The key-value pairs at the head of a GGUF file, in the order they were set.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

/// A value, with its type.
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
    /// A list of any other type, with the type's number.
    List(u32, Vec<MetadataValue>),
}

/// Pairs in order. Setting a key again keeps its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GgufMetadata {
    architecture: String,
    pairs: Vec<(String, MetadataValue)>,
}

impl GgufMetadata {
    /// Begins with `general.architecture`.
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

    /// Sets one of the architecture's own keys.
    pub(crate) fn own(&mut self, key: &str, value: impl Into<MetadataValue>) {
        self.set(&format!("{}.{key}", self.architecture), value);
    }

    /// One of the architecture's own keys, if it is a count, or the first layer's if it has one for each.
    pub(crate) fn own_u32(&self, key: &str) -> Option<u32> {
        self.own_value(key)?.as_u32()
    }

    /// One of the architecture's own keys.
    pub(crate) fn own_value(&self, key: &str) -> Option<&MetadataValue> {
        let key = format!("{}.{key}", self.architecture);
        self.pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// A value in a few words.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.text())
    }

    /// Makes a pair the last.
    pub(crate) fn move_to_end(&mut self, key: &str) {
        if let Some(place) = self.pairs.iter().position(|(known, _)| known == key) {
            let pair = self.pairs.remove(place);
            self.pairs.push(pair);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Appends all pairs as they stand in a file.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.pairs {
            write_string(key, out);
            out.extend(value.code().to_le_bytes());
            value.write(out);
        }
    }
}

impl MetadataValue {
    fn code(&self) -> u32 {
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
                write_list(8, list.len(), out);
                list.iter().for_each(|v| write_string(v, out));
            }
            Self::F32s(list) => {
                write_list(6, list.len(), out);
                list.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Self::I32s(list) => {
                write_list(5, list.len(), out);
                list.iter().for_each(|v| out.extend(v.to_le_bytes()));
            }
            Self::List(code, list) => {
                write_list(*code, list.len(), out);
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

    /// In a few words, for people.
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

fn write_list(code: u32, length: usize, out: &mut Vec<u8>) {
    out.extend(code.to_le_bytes());
    out.extend((length as u64).to_le_bytes());
}

/// A length in bytes, then the bytes.
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
    fn setting_a_key_again_keeps_its_place() {
        let mut metadata = GgufMetadata::new("gemma");
        metadata.own("a", 1_u32);
        metadata.set("b", true);
        metadata.own("a", 2_u32);
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
