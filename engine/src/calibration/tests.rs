//! Importance matrices beside those of llama-imatrix for F32 files of the same models, on the same text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::quant::OutputType;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::convert::{GgufOptions, GgufPlan};
use crate::gguf::{GgufFile, GgufTensor};
use crate::imatrix::Imatrix;
use crate::io::{Folder, LocalFolder, LocalOutput, Source};

const FILE: &str = "text.txt";

fn fixture(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(part)
}

fn model(base: &str) -> Model {
    let folder = Arc::new(LocalFolder::open(fixture(base).join("base")).unwrap());
    Model::new(&Checkpoint::open(folder).unwrap())
}

fn text() -> Vec<u8> {
    std::fs::read(fixture("imatrix/measured").join(FILE)).unwrap()
}

/// The file of a measured matrix, and its tensors.
struct Written(Arc<dyn Source>, GgufFile);

impl Written {
    fn of(folder: &Path, name: &str) -> Self {
        let source = LocalFolder::open(folder).unwrap().open(name).unwrap();
        let file = GgufFile::open(&*source).unwrap();
        Self(source, file)
    }

    fn values(&self, tensor: &GgufTensor) -> Vec<f32> {
        let mut bytes = vec![0; (tensor.byte_range.end - tensor.byte_range.start) as usize];
        self.0.read_at(tensor.byte_range.start, &mut bytes).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
    }
}

fn measured(model: &Model, bytes: &[u8], max_chunks: usize) -> Result<(tempfile::TempDir, MeasuredImatrix)> {
    let text = CalibrationText { file: FILE, bytes, max_chunks };
    let measured = measure_imatrix(model, &text, &RunOptions::default())?;
    let folder = tempfile::tempdir().unwrap();
    measured.write("imatrix.gguf", &mut LocalOutput::create(folder.path()).unwrap()).unwrap();
    Ok((folder, measured))
}

#[test]
fn counts_equal_those_of_llama_imatrix_and_sums_do_within_rounding() {
    for (base, relative, of_largest) in [
        ("gemma1-micro", 1e-3, 1e-5),
        ("gemma2-micro", 1e-3, 1e-5),
        ("gemma3-micro", 1e-3, 1e-5),
        ("families/gemma3-vision", 1e-3, 1e-5),
        // llama.cpp divides the variance of its sparse activations by n - 1, transformers by n
        ("families/gemma3n", 0.1, 1e-3),
        ("families/gemma4-dense", 1e-3, 1e-5),
        ("families/gemma4-moe", 1e-3, 1e-5),
    ] {
        let (folder, _) = measured(&model(base), &text(), 2).unwrap();
        let found = Written::of(folder.path(), "imatrix.gguf");
        let name = base.rsplit('/').next().unwrap();
        let expected = Written::of(&fixture("imatrix/measured"), &format!("{name}.gguf"));
        let metadata = |written: &Written| {
            written.1.key_values.iter().map(|pair| (pair.key.clone(), pair.text())).collect::<Vec<_>>()
        };
        assert_eq!(metadata(&found), metadata(&expected), "{base}");
        let infos = |written: &Written| {
            let info =
                |tensor: &GgufTensor| (tensor.name.clone(), tensor.shape.clone(), tensor.byte_range.clone());
            written.1.tensors.iter().map(info).collect::<Vec<_>>()
        };
        assert_eq!(infos(&found), infos(&expected), "{base}");
        for tensor in &expected.1.tensors {
            let (found, expected) = (found.values(tensor), expected.values(tensor));
            if tensor.name.ends_with(".counts") {
                assert_eq!(found, expected, "{base} {}", tensor.name);
                continue;
            }
            if base == "families/gemma3n" && tensor.name.contains(".proj.") {
                // letters have no row in the fixture's per-layer embedding: transformers takes row 0, llama.cpp zeros
                continue;
            }
            let largest = expected.iter().copied().fold(0.0, f32::max);
            for (found, expected) in found.iter().zip(&expected) {
                let rounding = relative * expected + of_largest * largest;
                assert!((found - expected).abs() <= rounding, "{base} {}: {found} {expected}", tensor.name);
            }
        }
    }
}

#[test]
fn the_file_is_read_as_an_importance_matrix() {
    let (folder, measured) = measured(&model("gemma3-micro"), &text(), 1).unwrap();
    assert_eq!((measured.chunks(), measured.tokens(), measured.tensors()), (1, 512, 14));
    let source = LocalFolder::open(folder.path()).unwrap().open("imatrix.gguf").unwrap();
    assert_eq!(source.size(), measured.size());
    let read = Imatrix::open(&*source, "imatrix.gguf").unwrap();
    assert_eq!(read.tensors(), 14);
    let computed = measured.imatrix("imatrix.gguf").unwrap();
    assert_eq!(computed.sha256(), read.sha256());
    assert_eq!(computed.calibration().map(|text| (text.file.as_str(), text.tokens)), Some((FILE, 512)));
}

/// Files that differ in the numbers of the matrix only have the same sizes.
#[test]
fn a_plan_without_the_numbers_has_the_sizes_of_the_file_with_them() {
    let model = model("gemma3-micro");
    let (_, measured) = measured(&model, &text(), 1).unwrap();
    let sizes = |imatrix: &Imatrix, output| {
        let options = GgufOptions::new(output, "m").with_imatrix(imatrix.clone());
        let plan = GgufPlan::new(&model, &options).unwrap();
        (plan.size(), plan.tensors().map(|tensor| tensor.stored_type).collect::<Vec<_>>())
    };
    let (before, after) = (Imatrix::not_computed("i.gguf", FILE), measured.imatrix("i.gguf").unwrap());
    for output in OutputType::ALL.into_iter().filter(|output| !output.is_converter_type()) {
        assert_eq!(sizes(&before, output), sizes(&after, output), "{output}");
    }
}

#[test]
fn the_sums_do_not_depend_on_threads() {
    let model = model("gemma3-micro");
    let bytes = text();
    let measured = |threads| {
        let text = CalibrationText { file: FILE, bytes: &bytes, max_chunks: 3 };
        let run = RunOptions { threads: std::num::NonZeroUsize::new(threads), ..RunOptions::default() };
        measure_imatrix(&model, &text, &run).unwrap()
    };
    assert_eq!(measured(1), measured(3));
}

#[test]
fn a_training_set_is_rendered_through_the_chat_template() {
    let model = model("gemma3-micro");
    let line =
        r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}"#;
    let set = vec![line; 60].join("\n");
    let set = CalibrationText { file: "set.jsonl", bytes: set.as_bytes(), max_chunks: 9 };
    let (chunks, left_out) = chunks(&model, &set).unwrap();
    assert_eq!(left_out, None);
    let tokenizer = tokenizer(&model).unwrap();
    let encoder = TextEncoder::new(&tokenizer);
    let turn = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n";
    let expected = encoder.encode(&turn.repeat(60));
    let mut expected: Vec<usize> =
        std::iter::once(2).chain(expected.into_iter().map(|id| id as usize)).collect();
    expected.truncate(chunks.len() * CHUNK_TOKENS);
    (0..chunks.len()).for_each(|chunk| expected[chunk * CHUNK_TOKENS] = 2);
    assert!(!chunks.is_empty());
    assert_eq!(chunks.concat(), expected);
}

#[test]
fn conversations_that_are_left_out_are_counted() {
    let base = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("gemma3-micro/base")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, base.path().join(path.file_name().unwrap())).unwrap();
    }
    let template = "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('no answers') }}{% endif %}{{ m.content }}{% endfor %}";
    std::fs::write(base.path().join("chat_template.jinja"), template).unwrap();
    let model = Model::new(&Checkpoint::open(Arc::new(LocalFolder::open(base.path()).unwrap())).unwrap());
    let good = r#"{"messages": [{"role": "user", "content": "Hi, who are you?"}]}"#;
    let refused = r#"{"messages": [{"role": "assistant", "content": "Hi"}]}"#;
    let set = vec![format!("{good}\n{refused}\n"); 200].concat();
    let (_, measured) = measured(&model, set.as_bytes(), 20).unwrap();
    let left_out = measured.left_out().unwrap();
    assert_eq!(left_out.count, 200);
    assert!(
        left_out.first.starts_with("line 2: the model's chat template does not render it: "),
        "{left_out}"
    );
    let imatrix = measured.imatrix("imatrix.gguf").unwrap();
    assert_eq!(imatrix.calibration().unwrap().left_out.as_ref(), Some(left_out));
    let few = format!("{good}\n{refused}");
    let text = CalibrationText { file: FILE, bytes: few.as_bytes(), max_chunks: 1 };
    let error = calibration_cost(&model, &text).unwrap_err().to_string();
    assert!(error.contains(" tokens (1 left out: line 2: "), "{error}");
}

#[test]
fn a_text_that_begins_with_a_bracket_is_a_text_unless_its_name_is_that_of_json() {
    let model = model("gemma3-micro");
    let bytes = [b"[Context] what is it?\n", &text()[..]].concat();
    assert!(measured(&model, &bytes, 1).is_ok());
    let named = CalibrationText { file: "text.json", bytes: &bytes, max_chunks: 1 };
    let error = calibration_cost(&model, &named).unwrap_err().to_string();
    assert!(error.contains("text.json: line 1, column 2: invalid JSON"), "{error}");
}

#[test]
fn a_text_shorter_than_a_chunk_is_refused() {
    let model = model("gemma3-micro");
    for (bytes, says) in
        [(&b"too short"[..], "512 at least"), (b"\xff\xfe", "is not UTF-8 text"), (b"{\"x\": 1}", "prompt")]
    {
        let error = measured(&model, bytes, 1).map(drop).unwrap_err().to_string();
        assert!(error.contains("text.txt") && error.contains(says), "{error}");
    }
}
