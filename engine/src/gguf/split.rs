//! One model in several files, as llama.cpp's `llama-gguf-split` makes them: the first has the metadata, each says
//! which of how many it is, and llama.cpp opens all of them when it is given the first.

use super::{GgufMetadata, MetadataValue};

/// Where one file ends and the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SplitLimit {
    /// Before the tensor with which a file would have more than so many bytes of tensors.
    Size(u64),
    /// After so many tensors.
    Counts(Vec<usize>),
}

impl SplitLimit {
    /// The most bytes of tensors in a file.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Size(most) => Some(*most),
            Self::Counts(_) => None,
        }
    }

    /// How many tensors each file has, for tensors of these sizes (with padding). No file is empty: a tensor larger
    /// than the limit has a file of its own.
    pub(crate) fn counts(&self, sizes: &[u64]) -> Vec<usize> {
        let most = match self {
            Self::Counts(counts) => return counts.clone(),
            Self::Size(most) => *most,
        };
        let (mut counts, mut held) = (vec![0], 0);
        for size in sizes {
            if let Some(count) = counts.last_mut()
                && (*count == 0 || held + size <= most)
            {
                *count += 1;
                held += size;
            } else {
                counts.push(1);
                held = *size;
            }
        }
        counts
    }
}

/// What says which file this is, from 0, in the tool's order. `tensors` is of all files.
pub(crate) fn describe(metadata: &mut GgufMetadata, number: usize, count: usize, tensors: usize) {
    metadata.set("split.no", MetadataValue::U16(number as u16));
    metadata.set("split.tensors.count", MetadataValue::I32(tensors as i32));
    metadata.set("split.count", MetadataValue::U16(count as u16));
}

/// What the file is called, numbered from 0, where the whole would be `name`.
pub fn split_name(name: &str, number: usize, count: usize) -> String {
    let prefix = name.strip_suffix(".gguf").unwrap_or(name);
    format!("{prefix}-{:05}-of-{count:05}.gguf", number + 1)
}

/// The name of the whole and the number of files, when a file is called as one of several.
pub fn split_of(name: &str) -> Option<(String, usize)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    let known = is_number(number) && is_number(count);
    known.then(|| Some((format!("{prefix}.gguf"), count.parse().ok()?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_before_it_is_too_large() {
        assert_eq!(SplitLimit::Size(10).counts(&[4, 6, 1, 20, 3, 3]), [2, 1, 1, 2]);
        assert_eq!(SplitLimit::Size(1).counts(&[4, 6]), [1, 1]);
        assert_eq!(SplitLimit::Size(100).counts(&[4, 6]), [2]);
    }

    #[test]
    fn the_name_of_the_whole_is_found_in_that_of_a_part() {
        assert_eq!(split_name("a/m.gguf", 1, 12), "a/m-00002-of-00012.gguf");
        assert_eq!(split_of("m-00002-of-00012.gguf"), Some(("m.gguf".to_owned(), 12)));
        assert_eq!(split_of("gemma-2-of-them.gguf"), None);
    }
}
