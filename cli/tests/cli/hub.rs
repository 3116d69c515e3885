//! Models and adapters by their names on the Hugging Face Hub, read from the stand-in and from the cache.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::hub::{Access, Answer, Fault, Hub, Repo, Step};

use crate::support::Inputs;

const BASE: &str = "google/gemma-3-micro";
const ADAPTER: &str = "ada/my-lora";
const TOKEN: &str = "hf_abcdefghijklmnopqrstuvwxyz";

/// The repository with the files of a folder.
fn repository(folder: &Path) -> Repo {
    Repo::of_folder(folder).unwrap().with_weights_in_storage()
}

/// A folder with inputs, and a Hub that has them too.
struct World {
    inputs: Inputs,
    hub: Hub,
}

impl World {
    async fn new() -> Self {
        let mut inputs = Inputs::new();
        let ada = Access { user: "ada".to_owned(), write: false, licenses: true };
        let hub = Hub::start([(TOKEN, ada)]).await;
        hub.put(BASE, repository(&inputs.path("base")));
        hub.put(ADAPTER, repository(&inputs.path("adapter")));
        inputs.hub = Some(hub.endpoint().to_owned());
        Self { inputs, hub }
    }

    /// Stores what `hf download` stores of the base: the files of `names` at the commit of its main branch.
    fn cache_base(&self, names: impl Fn(&str) -> bool) {
        let repo = self.inputs.path("hf/hub/models--google--gemma-3-micro");
        let commit = self.hub.repo(BASE).unwrap().head();
        let snapshot = repo.join("snapshots").join(&commit);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repo.join("refs")).unwrap();
        fs::write(repo.join("refs/main"), commit).unwrap();
        for (name, content) in repository(&self.inputs.path("base")).files {
            if names(&name) {
                fs::write(snapshot.join(name), content.bytes).unwrap();
            }
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.inputs.path(name)).unwrap()
    }

    /// Names a base model in the adapter's configuration.
    fn name_base(&self, name: &str) {
        let path = self.inputs.path("adapter/adapter_config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["base_model_name_or_path"] = name.into();
        fs::write(path, config.to_string()).unwrap();
    }
}

fn ended_well(args: &str, ended: Output) -> String {
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{args}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_by_ranges_is_what_folders_give_and_nothing_is_stored() {
    let world = World::new().await;
    world
        .inputs
        .succeed("gguf --base base --adapter adapter --name m --quant q8_0,bf16 --out local-{quant}.gguf");
    let args =
        format!("gguf --base {BASE} --adapter {ADAPTER} --name m --quant q8_0,bf16 --out hub-{{quant}}.gguf");
    world.inputs.succeed(&args);
    for quant in ["q8_0", "bf16"] {
        assert!(world.read(&format!("local-{quant}.gguf")) == world.read(&format!("hub-{quant}.gguf")));
    }
    world.inputs.succeed("merge --base base --adapter adapter --out local");
    world.inputs.succeed(&format!("merge --base {BASE} --adapter {ADAPTER} --out hub"));
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "config.json"] {
        assert!(world.read(&format!("local/{shard}")) == world.read(&format!("hub/{shard}")));
    }
    world.inputs.succeed(&format!("verify --base {BASE} --adapter {ADAPTER} --out hub"));
    world.inputs.succeed(&format!("lora --base {BASE} --adapter {ADAPTER} --out hub.gguf"));
    world.inputs.succeed(&format!("inspect {BASE}"));
    assert!(!world.inputs.path("hf").exists(), "the cache is read and not written");
    let report: serde_json::Value = serde_json::from_slice(&world.read("hub/export-report.json")).unwrap();
    assert_eq!(report["inputs"]["base_revision"], world.hub.repo(BASE).unwrap().head());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_read_at_its_commit() {
    let world = World::new().await;
    let mut repo = world.hub.repo(BASE).unwrap();
    repo.revisions.insert("v2".to_owned(), repo.files.clone());
    repo.files.clear();
    world.hub.put(BASE, repo);
    world.inputs.succeed(&format!("gguf --base {BASE}@v2 --out m.gguf"));
    world.inputs.refuse(&format!("gguf --base {BASE}@v3 --out n.gguf"), &["has no revision v3"]);
    let report: serde_json::Value = serde_json::from_slice(&world.read("m.report.json")).unwrap();
    assert_eq!(report["inputs"]["base_revision"], Repo::commit_of("v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_the_cache_are_read_there_at_the_commit_that_the_hub_names() {
    let world = World::new().await;
    world.cache_base(|name| name != "model-00002-of-00002.safetensors");
    world.inputs.succeed(&format!("gguf --base {BASE} --out m.gguf"));
    assert_eq!(world.hub.asked(Step::Resolve), 1, "one file is not in the cache");
    // another commit: the cache is of no use
    let mut repo = world.hub.repo(BASE).unwrap();
    repo.commits = 2;
    world.hub.put(BASE, repo);
    world.inputs.succeed(&format!("gguf --base {BASE} --out n.gguf"));
    assert!(world.hub.asked(Step::Resolve) > 5);
    assert!(world.read("m.gguf") == world.read("n.gguf"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_enough_without_a_network() {
    let world = World::new().await;
    let offline = |args: &str| world.inputs.command(args).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let args = format!("gguf --base {BASE} --adapter adapter --out m.gguf");
    let refused = offline(&args);
    assert_eq!(refused.status.code(), Some(4));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("is not in the cache") && error.contains("hf download"), "{error}");
    world.cache_base(|_| true);
    ended_well(&args, offline(&args));
    assert_eq!(world.hub.asked(Step::Info), 0);
    // the Hub cannot be reached
    let mut command = world.inputs.command(&format!("{args} --force"));
    let error = ended_well(&args, command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap());
    assert!(error.contains("the Hub was not reached") && error.contains("as the cache has it"), "{error}");
    // nor is it asked for the commit of a commit
    let commit = world.hub.repo(BASE).unwrap().head();
    ended_well(&args, offline(&format!("gguf --base {BASE}@{commit} --out n.gguf")));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_those_of_huggingface_hub_and_are_not_printed() {
    let world = World::new().await;
    let mut repo = world.hub.repo(BASE).unwrap();
    repo.gated = true;
    world.hub.put(BASE, repo);
    let args = format!("gguf --base {BASE} --force --out m.gguf");
    world.inputs.fail(6, &args, &["is gated: accept its license", "HF_TOKEN"]);
    let with = |token: &str| world.inputs.command(&args).env("HF_TOKEN", token).output().unwrap();
    ended_well(&args, with(TOKEN));
    let refused = with("hf_unknownunknownunknownunknown");
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(6));
    assert!(error.contains("rejected the token") && !error.contains("hf_unknown"), "{error}");
    fs::create_dir_all(world.inputs.path("hf")).unwrap();
    fs::write(world.inputs.path("hf/token"), format!("{TOKEN}\n")).unwrap();
    world.inputs.succeed(&args);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_hub_name_their_cause() {
    let world = World::new().await;
    world
        .inputs
        .refuse("gguf --base ada/absent --out m.gguf", &["ada/absent is no folder here", "check the name"]);
    // a range that fails for good, and one that fails for a while
    world.hub.fail_after(Step::Resolve, Fault::Answer(Answer::INVALID_TOKEN), 4, usize::MAX);
    world.inputs.fail(
        6,
        &format!("gguf --base {BASE} --out m.gguf"),
        &["rejected the token while google/gemma-3-micro was read"],
    );
    assert!(!world.inputs.path("m.gguf").exists());
    let world = World::new().await;
    world.hub.fail(Step::Storage, Fault::Truncates, 1);
    let waited = world.inputs.succeed(&format!("gguf --base {BASE} --out m.gguf"));
    assert!(waited.contains("waiting 1 s for the Hugging Face Hub"), "{waited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_that_the_adapter_names_is_the_default() {
    let world = World::new().await;
    world.inputs.succeed("gguf --base base --adapter adapter --out expected.gguf");
    let same = |out: &str| assert!(world.read("expected.gguf") == world.read(out), "{out}");
    // a folder
    world.name_base("base");
    let printed = world.inputs.succeed("gguf --adapter adapter --out folder.gguf");
    assert!(printed.contains("base model: base (adapter_config.json)"), "{printed}");
    same("folder.gguf");
    world.inputs.succeed("verify --adapter adapter --out folder.gguf");
    // a repository, and the 16-bit sibling of a 4-bit copy
    world.name_base(BASE);
    world.inputs.succeed("gguf --adapter adapter --out named.gguf");
    same("named.gguf");
    world.name_base(&format!("{BASE}-unsloth-bnb-4bit"));
    world.inputs.succeed("gguf --adapter adapter --out sibling.gguf");
    same("sibling.gguf");
    world.inputs.succeed("merge --adapter adapter --out merged");
    world.inputs.succeed("lora --adapter adapter --out lora.gguf");
    // a copy without a sibling is read itself
    let repo = world.hub.repo(BASE).unwrap();
    world.hub.put("ada/copy-bnb-4bit", repo);
    world.name_base("ada/copy-bnb-4bit");
    let printed = world.inputs.succeed("gguf --adapter adapter --out copy.gguf");
    assert!(printed.contains("reading the 4-bit copy ada/copy-bnb-4bit"), "{printed}");
    same("copy.gguf");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_not_known_is_asked_for() {
    let world = World::new().await;
    world.name_base("/content/gemma");
    let parts =
        ["the base model \"/content/gemma\", which adapter_config.json names", "--base names another"];
    world.inputs.refuse("merge --adapter adapter --out merged", &parts);
    world.name_base("");
    world.inputs.fail(2, "merge --adapter adapter --out merged", &["names no base model", "give --base"]);
    world.inputs.fail(2, "gguf --out m.gguf", &["give a model: --base, --adapter, or both"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_the_adapter_names_is_that_of_the_base() {
    let world = World::new().await;
    let mut repo = world.hub.repo(BASE).unwrap();
    repo.revisions.insert("v2".to_owned(), repo.files.clone());
    repo.files.remove("config.json");
    world.hub.put(BASE, repo);
    world.name_base(BASE);
    let path = world.inputs.path("adapter/adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["revision"] = "v2".into();
    fs::write(path, config.to_string()).unwrap();
    world.inputs.succeed("gguf --adapter adapter --out a.gguf");
    world.inputs.succeed(&format!("gguf --base {BASE} --adapter adapter --out b.gguf"));
    world.inputs.fail(
        4,
        &format!("gguf --base {BASE}@main --adapter adapter --out c.gguf"),
        &["names the revision v2"],
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_while_inputs_are_read_has_a_message_and_an_object() {
    for signal in ["-INT", "-TERM"] {
        let world = World::new().await;
        world.hub.fail(Step::Info, Fault::Slow(Duration::from_secs(60)), usize::MAX);
        let started = Instant::now();
        let args = format!("gguf --base {BASE} --out m.gguf --json");
        let mut command = world.inputs.command(&args);
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while world.hub.asked(Step::Info) == 0 {
            assert!(started.elapsed() < Duration::from_secs(50), "nothing was asked for");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap().success());
        let ended = process.wait_with_output().unwrap();
        assert!(started.elapsed() < Duration::from_secs(55));
        assert_eq!(ended.status.code(), Some(130));
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: interrupted: nothing was written\n");
        let printed: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(printed["error"]["kind"], "interrupted");
    }
}
