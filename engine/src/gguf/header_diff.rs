//! Compares the header of a GGUF file with the expected one.

use super::{GgufFile, GgufTensor};
use crate::io::Source;

/// The differences, by key and tensor. Empty if the headers differ only in their bytes, not in their meaning.
pub(crate) fn differences(expected: &[u8], size: u64, source: &dyn Source) -> Vec<String> {
    let actual = match GgufFile::open(source) {
        Ok(file) => file,
        Err(error) => return vec![format!("cannot be read: {error}")],
    };
    let Some(expected) = GgufFile::parse(expected, size) else { return Vec::new() };
    let mut differences = metadata_differences(&actual, &expected);
    differences.extend(tensor_differences(&actual.tensors, &expected.tensors));
    differences
}

fn metadata_differences(actual: &GgufFile, expected: &GgufFile) -> Vec<String> {
    let mut differences = Vec::new();
    for pair in &expected.key_values {
        match actual.key_values.iter().find(|p| p.key == pair.key) {
            None => differences.push(format!("has no key {}", pair.key)),
            Some(other) if other.value != pair.value && other.text() == pair.text() => {
                differences.push(format!("has different values for {}", pair.key));
            }
            Some(other) if other.value != pair.value => {
                differences.push(format!(
                    "has {} = {}, not {}",
                    pair.key,
                    short(&other.text()),
                    short(&pair.text())
                ));
            }
            Some(_) => {}
        }
    }
    let extra = actual.key_values.iter().filter(|p| expected.key_values.iter().all(|pair| pair.key != p.key));
    differences.extend(extra.map(|pair| format!("has the unexpected key {}", pair.key)));
    differences
}

fn tensor_differences(actual: &[GgufTensor], expected: &[GgufTensor]) -> Vec<String> {
    let mut differences = Vec::new();
    for (number, tensor) in expected.iter().enumerate() {
        match actual.get(number) {
            Some(other) if same(other, tensor) => {}
            Some(other) => differences.push(format!(
                "has tensor {} as {} {:?} of type {} at byte {}, not {} {:?} of type {} at byte {}",
                number + 1,
                other.name,
                other.shape,
                other.ggml_type,
                other.byte_range.start,
                tensor.name,
                tensor.shape,
                tensor.ggml_type,
                tensor.byte_range.start,
            )),
            None => differences.push(format!("has no tensor {}", tensor.name)),
        }
    }
    let extra = actual.iter().skip(expected.len());
    differences.extend(extra.map(|tensor| format!("has the unexpected tensor {}", tensor.name)));
    differences
}

fn same(a: &GgufTensor, b: &GgufTensor) -> bool {
    (&a.name, &a.shape, a.ggml_type, a.byte_range.start)
        == (&b.name, &b.shape, b.ggml_type, b.byte_range.start)
}

/// The beginning of a text, which may be a long template.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}
