//! Exports that are pushed to the Hugging Face Hub, against the stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::hub::{Access, Answer, Content, Fault, Hub, Repo, Step};
use serde_json::Value;

use crate::support::Inputs;

const REPO: &str = "ada/my-gemma";
const BASE: &str = "google/gemma-3-micro";
const WRITER: &str = "hf_canaryofthewriterabcdefgh";
const READER: &str = "hf_canaryofthereaderabcdefgh";
const MERGE: &str = "merge --base base --adapter adapter --out merged";

/// A folder with inputs, and a Hub on which a user may write.
struct World {
    inputs: Inputs,
    hub: Hub,
}

impl World {
    async fn new() -> Self {
        let mut inputs = Inputs::new();
        let access = |write| Access { user: "ada".to_owned(), write, licenses: true };
        let hub = Hub::start([(WRITER, access(true)), (READER, access(false))]).await;
        inputs.hub = Some(hub.endpoint().to_owned());
        Self { inputs, hub }
    }

    /// A repository of the user with these files.
    fn put(&self, private: bool, files: &[(&str, &str)]) {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), Content::regular(*text))).collect();
        self.hub.put(REPO, Repo { private, commits: 1, files, ..Repo::default() });
    }

    fn run(&self, token: &str, args: &str) -> Output {
        let ended = self.inputs.command(args).env("HF_TOKEN", token).output().unwrap();
        for printed in [&ended.stdout, &ended.stderr] {
            assert!(!String::from_utf8_lossy(printed).contains("canary"), "{args}: a token is printed");
        }
        ended
    }

    /// Runs what must succeed, and returns its standard output.
    fn succeed(&self, args: &str) -> String {
        let ended = self.run(WRITER, args);
        assert!(ended.status.success(), "{args}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Runs what must fail with this exit status, and returns its standard error.
    fn fail(&self, token: &str, status: i32, args: &str) -> String {
        let ended = self.run(token, args);
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(status), "{args}: {error}");
        error
    }

    fn pushed(&self) -> Repo {
        self.hub.repo(REPO).unwrap()
    }

    fn card(&self) -> String {
        String::from_utf8(self.pushed().files["README.md"].bytes.clone()).unwrap()
    }

    /// Names a base model in the adapter's configuration.
    fn name_base(&self, name: &str) {
        let path = self.inputs.path("adapter/adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["base_model_name_or_path"] = name.into();
        fs::write(path, config.to_string()).unwrap();
    }

    /// The repository has these files of the folder and the card, byte for byte, and no others.
    fn has_exactly(&self, folder: &str, names: &[&str]) {
        let pushed = self.pushed();
        let mut expected: Vec<&str> = names.iter().copied().chain(["README.md"]).collect();
        expected.sort_unstable();
        assert_eq!(pushed.files.keys().collect::<Vec<_>>(), expected);
        let card = self.card();
        for name in names {
            let here = fs::read(self.inputs.path(folder).join(name)).unwrap();
            assert!(pushed.files[*name].bytes == here, "{name}");
            assert!(card.contains(&format!("| `{name}` | {} |", here.len())), "{name}: {card}");
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_is_pushed_in_one_commit_with_its_report_and_a_card() {
    let world = World::new().await;
    world.name_base(BASE);
    let printed = world.succeed(&format!("{MERGE} --push {REPO}"));
    let written = names(&world.inputs.path("merged"));
    world.has_exactly("merged", &written.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(written.contains(&"export-report.json".to_owned()));
    let (pushed, card) = (world.pushed(), world.card());
    assert!(pushed.private && pushed.commits == 1);
    assert!(pushed.files.values().any(|content| content.xet.is_some()), "large files go through Xet");
    assert!(card.contains(&format!("base_model: {BASE}\nbase_model_relation: finetune\n")), "{card}");
    assert!(card.contains("library_name: transformers\n") && card.contains("# my-gemma\n"), "{card}");
    for part in [&format!("{}/{REPO}", world.hub.endpoint()), "private", "next", "vllm serve ada/my-gemma"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gguf_files_of_several_types_and_the_encoders_are_one_commit() {
    let world = World::new().await;
    let base =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/families/gemma3-vision/base");
    let export = format!(
        "gguf --base {} --name m --quant q8_0,bf16 --out m-{{quant}}.gguf --push {REPO} --public --mmproj",
        base.display()
    );
    let refused = world.fail(WRITER, 2, &format!("{export} encoders.gguf"));
    assert!(refused.contains("call encoders.gguf mmproj-encoders.gguf"), "{refused}");
    world.succeed(&format!("{export} mmproj-m.gguf"));
    let files = [
        "m-bf16.Modelfile",
        "m-bf16.gguf",
        "m-bf16.report.json",
        "m-q8_0.Modelfile",
        "m-q8_0.gguf",
        "m-q8_0.report.json",
        "mmproj-m.gguf",
        "mmproj-m.report.json",
    ];
    world.has_exactly("", &files);
    let (pushed, card) = (world.pushed(), world.card());
    assert!(!pushed.private && pushed.commits == 1);
    assert!(card.contains("Converted for llama.cpp as q8_0, bf16."), "{card}");
    assert!(card.contains("pipeline_tag: image-text-to-text\n") && !card.contains("base_model"), "{card}");
    // a second push of the same and of another type
    let before = world.inputs.path("m-bf16.gguf");
    fs::remove_file(&before).unwrap();
    let missing = world.fail(WRITER, 4, &format!("push m-bf16.gguf --to {REPO} --public"));
    assert!(missing.contains("cannot read") && missing.contains("m-bf16.gguf"), "{missing}");
    world.succeed(&format!("push m-q8_0.gguf mmproj-m.gguf --to {REPO} --public"));
    assert_eq!((world.pushed().commits, world.pushed().files.len()), (2, files.len() + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_as_gguf_is_pushed_as_an_adapter_of_its_base() {
    let world = World::new().await;
    let arguments = format!("--base base --adapter adapter --out l.gguf --push {REPO} --json");
    world.name_base(BASE);
    let printed = world.succeed(&format!("lora {arguments}"));
    world.has_exactly("", &["l.gguf", "l.report.json"]);
    assert!(world.card().contains("base_model_relation: adapter\n"), "{}", world.card());
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["pushed"]["commit"], world.pushed().head());
    assert_eq!((&printed["pushed"]["repo"], &printed["pushed"]["private"]), (&REPO.into(), &true.into()));
    assert_eq!(printed["exports"].as_array().unwrap().len(), 1);
}

/// The files of a folder of the inputs, for a repository.
fn files(inputs: &Inputs, folder: &str) -> BTreeMap<String, Content> {
    let path = inputs.path(folder);
    names(&path)
        .into_iter()
        .map(|name| (name.clone(), Content::regular(fs::read(path.join(name)).unwrap())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_pushed_as_it_is_with_a_card() {
    let world = World::new().await;
    let export = format!("adapter --adapter adapter --push {REPO}");
    world.name_base("/mnt/gemma");
    assert!(world.fail(WRITER, 2, &export).contains("give --base owner/name"));
    world.name_base(BASE);
    let missing = world.fail(WRITER, 4, &export);
    assert!(missing.contains(BASE) && missing.contains("--base names another"), "{missing}");
    let mut base = files(&world.inputs, "base");
    base.insert("processor_config.json".to_owned(), Content::regular("{}"));
    world.hub.put(BASE, Repo { commits: 1, files: base, ..Repo::default() });
    fs::write(world.inputs.path("adapter/optimizer.pt"), "secret").unwrap();
    let printed = world.succeed(&export);
    let pushed = ["adapter_config.json", "adapter_model.safetensors"];
    world.has_exactly("adapter", &pushed);
    assert_eq!(names(&world.inputs.path("")), ["adapter", "base", "hf"], "nothing is written but the cache");
    let card = world.card();
    for part in [
        "library_name: peft\npipeline_tag: image-text-to-text\n",
        &format!("base_model: {BASE}\nbase_model_relation: adapter\n"),
        "Trained with PEFT: rank ",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
    let next = format!("vllm serve {BASE} --enable-lora --lora-modules my-gemma={REPO}");
    assert!(printed.contains("2 files and the model card, private") && printed.contains(&next), "{printed}");
    // of a copy, by either command, the same is pushed
    let first = world.pushed();
    world.succeed(&format!("{export} --out copied"));
    assert_eq!(world.pushed().files, first.files);
    world.succeed(&format!("push copied --to {REPO} --base {BASE}"));
    assert_eq!(world.pushed().files, first.files);
    fs::write(world.inputs.path("copied/adapter_config.json"), "{}").unwrap();
    world.fail(WRITER, 4, &format!("push copied --to {REPO}"));
    // from the Hub, to another repository
    let printed = world.succeed(&format!("adapter --adapter {REPO} --push ada/other --json"));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&printed["pushed"]["repo"], &printed["exports"]),
        (&"ada/other".into(), &Value::Array(Vec::new()))
    );
    assert_eq!(world.hub.repo("ada/other").unwrap().files[pushed[1]].bytes, first.files[pushed[1]].bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_names_the_base_of_a_4_bit_copy_and_is_not_pushed_beside_a_full_model() {
    let world = World::new().await;
    world.hub.put(BASE, Repo { commits: 1, files: files(&world.inputs, "base"), ..Repo::default() });
    world.name_base(&format!("{BASE}-bnb-4bit"));
    let export = format!("adapter --adapter adapter --push {REPO}");
    world.put(true, &[("model.safetensors", "weights")]);
    let refused = world.fail(WRITER, 5, &export);
    assert!(refused.contains("has the weights of a full model"), "{refused}");
    world.put(true, &[("adapter_model.bin", "old")]);
    world.succeed(&export);
    world.has_exactly("adapter", &["adapter_config.json", "adapter_model.safetensors"]);
    assert!(world.card().contains(&format!("base_model: {BASE}\n")), "{}", world.card());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_a_merged_model_is_removed_and_the_owners_card_stays() {
    let world = World::new().await;
    world.put(
        true,
        &[
            ("README.md", "---\nlicense: mit\n---\n\n# Mine\n\nHow I trained it.\n"),
            ("adapter_config.json", "{}"),
            ("adapter_model.safetensors", "old"),
            ("model.safetensors", "old"),
            ("model-00001-of-00009.safetensors", "old"),
            ("notes.txt", "mine"),
        ],
    );
    world.succeed(&format!("{MERGE} --push {REPO}"));
    let pushed = world.pushed();
    let written = names(&world.inputs.path("merged"));
    let mut expected: Vec<&str> =
        written.iter().map(String::as_str).chain(["README.md", "notes.txt"]).collect();
    expected.sort_unstable();
    assert_eq!(pushed.files.keys().collect::<Vec<_>>(), expected);
    assert!(world.card().starts_with("---\nlicense: mit\n") && world.card().contains("How I trained it."));
    // the same again, over what was pushed
    world.succeed(&format!("{MERGE} --force --push {REPO}"));
    assert_eq!(world.pushed().files, BTreeMap::from_iter(pushed.files));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_take_the_export_is_refused_before_the_work() {
    let world = World::new().await;
    let export = format!("{MERGE} --push {REPO}");
    let denied = world.fail(READER, 6, &export);
    assert!(
        denied.contains("has no write access to ada/my-gemma") && denied.contains("HF_TOKEN"),
        "{denied}"
    );
    let unknown = world.fail("hf_canaryofnobodyabcdefghij", 6, &export);
    assert!(unknown.contains("rejected the token"), "{unknown}");
    let other = world.fail(WRITER, 6, &format!("{MERGE} --push lab/my-gemma"));
    assert!(other.contains("has no write access to lab/my-gemma"), "{other}");
    world.inputs.fail(2, &export, &["needs a token with write access"]);
    let name = world.fail(WRITER, 2, &format!("{MERGE} --push my-gemma"));
    assert!(name.contains("give owner/name"), "{name}");
    let offline = world.inputs.command(&export).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(offline.status.code(), Some(2));
    world.put(false, &[]);
    let public = world.fail(WRITER, 5, &export);
    assert!(public.contains("is public") && public.contains("give --public"), "{public}");
    world.put(true, &[("model-f16.gguf", "theirs"), ("mmproj-F16.gguf", "theirs")]);
    let mixed = world.fail(WRITER, 5, &format!("gguf --base base --out m.gguf --push {REPO}"));
    assert!(mixed.contains("mmproj-F16.gguf, which llama.cpp would load with m.gguf"), "{mixed}");
    assert_eq!(names(&world.inputs.path("")), ["adapter", "base"], "nothing was written");
    assert_eq!(world.pushed().commits, 1, "nothing was pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_fails_leaves_the_export_and_says_how_to_push_it() {
    let world = World::new().await;
    world.name_base(BASE);
    world.hub.fail(Step::Commit, Fault::Answer(Answer::STORAGE_LIMIT), usize::MAX);
    let ended = world.run(WRITER, &format!("{MERGE} --push {REPO} --json"));
    assert_eq!(ended.status.code(), Some(6));
    let printed: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&printed["exports"][0]["path"], &printed["pushed"]), (&"merged".into(), &Value::Null));
    let message = printed["error"]["message"].as_str().unwrap();
    for part in
        ["the export is complete, but was not pushed", "may not store more", "(the Hub: \"Private repository"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    world.inputs.succeed("verify --base base --adapter adapter --out merged");
    let (_, again) = message.split_once("gemma-export ").unwrap();
    assert_eq!(again, format!("push merged --to {REPO} --base {BASE}"));
    assert_eq!(world.pushed().commits, 0);
    world.hub.fail(Step::Commit, Fault::Answer(Answer::STORAGE_LIMIT), 0);
    world.succeed(again);
    let written = names(&world.inputs.path("merged"));
    world.has_exactly("merged", &written.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(world.card().contains(&format!("base_model: {BASE}\n")), "{}", world.card());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_waited_for_as_long_as_it_asks_and_what_it_lost_is_found() {
    let world = World::new().await;
    world.hub.fail(Step::Commit, Fault::Answer(Answer::RETRY_AFTER), 1);
    let ended = world.run(WRITER, &format!("{MERGE} --push {REPO}"));
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(
        ended.status.success() && error.contains("waiting 1 s for the Hugging Face Hub's quota"),
        "{error}"
    );
    assert_eq!(world.pushed().commits, 1);
    world.hub.fail(Step::Commit, Fault::LosesFile, 1);
    let lost = world.fail(WRITER, 6, "push merged --to ada/another");
    assert!(lost.contains("differs from the file that was sent"), "{lost}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_push_leaves_the_export() {
    let world = World::new().await;
    world.hub.fail(Step::Commit, Fault::Slow(Duration::from_secs(60)), usize::MAX);
    let started = Instant::now();
    let mut command = world.inputs.command(&format!("{MERGE} --push {REPO}"));
    let process =
        command.env("HF_TOKEN", WRITER).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while world.hub.asked(Step::Commit) == 0 {
        assert!(started.elapsed() < Duration::from_secs(50), "no commit was asked for");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let signal = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    let ended = process.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(signal.success() && started.elapsed() < Duration::from_secs(60), "{error}");
    assert_eq!(ended.status.code(), Some(130), "{error}");
    assert!(error.contains(&format!("gemma-export push merged --to {REPO}")), "{error}");
    world.inputs.succeed("verify --base base --adapter adapter --out merged");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_reports_describe_is_pushed() {
    let world = World::new().await;
    world.inputs.succeed(MERGE);
    world.inputs.succeed("gguf --base base --adapter adapter --out m.gguf");
    fs::write(world.inputs.path("merged/optimizer.pt"), "secret").unwrap();
    let push = format!("push merged --to {REPO}");
    world.succeed(&push);
    assert!(!world.pushed().files.contains_key("optimizer.pt"));
    let both = world.fail(WRITER, 2, &format!("push merged m.gguf --to {REPO}"));
    assert!(both.contains("m.gguf cannot be pushed with the export before it"), "{both}");
    let twice = world.fail(WRITER, 2, &format!("push m.gguf ./m.gguf --to {REPO}"));
    assert!(twice.contains("would be pushed twice"), "{twice}");
    world.inputs.refuse(&format!("push base --to {REPO}"), &["has no export report"]);
    // one byte of a shard, of the same size
    let shard = world.inputs.path("merged/model-00001-of-00002.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    let changed = world.fail(WRITER, 4, &push);
    assert!(
        changed.contains("model-00001-of-00002.safetensors is not the file that was exported"),
        "{changed}"
    );
    let path = world.inputs.path("merged/export-report.json");
    let report = fs::read_to_string(&path).unwrap().replacen("\"config.json\"", "\"../base/config.json\"", 1);
    fs::write(path, report).unwrap();
    let outside = world.fail(WRITER, 4, &push);
    assert!(outside.contains("which is not below its folder"), "{outside}");
    assert_eq!(world.pushed().commits, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_keeps_too_little_of_the_fine_tune_is_not_pushed() {
    let world = World::new().await;
    let args = "gguf --base base --adapter adapter --quant q2_k --min-survival 1 --out m.gguf";
    let error = world.fail(WRITER, 3, &format!("{args} --push {REPO}"));
    assert!(error.contains(&format!("nothing was pushed to {REPO}")), "{error}");
    assert!(error.contains(&format!("gemma-export push m.gguf --to {REPO}")), "{error}");
    assert!(world.hub.repo(REPO).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_has_what_is_left_of_the_fine_tune() {
    let world = World::new().await;
    let exports = "--base base --adapter adapter --survival";
    world.succeed(&format!("gguf {exports} --quant q8_0,q2_k --out m-{{quant}}.gguf --push {REPO}"));
    let card = world.card();
    assert!(card.contains("## What is left of the fine-tune\n\nMeasured on four fixed texts, "), "{card}");
    for name in ["m-q8_0.gguf", "m-q2_k.gguf"] {
        assert!(card.contains(&format!("\nTensors whose change `{name}` keeps least")), "{name}: {card}");
    }
    let row = |name: &str| card.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
    assert!(row("m-q8_0.gguf").contains(" % | ") && row("m-q8_0.gguf").contains("e-"), "{card}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_split_file_is_pushed_whichever_is_named() {
    let world = World::new().await;
    world.inputs.succeed("gguf --base base --quant bf16 --split-max-size 100K --out s.gguf");
    let inputs = ["adapter", "base"];
    let written: Vec<String> =
        names(&world.inputs.path("")).into_iter().filter(|name| !inputs.contains(&name.as_str())).collect();
    let parts: Vec<&str> = written.iter().map(String::as_str).collect();
    assert!(parts.len() > 2, "{parts:?}");
    world.succeed(&format!("push {} --to {REPO}", parts[1]));
    world.has_exactly("", &parts);
    // by the name that --out had, as a push that failed prints it
    world.succeed(&format!("push s.gguf --to {REPO}"));
    assert_eq!(world.pushed().commits, 2);
}
