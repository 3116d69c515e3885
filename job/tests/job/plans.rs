//! Plans: what they announce is what exports then write, and what they refuse is what exports fail with.

use std::{collections::BTreeMap, fs};

use e2e::hub::{Answer, Content, Fault, Repo, Step};
use job::{JobMachine, Planner};
use secrecy::SecretString;
use serde_json::json;
use shared::{
    domain::{
        ArtifactKind, BaseAccess, CreateExport, Destination, Destinations, Export, FindingSeverity, GgufKind,
        NewExport, Plan, Quantization, Status, Variant,
    },
    ports::{ExportPlanner, PlanError, TrainingJobs},
    testing::fixtures,
};

use crate::{
    hub::{self, READER, REPO, WITHOUT_LICENSES, WRITER},
    support::{BASE, World},
};

/// The plan of a request, or why there is none.
pub(crate) async fn plan(world: &World, request: &CreateExport) -> Result<Plan, String> {
    plan_on(world, request, JobMachine::default()).await
}

/// The plan of a request for a job on that machine.
pub(crate) async fn plan_on(
    world: &World,
    request: &CreateExport,
    machine: JobMachine,
) -> Result<Plan, String> {
    planned_by_service(world, request, machine).await.map_err(|error| match error {
        PlanError::Refused { failure, .. } => failure.message,
        PlanError::HubUnavailable { message, retry_after } => {
            format!("not available for {} s: {message}", retry_after.as_secs())
        }
        PlanError::Port(error) => format!("not refused, but failed: {error:?}"),
    })
}

/// The field of the request that the refusal of a plan names.
pub(crate) async fn refused_field(
    world: &World,
    request: &CreateExport,
    machine: JobMachine,
) -> Option<&'static str> {
    let error = planned_by_service(world, request, machine).await.unwrap_err();
    assert!(matches!(error, PlanError::Refused { .. }), "{error:?}");
    if let PlanError::Refused { field, .. } = error { field } else { None }
}

async fn planned_by_service(
    world: &World,
    request: &CreateExport,
    machine: JobMachine,
) -> Result<Plan, PlanError> {
    let user = fixtures::user(fixtures::ADA);
    let id = shared::domain::ExportId::random();
    let new = NewExport { id, user: &user, request, request_hash: None, retention_days: None };
    let export = Export::new(&new, jiff::Timestamp::now());
    let job = world.store.find(&request.job_id).await.unwrap().unwrap();
    let planner = Planner::new(world.locations(), machine);
    planner.plan(&export, &job, request.hf_token.as_ref()).await
}

pub(crate) fn request(kind: ArtifactKind, quantizations: &[Quantization]) -> CreateExport {
    CreateExport { kind, quantizations: quantizations.to_vec(), ..fixtures::request("job-1") }
}

/// The same request with a token, to the Hub as well.
pub(crate) fn to_hub(request: CreateExport, token: &str) -> CreateExport {
    CreateExport {
        destinations: Destinations::new(vec![Destination::Gcs, Destination::HfHub]).unwrap(),
        hf_repo: Some(REPO.parse().unwrap()),
        hf_token: Some(SecretString::from(token)),
        ..request
    }
}

pub(crate) fn planned(plan: &Plan) -> BTreeMap<String, Option<u64>> {
    plan.files.iter().map(|file| (file.name.clone(), file.bytes)).collect()
}

/// The files that an export has for download, with their sizes; reports without.
pub(crate) fn written(export: &Export) -> BTreeMap<String, Option<u64>> {
    let files = export.artifacts.iter().filter(|artifact| artifact.variant == Variant::File);
    let files = files.flat_map(|artifact| &artifact.files);
    files.map(|file| (file.name.clone(), Some(file.bytes).filter(|_| !is_report(&file.name)))).collect()
}

fn is_report(name: &str) -> bool {
    name.ends_with("report.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_writes_the_files_of_its_plan_in_their_sizes() {
    use ArtifactKind::{Adapter, Gguf, Merged};
    use Quantization::{F16, Q4_K_M, Q6_K, Q8_0};
    for (family, layer, requests) in [
        (
            None,
            "",
            vec![
                request(Adapter, &[]),
                request(Merged, &[]),
                request(Gguf, &[Q8_0]),
                request(Gguf, &[F16, Q4_K_M, Q6_K]),
                CreateExport { gguf_kind: GgufKind::Lora, ..request(Gguf, &[F16, Q8_0]) },
            ],
        ),
        (
            Some("gemma3-vision"),
            "model.language_model.layers.0",
            vec![request(Merged, &[]), request(Gguf, &[Q8_0, Q4_K_M])],
        ),
    ] {
        let world = World::new();
        if let Some(family) = family {
            world.put_base(family);
            world.put_small_adapter(layer);
        }
        for request in requests {
            let name = format!("{family:?} {:?} {:?}", request.kind, request.quantizations);
            let again = CreateExport {
                gguf_kind: request.gguf_kind,
                ..self::request(request.kind, &request.quantizations)
            };
            let before = plan(&world, &request).await.expect(&name);
            assert!(
                !before.reused && before.bytes_written > 0 && before.bytes_read > 0,
                "{name}: {before:?}"
            );
            if request.gguf_kind == GgufKind::Lora {
                let adapter = ["adapter_model.safetensors", "adapter_config.json"];
                let size = |file| fs::metadata(world.path("models/adapters/job-1").join(file)).unwrap().len();
                let files = request.quantizations.len() as u64;
                assert_eq!(before.bytes_read, files * adapter.map(size).iter().sum::<u64>(), "{name}");
            }
            let export = world.export_of(request).await;
            assert_eq!(export.status, Status::Completed, "{name}: {:?}", export.message);
            assert_eq!(planned(&before), written(&export), "{name}");
            if family.is_some() && again.kind == Gguf {
                assert!(planned(&before).contains_key("mmproj-model.gguf"), "{name}: {before:?}");
            }
            let after = plan(&world, &again).await.unwrap();
            assert!(after.reused, "{name}");
            // the values of an adapter are checked again
            let read = if again.kind == Adapter { before.bytes_read / 2 } else { 0 };
            assert_eq!(
                (after.bytes_read, after.bytes_written, planned(&after)),
                (read, 0, planned(&before)),
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_that_encoders_cannot_be_converted() {
    let world = World::new();
    world.put_base("gemma3-vision");
    world.put_small_adapter("model.language_model.layers.0");
    let path = world.path(&format!("base-models/{BASE}/config.json"));
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["vision_config"]["hidden_act"] = json!("silu");
    fs::write(&path, config.to_string()).unwrap();

    let plan = plan(&world, &request(ArtifactKind::Gguf, &[Quantization::F16])).await.unwrap();

    assert!(!planned(&plan).contains_key("mmproj-model.gguf"), "{plan:?}");
    let warning = &plan.warnings[0];
    assert_eq!(warning.code, "mmproj_not_written", "{plan:?}");
    assert!(warning.message.contains("vision_config.hidden_act"), "{}", warning.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_fine_tune_has_the_files_of_its_plan() {
    let world = World::new();
    world.put_training_job(
        "job-1",
        json!({"artifacts": {"raw": {"adapter": world.url(&format!("base-models/{BASE}"))}}}),
    );
    let before = plan(&world, &request(ArtifactKind::Merged, &[])).await.unwrap();
    assert_eq!((&before.adapter, &before.base), (&None, &None));
    let export = world.export_of(request(ArtifactKind::Merged, &[])).await;
    assert_eq!(planned(&before), written(&export));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_gets_the_files_of_its_plan() {
    let hub = hub::hub().await;
    for kind in [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf] {
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        hub.put(REPO, Repo { private: true, ..Repo::default() });
        let quantizations = if kind == ArtifactKind::Gguf { vec![Quantization::Q8_0] } else { Vec::new() };
        let to_hub = || to_hub(request(kind, &quantizations), WRITER);
        let before = plan(&world, &to_hub()).await.unwrap();
        assert!(!serde_json::to_string(&before).unwrap().contains(WRITER));
        let about = before.hub.clone().unwrap();
        assert!(about.exists && about.private && about.may_write == Some(true), "{about:?}");
        let export = world.export_of(to_hub()).await;
        assert_eq!(export.status, Status::Completed, "{:?}", export.message);
        let pushed = hub.repo(REPO).unwrap().files.into_iter().filter(|(name, _)| name != "README.md");
        let size =
            |name: &str, content: &Content| Some(content.bytes.len() as u64).filter(|_| !is_report(name));
        let mut all: BTreeMap<_, _> =
            pushed.map(|(name, content)| (name.clone(), size(&name, &content))).collect();
        all.extend(written(&export));
        assert_eq!(planned(&before), all, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_will_meet_is_in_plans_and_records() {
    let world = World::new();
    let text = fs::read(world.path(&format!("base-models/{BASE}/tokenizer_config.json"))).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    config["pad_token"] = json!("<end_of_turn>");
    fs::write(world.path("models/adapters/job-1/tokenizer_config.json"), config.to_string()).unwrap();
    for request in [
        request(ArtifactKind::Merged, &[]),
        request(ArtifactKind::Gguf, &[Quantization::Q8_0, Quantization::F16]),
    ] {
        let warnings = plan(&world, &request).await.unwrap().warnings;
        let is_of_padding = |code: &str| code == "pad_ends_answers";
        let found: Vec<_> = warnings.iter().filter(|warning| is_of_padding(&warning.code)).collect();
        assert_eq!(found.len(), 1, "{warnings:?}");
        assert_eq!(found[0].severity, FindingSeverity::Warning);
        assert!(found[0].remedy.as_ref().unwrap().contains("<pad>"), "{found:?}");
        assert!(warnings.iter().all(|warning| warning.severity > FindingSeverity::Note), "{warnings:?}");
        let export = world.export_of(request).await;
        let findings = export.proof.unwrap().findings;
        let found = findings.iter().find(|finding| is_of_padding(&finding.code)).unwrap();
        assert_eq!(found.severity, FindingSeverity::Warning);
        assert!(findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity)), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_the_hub_lets_the_token_do() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let adapter = |token| to_hub(request(ArtifactKind::Adapter, &[]), token);
    let new = plan(&world, &adapter(WRITER)).await.unwrap().hub.unwrap();
    assert!(!new.exists && new.private && new.may_write == Some(true), "{new:?}");

    fs::remove_dir_all(world.path(&format!("base-models/{BASE}"))).unwrap();
    let gated = plan(&world, &adapter(WITHOUT_LICENSES)).await.unwrap().base.unwrap();
    assert_eq!((gated.model.as_str(), gated.access, gated.source), (BASE, BaseAccess::Gated, None));
    let read = plan(&world, &adapter(WRITER)).await.unwrap().base.unwrap();
    assert_eq!((read.access, read.revision.map(|hash| hash.len())), (BaseAccess::Ok, Some(40)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_refused_with_the_message_of_the_export() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let gguf = || request(ArtifactKind::Gguf, &[Quantization::Q8_0]);
    let merged = || request(ArtifactKind::Merged, &[]);
    let adapter = || request(ArtifactKind::Adapter, &[]);
    let same = async |why: &str, make: &dyn Fn() -> CreateExport| {
        let refused = plan(&world, &make()).await.expect_err(why);
        let failed = world.export_of(make()).await;
        assert_eq!(Some(refused), failed.message, "{why}");
        assert_eq!(failed.status, Status::Failed, "{why}");
    };
    hub.put(REPO, Repo::default());
    same("a public repository", &|| to_hub(gguf(), WRITER)).await;
    let weights = BTreeMap::from([("model.safetensors".to_owned(), Content::regular("weights"))]);
    hub.put(REPO, Repo { private: true, files: weights, ..Repo::default() });
    same("an adapter beside a full model", &|| to_hub(adapter(), WRITER)).await;

    let folder = world.path("models/adapters/job-1");
    fs::rename(folder.join("adapter_model.safetensors"), folder.join("other.safetensors")).unwrap();
    same("an adapter without weights", &merged).await;
    world.put_adapter("gemma3-micro/adapter");
    world.put_small_adapter("model.layers.99");
    same("modules that match no tensor", &gguf).await;
    world.put_adapter("gemma3-micro/adapter");
    fs::remove_file(world.path(&format!("base-models/{BASE}/tokenizer.json"))).unwrap();
    fs::remove_file(world.path(&format!("base-models/{BASE}/tokenizer.model"))).unwrap();
    same("a base without a tokenizer", &gguf).await;
    fs::remove_dir_all(world.path(&format!("base-models/{BASE}"))).unwrap();
    hub.put(BASE, Repo::default());
    same("a base without weights", &merged).await;
    world.put_training_job("job-1", json!({"artifacts": {}}));
    same("no adapter", &adapter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_a_token_that_may_not_write_is_refused_with_the_message_of_the_export() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(READER));
    for exists in [false, true] {
        if exists {
            hub.put(REPO, Repo { private: true, ..Repo::default() });
        }
        let make = || to_hub(request(ArtifactKind::Adapter, &[]), READER);
        let refused = plan(&world, &make()).await.expect_err("the token may not write");
        assert!(refused.contains("hf_token has no write access to ada/my-gemma"), "{refused}");
        assert_eq!(Some(refused), world.export_of(make()).await.message, "{exists}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_field_of_the_request_that_it_is_about() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let machine = JobMachine::default();
    let gguf = || request(ArtifactKind::Gguf, &[Quantization::Q4_0]);
    let check = async |request: CreateExport, field: Option<&str>| {
        assert_eq!(refused_field(&world, &request, machine).await, field, "{request:?}");
    };
    let folder = world.path("models/adapters/job-1");
    let url = |name: &str| Some(world.url(&format!("models/adapters/job-1/{name}")));
    fs::write(folder.join("short.txt"), "too short").unwrap();
    fs::write(folder.join("rows.jsonl"), "{\"x\": 1}\n").unwrap();
    fs::write(folder.join("other.dat"), importances_of_another_model()).unwrap();
    for name in ["missing.dat", "short.txt", "other.dat"] {
        check(CreateExport { imatrix: url(name), ..gguf() }, Some("imatrix")).await;
    }
    for name in ["missing.txt", "short.txt"] {
        check(CreateExport { calibration_uri: url(name), ..gguf() }, Some("calibration_uri")).await;
    }
    for name in ["missing.txt", "rows.jsonl"] {
        check(CreateExport { prompts_uri: url(name), ..gguf() }, Some("prompts_uri")).await;
    }
    let sized = CreateExport { quantizations: Vec::new(), max_bytes: Some(1_000), ..gguf() };
    check(sized, Some("max_bytes")).await;

    check(to_hub(gguf(), "hf_of_nobody"), Some("hf_token")).await;
    check(to_hub(gguf(), READER), Some("hf_token")).await;
    hub.put(REPO, Repo::default());
    check(to_hub(gguf(), WRITER), Some("hf_private")).await;
    let weights = BTreeMap::from([("model.safetensors".to_owned(), Content::regular("weights"))]);
    hub.put(REPO, Repo { private: true, files: weights, ..Repo::default() });
    check(to_hub(request(ArtifactKind::Adapter, &[]), WRITER), Some("hf_repo_id")).await;

    fs::rename(world.path("base-models/google"), world.path("base-models/elsewhere")).unwrap();
    for token in [None, Some(WITHOUT_LICENSES), Some("hf_of_nobody")] {
        let hf_token = token.map(SecretString::from);
        check(CreateExport { hf_token, ..gguf() }, Some("hf_token")).await;
    }
    fs::rename(world.path("base-models/elsewhere"), world.path("base-models/google")).unwrap();

    fs::remove_file(folder.join("adapter_model.safetensors")).unwrap();
    check(gguf(), None).await;
    let full = world.url(&format!("base-models/{BASE}"));
    world.put_training_job("job-1", json!({"artifacts": {"raw": {"adapter": full}}}));
    check(request(ArtifactKind::Adapter, &[]), Some("export_type")).await;
    let lora =
        CreateExport { gguf_kind: GgufKind::Lora, ..request(ArtifactKind::Gguf, &[Quantization::F16]) };
    check(lora, Some("gguf_kind")).await;
    check(CreateExport { prompts_uri: Some(full), ..gguf() }, Some("prompts_uri")).await;
}

/// A file of `llama-imatrix` with two values for a matrix that has more columns.
fn importances_of_another_model() -> Vec<u8> {
    let name = b"blk.0.attn_q.weight";
    let numbers = |numbers: [u32; 2]| numbers.map(u32::to_le_bytes).concat();
    let values = [1.0_f32, 1.0].map(f32::to_le_bytes).concat();
    [numbers([1, name.len() as u32]), name.to_vec(), numbers([1, 2]), values].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_fails_is_no_fault_of_the_service() {
    let hub = hub::hub().await;
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let merged = || request(ArtifactKind::Merged, &[]);
    hub.fail(Step::Info, Fault::Status(409), usize::MAX);
    let busy = plan(&world, &to_hub(merged(), WRITER)).await.unwrap_err();
    assert!(busy.starts_with("not available for 60 s: "), "{busy}");
    hub.fail(Step::Info, Fault::Status(503), usize::MAX);
    let pushed = plan(&world, &to_hub(merged(), WRITER)).await.unwrap_err();
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    let read = plan(&world, &merged()).await.unwrap_err();
    for text in [pushed, read] {
        assert!(text.starts_with("not available for 60 s: "), "{text}");
        let state = "the Hugging Face Hub answers with errors (503); try again in a few minutes";
        assert!(text.ends_with(state) && !text.contains("upload"), "{text}");
    }
    hub.fail(Step::Info, Fault::Answer(Answer::LONG_QUOTA), usize::MAX);
    let limited = plan(&world, &merged()).await.unwrap_err();
    assert!(
        limited.starts_with("not available for 295 s: ") && limited.contains("limits the rate"),
        "{limited}"
    );
}
