//! GGUF version 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).

use std::{
    fs::File,
    io::{BufReader, Read, Seek as _},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};

use super::FileContents;

/// The maximum length of a string.
const MAX_STRING: u64 = 1 << 20;
const ALIGNMENT: u64 = 32;

/// Reads the metadata and the tensor infos, and compares the tensors' offsets with the length of the file.
pub(super) fn check(path: &Path) -> anyhow::Result<FileContents> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    ensure!(array(&mut reader)? == *b"GGUF", "not a GGUF file");
    ensure!(u32(&mut reader)? == 3, "the GGUF version is not 3");
    let (tensors, keys) = (u64(&mut reader)?, u64(&mut reader)?);
    let mut architecture = String::new();
    for _ in 0..keys {
        let key = text(&mut reader)?;
        let kind = u32(&mut reader)?;
        if key == "general.architecture" {
            architecture = text(&mut reader)?;
        } else {
            skip(&mut reader, kind).with_context(|| key)?;
        }
    }
    let mut spans = Vec::new();
    for _ in 0..tensors {
        let name = text(&mut reader)?;
        spans.push(span(&mut reader).with_context(|| name)?);
    }
    ensure!(!architecture.is_empty() && !spans.is_empty(), "the file has no architecture or no tensors");
    let data = reader.stream_position()?.next_multiple_of(ALIGNMENT);
    spans.sort_unstable();
    let mut at = 0;
    for (begin, end) in spans {
        ensure!(begin == at, "there is a gap or an overlap of tensors at offset {at}");
        at = end.next_multiple_of(ALIGNMENT);
    }
    ensure!(data + at == size, "the length of the file does not match its tensors");
    Ok(FileContents {
        summary: format!("GGUF v3, {architecture}, {keys} keys"),
        tensors: usize::try_from(tensors)?,
    })
}

/// The offsets at which a tensor's data begins and ends.
fn span(reader: &mut impl Read) -> anyhow::Result<(u64, u64)> {
    let dimensions = u32(reader)?;
    ensure!(dimensions <= 4, "{dimensions} dimensions");
    let mut elements: u64 = 1;
    for _ in 0..dimensions {
        elements = elements.checked_mul(u64(reader)?).context("the size overflows")?;
    }
    let bytes = match u32(reader)? {
        0 => elements * 4,
        1 | 30 => elements * 2,
        8 => elements / 32 * 34,
        other => bail!("unexpected type {other}"),
    };
    let begin = u64(reader)?;
    Ok((begin, begin + bytes))
}

/// Skips a value of that type.
fn skip(reader: &mut impl Read, kind: u32) -> anyhow::Result<()> {
    let width = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        8 => return text(reader).map(drop),
        9 => {
            let (kind, count) = (u32(reader)?, u64(reader)?);
            return (0..count).try_for_each(|_| skip(reader, kind));
        }
        other => bail!("unknown value type {other}"),
    };
    reader.read_exact(&mut [0; 8][..width])?;
    Ok(())
}

fn text(reader: &mut impl Read) -> anyhow::Result<String> {
    let length = u64(reader)?;
    ensure!(length <= MAX_STRING, "a string of {length} bytes is too long");
    let mut text = String::new();
    reader.take(length).read_to_string(&mut text)?;
    ensure!(text.len() as u64 == length, "the file ends within a string");
    Ok(text)
}

fn array<const N: usize>(reader: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map(|()| bytes)
}

fn u32(reader: &mut impl Read) -> std::io::Result<u32> {
    array(reader).map(u32::from_le_bytes)
}

fn u64(reader: &mut impl Read) -> std::io::Result<u64> {
    array(reader).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn file() -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(1u64.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8u32.to_le_bytes());
        text(&mut out, "gemma3");
        text(&mut out, "tokenizer.ggml.tokens");
        out.extend(9u32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "a");
        text(&mut out, "b");
        text(&mut out, "token_embd.weight");
        out.extend(2u32.to_le_bytes());
        out.extend(32u64.to_le_bytes());
        out.extend(3u64.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend([1; 102]);
        out.resize(out.len().next_multiple_of(32), 0);
        out
    }

    fn checked(bytes: &[u8]) -> anyhow::Result<FileContents> {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), bytes).unwrap();
        check(temp.path())
    }

    #[test]
    fn a_file_of_any_other_length_is_rejected() {
        let good = file();
        let contents = FileContents { summary: "GGUF v3, gemma3, 2 keys".to_owned(), tensors: 1 };
        assert_eq!(checked(&good).unwrap(), contents);
        assert!(checked(&good[..good.len() - 32]).is_err());
        assert!(checked(&[good.as_slice(), &[0; 32]].concat()).is_err());
        for cut in 0..good.len() {
            assert!(checked(&good[..cut]).is_err(), "{cut}");
        }
        let mut other = good.clone();
        other[0] = b'X';
        assert!(checked(&other).is_err());
    }
}
