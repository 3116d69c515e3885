//! Survival that is measured with the caller's own prompts.

use std::{fs, sync::Arc, time::Duration};

use engine::{Adapter, Checkpoint, ExportedModel, Folder, LocalFolder, Model, PromptSet, RunOptions};
use job::JobMachine;
use serde_json::{Value, json};
use shared::domain::{
    ArtifactKind, CreateExport, FailureCode, LeftOutPrompts, PromptSource, PromptUse, Quantization, Status,
};

use crate::{
    plans::{plan, plan_on},
    support::{BASE, World},
};

/// Not in the folder of the adapter, whose files change the fingerprint of its exports.
const FILE: &str = "base-models/prompts.txt";

/// Four conversations, of which two have an answer.
fn conversations() -> String {
    let line = |question: &str, answer: Option<&str>| {
        let user = json!({"role": "user", "content": question});
        let assistant = answer.map(|answer| json!({"role": "assistant", "content": answer}));
        let messages: Vec<Value> = [user].into_iter().chain(assistant).collect();
        json!({ "messages": messages }).to_string() + "\n"
    };
    line("hi", Some("yes")) + &line("what is it", None) + &line("a town", Some("no")) + &line("a house", None)
}

fn request(world: &World, kind: ArtifactKind, quantizations: &[Quantization], text: &str) -> CreateExport {
    fs::write(world.path(FILE), text).unwrap();
    CreateExport {
        kind,
        quantizations: quantizations.to_vec(),
        prompts_uri: Some(world.url(FILE)),
        ..shared::testing::fixtures::request("job-1")
    }
}

/// The KL divergence of the exported file from base and adapter, as the engine measures it with these prompts.
fn by_the_engine(world: &World, name: &str, text: &str) -> f64 {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(open("models/adapters/job-1")).unwrap()).unwrap();
    let file = world.made("files/job-1", name);
    let file = LocalFolder::open(file.parent().unwrap()).unwrap().open(name).unwrap();
    let prompts = PromptSet::parse("p", text.as_bytes()).unwrap();
    let exports = [ExportedModel::Gguf(vec![file])];
    engine::measure_survival(&model, &exports, &prompts, &RunOptions::default()).unwrap()[0].kl_export
}

#[tokio::test(flavor = "multi_thread")]
async fn survival_is_measured_with_the_prompts_of_the_request() {
    let world = World::new().verifying_logits();
    let text = conversations();
    let types = [Quantization::Q8_0, Quantization::Q4_0];
    let fixed = world.export(ArtifactKind::Gguf).await.proof.unwrap().survival.unwrap();
    assert_eq!((fixed.prompts, fixed.samples.len()), (PromptUse::default(), 0));

    let asked = || request(&world, ArtifactKind::Gguf, &types, &text);
    let export = world.export_of(asked()).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    for (artifact, name) in export.artifacts.iter().zip(["model.gguf", "model-q4_0.gguf"]) {
        let proof = artifact.proof.as_ref().unwrap();
        let survival = proof.survival.as_ref().unwrap();
        assert_eq!(
            survival.prompts,
            PromptUse { source: PromptSource::File, available: 4, used: 4, left_out: None }
        );
        assert_eq!(survival.kl_export, by_the_engine(&world, name, &text), "{name}");
        assert_ne!(survival.kl_export, fixed.kl_export);
        assert_eq!(survival.samples.len(), 3);
        assert_eq!(survival.samples[0].prompt, "hi");
        assert!(survival.samples.iter().any(|sample| !sample.export.is_empty()), "{survival:?}");

        let report = world.made("files/job-1", &name.replace(".gguf", ".report.json"));
        let report = fs::read(report).unwrap();
        assert_eq!(proof.report_sha256, crate::exports::sha256(&report));
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["survival"]["kl_export"], survival.kl_export);
        assert_eq!(report["survival"]["prompts"]["answered"], 2);
        assert_eq!(report["survival"]["samples"][0]["export"], survival.samples[0].export.as_str());
    }
    let again = world.export_of(asked()).await;
    assert!(again.message.unwrap().starts_with("Reused"));
    assert_eq!(again.proof, export.proof);
    let other = world.export_of(request(&world, ArtifactKind::Gguf, &types, "another prompt\n")).await;
    assert!(other.message.unwrap().starts_with("Wrote"), "other prompts are another report");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_is_measured_too() {
    let world = World::new().verifying_logits();
    let text = format!("hi\na house\n{}\n", "a ".repeat(2_000));
    let export = world.export_of(request(&world, ArtifactKind::Merged, &[], &text)).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let survival = export.proof.unwrap().survival.unwrap();
    let left_out = Some(LeftOutPrompts::shortened(1, "line 3: its length is not 1 to 512 tokens"));
    assert_eq!(survival.prompts, PromptUse { source: PromptSource::File, available: 3, used: 2, left_out });
    assert!(survival.survival.unwrap() > 0.9, "{survival:?}");
    let samples: Vec<_> = survival.samples.iter().map(|sample| sample.prompt.as_str()).collect();
    assert_eq!(samples, ["hi", "a house"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_that_cannot_be_used_are_refused_by_plan_and_export() {
    let world = World::new().verifying_logits();
    let long = "a prompt\n".repeat(1 << 20);
    for (text, problem) in [
        ("\n \n", "has no prompts"),
        ("{\"messages\": []}", "line 1: has no messages"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n{\"text\": \"b\"}",
            "line 2: has no prompt",
        ),
        (long.as_str(), "has over 8388608 bytes: give a part of it"),
        (&"a ".repeat(2_000), "none of the prompts has 1 to 512 tokens"),
    ] {
        for (kind, types) in [(ArtifactKind::Gguf, vec![Quantization::Q4_0]), (ArtifactKind::Merged, vec![])]
        {
            let request = request(&world, kind, &types, text);
            let refused = plan(&world, &request).await.unwrap_err();
            assert!(refused.contains(problem), "{refused}");
            let failed = world.export_of(request).await;
            assert_eq!(failed.message.as_ref(), Some(&refused));
            assert_eq!(failed.failure.unwrap().code, FailureCode::InvalidInput, "{refused}");
        }
    }
    assert!(!world.path("files/job-1/published").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_model_has_no_fine_tune_to_measure() {
    let world = World::new().verifying_logits();
    let folder = world.url(&format!("base-models/{BASE}"));
    world.put_training_job("job-1", json!({"artifacts": {"raw": {"adapter": folder}}}));
    for (kind, types) in [(ArtifactKind::Gguf, vec![Quantization::Q4_0]), (ArtifactKind::Merged, vec![])] {
        let request = request(&world, kind, &types, "hi\n");
        let refused = plan(&world, &request).await.unwrap_err();
        assert!(refused.starts_with("prompts_uri is for a base model and an adapter"), "{refused}");
        assert_eq!(world.export_of(request).await.message, Some(refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_left_out_and_said() {
    let world = World::new();
    let new = || request(&world, ArtifactKind::Gguf, &[Quantization::Q8_0], "hi\n");
    let request = new();
    let machine = JobMachine { verify_logits: Duration::ZERO, ..JobMachine::default() };
    let plan = plan_on(&world, &request, machine).await.unwrap();
    let export = world.export_of(request).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let proof = export.proof.unwrap();
    assert_eq!(proof.survival, None);
    let found = proof.findings.iter().find(|finding| finding.code == "survival_not_measured").unwrap();
    let warned = plan.warnings.iter().find(|warning| warning.code == found.code).unwrap();
    assert!(found.message.contains("may take 0 s"), "{}", found.message);
    assert_eq!((&warned.message, warned.remedy.as_ref()), (&found.message, Some(&found.remedy)));
    let again = plan_on(&world, &new(), machine).await.unwrap();
    assert!(again.reused && again.warnings.contains(warned), "{:?}", again.warnings);
}
