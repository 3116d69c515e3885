//! Split GGUF files, as `llama-gguf-split` writes them: one model in several files. The first has the metadata, each has
//! its number and the count of files, and llama.cpp opens all of them when given the first.

use super::{GgufMetadata, MetadataValue};

/// Where a split begins a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SplitLimit {
    /// When a file would exceed this many bytes of tensors.
    Bytes(u64),
    /// After these numbers of tensors.
    TensorCounts(Vec<usize>),
}

impl SplitLimit {
    /// The maximum bytes of tensors in a file.
    pub(crate) fn max_bytes(&self) -> Option<u64> {
        match self {
            Self::Bytes(max) => Some(*max),
            Self::TensorCounts(_) => None,
        }
    }

    /// The number of tensors in each file, for tensors of these sizes (with padding). No file is empty: a tensor larger
    /// than the limit has its own file.
    pub(crate) fn tensor_counts(&self, sizes: &[u64]) -> Vec<usize> {
        let max = match self {
            Self::TensorCounts(counts) => return counts.clone(),
            Self::Bytes(max) => *max,
        };
        let (mut counts, mut bytes) = (vec![0], 0);
        for size in sizes {
            if let Some(count) = counts.last_mut()
                && (*count == 0 || bytes + size <= max)
            {
                *count += 1;
                bytes += size;
            } else {
                counts.push(1);
                bytes = *size;
            }
        }
        counts
    }
}

/// Sets the `split.*` keys in the order of `llama-gguf-split`. `number` counts from 0; `tensors` is the number of all
/// files.
pub(crate) fn set_split_metadata(metadata: &mut GgufMetadata, number: usize, count: usize, tensors: usize) {
    metadata.set("split.no", MetadataValue::U16(number as u16));
    metadata.set("split.tensors.count", MetadataValue::I32(tensors as i32));
    metadata.set("split.count", MetadataValue::U16(count as u16));
}

/// The name of the file with this number (from 0) of a split of `name`.
pub fn split_name(name: &str, number: usize, count: usize) -> String {
    let prefix = name.strip_suffix(".gguf").unwrap_or(name);
    format!("{prefix}-{:05}-of-{count:05}.gguf", number + 1)
}

/// The name of the unsplit file and the number of files, if `name` is the name of a split file.
pub fn parse_split_name(name: &str) -> Option<(String, usize)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    let is_split = is_number(number) && is_number(count);
    is_split.then(|| Some((format!("{prefix}.gguf"), count.parse().ok()?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_before_it_exceeds_the_limit() {
        assert_eq!(SplitLimit::Bytes(10).tensor_counts(&[4, 6, 1, 20, 3, 3]), [2, 1, 1, 2]);
        assert_eq!(SplitLimit::Bytes(1).tensor_counts(&[4, 6]), [1, 1]);
        assert_eq!(SplitLimit::Bytes(100).tensor_counts(&[4, 6]), [2]);
    }

    #[test]
    fn split_names_are_parsed() {
        assert_eq!(split_name("a/m.gguf", 1, 12), "a/m-00002-of-00012.gguf");
        assert_eq!(parse_split_name("m-00002-of-00012.gguf"), Some(("m.gguf".to_owned(), 12)));
        assert_eq!(parse_split_name("gemma-2-of-them.gguf"), None);
    }
}
