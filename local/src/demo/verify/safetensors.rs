//! safetensors (<https://github.com/huggingface/safetensors#format>).

use std::io::Read;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

const MAX_HEADER: u64 = 100 << 20;

/// Checks that the tensors of a file of `size` bytes are contiguous from the header to the end, reads the file to its
/// end, and returns the number of tensors.
pub(super) fn check(mut reader: impl Read, size: u64) -> anyhow::Result<usize> {
    let mut length = [0; 8];
    reader.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= MAX_HEADER && length + 8 <= size, "the length of the header is invalid");
    let mut header = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut header)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).context("the header is not JSON")?;
    let mut spans = Vec::new();
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let number =
            |value: &Value| value.as_u64().with_context(|| format!("{name}: expected an unsigned integer"));
        let (begin, end) = (number(&tensor["data_offsets"][0])?, number(&tensor["data_offsets"][1])?);
        let shape = tensor["shape"].as_array().with_context(|| format!("{name} has no shape"))?;
        let width = match tensor["dtype"].as_str() {
            Some("F32") => 4,
            Some("BF16" | "F16") => 2,
            other => anyhow::bail!("{name} has the unexpected type {other:?}"),
        };
        let elements = shape.iter().map(number).product::<anyhow::Result<u64>>()?;
        ensure!(
            end.checked_sub(begin) == Some(elements * width),
            "the size of {name} does not match its shape"
        );
        spans.push((begin, end));
    }
    spans.sort_unstable();
    let mut at = 0;
    for (begin, end) in &spans {
        ensure!(*begin == at, "there is a gap or an overlap of tensors at offset {at}");
        at = *end;
    }
    ensure!(!spans.is_empty(), "the file has no tensors");
    ensure!(8 + length + at == size, "the length of the file does not match its tensors");
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(spans.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(header: &str, data: usize) -> anyhow::Result<usize> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(vec![0; data]);
        check(&file[..], file.len() as u64)
    }

    #[test]
    fn tensors_must_be_contiguous_to_the_end_of_the_file() {
        let two = r#"{"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},
                      "b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
        assert_eq!(checked(two, 16).unwrap(), 2);
        for (header, data) in [
            (two, 15),
            (two, 17),
            (r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[2,6]}}"#, 6),
            (r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,6]}}"#, 6),
            (r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[4,0]}}"#, 0),
            (r#"{"a":{"dtype":"I2","shape":[2],"data_offsets":[0,4]}}"#, 4),
            (r#"{"__metadata__":{}}"#, 0),
            ("not json", 0),
        ] {
            assert!(checked(header, data).is_err(), "{header}");
        }
        assert!(check(&u64::MAX.to_le_bytes()[..], 8).is_err());
    }
}
