//! GGUF files of a size, with types that are chosen by tensor.

use std::{fs, sync::Arc};

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, Model, OutputType, RunOptions,
};
use serde_json::Value;
use shared::domain::{CreateExport, FailureCode, Plan, Status, TypeCount};

use crate::{
    plans::{plan, planned, written},
    support::{BASE, World},
};

const FILE: &str = "model-fitted.gguf";

fn request(max_bytes: u64) -> CreateExport {
    CreateExport {
        quantizations: Vec::new(),
        max_bytes: Some(max_bytes),
        ..shared::testing::fixtures::request("job-1")
    }
}

fn size(plan: &Plan) -> u64 {
    planned(plan)[FILE].unwrap()
}

/// The file that the command `gemma-export gguf --max-bytes` writes.
fn by_the_engine(world: &World, max_bytes: u64) -> Vec<u8> {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(open("models/adapters/job-1")).unwrap()).unwrap();
    let (options, run) = (GgufOptions::new(OutputType::F16, "Merged"), RunOptions::default());
    let fitted = engine::fit_types(&model, &options, max_bytes, &run).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut output = LocalOutput::create(folder.path()).unwrap();
    engine::gguf(&GgufPlan::new(&model, &fitted.options).unwrap(), "m.gguf", &mut output, &run).unwrap();
    fs::read(folder.path().join("m.gguf")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_the_size_and_the_types_of_its_plan() {
    let world = World::new().verifying_logits();
    let smallest = plan(&world, &request(1)).await.unwrap_err();
    let smallest: u64 = smallest.rsplit(' ').nth(2).unwrap().parse().unwrap();
    let largest = size(&plan(&world, &request(1 << 40)).await.unwrap());
    for max_bytes in [smallest, u64::midpoint(smallest, largest), largest] {
        let plan = plan(&world, &request(max_bytes)).await.unwrap();
        assert!(size(&plan) <= max_bytes && !plan.reused);
        let export = world.export_of(request(max_bytes)).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        assert_eq!((planned(&plan), export.quantizations.len()), (written(&export), 0));
        assert!(fs::read(world.made("files/job-1", FILE)).unwrap() == by_the_engine(&world, max_bytes));
        assert!(export.proof.unwrap().survival.is_some());

        let report = fs::read(world.made("files/job-1", "model-fitted.report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert!(!report["options"]["types"]["tensors"].as_array().unwrap().is_empty());
        let tensors = report["tensors"].as_array().unwrap();
        for TypeCount { name, tensors: count } in plan.types.unwrap() {
            let stored = tensors.iter().filter(|tensor| tensor["stored"]["type"] == name.as_str());
            assert_eq!(stored.count(), count as usize, "{name}");
        }
    }
    let again = world.export_of(request(largest)).await;
    assert!(again.message.unwrap().starts_with("Reused the fitted file"));
    assert!(plan(&world, &request(largest)).await.unwrap().reused);
    let other = world.export_of(request(largest + 1)).await;
    assert!(other.message.unwrap().starts_with("Wrote the fitted file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_too_small_is_refused_with_the_smallest_that_is_possible() {
    let world = World::new();
    let refused = plan(&world, &request(1_000)).await.unwrap_err();
    assert!(refused.contains("bytes in the smallest types, more than 1000: allow"), "{refused}");
    let failed = world.export_of(request(1_000)).await;
    assert_eq!(
        (failed.message, failed.failure.unwrap().code),
        (Some(refused.clone()), FailureCode::InvalidInput)
    );
    let smallest: u64 = refused.rsplit(' ').nth(2).unwrap().parse().unwrap();
    assert_eq!(size(&plan(&world, &request(smallest)).await.unwrap()), smallest);
    assert!(plan(&world, &request(smallest - 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_encoders_of_a_multimodal_model_are_beside_the_file() {
    let world = World::new();
    world.put_base("gemma3-vision");
    world.put_small_adapter("model.language_model.layers.0");
    let request = request(1 << 40);
    let plan = plan(&world, &request).await.unwrap();
    let export = world.export_of(request).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    assert_eq!(planned(&plan), written(&export));
    assert!(planned(&plan).contains_key("mmproj-model-fitted.gguf"));
}
