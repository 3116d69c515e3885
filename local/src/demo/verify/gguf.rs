//! GGUF version 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).

use std::{
    fs::File,
    io::{BufReader, Read, Seek as _},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};

use super::FileContents;

/// No name or text in a file of ours is longer.
const MAX_TEXT: u64 = 1 << 20;
const ALIGNMENT: u64 = 32;

/// Walks through all keys and tensors and compares the places of the tensors with the file's length.
pub(super) fn check(path: &Path) -> anyhow::Result<FileContents> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    ensure!(array(&mut reader)? == *b"GGUF", "the magic number is not GGUF's");
    ensure!(u32(&mut reader)? == 3, "the version is not 3");
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
    ensure!(!architecture.is_empty() && !spans.is_empty(), "there is no model in it");
    let data = reader.stream_position()?.next_multiple_of(ALIGNMENT);
    spans.sort_unstable();
    let mut at = 0;
    for (begin, end) in spans {
        ensure!(begin == at, "there is a gap or an overlap at {at}");
        at = end.next_multiple_of(ALIGNMENT);
    }
    ensure!(data + at == size, "the file is not as long as its tensors");
    Ok(FileContents {
        summary: format!("GGUF v3, {architecture}, {keys} keys"),
        tensors: usize::try_from(tensors)?,
    })
}

/// Where a tensor's data begins and ends.
fn span(reader: &mut impl Read) -> anyhow::Result<(u64, u64)> {
    let dimensions = u32(reader)?;
    ensure!(dimensions <= 4, "it has {dimensions} dimensions");
    let mut elements: u64 = 1;
    for _ in 0..dimensions {
        elements = elements.checked_mul(u64(reader)?).context("it is too large")?;
    }
    let bytes = match u32(reader)? {
        0 => elements * 4,
        1 | 30 => elements * 2,
        8 => elements / 32 * 34,
        other => bail!("its type is {other}"),
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
        other => bail!("a value has the type {other}"),
    };
    reader.read_exact(&mut [0; 8][..width])?;
    Ok(())
}

fn text(reader: &mut impl Read) -> anyhow::Result<String> {
    let length = u64(reader)?;
    ensure!(length <= MAX_TEXT, "a text has {length} bytes");
    let mut text = String::new();
    reader.take(length).read_to_string(&mut text)?;
    ensure!(text.len() as u64 == length, "the file ends within a text");
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
    fn a_whole_file_is_as_long_as_its_tensors() {
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
