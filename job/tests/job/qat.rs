//! Adapters of a base whose weights lie on a grid of Q4_0: survival of the file, and of the base with the adapter beside it.

use std::{fs, sync::Arc, time::Duration};

use engine::{
    Adapter, Checkpoint, ExportedModel, Folder, GgufOptions, GgufPlan, LocalFolder, Model, OutputType,
    PromptSet, RunOptions,
};
use job::JobMachine;
use serde_json::Value;
use shared::{
    domain::{AdapterBeside, ArtifactKind, CreateExport, Export, Quantization, Status},
    testing::fixtures,
};

use crate::{
    hub::{REPO, WRITER, hub},
    plans::to_hub,
    support::{BASE, World},
};

fn put_on_grid(world: &World) {
    e2e::put_on_grid(&world.path(&format!("base-models/{BASE}"))).unwrap();
}

fn request(quantizations: &[Quantization]) -> CreateExport {
    CreateExport {
        kind: ArtifactKind::Gguf,
        quantizations: quantizations.to_vec(),
        ..fixtures::request("job-1")
    }
}

/// What each file keeps with the adapter beside the base, in the order of the types.
fn beside(export: &Export) -> Vec<Option<AdapterBeside>> {
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let survival = |proof: &shared::domain::Proof| proof.survival.as_ref().unwrap().adapter_beside;
    export.artifacts.iter().map(|artifact| survival(artifact.proof.as_ref().unwrap())).collect()
}

/// The same as the engine measures it for this file.
fn by_the_engine(world: &World, name: &str) -> engine::report::AdapterBeside {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(open("models/adapters/job-1")).unwrap()).unwrap();
    let file = world.made("files/job-1", name);
    let file = LocalFolder::open(file.parent().unwrap()).unwrap().open(name).unwrap();
    let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q4_0, "merged")).unwrap();
    let (exports, base) = ([ExportedModel::Gguf(vec![file])], plan.base_on_grid().unwrap());
    let run = RunOptions::default();
    engine::measure_survival_beside(&model, &exports, base, &PromptSet::fixed(), &run).unwrap().1.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_are_measured_and_said_and_a_reused_file_has_them() {
    let world = World::new().verifying_logits();
    put_on_grid(&world);
    let asked = || request(&[Quantization::Q4_0, Quantization::Q8_0]);
    let export = world.export_of(asked()).await;
    let measured = beside(&export);
    let expected = by_the_engine(&world, "model-q4_0.gguf");
    let found = measured[0].unwrap();
    assert_eq!(
        (found.survival, found.kl, found.changed_top1),
        (expected.survival, expected.kl, expected.changed_top1)
    );
    assert_eq!(measured[1], None, "q8_0 has no grid");
    let proof = export.artifacts[0].proof.as_ref().unwrap();
    let in_file = proof.survival.as_ref().unwrap().survival.unwrap();
    assert!(found.survival.unwrap() > in_file.max(0.95), "{found:?} {in_file}");
    let report = fs::read(world.made("files/job-1", "model-q4_0.report.json")).unwrap();
    assert_eq!(proof.report_sha256, crate::exports::sha256(&report));
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["survival"]["adapter_beside"]["survival"], found.survival.unwrap());

    let message = export.message.clone().unwrap();
    assert!(message.contains("% with the adapter beside the base in this type)"), "{message}");
    let said = message.split_once("; ").unwrap().1;
    let again = world.export_of(asked()).await;
    let message = again.message.clone().unwrap();
    assert!(message.starts_with("Reused") && message.ends_with(said), "{message}");
    assert_eq!(beside(&again), measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_without_a_grid_has_one_way() {
    let world = World::new().verifying_logits();
    let export = world.export_of(request(&[Quantization::Q4_0])).await;
    assert_eq!(beside(&export), [None]);
    let message = export.message.unwrap();
    assert!(!message.contains("beside"), "{message}");
}

/// A limit of time between that of the file alone, 10 seconds a gigabyte, and that of both.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_way_is_left_out_where_it_takes_too_long() {
    for (seconds_a_gigabyte, is_measured) in [(15, false), (25, true)] {
        let mut world = World::new();
        put_on_grid(&world);
        let sizes = [&format!("base-models/{BASE}"), "models/adapters/job-1"].map(|folder| {
            let files = fs::read_dir(world.path(folder)).unwrap().map(Result::unwrap);
            let weights = files.filter(|file| file.path().extension().is_some_and(|e| e == "safetensors"));
            weights.map(|file| file.metadata().unwrap().len()).sum::<u64>()
        });
        let limit = Duration::from_nanos(seconds_a_gigabyte * sizes.iter().sum::<u64>());
        world.machine = JobMachine { cpus: 1.0, verify_logits: limit, ..JobMachine::default() };
        let export = world.export_of(request(&[Quantization::Q4_0])).await;
        assert_eq!(beside(&export)[0].is_some(), is_measured);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_on_the_hub_says_both() {
    let hub = hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER)).verifying_logits();
    put_on_grid(&world);
    let export = world.export_of(to_hub(request(&[Quantization::Q4_0]), WRITER)).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let card = String::from_utf8(hub.repo(REPO).unwrap().files["README.md"].bytes.clone()).unwrap();
    assert!(card.contains("% with the adapter beside the base in this type) |"), "{card}");
}
