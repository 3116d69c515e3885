//! The head of a GGUF file beside the one it should have.

use super::{GgufFile, GgufTensor};
use crate::io::Source;

/// What differs, key by key and tensor by tensor; nothing when both say the same in other bytes.
pub(crate) fn differences(should: &[u8], size: u64, source: &dyn Source) -> Vec<String> {
    let is = match GgufFile::open(source) {
        Ok(is) => is,
        Err(error) => return vec![format!("cannot be read: {error}")],
    };
    let Some(should) = GgufFile::of_head(should, size) else { return Vec::new() };
    let mut found = keys(&is, &should);
    found.extend(tensors(&is.tensors, &should.tensors));
    found
}

fn keys(is: &GgufFile, should: &GgufFile) -> Vec<String> {
    let mut found = Vec::new();
    for key in &should.keys {
        match is.keys.iter().find(|k| k.name == key.name) {
            None => found.push(format!("lacks the key {}", key.name)),
            Some(other) if other.value != key.value && other.text() == key.text() => {
                found.push(format!("has other values under {}", key.name));
            }
            Some(other) if other.value != key.value => {
                found.push(format!(
                    "says {} = {}, not {}",
                    key.name,
                    short(&other.text()),
                    short(&key.text())
                ));
            }
            Some(_) => {}
        }
    }
    let extra = is.keys.iter().filter(|k| should.keys.iter().all(|key| key.name != k.name));
    found.extend(extra.map(|key| format!("has the key {}, which it should not", key.name)));
    found
}

fn tensors(is: &[GgufTensor], should: &[GgufTensor]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, tensor) in should.iter().enumerate() {
        match is.get(number) {
            Some(other) if same(other, tensor) => {}
            Some(other) => found.push(format!(
                "describes tensor {} as {} {:?} of type {} at byte {}, not {} {:?} of type {} at byte {}",
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
            None => found.push(format!("lacks the tensor {}", tensor.name)),
        }
    }
    let extra = is.iter().skip(should.len());
    found.extend(extra.map(|tensor| format!("has the tensor {}, which it should not", tensor.name)));
    found
}

fn same(a: &GgufTensor, b: &GgufTensor) -> bool {
    (&a.name, &a.shape, a.code, a.bytes.start) == (&b.name, &b.shape, b.code, b.bytes.start)
}

/// The beginning of a text that may be a template.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}
