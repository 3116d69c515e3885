//! GGUF files that are quantized with an importance matrix.

use std::{fs, sync::Arc};

use engine::{
    Adapter, Checkpoint, Folder, GgufOptions, GgufPlan, Imatrix, LocalFolder, LocalOutput, Model, OutputType,
    RunOptions,
};
use shared::domain::{CreateExport, Export, FailureCode, Quantization, Status};

use crate::support::{BASE, World, fixture};

async fn export(world: &World, quantizations: &[Quantization], imatrix: Option<&str>) -> Export {
    world
        .export_of(CreateExport {
            quantizations: quantizations.to_vec(),
            imatrix: imatrix.map(str::to_owned),
            ..shared::testing::fixtures::request("job-1")
        })
        .await
}

/// The file that the command `gemma-export gguf --imatrix` writes.
fn by_the_engine(world: &World, output_type: OutputType) -> Vec<u8> {
    let open = |path: &str| Arc::new(LocalFolder::open(world.path(path)).unwrap());
    let base = Checkpoint::open(open(&format!("base-models/{BASE}"))).unwrap();
    let adapter = open("models/adapters/job-1");
    let imatrix = Imatrix::open(&*adapter.open("imatrix.dat").unwrap(), "imatrix.dat").unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(adapter).unwrap()).unwrap();
    let plan = GgufPlan::new(&model, &GgufOptions::new(output_type, "Merged").with_imatrix(imatrix)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut output = LocalOutput::create(folder.path()).unwrap();
    engine::gguf(&plan, "m.gguf", &mut output, &RunOptions::default()).unwrap();
    fs::read(folder.path().join("m.gguf")).unwrap()
}

/// An importance matrix of the base model in the folder of the adapter.
fn put_imatrix(world: &World, format: &str) -> String {
    let path = world.path("models/adapters/job-1/imatrix.dat");
    fs::copy(fixture(&format!("imatrix/{format}")), path).unwrap();
    world.url("models/adapters/job-1/imatrix.dat")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_quantized_with_the_importance_matrix_and_its_report_has_the_hash() {
    let world = World::new();
    let url = put_imatrix(&world, "imatrix.dat");
    let types = [Quantization::Q8_0, Quantization::Q4_K_M];
    let without = export(&world, &types, None).await;
    assert_eq!(without.status, Status::Completed, "{:?}", without.message);
    let plain = fs::read(world.made("files/job-1", "model-q4_k_m.gguf")).unwrap();

    let with = export(&world, &types, Some(&url)).await;
    assert_eq!(with.status, Status::Completed, "{:?}", with.message);
    let message = with.message.as_deref().unwrap();
    assert!(message.starts_with("Wrote the q4_k_m file; reused the q8_0 file"), "{message}");
    let file = fs::read(world.made("files/job-1", "model-q4_k_m.gguf")).unwrap();
    assert!(file == by_the_engine(&world, OutputType::Q4_K_M) && file != plain);
    let report = fs::read_to_string(world.made("files/job-1", "model-q4_k_m.report.json")).unwrap();
    let hash = crate::exports::sha256(&fs::read(world.path("models/adapters/job-1/imatrix.dat")).unwrap());
    assert!(report.contains(&hash), "{report}");
    let again = export(&world, &types, Some(&url)).await;
    assert!(again.message.unwrap().starts_with("Reused"));

    put_imatrix(&world, "imatrix.gguf");
    let other = export(&world, &[Quantization::Q4_K_M], Some(&url)).await;
    assert!(other.message.unwrap().starts_with("Wrote"), "another matrix is another file");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_read_from_the_folders_of_the_adapter_and_of_the_base_models_only() {
    let world = World::new();
    put_imatrix(&world, "imatrix.dat");
    let of_base = world.path(&format!("base-models/{BASE}/imatrix.gguf"));
    fs::copy(fixture("imatrix/imatrix.gguf"), of_base).unwrap();
    let near = world.url(&format!("base-models/{BASE}/imatrix.gguf"));
    let made = export(&world, &[Quantization::Q4_0], Some(&near)).await;
    assert_eq!(made.status, Status::Completed, "{:?}", made.message);

    fs::create_dir_all(world.path("models/adapters/job-2")).unwrap();
    fs::copy(fixture("imatrix/imatrix.dat"), world.path("models/adapters/job-2/imatrix.dat")).unwrap();
    fs::copy(fixture("imatrix/imatrix.dat"), world.path("models/adapters/job-1-imatrix.dat")).unwrap();
    let adapter = world.url("models/adapters/job-1");
    for (url, code, problem) in [
        (
            world.url("models/adapters/job-2/imatrix.dat"),
            FailureCode::InvalidInput,
            "is neither below the adapter folder of training job job-1 (adapter_path)",
        ),
        (
            "gs://models/x.dat".to_owned(),
            FailureCode::InvalidInput,
            "its URL there, which begins with file://",
        ),
        (format!("{adapter}-imatrix.dat"), FailureCode::InvalidInput, "is neither below the adapter"),
        (
            format!("{adapter}/../job-2/imatrix.dat"),
            FailureCode::InvalidInput,
            "imatrix imatrix.dat has . or .. or nothing between slashes in its path: write the path",
        ),
        (format!("{adapter}/./imatrix.dat"), FailureCode::InvalidInput, "imatrix imatrix.dat has . or .."),
        (format!("{adapter}//imatrix.dat"), FailureCode::InvalidInput, "imatrix imatrix.dat has . or .."),
        (format!("{adapter}/%2e%2e/job-2/imatrix.dat"), FailureCode::NotFound, "does not exist"),
        (format!("{adapter}/other.dat"), FailureCode::NotFound, "does not exist"),
        (format!("{adapter}/adapter_config.json"), FailureCode::InvalidInput, "is not an importance matrix"),
    ] {
        let failed = export(&world, &[Quantization::Q4_1], Some(&url)).await;
        let message = failed.message.unwrap();
        assert!(message.contains(problem), "{url}: {message}");
        assert_eq!(failed.failure.unwrap().code, code, "{url}");
    }
}
