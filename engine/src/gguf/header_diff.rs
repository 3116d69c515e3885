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
    for key in &expected.keys {
        match actual.keys.iter().find(|k| k.name == key.name) {
            None => differences.push(format!("has no key {}", key.name)),
            Some(other) if other.value != key.value && other.text() == key.text() => {
                differences.push(format!("has different values for {}", key.name));
            }
            Some(other) if other.value != key.value => {
                differences.push(format!(
                    "has {} = {}, not {}",
                    key.name,
                    short(&other.text()),
                    short(&key.text())
                ));
            }
            Some(_) => {}
        }
    }
    let extra = actual.keys.iter().filter(|k| expected.keys.iter().all(|key| key.name != k.name));
    differences.extend(extra.map(|key| format!("has the unexpected key {}", key.name)));
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
                other.code,
                other.bytes.start,
                tensor.name,
                tensor.shape,
                tensor.code,
                tensor.bytes.start,
            )),
            None => differences.push(format!("has no tensor {}", tensor.name)),
        }
    }
    let extra = actual.iter().skip(expected.len());
    differences.extend(extra.map(|tensor| format!("has the unexpected tensor {}", tensor.name)));
    differences
}

fn same(a: &GgufTensor, b: &GgufTensor) -> bool {
    (&a.name, &a.shape, a.code, a.bytes.start) == (&b.name, &b.shape, b.code, b.bytes.start)
}

/// The beginning of a text, which may be a long template.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}
