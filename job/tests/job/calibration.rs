//! GGUF files that are quantized with an importance matrix of a text, which the export computes.

use std::{fs, sync::Arc, time::Duration};

use engine::{
    Adapter, CalibrationText, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, Model, OutputType,
    RunOptions, measure_imatrix,
};
use job::JobMachine;
use serde_json::Value;
use shared::domain::{CreateExport, FailureCode, Quantization, Status};

use crate::{
    exports::assert_one_total,
    plans::{plan, plan_on, planned, written},
    support::{BASE, World},
};

/// Not in the folder of the adapter, whose files change the fingerprint of its exports.
const FILE: &str = "base-models/text.txt";

fn request(world: &World, quantizations: &[Quantization], text: &str) -> CreateExport {
    fs::write(world.path(FILE), text).unwrap();
    CreateExport {
        quantizations: quantizations.to_vec(),
        calibration_uri: Some(world.url(FILE)),
        ..shared::testing::fixtures::request("job-1")
    }
}

fn text(times: usize) -> String {
    "the capital of a town is a house by the sea. ".repeat(times)
}

/// The file that the command writes with the matrix that it computes, and the matrix's hash.
fn by_the_engine(world: &World, text: &str) -> (Vec<u8>, String) {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(open("models/adapters/job-1")).unwrap()).unwrap();
    let run = RunOptions::default();
    let text = CalibrationText { file: "text.txt", bytes: text.as_bytes(), max_chunks: 20 };
    let imatrix = measure_imatrix(&model, &text, &run).unwrap().imatrix("imatrix.gguf").unwrap();
    let hash = imatrix.sha256().to_owned();
    let options = GgufOptions::new(OutputType::Q4_K_M, "Merged").with_imatrix(imatrix);
    let folder = tempfile::tempdir().unwrap();
    let mut output = LocalOutput::create(folder.path()).unwrap();
    engine::gguf(&GgufPlan::new(&model, &options).unwrap(), "m.gguf", &mut output, &run).unwrap();
    (fs::read(folder.path().join("m.gguf")).unwrap(), hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_is_computed_and_used() {
    let world = World::new();
    let types = [Quantization::Q8_0, Quantization::Q4_K_M];
    let asked = || request(&world, &types, &text(120));
    let without = CreateExport { calibration_uri: None, ..asked() };
    let streaming = JobMachine { memory: 1.0, ..JobMachine::default() };
    let plan_without = plan_on(&world, &without, streaming).await.unwrap();
    let streamed = plan_on(&world, &asked(), streaming).await.unwrap();
    let plan = plan(&world, &asked()).await.unwrap();
    let weights = fs::metadata(world.path(&format!("base-models/{BASE}/model-00001-of-00002.safetensors")));
    let weights = weights.unwrap().len();
    assert!(streamed.bytes_read > plan_without.bytes_read + weights, "the text is a pass over the weights");
    assert!(
        plan.bytes_read + weights < plan_without.bytes_read,
        "which are read once where they fit into memory"
    );
    world.export_of(without).await;
    let plain = fs::read(world.made("files/job-1", "model-q4_k_m.gguf")).unwrap();

    let export = world.export_of(asked()).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let message = export.message.clone().unwrap();
    assert!(message.starts_with("Wrote the q4_k_m file; reused the q8_0 file"), "{message}");
    assert_eq!(planned(&plan), written(&export));
    let (expected, hash) = by_the_engine(&world, &text(120));
    let file = fs::read(world.made("files/job-1", "model-q4_k_m.gguf")).unwrap();
    assert!(file == expected && file != plain);
    let report = fs::read(world.made("files/job-1", "model-q4_k_m.report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["options"]["imatrix"], hash);
    let used = &report["options"]["calibration"];
    assert_eq!(used["sha256"], crate::exports::sha256(text(120).as_bytes()));
    assert!(used["file"] == "text.txt" && used["tokens"].as_u64().unwrap() >= 512, "{used}");

    assert!(world.export_of(asked()).await.message.unwrap().starts_with("Reused"));
    let other = world.export_of(request(&world, &types, &text(121))).await;
    assert!(other.message.unwrap().starts_with("Wrote the q4_k_m file"), "another text is another file");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_for_a_size_are_chosen_before_the_matrix_is_computed() {
    let world = World::new();
    let sized = |max_bytes| CreateExport { max_bytes: Some(max_bytes), ..request(&world, &[], &text(120)) };
    let smallest = plan(&world, &sized(1)).await.unwrap_err();
    let smallest: u64 = smallest.rsplit(' ').nth(2).unwrap().parse().unwrap();
    let plan = plan(&world, &sized(smallest * 3 / 2)).await.unwrap();
    let (export, seen) = world.progress_of(sized(smallest * 3 / 2)).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    assert_eq!(planned(&plan), written(&export));
    assert_one_total(&seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_cannot_be_used_is_refused_by_plan_and_export() {
    let world = World::new();
    let long = text(190_000);
    for (text, problem) in [
        ("too short", "an importance matrix needs 512 at least"),
        ("{\"x\": 1}", "line 1: has no prompt"),
        (long.as_str(), "has over 8388608 bytes: give a part of it"),
    ] {
        let request = || request(&world, &[Quantization::Q4_0], text);
        let refused = plan(&world, &request()).await.unwrap_err();
        assert!(refused.contains(problem), "{refused}");
        let failed = world.export_of(request()).await;
        assert_eq!(
            (failed.message, failed.failure.unwrap().code),
            (Some(refused), FailureCode::InvalidInput)
        );
    }
    assert!(!world.path("files/job-1/published").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matrix_that_would_take_longer_than_the_job_may_run_is_refused_by_plan_and_export() {
    let mut world = World::new();
    let machine = JobMachine { timeout: Some(Duration::from_secs(3)), ..world.machine };
    world.machine = machine;
    let asked = || request(&world, &[Quantization::Q8_0, Quantization::Q4_0], &text(120));
    let refused = plan_on(&world, &asked(), machine).await.unwrap_err();
    let expected = "computing an importance matrix of this model from text.txt would take 21 s, and the export job ends after 3 s: \
                    compute it with gemma-export imatrix";
    assert!(refused.starts_with(expected), "{refused}");
    let failed = world.export_of(asked()).await;
    assert_eq!((failed.message, failed.failure.unwrap().code), (Some(refused), FailureCode::InvalidInput));
    assert!(!world.path("files/job-1/published").exists());
    let without = CreateExport { quantizations: vec![Quantization::Q8_0], calibration_uri: None, ..asked() };
    assert!(plan_on(&world, &without, machine).await.is_ok());
}
