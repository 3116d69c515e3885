//! The merged model of an earlier export, as the input of a GGUF file.

use std::fs;

use serde_json::{Value, json};
use shared::domain::{ArtifactKind, CreateExport, Quantization, Status};

use crate::{
    exports::{cut, made, reference, remove, sha256, sha256_of},
    plans::{plan, request},
    support::{BASE, World, change},
};

/// The URL of the newest merged model.
fn merged_url(world: &World) -> String {
    let config = world.made("models/merged_models/job-1", "config.json");
    url::Url::from_file_path(config.parent().unwrap()).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_is_enough_for_a_gguf() {
    type Remove = fn(&World);
    let cases: [(Remove, &str, &str); 3] = [
        (
            |world| fs::remove_dir_all(world.path("base-models/google")).unwrap(),
            "the base model cannot be read",
            "the Hugging Face Hub cannot be reached",
        ),
        (
            |world| fs::remove_dir_all(world.path("models/adapters/job-1")).unwrap(),
            "the training job has no adapter any more",
            "there are no files in job-1",
        ),
        (
            |world| {
                let artifacts = json!({"raw": {"merged": merged_url(world)}});
                world.put_training_job("job-1", json!({"artifacts": artifacts}));
            },
            "the training job has no adapter any more",
            "names no adapter",
        ),
    ];
    for (remove, finding, cause) in cases {
        let world = World::new();
        world.export(ArtifactKind::Merged).await;
        remove(&world);
        let plan = plan(&world, &request(ArtifactKind::Gguf, &[Quantization::Q8_0])).await.unwrap();
        let warning = plan.warnings.iter().find(|warning| warning.code == "merged_model_used").unwrap();
        assert!(warning.message.starts_with(finding) && warning.remedy.is_some(), "{warning:?}");
        for start in ["Wrote the q8_0 file. ", "Reused the q8_0 file of an earlier export"] {
            let export = world.export(ArtifactKind::Gguf).await;
            assert_eq!(export.status, Status::Completed, "{:?}", export.message);
            let message = export.message.unwrap();
            assert!(message.starts_with(start), "{message}");
            for part in [finding, "(merged_model_used)", cause] {
                assert!(message.contains(part), "{part} in {message}");
            }
            let proof = export.proof.unwrap();
            let found = proof.findings.iter().find(|finding| finding.code == "merged_model_used").unwrap();
            assert_eq!((&found.message, Some(&found.remedy)), (&warning.message, warning.remedy.as_ref()));
            assert_eq!(found.severity, warning.severity);
            let report = fs::read(made(&world, "model.report.json")).unwrap();
            assert_eq!(sha256(&report), proof.report_sha256);
            let report: Value = serde_json::from_slice(&report).unwrap();
            let codes = report["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]);
            assert_eq!(codes.filter(|code| *code == "merged_model_used").count(), 1);
        }
        assert_eq!(sha256_of(&world, "model.gguf"), reference());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_of_another_adapter_is_not_converted() {
    const WEIGHTS: &str = "models/adapters/job-1/adapter_model.safetensors";
    const CONFIG: &str = "models/adapters/job-1/adapter_config.json";
    type Damage = fn(&World);
    fn remove_base(world: &World) {
        fs::remove_dir_all(world.path("base-models/google")).unwrap();
    }
    let cases: [(&str, Damage, &str); 10] = [
        ("cut adapter", |world| cut(world, WEIGHTS), "adapter_model.safetensors"),
        ("no weights", |world| remove(world, WEIGHTS), "adapter_config.json without weights"),
        ("no configuration", |world| remove(world, CONFIG), "has no adapter_config.json"),
        (
            "a file as folder",
            |world| {
                let raw = json!({"adapter": world.url(WEIGHTS), "merged": merged_url(world)});
                world.put_training_job("job-1", json!({"artifacts": {"raw": raw}}));
            },
            "names the file",
        ),
        (
            "trained again",
            |world| {
                change(&world.path(WEIGHTS));
                remove_base(world);
            },
            "the Hugging Face Hub cannot be reached",
        ),
        (
            "a new chat template",
            |world| {
                fs::write(world.path("models/adapters/job-1/chat_template.jinja"), "{{ messages }}").unwrap();
                remove_base(world);
            },
            "the Hugging Face Hub cannot be reached",
        ),
        (
            "another base",
            |world| {
                let raw = json!({"adapter": world.url("models/adapters/job-1"), "merged": merged_url(world)});
                let changes = json!({"base_model_id": "google/gemma-other", "artifacts": {"raw": raw}});
                world.put_training_job("job-1", changes);
            },
            "the Hugging Face Hub cannot be reached",
        ),
        (
            "no base in its manifest",
            |world| {
                let folder = world.path("models/merged_models/job-1/published");
                let path = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
                let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                assert_eq!(manifest["base_model"], BASE);
                manifest["base_model"] = Value::Null;
                fs::write(path, manifest.to_string()).unwrap();
                remove_base(world);
            },
            "the Hugging Face Hub cannot be reached",
        ),
        (
            "no report",
            |world| {
                fs::remove_file(world.made("models/merged_models/job-1", "export-report.json")).unwrap();
                remove_base(world);
            },
            "the Hugging Face Hub cannot be reached",
        ),
        (
            "a revision",
            |world| {
                let mut config: Value =
                    serde_json::from_slice(&fs::read(world.path(CONFIG)).unwrap()).unwrap();
                config["revision"] = json!("main");
                fs::write(world.path(CONFIG), config.to_string()).unwrap();
                remove_base(world);
            },
            "the Hugging Face Hub cannot be reached",
        ),
    ];
    for (name, damage, expected) in cases {
        let world = World::new();
        world.export(ArtifactKind::Merged).await;
        damage(&world);
        let refused = plan(&world, &request(ArtifactKind::Gguf, &[Quantization::Q8_0])).await.unwrap_err();
        assert!(refused.contains(expected), "{name}: {refused}");
        let export = world.export(ArtifactKind::Gguf).await;
        let message = export.message.unwrap();
        assert_eq!(export.status, Status::Failed, "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_refused_with_the_cause_if_only_a_merged_model_is_left() {
    for (folder, cause) in [
        ("base-models/google", "the Hugging Face Hub cannot be reached"),
        ("models/adapters/job-1", "there are no files in job-1"),
    ] {
        let world = World::new();
        world.export(ArtifactKind::Merged).await;
        fs::remove_dir_all(world.path(folder)).unwrap();
        let request = request(ArtifactKind::Gguf, &[Quantization::Q8_0]);
        let prompts_uri = Some(world.url("models/adapters/job-1/prompts.jsonl"));
        let export = world.export_of(CreateExport { prompts_uri, ..request }).await;
        let message = export.message.unwrap();
        assert_eq!(export.status, Status::Failed, "{message}");
        let advice = "prompts_uri needs base model and adapter";
        assert!(message.contains(cause) && message.contains(advice), "{message}");
        assert!(!message.contains("full model"), "{message}");
    }
}
