//! Adapters as GGUF files.

use std::{fs, sync::Arc};

use engine::{Adapter, Checkpoint, LocalFolder, LocalOutput, LoraPlan, Model, RunOptions, TensorType};
use serde_json::json;
use shared::domain::{
    ArtifactKind, CreateExport, Destination, Destinations, FailureCode, GgufKind, Quantization, Status,
};

use crate::{
    hub::{self, REPO, WRITER},
    support::{BASE, World},
};

fn request(quantizations: &[Quantization]) -> CreateExport {
    CreateExport {
        kind: ArtifactKind::Gguf,
        gguf_kind: GgufKind::Lora,
        quantizations: quantizations.to_vec(),
        ..shared::testing::fixtures::request("job-1")
    }
}

/// The file that the command `gemma-export lora` writes.
fn by_the_engine(world: &World, as_type: TensorType) -> Vec<u8> {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let adapter = Adapter::open(open("models/adapters/job-1")).unwrap();
    let plan = LoraPlan::new(&Model::with_adapter(&base, &adapter).unwrap(), as_type, "Merged").unwrap();
    let folder = tempfile::tempdir().unwrap();
    plan.write("a.gguf", &mut LocalOutput::create(folder.path()).unwrap(), &RunOptions::default()).unwrap();
    fs::read(folder.path().join("a.gguf")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_becomes_the_file_of_the_command() {
    let world = World::new();
    let made = world.export_of(request(&[Quantization::F32, Quantization::Q8_0])).await;
    assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    assert_eq!(made.message.as_deref(), Some("Wrote the adapter as lora-f32.gguf, lora-q8_0.gguf"));
    assert_eq!(made.proof, None);
    let types: Vec<_> = made.artifacts.iter().map(|artifact| artifact.quantization.unwrap()).collect();
    assert_eq!(types, [Quantization::F32, Quantization::Q8_0]);
    for (name, as_type) in [("lora-f32.gguf", TensorType::F32), ("lora-q8_0.gguf", TensorType::Q8_0)] {
        assert!(
            fs::read(world.made("files/job-1", name)).unwrap() == by_the_engine(&world, as_type),
            "{name}"
        );
    }
    let again = world.export_of(request(&[Quantization::Q8_0])).await;
    assert!(again.message.unwrap().starts_with("Reused lora-q8_0.gguf"));
    assert_eq!(again.artifacts, made.artifacts[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gguf_of_a_training_job_stays_the_model() {
    let world = World::new();
    world.export(ArtifactKind::Gguf).await;
    let before = world.store.document("training_jobs", "job-1").unwrap();
    assert!(before["artifacts"]["file"]["gguf"].as_str().unwrap().ends_with("/model.gguf"));
    assert_eq!(world.export_of(request(&[Quantization::F32])).await.status, Status::Completed);
    assert_eq!(world.store.document("training_jobs", "job-1").unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_adapter_for_the_format_is_refused() {
    let world = World::new();
    world.put_training_job(
        "job-1",
        json!({"artifacts": {"raw": {"adapter": world.url(&format!("base-models/{BASE}"))}}}),
    );
    let failed = world.export_of(request(&[Quantization::F32])).await;
    assert_eq!(failed.failure.as_ref().unwrap().code, FailureCode::InvalidInput);
    assert!(
        failed
            .message
            .as_ref()
            .unwrap()
            .contains("training job job-1 has made a full fine-tuned model, which has no adapter"),
        "{:?}",
        failed.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_pushed_with_the_card_of_an_adapter() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = world
        .export_of(CreateExport {
            destinations: Destinations::new(vec![Destination::HfHub]).unwrap(),
            hf_repo: Some(REPO.parse().unwrap()),
            ..request(&[Quantization::F16])
        })
        .await;
    assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    let files = hub.repo(REPO).unwrap().files;
    assert!(files["lora-f16.gguf"].bytes == by_the_engine(&world, TensorType::F16));
    let card = String::from_utf8(files["README.md"].bytes.clone()).unwrap();
    assert!(
        card.contains("base_model_relation: adapter\n") && card.contains("tags: [gemma, lora]"),
        "{card}"
    );
}
