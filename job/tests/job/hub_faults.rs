//! Exports with random failures of the Hub: none is completed and wrong, none logs a secret, and none takes longer than it
//! may. `HUB_FAULT_RUNS` sets their number, `HUB_FAULT_SEED` repeats one.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use e2e::hub::{Answer, Content, Fault, Hub, Repo, Step};
use shared::{
    domain::{ArtifactKind, Destination, Status},
    telemetry::{self, LogFormat},
};
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt};

use crate::{
    hub::{REPO, WRITER, export, hub, message},
    support::{BASE, World},
};

const KINDS: [ArtifactKind; 3] = [ArtifactKind::Adapter, ArtifactKind::Merged, ArtifactKind::Gguf];
const STEPS: [Step; 12] = [
    Step::Info,
    Step::Tree,
    Step::Resolve,
    Step::Download,
    Step::Storage,
    Step::Create,
    Step::Preupload,
    Step::Batch,
    Step::WriteToken,
    Step::Commit,
    Step::Commit,
    Step::Tree,
];
const FAULTS: [Fault; 25] = [
    Fault::Answer(Answer::NO_CREDENTIALS),
    Fault::Answer(Answer::INVALID_TOKEN),
    Fault::Answer(Answer::NO_REPOSITORY),
    Fault::Answer(Answer::NO_ENTRY),
    Fault::Answer(Answer::LICENSE),
    Fault::Answer(Answer::NO_WRITE_ACCESS),
    Fault::Answer(Answer::STORAGE_LIMIT),
    Fault::Answer(Answer::SECRET_FOUND),
    Fault::Answer(Answer::COMMIT_HAPPENED),
    Fault::Answer(Answer::COMMIT_IN_PROGRESS),
    Fault::Answer(Answer::DISABLED),
    Fault::Answer(Answer::LONG_QUOTA),
    Fault::Answer(Answer::UNAVAILABLE),
    Fault::Status(403),
    Fault::Status(500),
    Fault::LosesAnswer,
    Fault::OtherCommit,
    Fault::Drops,
    Fault::Truncates,
    Fault::RedirectLoop,
    Fault::RedirectAway,
    Fault::QuotaInHead("\"api\";r=0;t=1"),
    Fault::FileError(Answer::STORAGE_LIMIT),
    Fault::FileError(Answer::UNAVAILABLE),
    Fault::LosesFile,
];

/// Files that are in the repository before a push: none, those of an older model or adapter, or those of a full model.
const BEFORE: [&[&str]; 3] = [
    &[],
    &["adapter_model.bin", "adapter_config.json", "chat_template.jinja", "mmproj-model.gguf", "notes.txt"],
    &["config.json", "model.safetensors", "model.fp16.safetensors", "tf_model.h5", "notes.txt"],
];

/// The log of this test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Hub with the base model's weights in its storage, and buckets without the base model.
async fn hub_and_world() -> (Hub, World) {
    let hub = hub().await;
    hub.put(BASE, hub.repo(BASE).unwrap().with_weights_in_storage());
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    (hub, world)
}

/// The repository's files by name, as hashes, without those that do not matter to a loader of `kind`.
fn pushed(hub: &Hub, kind: ArtifactKind) -> BTreeMap<String, String> {
    let files = hub.repo(REPO).map(|repo| repo.files).unwrap_or_default();
    let matters = |name: &str| {
        !matches!(name, "other.txt" | "notes.txt" | "README.md" | "export-report.json")
            && (kind != ArtifactKind::Gguf || name.ends_with(".gguf") || name.ends_with(".report.json"))
            && (kind != ArtifactKind::Merged || !name.ends_with(".gguf"))
            && (kind != ArtifactKind::Adapter || name.starts_with("adapter_"))
    };
    files.into_iter().filter(|(name, _)| matters(name)).map(|(name, file)| (name, file.sha256())).collect()
}

/// Puts `names` into the repository, and says so in the card of an earlier export.
fn put_before(hub: &Hub, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    let rows: String = names.iter().map(|name| format!("| `{name}` | 3 | `0` |\n")).collect();
    let card = format!("Mine\n\n<!-- export-service -->\n{rows}<!-- /export-service -->\n");
    let mut files: BTreeMap<_, _> =
        names.iter().map(|name| ((*name).to_owned(), Content::regular("old"))).collect();
    files.insert("README.md".to_owned(), Content::regular(card));
    hub.put(REPO, Repo { private: true, commits: 1, files, ..Repo::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn random_failures_never_complete_a_wrong_export_nor_log_a_secret() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("HUB_FAULT_SEED");
    let seeds = seed.map_or(0..number("HUB_FAULT_RUNS").unwrap_or(30), |seed| seed..seed + 1);
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = telemetry::subscriber(LogFormat::Compact, move || writer.clone());
    tracing::subscriber::set_global_default(subscriber.with(LevelFilter::INFO)).unwrap();
    let mut expected = Vec::new();
    for kind in KINDS {
        let (hub, world) = hub_and_world().await;
        let made = export(&world, kind, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
        expected.push(pushed(&hub, kind));
    }
    assert!(lines.take().contains("export ended"), "the log is read");

    let (mut completed, mut failed) = (0, 0);
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let kind = random.usize(..KINDS.len());
        let (hub, world) = hub_and_world().await;
        let before = BEFORE[random.usize(..BEFORE.len())];
        put_before(&hub, before);
        let mut faults = Vec::new();
        for _ in 0..=random.usize(..3) {
            let (step, fault) = (STEPS[random.usize(..STEPS.len())], FAULTS[random.usize(..FAULTS.len())]);
            let (after, times) = (random.usize(..6), 1 + random.usize(..5));
            hub.fail_after(step, fault, after, times);
            faults.push((step, fault, after, times));
        }
        let started = Instant::now();
        let made = export(&world, KINDS[kind], &[Destination::HfHub]).await;
        let run = format!("seed {seed}, {:?}, {before:?}, {faults:?}: {}", KINDS[kind], message(&made));
        assert!(started.elapsed() < Duration::from_secs(40), "{run}");
        match made.status {
            Status::Completed => {
                completed += 1;
                assert_eq!(pushed(&hub, KINDS[kind]), expected[kind], "{run}");
                let repo = hub.repo(REPO).unwrap();
                let card = String::from_utf8_lossy(&repo.files["README.md"].bytes).into_owned();
                if !before.is_empty() {
                    assert!(repo.files.contains_key("notes.txt") && card.contains("Mine\n"), "{run}");
                }
            }
            Status::Failed => {
                failed += 1;
                assert!(message(&made).contains(": ") && made.artifacts.is_empty(), "{run}");
            }
            Status::Running => panic!("{run}"),
        }
        assert!(!lines.take().contains("canary"), "{run}: the log has a secret");
    }
    assert!(seed.is_some() || completed > 0 && failed > 0, "{completed} completed, {failed} failed");
}
