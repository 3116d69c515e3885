//! Survival of changes of known size, and by hand.

mod prompts;
mod reads;
mod turn_end;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::quant::OutputType;
use serde_json::Value;

use super::*;
use crate::convert::{GgufOptions, GgufPlan};
use crate::forward::tokenizer;
use crate::io::{Folder, LocalFolder, LocalOutput};
use crate::peft::Adapter;
use crate::plan::MergePlan;
use crate::report::PromptUse;

/// Copies of a base and its adapter.
struct Inputs(tempfile::TempDir);

/// A step of q8_0 in blocks whose largest weight is 127 steps.
const STEP: f32 = 1.0 / 1024.0;

const BLOCK: usize = 32;

impl Inputs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gemma3-micro");
        for part in ["base", "adapter"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
            for entry in std::fs::read_dir(fixture.join(part)).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
        Self(folder)
    }

    /// Weights that q8_0 stores exactly, and an adapter that adds `change` steps to all but the largest of each block.
    fn on_grid(change: f32) -> Self {
        let inputs = Self::new();
        let mut random = fastrand::Rng::with_seed(1);
        for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
            edit(&inputs.path("base").join(shard), |_, shape, bytes| {
                if shape.len() < 2 {
                    return;
                }
                for (i, value) in bytes.chunks_exact_mut(2).enumerate() {
                    let steps = if i % BLOCK == 0 { 127 } else { random.i32(-126..=126) };
                    let bits = (steps as f32 * STEP).to_bits();
                    value.copy_from_slice(&((bits >> 16) as u16).to_le_bytes());
                }
            });
        }
        // the product of the first row and the first column; the scaling is 2
        edit(&inputs.path("adapter/adapter_model.safetensors"), |name, shape, bytes| {
            for (i, value) in bytes.chunks_exact_mut(4).enumerate() {
                let (row, column) = (i / shape[1], i % shape[1]);
                let is_set =
                    if name.contains("lora_A") { row == 0 && column % BLOCK != 0 } else { column == 0 };
                let set = if name.contains("lora_A") { 1.0 } else { change * STEP / 2.0 };
                value.copy_from_slice(&(if is_set { set } else { 0.0_f32 }).to_le_bytes());
            }
        });
        inputs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn base(&self) -> Checkpoint {
        Checkpoint::open(Arc::new(LocalFolder::open(self.path("base")).unwrap())).unwrap()
    }

    fn model(&self) -> Model {
        let adapter = Adapter::open(Arc::new(LocalFolder::open(self.path("adapter")).unwrap())).unwrap();
        Model::with_adapter(&self.base(), &adapter).unwrap()
    }

    fn gguf(&self, model: &Model, output: OutputType) -> ExportedModel {
        let plan = GgufPlan::new(model, &GgufOptions::new(output, "x")).unwrap();
        let mut out = LocalOutput::create(self.path("")).unwrap();
        crate::gguf(&plan, &format!("{output}.gguf"), &mut out, &RunOptions::default()).unwrap();
        let folder = LocalFolder::open(self.path("")).unwrap();
        ExportedModel::Gguf(vec![folder.open(&format!("{output}.gguf")).unwrap()])
    }

    fn survival(&self, export: ExportedModel, prompts: &PromptSet) -> Survival {
        let run = RunOptions::default();
        measure_survival(&self.model(), &[export], prompts, &run).unwrap().remove(0)
    }
}

/// Calls `edit` with the name, shape and bytes of each tensor of a safetensors file.
fn edit(path: &Path, mut edit: impl FnMut(&str, &[usize], &mut [u8])) {
    let mut file = std::fs::read(path).unwrap();
    let data = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&file[8..data]).unwrap();
    for (name, info) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let numbers = |field: &str| -> Vec<usize> { serde_json::from_value(info[field].clone()).unwrap() };
        let range = numbers("data_offsets");
        edit(name, &numbers("shape"), &mut file[data + range[0]..data + range[1]]);
    }
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_change_of_less_than_half_a_step_is_lost_and_a_larger_one_becomes_a_whole_step() {
    for (change, stored) in [(0.25, 0.0), (0.75, 1.0), (1.0, 1.0)] {
        let inputs = Inputs::on_grid(change);
        let survival = inputs.survival(inputs.gguf(&inputs.model(), OutputType::Q8_0), &PromptSet::fixed());
        assert_eq!(survival.worst_tensors.len(), 10);
        for tensor in &survival.worst_tensors {
            let cosine = if stored > 0.0 { 1.0 } else { 0.0 };
            assert!((tensor.cosine - cosine).abs() < 1e-6, "{change}: {tensor:?}");
            assert!((tensor.norm_ratio - f64::from(stored / change)).abs() < 1e-6, "{change}: {tensor:?}");
        }
        let share = survival.survival.unwrap();
        assert!(survival.kl_base > 1e-4, "{survival:?}");
        if stored == 0.0 {
            // the file is the base
            assert!(
                share.abs() < 1e-4 && survival.changed_top1.is_none_or(|top1| top1 == 0.0),
                "{survival:?}"
            );
        } else if change < 1.0 {
            assert!((0.5..0.999).contains(&share), "{survival:?}");
        } else {
            assert!(
                (share - 1.0).abs() < 1e-4 && survival.changed_top1.is_none_or(|top1| top1 == 1.0),
                "{survival:?}"
            );
        }
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    logits.iter().map(|x| f64::from(*x).exp() / sum).collect()
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

fn most_likely(p: &[f64]) -> usize {
    (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap()
}

/// The distributions after each token.
fn distributions(model: &ForwardModel, tokens: &[usize]) -> Vec<Vec<f64>> {
    let logits = model.logits(tokens);
    logits.rows().into_iter().map(|row| softmax(row.to_slice().unwrap())).collect()
}

/// The answer, token by token, each from a whole pass of its own.
fn answer(model: &ForwardModel, prompt: &[usize], stop: &[usize], count: usize) -> Vec<usize> {
    let mut tokens = prompt.to_vec();
    while tokens.len() < prompt.len() + count
        && (tokens.len() == prompt.len() || !stop.contains(tokens.last().unwrap()))
    {
        tokens.push(most_likely(distributions(model, &tokens).last().unwrap()));
    }
    tokens.split_off(prompt.len())
}

#[test]
fn survival_on_prompts_is_that_of_the_definition() {
    let inputs = Inputs::new();
    let model = inputs.model();
    let file = concat!(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"the capital\"}]}\n",
        "{\"prompt\": \"a b\", \"completion\": \"once upon a time\"}\n",
    );
    let prompts = PromptSet::parse("p.jsonl", file.as_bytes()).unwrap();
    let exports = [OutputType::Q4_0, OutputType::Q2_K].map(|output| inputs.gguf(&model, output));
    let found = measure_survival(&model, &exports, &prompts, &RunOptions::default()).unwrap();

    let tokenizer = tokenizer(&model).unwrap();
    let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
    let encoded = encoder.encode(prompts.file.as_ref().unwrap()).unwrap().prompts;
    let end = encoder.answer_end().unwrap();
    let (fine_tuned, base) = (
        ForwardModel::of_model(&model).unwrap(),
        ForwardModel::of_model(&Model::new(&inputs.base())).unwrap(),
    );
    for (export, found) in exports.iter().zip(found) {
        let ExportedModel::Gguf(files) = export else { unreachable!() };
        let export = ForwardModel::of_gguf(files).unwrap();
        let (mut kl_export, mut kl_base, mut count, mut changed, mut kept) = (0.0, 0.0, 0, 0, 0);
        for prompt in &encoded {
            let given = prompt.answer.clone();
            let answer = given
                .unwrap_or_else(|| answer(&fine_tuned, &prompt.prompt, &end.stop_tokens, end.max_tokens));
            let tokens = [prompt.prompt.clone(), answer].concat();
            let of = |model| distributions(model, &tokens).into_iter().skip(prompt.prompt.len() - 1);
            let predicted =
                of(&fine_tuned).zip(of(&export)).zip(of(&base)).take(tokens.len() - prompt.prompt.len());
            for ((expected, of_export), of_base) in predicted {
                kl_export += divergence(&expected, &of_export);
                kl_base += divergence(&expected, &of_base);
                let [expected, of_export, of_base] = [expected, of_export, of_base].map(|p| most_likely(&p));
                changed += usize::from(expected != of_base);
                kept += usize::from(expected != of_base && expected == of_export);
                count += 1;
            }
        }
        assert_eq!((found.tokens, found.changed_tokens), (count, changed));
        assert_eq!(found.changed_top1, (changed > 0).then(|| kept as f64 / changed as f64));
        let survival = 1.0 - kl_export / kl_base;
        assert!((found.survival.unwrap() - survival).abs() < 1e-3, "{survival} {found:?}");
        assert!((found.kl_base * count as f64 - kl_base).abs() < 1e-3 * kl_base, "{kl_base} {found:?}");
        let used = PromptUse { source: "file", available: 2, used: 2, answered: 1, left_out: None };
        assert_eq!(found.prompts, used);
        for (number, sample) in found.samples.iter().enumerate() {
            let own = |model| answer(model, &encoded[number].prompt, &end.stop_tokens, end.max_tokens);
            assert_eq!(sample.base, encoder.decode(&own(&base)), "{number}");
            assert_eq!(sample.fine_tuned, encoder.decode(&own(&fine_tuned)), "{number}");
            assert_eq!(sample.export, encoder.decode(&own(&export)), "{number}");
        }
        assert_eq!(found.samples.len(), 2);
    }
}

#[test]
fn logits_that_are_not_numbers_are_an_error_of_every_measure() {
    let inputs = Inputs::new();
    let path = inputs.path("adapter/adapter_model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let model = inputs.model();
    let run = RunOptions { allow_non_finite: true, ..RunOptions::default() };
    for file in ["hi\n", "{\"prompt\": \"hi\", \"completion\": \"yes\"}\n"] {
        let prompts = PromptSet::parse("p", file.as_bytes()).unwrap();
        let errors = [
            measure_survival(&model, &[], &prompts, &run).unwrap_err(),
            measure_turn_end(&model, &prompts, &run).unwrap_err(),
        ];
        for error in errors.map(|error| error.to_string()) {
            assert!(error.contains("adapter") && error.contains("NaN or infinite logits"), "{error}");
        }
    }
}

#[test]
fn a_merged_model_keeps_the_fine_tune() {
    let inputs = Inputs::new();
    let plan = MergePlan::new(&inputs.model()).unwrap();
    let mut out = LocalOutput::create(inputs.path("merged")).unwrap();
    crate::merge(&plan, &mut out, &RunOptions::default()).unwrap();
    let merged = Checkpoint::open(Arc::new(LocalFolder::open(inputs.path("merged")).unwrap())).unwrap();
    let survival = inputs.survival(ExportedModel::Merged(merged), &PromptSet::fixed());
    assert!(survival.survival.unwrap() > 0.999, "{survival:?}");
    assert_eq!(survival.prompts.source, "fixed");
    let merged = Checkpoint::open(Arc::new(LocalFolder::open(inputs.path("merged")).unwrap())).unwrap();
    let logits = crate::compare_merged(&inputs.model(), &merged, &RunOptions::default()).unwrap();
    assert_eq!((survival.tokens, survival.top1), (logits.tokens, logits.top1));
    assert!((survival.kl_export - logits.kl_mean).abs() < 1e-3 * logits.kl_mean, "{survival:?} {logits:?}");
    assert!((survival.kl_export_max - logits.kl_max).abs() < 1e-3 * logits.kl_max, "{survival:?} {logits:?}");
    let base = inputs.survival(ExportedModel::Merged(inputs.base()), &PromptSet::fixed());
    assert!(base.survival.unwrap().abs() < 1e-4, "{base:?}");
}

#[test]
fn survival_of_a_change_that_is_too_small_is_null_with_the_reason() {
    let inputs = Inputs::on_grid(1e-5);
    let export = inputs.gguf(&Model::new(&inputs.base()), OutputType::Q8_0);
    let survival = inputs.survival(export, &PromptSet::fixed());
    assert_eq!(survival.survival, None);
    assert!(
        survival.unmeasured.as_ref().unwrap().contains("less than the 1e-5 that can be measured"),
        "{survival:?}"
    );
}

#[test]
fn a_model_without_an_adapter_has_no_fine_tune() {
    let inputs = Inputs::new();
    let error =
        measure_survival(&Model::new(&inputs.base()), &[], &PromptSet::fixed(), &RunOptions::default());
    assert!(error.unwrap_err().to_string().contains("exported without an adapter"));
}

/// As transformers starts rows that it adds.
#[test]
fn a_base_has_the_mean_of_its_rows_for_tokens_that_the_fine_tune_added() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = |name: &str| Arc::new(LocalFolder::open(fixtures.join(name)).unwrap());
    let base = Checkpoint::open(folder("gemma1-biased/base")).unwrap();
    let adapter = Adapter::open(folder("adapters/resized/adapter")).unwrap();
    let (base, fine_tuned) = Model::with_adapter(&base, &adapter).unwrap().with_base_beside(2);
    let fine_tuned = ForwardModel::of_model(&fine_tuned).unwrap();
    let extended = ForwardModel::of_base(&base, &fine_tuned).unwrap();
    let base = ForwardModel::of_model(&base).unwrap();
    let (known, added) = (768, 771);
    let row_of = |logits: ndarray::Array2<f32>, row: usize| logits.row(row).to_vec();
    let of_known = row_of(extended.logits(&[2, 5]), 1);
    assert_eq!(of_known.len(), added);
    assert_eq!(of_known[..known], row_of(base.logits(&[2, 5]), 1));
    let mean = of_known[..known].iter().sum::<f32>() / known as f32;
    for logit in &of_known[known..] {
        assert!((logit - mean).abs() < 1e-4, "{logit} {mean}");
    }
    assert!(row_of(extended.logits(&[2, 770]), 1).iter().all(|logit| logit.is_finite()));
    assert!(fine_tuned.logits(&[2, 770]) != extended.logits(&[2, 770]));
}
