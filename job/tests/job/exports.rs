//! Exports over local folders: the files, the records, what is reused, and what a failure leaves.

use std::{collections::BTreeSet, fs, io::Read, path::PathBuf, process::ExitCode};

use futures_util::future::join_all;

use crate::support::{BASE, World, change, fixture, published};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::{
    domain::{
        ArtifactKind, CreateExport, Export, GgufKind, Progress, PromptUse, Quantization, Stage, Status,
    },
    testing::fixtures,
};

fn paths(export: &Export) -> Vec<&str> {
    export.artifacts.iter().map(|artifact| artifact.path.as_str()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a file of an artifact in `files/job-1`.
pub(crate) fn sha256_of(world: &World, file: &str) -> String {
    sha256(&fs::read(made(world, file)).unwrap())
}

pub(crate) fn made(world: &World, file: &str) -> PathBuf {
    world.made("files/job-1", file)
}

/// The URL of a file of an artifact in `files/job-1`.
fn url(world: &World, file: &str) -> String {
    url::Url::from_file_path(made(world, file)).unwrap().to_string()
}

/// The hash of the q8_0 file that llama.cpp's converter writes for the same base and adapter.
pub(crate) fn reference() -> String {
    let expected = fs::read(fixture("gemma3-micro/expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    expected["gguf"]["q8_0"]["sha256"].as_str().unwrap().to_owned()
}

fn read_zip(path: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    (0..archive.len())
        .map(|i| {
            let mut file = archive.by_index(i).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            (file.name().unwrap().into_owned(), content)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_exported_unchanged_in_one_zip_file() {
    let world = World::new();
    let folder = world.path("models/adapters/job-1");
    fs::write(folder.join("optimizer.pt"), b"pickle").unwrap();
    fs::write(folder.join("README.md"), b"a card").unwrap();
    fs::create_dir(folder.join("checkpoint-10")).unwrap();
    fs::write(folder.join("checkpoint-10/adapter_model.safetensors"), b"old").unwrap();

    let export = world.export(ArtifactKind::Adapter).await;

    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    assert_eq!(paths(&export), [url(&world, "adapter.zip")]);
    let zipped = read_zip(&made(&world, "adapter.zip"));
    let names: Vec<&str> = zipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["README.md", "adapter_config.json", "adapter_model.safetensors"]);
    for (name, content) in &zipped {
        assert_eq!(content, &fs::read(folder.join(name)).unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_is_a_raw_folder_and_a_zip_of_it() {
    let world = World::new();

    let export = world.export(ArtifactKind::Merged).await;

    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let raw = world.made("models/merged_models/job-1", "config.json").parent().unwrap().to_owned();
    let raw_url = url::Url::from_file_path(&raw).unwrap().to_string();
    assert_eq!(paths(&export), [raw_url.clone(), url(&world, "merged.zip")]);
    let job = world.store.document("training_jobs", "job-1").unwrap();
    assert_eq!(job["artifacts"]["raw"]["merged"], json!(raw_url));
    assert_eq!(job["artifacts"]["file"]["merged"], json!(url(&world, "merged.zip")));
    assert_eq!(job["unknown_field"], json!({"kept": [1, 2]}), "fields of other writers stay");

    let [manifest] = &published(&world.path("models/merged_models/job-1"))[..] else {
        panic!("one artifact")
    };
    let files = manifest["files"].as_array().unwrap();
    let (report, files) = files.split_last().unwrap();
    let zipped = read_zip(&made(&world, "merged.zip"));
    assert_eq!(files.len(), zipped.len());
    for (file, (name, content)) in files.iter().zip(&zipped) {
        assert_eq!(file["name"], json!(name));
        assert_eq!(content, &fs::read(raw.join(name)).unwrap());
        assert_eq!(file["sha256"], json!(sha256(content)), "{name}");
    }
    for needed in ["config.json", "tokenizer.model", "tokenizer_config.json", "model.safetensors.index.json"]
    {
        assert!(zipped.iter().any(|(name, _)| name == needed), "{needed}");
    }

    let names: Vec<_> = export.artifacts[1].files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["merged.zip", "export-report.json"]);
    assert_eq!(report["sha256"], json!(sha256_of(&world, "export-report.json")));

    let proof = export.proof.unwrap();
    assert_eq!((proof.pairs, proof.tensors_changed, proof.tensors_unchanged), (14, 14, 14));
    assert_eq!(proof.report_sha256, sha256(&fs::read(raw.join("export-report.json")).unwrap()));
    assert_eq!(proof.sha256, Some(sha256_of(&world, "merged.zip")));
    assert!(proof.largest_change > Some(0.0) && proof.rmse.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapters_own_tokenizer_replaces_the_bases() {
    let world = World::new();
    let adapter = world.path("models/adapters/job-1");
    let base = world.path(&format!("base-models/{BASE}"));
    fs::copy(base.join("tokenizer.json"), adapter.join("tokenizer.json")).unwrap();
    fs::write(adapter.join("chat_template.jinja"), "TUNED").unwrap();
    fs::create_dir(adapter.join("additional_chat_templates")).unwrap();
    fs::write(adapter.join("additional_chat_templates/tool.jinja"), "TOOL").unwrap();
    let content = |zipped: &[(String, Vec<u8>)], name: &str| {
        let content = zipped.iter().find(|(file, _)| file == name).map(|(_, content)| content.clone());
        content.map(|content| String::from_utf8(content).unwrap())
    };

    let merged = world.export(ArtifactKind::Merged).await;

    assert_eq!(merged.status, Status::Completed, "{:?}", merged.message);
    let zipped = read_zip(&made(&world, "merged.zip"));
    assert_eq!(content(&zipped, "chat_template.jinja").as_deref(), Some("TUNED"));
    assert_eq!(content(&zipped, "additional_chat_templates/tool.jinja").as_deref(), Some("TOOL"));
    assert!(!content(&zipped, "tokenizer_config.json").unwrap().contains("chat_template"));
    assert_eq!(content(&zipped, "tokenizer.model"), None);

    fs::write(adapter.join("additional_chat_templates/tool.jinja"), "OTHER").unwrap();
    world.export(ArtifactKind::Merged).await;
    let zipped = read_zip(&made(&world, "merged.zip"));
    assert_eq!(content(&zipped, "additional_chat_templates/tool.jinja").as_deref(), Some("OTHER"));
    world.export(ArtifactKind::Adapter).await;
    let zipped = read_zip(&made(&world, "adapter.zip"));
    assert_eq!(content(&zipped, "additional_chat_templates/tool.jinja").as_deref(), Some("OTHER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_model_keeps_its_pooling_and_dense_modules() {
    let world = World::new();
    let base = world.path(&format!("base-models/{BASE}"));
    world.put_base("gemma-embedding");
    world.put_small_adapter("layers.0");

    let merged = world.export(ArtifactKind::Merged).await;

    assert_eq!(merged.status, Status::Completed, "{:?}", merged.message);
    let zipped = read_zip(&made(&world, "merged.zip"));
    for name in ["modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
    {
        let (_, content) = zipped.iter().find(|(zipped, _)| zipped == name).unwrap();
        assert_eq!(content, &fs::read(base.join(name)).unwrap(), "{name}");
    }
    let again = world.export(ArtifactKind::Merged).await;
    assert!(again.message.unwrap().contains("Reused"));

    world.export(ArtifactKind::Gguf).await;
    let from_parts = fs::read(made(&world, "model.gguf")).unwrap();
    assert!(from_parts.windows(12).any(|bytes| bytes == b"pooling_type"));
    fs::remove_dir_all(base).unwrap();
    fs::remove_dir_all(world.path("files/job-1")).unwrap();
    let from_merged = world.export(ArtifactKind::Gguf).await;
    assert_eq!(from_merged.status, Status::Completed, "{:?}", from_merged.message);
    let from_merged = fs::read(made(&world, "model.gguf")).unwrap();
    assert!(from_merged.windows(12).any(|bytes| bytes == b"pooling_type"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multimodal_model_has_an_mmproj_file_beside_the_gguf() {
    let world = World::new();
    world.put_base("gemma3-vision");
    world.put_small_adapter("language_model.model.layers.0");

    let export = world.export(ArtifactKind::Gguf).await;

    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    assert!(export.message.as_ref().unwrap().contains("mmproj-model.gguf"), "{:?}", export.message);
    assert_eq!(paths(&export), [url(&world, "model.gguf")]);
    let mmproj = fs::read(made(&world, "mmproj-model.gguf")).unwrap();
    assert!(mmproj.windows(20).any(|bytes| bytes == b"mm.input_projection."));
    assert!(made(&world, "mmproj-model.report.json").exists());
    let again = world.export(ArtifactKind::Gguf).await;
    assert!(again.message.unwrap().contains("Reused"));
    let several = CreateExport {
        quantizations: vec![Quantization::F16, Quantization::BF16],
        ..fixtures::request(fixtures::JOB)
    };
    let several = world.export_of(several).await.message.unwrap();
    let expected = "Wrote the f16, bf16 files, each with a file mmproj-… for image and audio input";
    assert!(several.starts_with(expected), "{several}");

    // without the preprocessor's configuration there is no mmproj file, and the language model is still written
    fs::remove_file(world.path(&format!("base-models/{BASE}/preprocessor_config.json"))).unwrap();
    fs::remove_file(world.path(&format!("base-models/{BASE}/processor_config.json"))).unwrap();
    let export = world.export(ArtifactKind::Gguf).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let folder = made(&world, "model.gguf").parent().unwrap().to_owned();
    assert!(!folder.join("mmproj-model.gguf").exists());
    let report: Value = serde_json::from_slice(&fs::read(folder.join("model.report.json")).unwrap()).unwrap();
    let warning = &report["warnings"][0];
    assert_eq!(warning["code"], "mmproj_not_written", "{report}");
    let text = warning["message"].as_str().unwrap();
    assert!(text.contains("has no preprocessor_config.json with three numbers in image_mean"), "{text}");
    assert!(!text.contains("base-models"), "{text}");
}

/// What is done in the stage `export` grows, and what is to be done stays, where it is known.
pub(crate) fn assert_one_total(seen: &[Progress]) {
    let known = seen.iter().filter(|now| now.stage == Stage::Export && now.bytes_total > 0);
    let (done, totals): (Vec<_>, BTreeSet<_>) = known.map(|now| (now.bytes_done, now.bytes_total)).unzip();
    assert!(totals.len() <= 1 && done.is_sorted(), "{done:?} of {totals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_stage_has_one_total_and_does_not_go_back() {
    let with_encoders = || {
        let world = World::new().verifying_logits();
        world.put_base("gemma3-vision");
        world.put_small_adapter("language_model.model.layers.0");
        world
    };
    let several = CreateExport {
        quantizations: vec![Quantization::Q8_0, Quantization::F16, Quantization::Q4_0],
        ..fixtures::request("job-1")
    };
    let lora = CreateExport {
        gguf_kind: GgufKind::Lora,
        quantizations: Quantization::OF_LORA.to_vec(),
        ..fixtures::request("job-1")
    };
    for (world, request) in [(with_encoders(), several), (World::new(), lora)] {
        let (export, seen) = world.progress_of(request).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        assert_one_total(&seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_is_the_reference_byte_for_byte() {
    let world = World::new();

    let export = world.export(ArtifactKind::Gguf).await;

    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    assert_eq!(paths(&export), [url(&world, "model.gguf")]);
    assert_eq!(sha256_of(&world, "model.gguf"), reference());
    let proof = export.proof.unwrap();
    assert_eq!((proof.pairs, proof.sha256), (14, Some(reference())));
    assert_eq!(proof.report_sha256, sha256_of(&world, "model.report.json"));
    assert!(proof.rmse > Some(0.0));
    assert!(fs::read_to_string(made(&world, "model.Modelfile")).unwrap().contains("FROM ./model.gguf"));
    let progress = export.progress.unwrap();
    assert_eq!(progress.bytes_done, progress.bytes_total);
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_are_compared_with_those_of_base_and_adapter() {
    let world = World::new().verifying_logits();
    for (kind, furthest) in [(ArtifactKind::Merged, 1e-3), (ArtifactKind::Gguf, 1e-2)] {
        let export = world.export(kind).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        let proof = export.proof.unwrap();
        let (logits, survival) = (proof.logits.unwrap(), proof.survival.unwrap());
        assert_eq!(survival.prompts, PromptUse::default());
        assert!(
            survival.survival.unwrap() > 0.9 && survival.kl_export == logits.kl_mean,
            "{kind:?} {survival:?}"
        );
        assert!(logits.tokens > 0 && logits.top1 > 0.9 && logits.kl_max < furthest, "{kind:?} {logits:?}");
        // the rounding of weights shows in the logits
        assert!(logits.kl_mean > 0.0, "{kind:?} {logits:?}");
        let again = world.export(kind).await;
        let again = again.proof.unwrap();
        assert_eq!((again.logits, again.survival), (Some(logits), Some(survival)), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_part_of_a_model_do_not_make_it_again() {
    let world = World::new();
    let kinds = [ArtifactKind::Merged, ArtifactKind::Gguf];
    for kind in kinds {
        assert_eq!(world.export(kind).await.status, Status::Completed);
    }
    for folder in [format!("base-models/{BASE}"), "models/adapters/job-1".to_owned()] {
        for name in ["prompts.txt", "trainer_state.json", "runs/events.bin"] {
            let path = world.path(&format!("{folder}/{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "more").unwrap();
        }
    }
    for kind in kinds {
        let again = world.export(kind).await.message.unwrap();
        assert!(again.contains("Reused"), "{kind:?}: {again}");
    }
    // a file that the models are made of
    let config = world.path("models/adapters/job-1/generation_config.json");
    fs::write(config, r#"{"temperature": 0.5}"#).unwrap();
    for kind in kinds {
        let again = world.export(kind).await.message.unwrap();
        assert!(!again.contains("Reused"), "{kind:?}: {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_bucket_has_and_loops_of_links_are_left_out() {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};

    let world = World::new();
    let adapter = world.path("models/adapters/job-1");
    fs::create_dir(adapter.join("checkpoint-1")).unwrap();
    for name in [b"a\nb".as_slice(), b"\xff", b"checkpoint-1/a\nb", b"checkpoint-1/\xff"] {
        fs::write(adapter.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    symlink(".", adapter.join("latest")).unwrap();
    symlink("..", adapter.join("checkpoint-1/up")).unwrap();
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged] {
        let request = || CreateExport { kind, ..fixtures::request("job-1") };
        crate::plans::plan(&world, &request()).await.unwrap();
        let export = world.export_of(request()).await;
        assert_eq!(export.status, Status::Completed, "{kind:?}: {:?}", export.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_tokenizer_is_merged_and_not_compared() {
    let world = World::new().verifying_logits();
    for folder in [format!("base-models/{BASE}"), "models/adapters/job-1".to_owned()] {
        for name in ["tokenizer.model", "tokenizer.json"] {
            fs::remove_file(world.path(&format!("{folder}/{name}"))).ok();
        }
    }
    let request = || CreateExport { kind: ArtifactKind::Merged, ..fixtures::request("job-1") };
    let planned = crate::plans::plan(&world, &request()).await.unwrap();
    let warning = planned.warnings.iter().find(|warning| warning.code == "predictions_not_compared").unwrap();
    assert!(warning.message.contains("has no tokenizer.model or tokenizer.json"), "{}", warning.message);
    let export = world.export_of(request()).await;
    assert_eq!(export.status, Status::Completed, "{:?}", export.message);
    let proof = export.proof.unwrap();
    assert!(proof.logits.is_none() && proof.survival.is_none());
    let finding = proof.findings.iter().find(|finding| finding.code == "predictions_not_compared").unwrap();
    assert_eq!(finding.message, warning.message);
    let again = crate::plans::plan(&world, &request()).await.unwrap();
    assert!(again.reused && again.warnings.contains(warning), "{:?}", again.warnings);
    let findings = proof.findings.iter().map(|finding| &finding.message);
    let messages = findings.chain(planned.warnings.iter().map(|warning| &warning.message));
    let with_path: Vec<_> = messages.filter(|message| message.contains("file:")).collect();
    assert!(with_path.is_empty(), "{with_path:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_is_the_same_whatever_was_exported_before() {
    let world = World::new();
    // swaps the shards, so that their order is not that of the tensor names
    let base = world.path("base-models/google/gemma-3-micro");
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    fs::rename(base.join(one), base.join("spare")).unwrap();
    fs::rename(base.join(two), base.join(one)).unwrap();
    fs::rename(base.join("spare"), base.join(two)).unwrap();
    let index = fs::read_to_string(base.join("model.safetensors.index.json")).unwrap();
    let index = index.replace(one, "spare").replace(two, one).replace("spare", two);
    fs::write(base.join("model.safetensors.index.json"), index).unwrap();

    world.export(ArtifactKind::Gguf).await;
    let from_parts = sha256_of(&world, "model.gguf");
    fs::remove_dir_all(world.path("files/job-1")).unwrap();
    world.export(ArtifactKind::Merged).await;
    world.export(ArtifactKind::Gguf).await;
    assert_eq!(sha256_of(&world, "model.gguf"), from_parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_has_a_file_of_its_own() {
    let world = World::new();
    for (quantization, file) in [
        (Quantization::F32, "model-f32.gguf"),
        (Quantization::F16, "model-f16.gguf"),
        (Quantization::BF16, "model-bf16.gguf"),
        (Quantization::Q4_K_M, "model-q4_k_m.gguf"),
        (Quantization::Q8_0, "model.gguf"),
    ] {
        let id = world.create(ArtifactKind::Gguf, Some(quantization)).await;
        world.run(id, "run-1", std::future::pending()).await;
        let export = world.record(id).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        assert_eq!(paths(&export), [url(&world, file)]);
        assert!(fs::read(made(&world, file)).unwrap().starts_with(b"GGUF"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_types_of_one_export_are_those_of_single_exports() {
    let (alone, world) = (World::new(), World::new());
    let types = [Quantization::Q4_K_M, Quantization::Q8_0, Quantization::Q6_K];
    let names = ["model-q4_k_m.gguf", "model.gguf", "model-q6_k.gguf"];
    for quantization in types {
        let id = alone.create(ArtifactKind::Gguf, Some(quantization)).await;
        alone.run(id, "run-1", std::future::pending()).await;
    }
    // one of them exists already
    let id = world.create(ArtifactKind::Gguf, Some(Quantization::Q6_K)).await;
    world.run(id, "run-1", std::future::pending()).await;
    let id = world.create(ArtifactKind::Gguf, types).await;
    world.run(id, "run-2", std::future::pending()).await;
    let export = world.record(id).await;
    assert_eq!(
        export.message.as_deref(),
        Some("Wrote the q4_k_m, q8_0 files; reused the q6_k file of an earlier export")
    );
    for ((artifact, quantization), name) in export.artifacts.iter().zip(types).zip(names) {
        assert_eq!(
            (artifact.quantization, artifact.path.as_str()),
            (Some(quantization), &*url(&world, name))
        );
        assert!(fs::read(made(&world, name)).unwrap() == fs::read(made(&alone, name)).unwrap(), "{name}");
        let files: Vec<_> = artifact.files.iter().map(|file| file.name.as_str()).collect();
        let stem = name.trim_end_matches(".gguf");
        assert_eq!(files, [name, &format!("{stem}.Modelfile"), &format!("{stem}.report.json")]);
        assert_eq!(artifact.files[0].sha256, sha256_of(&world, name));
    }
    let job = world.store.document("training_jobs", "job-1").unwrap();
    assert_eq!(job["artifacts"]["file"]["gguf"], url(&world, "model-q4_k_m.gguf"), "the first is the job's");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_of_the_same_types_in_other_orders_do_not_wait_for_each_other() {
    let world = World::new();
    let export = async |types: [Quantization; 3]| {
        let id = world.create(ArtifactKind::Gguf, types).await;
        world.run(id, "run-1", std::future::pending()).await;
        world.record(id).await
    };
    let [a, b, c] = [Quantization::Q4_K_M, Quantization::Q8_0, Quantization::Q6_K];
    let (one, two, three) = tokio::join!(export([a, b, c]), export([c, b, a]), export([b, a, c]));
    for made in [&one, &two, &three] {
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
        assert_eq!(made.artifacts.len(), 3);
    }
    assert_eq!(sha256_of(&world, "model.gguf"), reference());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_same_inputs_are_reused() {
    let world = World::new();
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let first = world.export(kind).await;
        let before = (world.files("models"), world.files("files"));
        let again = world.export(kind).await;
        assert_eq!(again.status, Status::Completed, "{:?}", again.message);
        assert!(again.message.unwrap().contains("Reused"));
        assert_eq!(again.proof, first.proof, "{kind:?}");
        assert_eq!(before, (world.files("models"), world.files("files")), "{kind:?} was written again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_or_missing_files_are_written_again() {
    let world = World::new();
    world.export(ArtifactKind::Merged).await;
    let read = |number: u32| {
        let shard = format!("model-0000{number}-of-00002.safetensors");
        fs::read(world.made("models/merged_models/job-1", &shard)).unwrap()
    };
    let before = [read(1), read(2)];

    fs::remove_file(world.made("models/merged_models/job-1", "model-00001-of-00002.safetensors")).unwrap();
    world.export(ArtifactKind::Merged).await;
    assert!([read(1), read(2)] == before, "a missing shard is written again");

    change(&world.made("models/merged_models/job-1", "model-00001-of-00002.safetensors"));
    assert!(read(1) != before[0]);
    world.export(ArtifactKind::Merged).await;
    assert!([read(1), read(2)] == before, "a shard that was changed in its place is written again");

    change(&world.path("models/adapters/job-1/adapter_model.safetensors"));
    world.export(ArtifactKind::Merged).await;
    assert!([read(1), read(2)] != before);
    let zipped = read_zip(&made(&world, "merged.zip"));
    for (name, content) in zipped {
        let raw = fs::read(world.made("models/merged_models/job-1", &name)).unwrap();
        assert!(content == raw, "{name} in the zip is that of the new merge");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_fine_tune_is_converted_or_packed_as_it_is() {
    let world = World::new();
    world.put_adapter("gemma3-micro/base");
    world.put_training_job("job-1", json!({"base_model_id": null}));
    let folder = world.path("models/adapters/job-1");
    fs::write(folder.join("optimizer.pt"), "pickle").unwrap();

    let gguf = world.export(ArtifactKind::Gguf).await;
    assert_eq!(gguf.status, Status::Completed, "{:?}", gguf.message);

    let merged = world.export(ArtifactKind::Merged).await;
    assert_eq!(merged.status, Status::Completed, "{:?}", merged.message);
    assert_eq!(paths(&merged), [url(&world, "merged.zip")]);
    let zipped = read_zip(&made(&world, "merged.zip"));
    let names: Vec<&str> = zipped.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["config.json", "tokenizer_config.json", "model.safetensors.index.json"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.contains(&"optimizer.pt") && !names.contains(&"export-report.json"), "{names:?}");
    for (name, content) in zipped {
        assert!(content == fs::read(folder.join(&name)).unwrap(), "{name} is another");
    }

    let refused = world.export(ArtifactKind::Adapter).await;
    assert_eq!(refused.status, Status::Failed);
    let message = refused.message.unwrap();
    assert!(message.contains("full fine-tuned model") && message.contains("merged or gguf"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_with_a_weight_that_is_no_number_is_exported_with_a_finding() {
    let world = World::new();
    let weights = world.path("models/adapters/job-1/adapter_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    for start in ["Exported the adapter. ", "Reused the adapter of an earlier export"] {
        let made = world.export(ArtifactKind::Adapter).await;
        assert_eq!(made.status, Status::Completed);
        let message = made.message.unwrap();
        assert!(message.starts_with(start), "{message}");
        for part in ["NaN or infinite in 1 of its ", "train again", "(adapter_not_finite)"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let refused = world.export(ArtifactKind::Merged).await;
    assert!(refused.message.as_ref().unwrap().contains("NaN or infinite"), "{:?}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_fine_tune_with_a_weight_that_is_no_number_is_refused() {
    let world = World::new();
    world.put_adapter("gemma3-micro/base");
    world.put_training_job("job-1", json!({"base_model_id": null}));
    let shard = world.path("models/adapters/job-1/model-00002-of-00002.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    fs::write(&shard, bytes).unwrap();
    let refused = world.export(ArtifactKind::Merged).await;
    assert_eq!(refused.status, Status::Failed);
    assert!(refused.message.as_ref().unwrap().contains("NaN"), "{:?}", refused.message);
    assert!(world.files("files").iter().all(|(path, _)| path.extension().is_none_or(|end| end != "zip")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_a_message_and_leaves_no_file() {
    type Break = fn(&World);
    let cases: [(&str, Break, &str); 9] = [
        (
            "no adapter_config.json",
            |w| remove(w, "models/adapters/job-1/adapter_config.json"),
            "has no adapter_config.json",
        ),
        (
            "no weights",
            |w| remove(w, "models/adapters/job-1/adapter_model.safetensors"),
            "adapter_model.safetensors",
        ),
        (
            "no adapter at all",
            |w| fs::remove_dir_all(w.path("models/adapters")).unwrap(),
            "there are no files in job-1, the adapter folder",
        ),
        (
            "cut adapter",
            |w| cut(w, "models/adapters/job-1/adapter_model.safetensors"),
            "adapter_model.safetensors",
        ),
        (
            "no base",
            |w| fs::remove_dir_all(w.path("base-models/google")).unwrap(),
            "base model google/gemma-3-micro could not be read: the Hugging Face Hub cannot be reached",
        ),
        (
            "cut base",
            |w| cut(w, "base-models/google/gemma-3-micro/model-00002-of-00002.safetensors"),
            "model-00002-of-00002.safetensors",
        ),
        ("another architecture", other_architecture, "LlamaForCausalLM"),
        (
            "foreign URL",
            |w| w.put_training_job("job-1", json!({"artifacts": null, "adapter_path": "file:///etc"})),
            "is not a supported bucket URL",
        ),
        ("no adapter named", |w| w.put_training_job("job-1", json!({"artifacts": null})), "names no adapter"),
    ];
    for (name, damage, expected) in cases {
        for kind in [ArtifactKind::Merged, ArtifactKind::Gguf] {
            if name == "another architecture" && kind == ArtifactKind::Merged {
                continue; // a merge is independent of the architecture, a GGUF file is not
            }
            let world = World::new();
            damage(&world);
            let before = world.files("models");
            let id = world.create(kind, (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0)).await;
            let code = world.run(id, "run-1", std::future::pending()).await;
            let export = world.record(id).await;
            let message = export.message.clone().unwrap();
            assert_eq!(
                format!("{code:?}"),
                format!("{:?}", ExitCode::SUCCESS),
                "{name}: the end is recorded"
            );
            assert_eq!(export.status, Status::Failed, "{name}: {message}");
            assert!(export.finished_at.is_some() && export.artifacts.is_empty(), "{name}");
            assert!(message.contains(expected), "{name}: {message}");
            assert_eq!(world.files("files"), [], "{name}");
            assert_eq!(world.files("models"), before, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_that_are_not_finite_leave_no_file() {
    for kind in [ArtifactKind::Merged, ArtifactKind::Gguf] {
        let world = World::new().verifying_logits();
        // the model's last norm has the largest finite values: every file can be written, and logits overflow
        let shard = world.path("base-models/google/gemma-3-micro/model-00002-of-00002.safetensors");
        let mut content = fs::read(&shard).unwrap();
        let end = content.len();
        content[end - 512..].fill(0x7f);
        fs::write(&shard, content).unwrap();
        let before = world.files("models");
        let export = world.export(kind).await;
        assert_eq!(export.status, Status::Failed, "{kind:?}");
        let message = export.message.unwrap();
        assert!(message.contains("produces NaN or infinite logits"), "{message}");
        assert_eq!((world.files("files"), world.files("models")), (Vec::new(), before), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_exports_at_the_same_time_make_one_artifact() {
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let world = World::new();
        let exports = join_all((0..40).map(|_| world.export(kind))).await;
        for made in &exports {
            assert_eq!(made.status, Status::Completed, "{kind:?}: {:?}", made.message);
            assert_eq!((&made.artifacts, &made.proof), (&exports[0].artifacts, &exports[0].proof));
        }
        let files = world.files("files");
        let of_name = |name: &str| files.iter().filter(|(path, _)| path.ends_with(name)).count();
        let file = match kind {
            ArtifactKind::Adapter => "adapter.zip",
            ArtifactKind::Merged => "merged.zip",
            ArtifactKind::Gguf => "model.gguf",
        };
        assert_eq!(of_name(file), 1, "{files:?}");
        assert!(files.iter().all(|(path, _)| path.extension().is_none_or(|e| e != "maker")), "{files:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_exports_at_the_same_time_do_not_disturb_each_other() {
    let world = World::new();
    let gguf = async |quantization| {
        let id = world.create(ArtifactKind::Gguf, Some(quantization)).await;
        world.run(id, "run-1", std::future::pending()).await;
        world.record(id).await
    };
    let (one, other, merged) = tokio::join!(
        gguf(Quantization::Q8_0),
        gguf(Quantization::Q4_K_M),
        world.export(ArtifactKind::Merged)
    );
    for made in [&one, &other, &merged] {
        assert_eq!(made.status, Status::Completed, "{:?}", made.message);
    }
    assert_eq!(sha256_of(&world, "model.gguf"), reference());
    assert_eq!(other.artifacts[0].path, url(&world, "model-q4_k_m.gguf"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_artifact_is_removed_when_nobody_reads_it_any_more() {
    let world = World::new();
    world.export(ArtifactKind::Gguf).await;
    let first = made(&world, "model.gguf");
    change(&world.path("models/adapters/job-1/adapter_model.safetensors"));
    world.export(ArtifactKind::Gguf).await;
    let second = made(&world, "model.gguf");
    assert!(first.exists() && first != second, "links to the first may still be valid");

    for manifest in
        fs::read_dir(world.path("files/job-1/published")).unwrap().map(|entry| entry.unwrap().path())
    {
        let mut content: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        content["made_at"] = json!("2020-01-01T00:00:00Z");
        fs::write(manifest, content.to_string()).unwrap();
    }
    world.put_adapter("gemma3-micro/adapter");
    world.export(ArtifactKind::Gguf).await;
    assert!(!first.exists(), "the first is old and replaced");
    assert!(second.exists(), "the training job still names the second");
}

pub(crate) fn remove(world: &World, file: &str) {
    fs::remove_file(world.path(file)).unwrap();
}

fn other_architecture(world: &World) {
    let path = world.path("base-models/google/gemma-3-micro/config.json");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("Gemma3ForCausalLM", "LlamaForCausalLM").replace("gemma3_text", "llama");
    fs::write(path, config).unwrap();
}

pub(crate) fn cut(world: &World, file: &str) {
    let content = fs::read(world.path(file)).unwrap();
    fs::write(world.path(file), &content[..content.len() / 2]).unwrap();
}

/// File systems allow 255 bytes, and Cloud Storage 1024 for a whole path.
#[tokio::test(flavor = "multi_thread")]
async fn a_training_job_may_have_an_id_that_is_no_name_of_a_folder() {
    let world = World::new();
    let id = "j".repeat(1_400);
    world.put_training_job(&id, json!({}));
    for kind in [ArtifactKind::Merged, ArtifactKind::Gguf, ArtifactKind::Adapter] {
        let quantizations = (kind == ArtifactKind::Gguf).then_some(Quantization::Q8_0).into_iter().collect();
        let export = world.export_of(CreateExport { kind, quantizations, ..fixtures::request(&id) }).await;
        assert_eq!(export.status, Status::Completed, "{kind:?}: {:?}", export.message);
    }
}
