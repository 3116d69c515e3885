//! After `kill -9` at any moment and a new start, no file is corrupt and interrupted exports have failed.
//!
//! The moments are random; each test prints their seed, and takes it from `KILL_SEED` if that is set. `KILL_ROUNDS` sets how
//! many there are.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::process::{StackProcess, folder};

const JOB: &str = "ada-sonnets-1b";
const ROUNDS: u64 = 5;
/// Moments after the start of an export, which takes less than a second.
const LATEST: u64 = 1_200;

/// The exported files by job and name, with their hashes. The folders between them differ with every attempt. Manifests
/// are left out because they hold the time.
pub(crate) fn exported_files(data_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![data_dir.join("buckets/files"), data_dir.join("buckets/models")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if !folder.ends_with("published") && !name.contains('#') {
                let digest = Sha256::digest(fs::read(&path).unwrap()).to_vec();
                let job = folder.parent().unwrap().strip_prefix(data_dir).unwrap();
                files.insert(job.join(name), digest);
            }
        }
    }
    files
}

/// The exported file of that name, of which there is one.
pub(crate) fn exported_path(data_dir: &Path, name: &str) -> PathBuf {
    let mut folders = vec![data_dir.join("buckets/files")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with(name) => return path,
                false => {}
            }
        }
    }
    panic!("no {name} was exported")
}

fn remove_exports(data_dir: &Path) {
    for bucket in ["files", "models"] {
        let folder = data_dir.join("buckets").join(bucket);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
    }
}

pub(crate) fn exports(data_dir: &Path) -> BTreeMap<String, Value> {
    let database = Connection::open(data_dir.join("documents.db")).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut all = database.prepare("SELECT id, json FROM documents WHERE collection = 'exports'").unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
    rows.map(|row| row.map(|(id, json)| (id, serde_json::from_str(&json).unwrap())).unwrap()).collect()
}

/// `KILL_SEED` if it is set, or a new seed; it is not 0, because xorshift would stay there.
fn seed() -> u64 {
    match std::env::var("KILL_SEED") {
        Ok(seed) => seed
            .parse::<NonZeroU64>()
            .unwrap_or_else(|_| panic!("KILL_SEED must be a positive integer: {seed}"))
            .get(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
    }
}

fn rounds() -> u64 {
    std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Random moments, by xorshift.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let seed = seed();
        println!("KILL_SEED={seed}");
        Self(seed)
    }

    async fn wait(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let moment = Duration::from_millis(self.0 % LATEST);
        tokio::time::sleep(moment).await;
        moment
    }
}

/// A stack whose jobs compare predictions only in the many rounds of `make chaos`: that writes no file, and takes longer than all
/// else.
fn serve(data_dir: &Path) -> StackProcess {
    match std::env::var_os("KILL_ROUNDS") {
        Some(_) => StackProcess::serve(data_dir),
        None => StackProcess::serve_with(data_dir, &[("VERIFY_LOGITS", "0")], Stdio::inherit()),
    }
}

/// The files of complete exports.
async fn complete_files(data_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let stack = serve(data_dir);
    for kind in ["merged", "gguf", "adapter"] {
        stack.export(JOB, kind).await;
        let ended = stack.ended(JOB).await;
        assert_eq!(ended["status"], "completed", "{ended}");
    }
    stack.kill();
    let whole = exported_files(data_dir);
    assert!(whole.len() > 5, "{whole:?}");
    whole
}

#[tokio::test]
async fn after_a_kill_at_any_moment_no_file_is_corrupt_and_no_export_is_running() {
    let temp = folder();
    let whole = complete_files(temp.path()).await;
    let (mut moments, mut interrupted) = (Moments::new(), 0);
    for round in 0..rounds() {
        remove_exports(temp.path());
        let stack = serve(temp.path());
        let kind = if round % 2 == 0 { "merged" } else { "gguf" };
        let killed = stack.export(JOB, kind).await;
        let moment = moments.wait().await;
        stack.kill();

        let stack = serve(temp.path());
        for (path, digest) in exported_files(temp.path()) {
            assert_eq!(Some(&digest), whole.get(&path), "{} after {moment:?}", path.display());
        }
        let ended = stack.ended(JOB).await;
        assert_eq!(ended["export_id"], killed.as_str());
        if ended["status"] != "completed" {
            interrupted += 1;
            assert_eq!(ended["status"], "failed", "{ended}");
            assert!(ended["message"].as_str().unwrap().contains("interrupted"), "{ended}");
            assert!(ended["finished_at"].is_string());
        }
        assert!(exports(temp.path()).values().all(|export| export["status"] != "running"));

        stack.export(JOB, kind).await;
        let again = stack.ended(JOB).await;
        assert_eq!(again["status"], "completed", "{again}");
        assert_eq!(
            exports(temp.path())[&killed]["status"],
            ended["status"],
            "the job went on after the kill"
        );
    }
    assert!(interrupted > 0, "no export was running when its stack was killed");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn after_a_kill_of_its_job_an_export_has_ended_and_the_next_one_completes() {
    let temp = folder();
    let whole = complete_files(temp.path()).await;
    let (mut moments, mut killed) = (Moments::new(), 0);
    for round in 0..rounds() {
        remove_exports(temp.path());
        let stack = serve(temp.path());
        let kind = if round % 2 == 0 { "merged" } else { "gguf" };
        stack.export(JOB, kind).await;
        let moment = moments.wait().await;
        stack.kill_jobs();
        let ended = stack.ended(JOB).await;
        if ended["status"] != "completed" {
            killed += 1;
            assert_eq!(
                (&ended["status"], &ended["failure"]["code"]),
                (&"failed".into(), &"internal".into()),
                "{ended}"
            );
            assert!(ended["message"].as_str().unwrap().contains("SIGKILL"), "{ended}");
        }
        stack.export(JOB, kind).await;
        let again = stack.ended(JOB).await;
        assert_eq!(again["status"], "completed", "after {moment:?}: {again}");
        stack.kill();
        for (path, digest) in exported_files(temp.path()) {
            assert_eq!(Some(&digest), whole.get(&path), "{} after {moment:?}", path.display());
        }
    }
    assert!(killed > 0, "no job was running when it was killed");
}

#[tokio::test]
async fn a_stack_that_is_terminated_fails_its_exports_first() {
    let temp = folder();
    let stack = serve(temp.path());
    let id = stack.export(JOB, "merged").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(stack.terminate().success());
    let export = &exports(temp.path())[&id];
    assert_eq!(export["status"], "failed", "{export}");
    assert!(export["message"].as_str().unwrap().contains("stack stopped"), "{export}");
    assert_eq!(
        exported_files(temp.path()).into_keys().collect::<Vec<_>>(),
        Vec::<PathBuf>::new(),
        "left behind"
    );
}
