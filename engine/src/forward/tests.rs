//! Tests of the logit check: equal to transformers and PEFT on fixtures, and refusals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kernels::quant::OutputType;

use super::beside_weights::BesideWeights;
use super::divergence::ModelLogits;
use super::gguf_weights::GgufWeights;
use super::hidden_states::hidden_states;
use super::hparams::ModelHparams;
use super::kv_cache::KvCache;
use super::ops::ForwardPass;
use super::reference_weights::ReferenceWeights;
use super::weights::WeightSource;
use super::*;
use crate::convert::{GgufOptions, GgufPlan};
use crate::io::{Folder as _, LocalFolder, LocalOutput};
use crate::peft::Adapter;
use crate::plan::MergePlan;

const CASES: [&str; 7] = [
    "gemma1-micro",
    "gemma2-micro",
    "gemma3-micro",
    "families/gemma3n",
    "families/gemma4-dense",
    "families/gemma4-moe",
    "families/gemma-embedding",
];

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case)
}

fn base(case: &str) -> Checkpoint {
    Checkpoint::open(Arc::new(LocalFolder::open(fixture(case).join("base")).unwrap())).unwrap()
}

/// The adapters of the models in `families` are in `logits`.
fn adapter(case: &str) -> Adapter {
    let folder = fixture(&case.replace("families/", "logits/")).join("adapter");
    Adapter::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap()
}

fn model(case: &str) -> Model {
    Model::with_adapter(&base(case), &adapter(case)).unwrap()
}

/// A model as a GGUF file.
fn file(exported: &Model, output: OutputType) -> (tempfile::TempDir, Arc<dyn Source>) {
    let folder = tempfile::tempdir().unwrap();
    let plan = GgufPlan::new(exported, &GgufOptions::new(output, "x")).unwrap();
    let mut out = LocalOutput::create(folder.path()).unwrap();
    crate::gguf(&plan, "x.gguf", &mut out, &RunOptions::default()).unwrap();
    let source = LocalFolder::open(folder.path()).unwrap().open("x.gguf").unwrap();
    (folder, source)
}

fn of_gguf(case: &str, exported: &Model, output: OutputType) -> LogitDivergence {
    let (_folder, source) = file(exported, output);
    compare_gguf(&model(case), &[source], &RunOptions::default()).unwrap()
}

#[test]
fn a_merged_model_has_the_logits_of_base_and_adapter() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let plan = MergePlan::new(&model(case)).unwrap();
        let mut out = LocalOutput::create(folder.path()).unwrap();
        crate::merge(&plan, &mut out, &RunOptions::default()).unwrap();
        let merged = Checkpoint::open(Arc::new(LocalFolder::open(folder.path()).unwrap())).unwrap();
        let logits = compare_merged(&model(case), &merged, &RunOptions::default()).unwrap();
        assert!(logits.kl_mean < 1e-3 && logits.top1 > 0.9, "{case}: {logits:?}");
        let without = compare_merged(&model(case), &base(case), &RunOptions::default()).unwrap();
        assert!(
            without.kl_mean > 10.0 * logits.kl_mean,
            "{case}: the base alone: {without:?}, merged: {logits:?}"
        );
    }
}

#[test]
fn the_fewer_bits_the_larger_is_the_divergence() {
    for case in CASES {
        let mean = |output| of_gguf(case, &model(case), output).kl_mean;
        let (bf16, q8_0, q2_k) = (mean(OutputType::BF16), mean(OutputType::Q8_0), mean(OutputType::Q2_K));
        assert!(bf16 < 1e-3 && q8_0 < 1e-2 && q8_0 < q2_k, "{case}: {bf16} {q8_0} {q2_k}");
    }
}

#[test]
fn an_adapter_beside_a_file_adds_its_change_to_what_the_file_has() {
    for case in CASES {
        let (base, fine_tuned) = (Model::new(&base(case)), model(case));
        let (_folder, source) = file(&base, OutputType::Q4_0);
        let plan = GgufPlan::new(&base, &GgufOptions::new(OutputType::Q4_0, "x")).unwrap();
        let names: Vec<String> = plan.tensors().map(|tensor| tensor.name.to_owned()).collect();
        let beside = BesideWeights::new(&base, &fine_tuned, plan).unwrap();
        let in_file = GgufWeights::open(&[source]).unwrap();
        let [base, fine_tuned] = [&base, &fine_tuned].map(|model| ReferenceWeights::new(model).unwrap());
        let mut changed = 0;
        for name in &names {
            // a constant of the family, or rows that the file pads
            let Some((rows, _)) = beside.shape(name).filter(|shape| Some(*shape) == in_file.shape(name))
            else {
                continue;
            };
            let of = |weights: &dyn WeightSource| weights.rows(name, rows - 1, 1).unwrap();
            let change = of(&fine_tuned) - of(&base);
            changed += usize::from(change.iter().any(|value| *value != 0.0));
            assert_eq!(of(&beside), of(&in_file) + change, "{case} {name}");
        }
        assert!(changed > 0, "{case}");
    }
}

/// The fixture that `tools/fixtures/logits.py` makes.
#[derive(serde::Deserialize)]
struct ExpectedLogits {
    folder: String,
    config: serde_json::Map<String, serde_json::Value>,
    ids: Vec<usize>,
    logits: Vec<f32>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A case's base and adapter, the base with another configuration.
fn changed(expected: &ExpectedLogits, folder: &Path) -> Model {
    copy(&fixture(&expected.folder).join("base"), folder);
    let path = folder.join("config.json");
    let mut config: serde_json::Map<_, _> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config.extend(expected.config.clone());
    std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    let base = Checkpoint::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap();
    Model::with_adapter(&base, &adapter(&expected.folder)).unwrap()
}

#[test]
fn files_of_every_type_are_close() {
    for case in &CASES[3..] {
        for output in OutputType::ALL {
            let logits = of_gguf(case, &model(case), output);
            assert!(logits.kl_mean < 0.1, "{case} {output}: {logits:?}");
        }
    }
}

fn expected() -> BTreeMap<String, ExpectedLogits> {
    serde_json::from_slice(&std::fs::read(fixture("logits.json")).unwrap()).unwrap()
}

/// All logits of all tokens.
fn logits(weights: &dyn WeightSource, hparams: &ModelHparams, ids: &[usize]) -> ndarray::Array2<f32> {
    let (tokens, run) = ([ids.to_vec()], RunOptions::default());
    let pass = ForwardPass { weights, hparams, tokens: &tokens, past: &[], input_sums: None, run: &run };
    let hidden = hidden_states(&pass, &mut KvCache::of_one_pass()).unwrap();
    ModelLogits::new(weights, hidden, hparams).of_tokens(0, 768).unwrap()
}

/// Sequences of different lengths in passes over two tokens each, and each sequence in a pass of its own.
#[test]
fn passes_over_the_next_tokens_give_the_logits_of_whole_sequences() {
    for case in CASES.iter().filter(|case| **case != "families/gemma-embedding") {
        let weights = ReferenceWeights::new(&model(case)).unwrap();
        let hparams = weights.hparams().unwrap();
        let sequences: [Vec<usize>; 2] = [(300..309).collect(), vec![2, 77, 140, 5]];
        let (mut cache, run) = (KvCache::of_all_passes(), RunOptions::default());
        let mut found = vec![Vec::new(); 2];
        for start in (0..9).step_by(2) {
            let part = |ids: &Vec<usize>| ids.iter().copied().skip(start).take(2).collect::<Vec<_>>();
            let tokens: Vec<Vec<usize>> = sequences.iter().map(part).collect();
            let past: Vec<usize> = sequences.iter().map(|ids| start.min(ids.len())).collect();
            let pass = ForwardPass {
                weights: &weights,
                hparams: &hparams,
                tokens: &tokens,
                past: &past,
                input_sums: None,
                run: &run,
            };
            let hidden = hidden_states(&pass, &mut cache).unwrap();
            let logits = ModelLogits::new(&weights, hidden, &hparams).of_tokens(0, 704).unwrap();
            let mut rows = logits.rows().into_iter();
            for (found, tokens) in found.iter_mut().zip(&tokens) {
                found.extend(rows.by_ref().take(tokens.len()).map(|row| row.to_owned()));
            }
        }
        for (ids, found) in sequences.iter().zip(found) {
            let whole = logits(&weights, &hparams, ids);
            let worst = largest(
                whole
                    .rows()
                    .into_iter()
                    .zip(&found)
                    .flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()),
            );
            assert!(worst < 1e-4 * largest(whole.into_iter()), "{case}: off by {worst}");
        }
    }
}

fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.map(f32::abs).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_transformers_and_peft() {
    for (case, expected) in expected() {
        let folder = tempfile::tempdir().unwrap();
        let weights = ReferenceWeights::new(&changed(&expected, folder.path())).unwrap();
        let found = logits(&weights, &weights.hparams().unwrap(), &expected.ids);
        let last = found.row(expected.ids.len() - 1).to_owned();
        let worst = largest(last.iter().zip(&expected.logits).map(|(a, b)| a - b));
        let largest = largest(expected.logits.iter().copied());
        assert!(worst < 1e-4 * largest, "{case}: off by {worst} where the largest is {largest}");
    }
}

#[test]
fn an_f32_file_has_the_logits_of_the_checkpoint() {
    // its shared keys and values and its sparsity are not those of llama.cpp: no file is written
    for (case, mut expected) in expected().into_iter().filter(|(case, _)| case != "gemma3n-shared") {
        // for the others transformers uses the per-layer embeddings of token 0, and the file has zeros
        expected.ids.retain(|id| *id < 704);
        let folder = tempfile::tempdir().unwrap();
        let model = Model::new(changed(&expected, folder.path()).base());
        let weights = ReferenceWeights::new(&model).unwrap();
        let ours = logits(&weights, &weights.hparams().unwrap(), &expected.ids);
        let (_folder, source) = file(&model, OutputType::F32);
        let file = GgufWeights::open(&[source]).unwrap();
        let theirs = logits(&file, &file.hparams().unwrap(), &expected.ids);
        let worst = largest((&ours - &theirs).into_iter());
        assert!(worst <= 1e-5 * largest(ours.into_iter()), "{case}: off by {worst}");
    }
}

#[test]
fn nan_logits_are_an_error() {
    let model = model("gemma3-micro");
    let (folder, source) = file(&model, OutputType::F32);
    let header = crate::GgufFile::open(&*source).unwrap();
    let norm = header.tensors.iter().find(|tensor| tensor.name == "output_norm.weight").unwrap();
    let mut bytes = std::fs::read(folder.path().join("x.gguf")).unwrap();
    bytes[norm.byte_range.start as usize..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(folder.path().join("x.gguf"), bytes).unwrap();
    let source = crate::io::Folder::open(&LocalFolder::open(folder.path()).unwrap(), "x.gguf").unwrap();
    let error = compare_gguf(&model, &[source], &RunOptions::default()).unwrap_err().to_string();
    assert!(error.contains("x.gguf") && error.contains("produces NaN or infinite logits"), "{error}");
}

#[test]
fn unsupported_and_contradictory_configurations_are_rejected() {
    let problem = |folder: &str, key: &str, value: serde_json::Value| {
        let config = serde_json::Map::from_iter([(key.to_owned(), value)]);
        let expected =
            ExpectedLogits { folder: folder.to_owned(), config, ids: vec![2, 5], logits: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        let weights = ReferenceWeights::new(&changed(&expected, folder.path()))?;
        let (tokens, run) = ([vec![2, 5]], RunOptions::default());
        let hparams = &weights.hparams()?;
        let pass = ForwardPass {
            weights: &weights,
            hparams,
            tokens: &tokens,
            past: &[],
            input_sums: None,
            run: &run,
        };
        hidden_states(&pass, &mut KvCache::of_one_pass())
    };
    for (case, key, value, wanted) in [
        ("gemma3-micro", "num_hidden_layers", 4_000_000_000_u32.into(), "num_hidden_layers 4000000000"),
        ("families/gemma4-moe", "num_key_value_heads", 0.into(), "for 0 key-value heads"),
        ("families/gemma4-dense", "num_attention_heads", 3.into(), "96 × 64"),
        ("families/gemma4-dense", "hidden_activation", "relu".into(), "hidden_activation"),
        ("families/gemma4-dense", "use_bidirectional_attention", "all".into(), "bidirectional"),
        ("families/gemma3n", "num_kv_shared_layers", 9.into(), "could share"),
        ("families/gemma3n", "altup_active_idx", 7.into(), "altup_proj"),
        ("families/gemma3n", "altup_correct_scale", false.into(), "altup_correct_scale"),
    ] {
        let error = problem(case, key, value).unwrap_err().to_string();
        assert!(error.contains(wanted), "{case}, {key}: {error}");
    }
}

/// llama.cpp uses global attention in every sixth layer of a Gemma 3, whatever `layer_types` says.
#[test]
fn layer_types_that_a_file_has_no_key_for_raise_the_divergence() {
    let config = serde_json::json!({
        "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 8
    });
    let serde_json::Value::Object(config) = config else { unreachable!() };
    let expected =
        ExpectedLogits { folder: "gemma3-micro".to_owned(), config, ids: Vec::new(), logits: Vec::new() };
    let folder = tempfile::tempdir().unwrap();
    let model = changed(&expected, folder.path());
    // a GGUF of this configuration is refused; this one has the family's layers
    let (_folder, source) = file(&self::model("gemma3-micro"), OutputType::F32);
    let logits = compare_gguf(&model, &[source], &RunOptions::default()).unwrap();
    assert!(logits.kl_mean > 1e-3, "{logits:?}");
}

/// transformers ignores a field that the class does not have.
#[test]
fn a_softcap_of_another_class_changes_nothing() {
    for (case, caps) in [
        ("gemma1-micro", vec!["attn_logit_softcapping", "final_logit_softcapping"]),
        ("families/gemma3n", vec!["attn_logit_softcapping"]),
        ("families/gemma4-dense", vec!["attn_logit_softcapping"]),
    ] {
        let config = caps.into_iter().map(|cap| (cap.to_owned(), 0.5.into())).collect();
        let expected =
            ExpectedLogits { folder: case.to_owned(), config, ids: Vec::new(), logits: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        let model = changed(&expected, folder.path());
        let (_folder, source) = file(&model, OutputType::F32);
        let logits = compare_gguf(&model, &[source], &RunOptions::default()).unwrap();
        assert!(logits.kl_mean < 1e-3, "{case}: {logits:?}");
    }
}
