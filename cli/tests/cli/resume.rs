//! Exports that are killed, interrupted or fail, and go on with `--resume`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use e2e::cloud_storage::CloudStorage;
use e2e::hub::{Answer, Content, Fault, Hub, Repo, Step};

use crate::support::Inputs;

const BASE: &str = "google/gemma-3-micro";
const ADAPTER: &str = "ada/my-lora";
const MERGE: &str = "merge --base google/gemma-3-micro --adapter ada/my-lora --out out";
const TWO_TYPES: &str =
    "gguf --base google/gemma-3-micro --adapter ada/my-lora --quant q8_0,q4_k_m --out out/m-{quant}.gguf";
/// Kills of each kind of export.
const POINTS: usize = 10;
/// Much longer than the time between two writes of the journal.
const SETTLED: Duration = Duration::from_secs(5);

/// A base and an adapter on a Hub.
struct World {
    inputs: Inputs,
    hub: Hub,
}

impl World {
    async fn new() -> Self {
        let mut inputs = Inputs::new();
        let hub = Hub::start([]).await;
        for (id, folder) in [(BASE, "base"), (ADAPTER, "adapter")] {
            hub.put(id, Repo::of_folder(&inputs.path(folder)).unwrap().with_weights_in_storage());
        }
        inputs.hub = Some(hub.endpoint().to_owned());
        Self { inputs, hub }
    }

    /// So many of them, each with a Hub of its own, whose exports do not wait for each other.
    async fn several() -> Vec<Self> {
        let mut worlds = Vec::new();
        for _ in 0..POINTS {
            worlds.push(Self::new().await);
        }
        worlds
    }

    /// An empty output folder.
    fn clear(&self) {
        fs::remove_dir_all(self.inputs.path("out")).ok();
        fs::create_dir(self.inputs.path("out")).unwrap();
    }

    fn output(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.inputs.path("out"))
    }

    /// The output of a complete run, how many requests for weights it sends, and the bytes of that base it fetches.
    fn complete(&self, args: &str, base: &str) -> (BTreeMap<PathBuf, Vec<u8>>, usize, u64) {
        self.clear();
        let (asked, sent) = (self.hub.asked(Step::Storage), self.hub.sent(base));
        self.inputs.succeed(args);
        (self.output(), self.hub.asked(Step::Storage) - asked, self.hub.sent(base) - sent)
    }

    /// Starts a run whose requests for weights are not answered from the `after`th on, and waits until it is there.
    fn start(&self, args: &str, after: usize, slow: Duration) -> Child {
        let asked = self.hub.asked(Step::Storage);
        self.hub.fail_after(Step::Storage, Fault::Slow(slow), after, usize::MAX);
        let child = self.inputs.command(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        while self.hub.asked(Step::Storage) <= asked + after {
            sleep(Duration::from_millis(5));
        }
        child
    }

    fn answer_again(&self) {
        self.hub.fail(Step::Storage, Fault::Truncates, 0);
    }

    /// The bytes of the base's tensors that the journal says are finished. A line that is not whole does not count.
    fn finished(&self) -> u64 {
        let files = files_below(&self.inputs.path("out"));
        let journal = files.iter().find(|path| path.to_string_lossy().contains(".journal."));
        let text = journal.map(|path| fs::read_to_string(path).unwrap()).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).skip(1);
        let records = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        records.map(|record| record["tensor"]["base"]["bytes"].as_u64().unwrap_or(0)).sum()
    }

    /// Waits until the journal says that a tensor is finished, or none will be.
    fn settle(&self) {
        let start = Instant::now();
        while self.finished() == 0 && start.elapsed() < SETTLED {
            sleep(Duration::from_millis(20));
        }
    }
}

/// Does in each world, at the same time, what `at` draws for its point; how often that returned true.
fn each<A: FnOnce(&World) -> bool + Send>(worlds: &[World], mut at: impl FnMut(usize) -> A) -> usize {
    scope(|threads| {
        let started = worlds.iter().enumerate().map(|(point, world)| {
            let act = at(point);
            threads.spawn(move || act(world))
        });
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    })
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let name = |path: PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    files_below(folder).into_iter().map(|path| (name(path.clone()), fs::read(path).unwrap())).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_that_are_killed_at_any_point_go_on_where_they_were() {
    let worlds = World::several().await;
    let mut random = fastrand::Rng::with_seed(15);
    for args in [MERGE, TWO_TYPES] {
        let (expected, asked, sent) = worlds[0].complete(args, BASE);
        let kill = |world: &World, after: usize, moment: Option<Duration>| {
            world.clear();
            let mut killed = world.start(args, after, Duration::from_secs(60));
            moment.map_or_else(|| world.settle(), sleep);
            killed.kill().unwrap();
            killed.wait().unwrap();
            world.answer_again();
            let finished = world.finished();
            let before = world.hub.sent(BASE);
            let printed = world.inputs.succeed(&format!("{args} --resume"));
            assert!(world.output() == expected, "{args}, killed after {after} requests: {printed}");
            let fetched = world.hub.sent(BASE) - before;
            assert_eq!(fetched, sent - finished, "{args}, killed after {after} requests: {printed}");
            let note = if finished > 0 { "resuming: " } else { "nothing to resume: the export starts" };
            assert!(printed.contains(note), "{printed}");
            finished > 0
        };
        let kept = each(&worlds, |point| {
            let after = random.usize(asked / 3..asked);
            let moment = (point % 2 == 1).then(|| Duration::from_millis(random.u64(30..1300)));
            let kill = &kill;
            move |world: &World| kill(world, after, moment)
        });
        assert!(kept >= 5, "{args}: of {POINTS} points, {kept} were behind a finished tensor");
    }
}

/// A run writes the encoders, and then the model. Both are visible when the model is finished.
#[tokio::test(flavor = "multi_thread")]
async fn encoders_go_on_where_they_were_too() {
    const VISION: &str = "google/gemma-3-vision";
    let worlds = World::several().await;
    let vision = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/fixtures/families/gemma3-vision/base");
    for world in &worlds {
        world.hub.put(VISION, Repo::of_folder(Path::new(vision)).unwrap().with_weights_in_storage());
    }
    let args = "gguf --base google/gemma-3-vision --quant q8_0 --out out/m.gguf --mmproj out/mmproj.gguf";
    let (expected, asked, sent) = worlds[0].complete(args, VISION);
    let kill = |world: &World, after: usize| {
        world.clear();
        let mut killed = world.start(args, after, Duration::from_secs(60));
        world.settle();
        killed.kill().unwrap();
        killed.wait().unwrap();
        world.answer_again();
        assert!(!world.inputs.path("out/m.gguf").exists() && !world.inputs.path("out/mmproj.gguf").exists());
        let before = world.hub.sent(VISION);
        let printed = world.inputs.succeed(&format!("{args} --resume"));
        assert!(world.output() == expected, "killed after {after} of {asked} requests: {printed}");
        world.hub.sent(VISION) - before < sent
    };
    let mut random = fastrand::Rng::with_seed(16);
    let kept = each(&worlds, |point| {
        // half of them in the encoders, half in the model
        let after = if point % 2 == 0 { random.usize(1..asked / 2) } else { random.usize(asked / 2..asked) };
        let kill = &kill;
        move |world: &World| kill(world, after)
    });
    assert!(kept >= 5, "of {POINTS} points, {kept} were behind a finished tensor");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_says_what_it_keeps() {
    let world = World::new().await;
    for args in [MERGE, TWO_TYPES] {
        let (expected, asked, _) = world.complete(args, BASE);
        let after = asked * 3 / 4;
        world.clear();
        let child = world.start(&format!("{args} --json"), after, Duration::from_secs(1));
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = child.wait_with_output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{error}");
        assert!(error.contains("error: interrupted; ") && error.contains("again with --resume"), "{error}");
        world.answer_again();
        assert!(world.finished() > 0);
        world.inputs.succeed(&format!("{args} --resume"));
        assert!(world.output() == expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_after_the_hub_refused() {
    let world = World::new().await;
    let (expected, asked, _) = world.complete(MERGE, BASE);
    let resolved = world.hub.asked(Step::Resolve);
    world.clear();
    // links expire in the middle, and the token is no longer valid for others
    world.hub.fail_after(Step::Storage, Fault::Status(403), asked * 3 / 4, usize::MAX);
    world.hub.fail_after(Step::Resolve, Fault::Answer(Answer::INVALID_TOKEN), resolved, usize::MAX);
    let ended = world.inputs.run(&format!("{MERGE} --json"));
    let error: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &error["error"]["kind"]), (Some(6), &"remote".into()), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("rejected the token"), "{error}");
    assert!(error["error"]["kept_bytes"].as_u64().unwrap() > 0, "{error}");
    assert!(world.finished() > 0);
    world.answer_again();
    world.hub.fail(Step::Resolve, Fault::Truncates, 0);
    let printed = world.inputs.succeed(&format!("{MERGE} --resume"));
    assert!(printed.contains("resuming: "), "{printed}");
    assert!(world.output() == expected);
}

/// Runs the command with files of at most so many KiB, as on a full disk.
fn run_limited(inputs: &Inputs, args: &str, kib: u64) -> (Option<i32>, String) {
    run_limited_with(inputs, [], args, kib)
}

fn run_limited_with<'a>(
    inputs: &Inputs,
    env: impl IntoIterator<Item = (&'a str, &'a str)>,
    args: &str,
    kib: u64,
) -> (Option<i32>, String) {
    let limited = format!("ulimit -f {kib}; exec {} {args}", env!("CARGO_BIN_EXE_gemma-export"));
    let mut bash = Command::new("bash");
    let ended = bash.current_dir(inputs.path("")).envs(env).args(["-c", &limited]).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn an_export_goes_on_after_the_disk_was_full_and_starts_over_if_something_differs() {
    let inputs = Inputs::new();
    let args = "gguf --base base --adapter adapter --quant bf16 --out m.gguf";
    inputs.succeed(args);
    let expected = fs::read(inputs.path("m.gguf")).unwrap();
    let report = fs::read(inputs.path("m.report.json")).unwrap();
    let again = || {
        fs::remove_file(inputs.path("m.gguf")).unwrap();
        fs::remove_file(inputs.path("m.report.json")).unwrap();
        fs::remove_file(inputs.path("m.Modelfile")).unwrap();
        let (status, error) = run_limited(&inputs, args, expected.len() as u64 * 9 / 10 / 1024);
        assert_eq!(status, Some(5), "{error}");
        assert!(error.contains("kept in hidden files"), "{error}");
    };
    let hidden = || {
        let names = fs::read_dir(inputs.path("")).unwrap().map(|name| name.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with('.')).count()
    };
    again();
    let printed = inputs.succeed(&format!("{args} --resume"));
    assert!(printed.contains("resuming: "), "{printed}");
    assert!(fs::read(inputs.path("m.gguf")).unwrap() == expected);
    assert!(fs::read(inputs.path("m.report.json")).unwrap() == report);
    assert_eq!(hidden(), 0);
    // other options
    again();
    let printed = inputs.succeed(&format!("{args} --name other --resume"));
    assert!(printed.contains("starting over: what is kept differs in the options"), "{printed}");
    assert_eq!(hidden(), 0);
    // not to go on
    again();
    assert!(hidden() > 1);
    inputs.succeed(args);
    assert!(fs::read(inputs.path("m.gguf")).unwrap() == expected);
    assert_eq!(hidden(), 0);
    // an output that is complete is replaced only by --force
    inputs.fail(5, &format!("{args} --resume"), &["m.gguf exists"]);
    inputs.succeed(&format!("{args} --force --resume"));
}

/// The files of a folder of the inputs.
fn files(inputs: &Inputs, folder: &str) -> Vec<(String, Vec<u8>)> {
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
    files_below(&inputs.path(folder)).into_iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_from_cloud_storage_or_a_web_server_goes_on_unless_its_files_are_others() {
    let inputs = Inputs::new();
    let (storage, hub) = (CloudStorage::start().await, Hub::start([]).await);
    let store = |folder: &str, id: &str| {
        let mut repo = Repo { commits: 1, ..Repo::default() };
        for (name, bytes) in files(&inputs, folder) {
            storage.put(&format!("models/{folder}/{name}"), bytes.clone());
            repo.files.insert(name, Content::regular(bytes));
        }
        hub.put(id, repo);
    };
    store("base", "google/gemma");
    store("adapter", "ada/lora");
    let exported = || {
        inputs
            .succeed("gguf --base base --adapter adapter --quant bf16 --name micro --out local.gguf --force");
        fs::read(inputs.path("local.gguf")).unwrap()
    };
    let endpoint = [("STORAGE_EMULATOR_HOST", storage.endpoint())];
    let served = |id: &str| format!("{}/{id}/resolve/main", hub.endpoint());
    for (base, adapter) in [
        ("gs://models/base".to_owned(), "gs://models/adapter".to_owned()),
        (served("google/gemma"), served("ada/lora")),
    ] {
        let args = format!("gguf --base {base} --adapter {adapter} --quant bf16 --name micro --out m.gguf");
        let stop = |size: usize| {
            let (status, error) = run_limited_with(&inputs, endpoint, &args, size as u64 * 9 / 10 / 1024);
            assert_eq!(status, Some(5), "{error}");
            assert!(error.contains("again with --resume"), "{error}");
        };
        let resume = |expected: &[u8], note: &str| {
            let ended = inputs.command(&format!("{args} --resume")).envs(endpoint).output().unwrap();
            let printed = String::from_utf8(ended.stderr).unwrap();
            assert!(ended.status.success() && printed.contains(note), "{base}: {printed}");
            assert!(fs::read(inputs.path("m.gguf")).unwrap() == expected, "{base}: {printed}");
            for name in ["m.gguf", "m.report.json", "m.Modelfile"] {
                fs::remove_file(inputs.path(name)).unwrap();
            }
        };
        let expected = exported();
        stop(expected.len());
        resume(&expected, "resuming: ");
        stop(expected.len());
        let shard = inputs.path("base/model-00002-of-00002.safetensors");
        let mut bytes = fs::read(&shard).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&shard, bytes).unwrap();
        store("base", "google/gemma");
        let changed = exported();
        assert!(changed != expected);
        resume(&changed, "starting over: what is kept differs in the base");
    }
}

#[test]
fn an_export_that_fails_by_its_content_keeps_nothing() {
    let inputs = Inputs::new();
    let shard = inputs.path("base/model-00002-of-00002.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let end = bytes.len();
    bytes[end - 2..].fill(0xff);
    fs::write(&shard, bytes).unwrap();
    for args in [
        "merge --base base --adapter adapter --out merged",
        "gguf --base base --adapter adapter --out m.gguf",
        "gguf --base base --adapter adapter --quant q8_0,q4_k_m --out m-{quant}.gguf",
    ] {
        inputs.refuse(args, &["NaN or infinite"]);
        let names = fs::read_dir(inputs.path("")).unwrap().map(|name| name.unwrap().file_name());
        assert!(names.into_iter().all(|name| name == "base" || name == "adapter"), "{args}");
    }
}

#[test]
fn a_merge_goes_on_in_a_new_folder_and_in_one_that_is_replaced() {
    let inputs = Inputs::new();
    let args = "merge --base base --adapter adapter --out merged";
    let largest = fs::metadata(inputs.path("base/model-00001-of-00002.safetensors")).unwrap().len();
    let second = fs::metadata(inputs.path("base/model-00002-of-00002.safetensors")).unwrap().len();
    let limit = largest.max(second) * 9 / 10 / 1024;
    let mut expected = None;
    for force in ["", " --force"] {
        let (status, error) = run_limited(&inputs, &format!("{args}{force}"), limit);
        assert_eq!(status, Some(5), "{error}");
        assert!(error.contains("again with --resume"), "{error}");
        let printed = inputs.succeed(&format!("{args}{force} --resume"));
        assert!(printed.contains("resuming: "), "{printed}");
        let made = contents(&inputs.path("merged"));
        assert!(made.keys().all(|name| !name.to_string_lossy().starts_with('.')));
        assert!(expected.replace(made.clone()).is_none_or(|before| before == made));
        inputs.succeed("verify --base base --adapter adapter --out merged");
    }
    let drafts = fs::read_dir(inputs.path("")).unwrap().map(|name| name.unwrap().file_name());
    assert!(drafts.into_iter().all(|name| !name.to_str().unwrap().starts_with('.')));
}

#[test]
fn a_limit_of_the_shell_for_files_is_a_failure_with_a_message() {
    let inputs = Inputs::new();
    let shell =
        format!("ulimit -f 300; exec {} gguf --base base --out m.gguf", env!("CARGO_BIN_EXE_gemma-export"));
    let ended = Command::new("sh").args(["-c", &shell]).current_dir(inputs.path("")).output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(5), "{error}");
    assert!(error.contains("File too large") && error.contains("cannot write"), "{error}");
    assert!(!inputs.path("m.gguf").exists());
}
