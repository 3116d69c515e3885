//! Models and adapters by URLs: folders in Cloud Storage, and on a web server.

use std::fs;

use e2e::cloud_storage::CloudStorage;
use e2e::hub::{Content, Fault, Hub, Repo, Step};

use crate::support::Inputs;

/// The files of a folder of the inputs.
fn files(inputs: &Inputs, folder: &str) -> Vec<(String, Vec<u8>)> {
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(inputs.path(folder)).unwrap().map(|entry| file(entry.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_cloud_storage_gives_what_a_local_one_gives() {
    let inputs = Inputs::new();
    let storage = CloudStorage::start().await;
    for folder in ["base", "adapter"] {
        for (name, content) in files(&inputs, folder) {
            storage.put(&format!("models/of ada/{folder}/{name}"), content);
        }
    }
    inputs.succeed("merge --base base --adapter adapter --out local");
    let run = |args: &[&str]| {
        let mut command = inputs.command("merge");
        command.env("STORAGE_EMULATOR_HOST", storage.endpoint()).args(args).output().unwrap()
    };
    let (base, adapter) = ("gs://models/of ada/base", "gs://models/of ada/adapter/");
    let ended = run(&["--base", base, "--adapter", adapter, "--out", "stored"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(sorted(files(&inputs, "local")), sorted(files(&inputs, "stored")));
    let mut copy = inputs.command("adapter");
    copy.env("STORAGE_EMULATOR_HOST", storage.endpoint()).args(["--adapter", adapter, "--out", "copied"]);
    assert!(copy.output().unwrap().status.success());
    let copied = files(&inputs, "copied").into_iter().filter(|(name, _)| name != "export-report.json");
    assert_eq!(sorted(copied.collect()), sorted(files(&inputs, "adapter")));
    let missing = run(&["--base", "gs://models/absent", "--adapter", adapter, "--out", "missing"]);
    assert_eq!(missing.status.code(), Some(4));
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(error.contains("there are no files of a model or an adapter at gs://models/absent"), "{error}");
    storage.overwrite_after("models/of ada/base/model-00001-of-00002.safetensors", 3, vec![0; 986_856]);
    let changed = run(&["--base", base, "--adapter", adapter, "--out", "changed"]);
    assert_eq!(changed.status.code(), Some(6), "{}", String::from_utf8_lossy(&changed.stderr));
    assert!(!inputs.path("changed").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_on_a_web_server_gives_what_a_local_one_gives() {
    let mut inputs = Inputs::new();
    let hub = Hub::start([]).await;
    for (id, folder) in [("google/gemma", "base"), ("ada/lora", "adapter")] {
        let content = |(name, bytes)| (name, Content::regular(bytes));
        let files = files(&inputs, folder).into_iter().map(content).collect();
        hub.put(id, Repo { commits: 1, files, ..Repo::default() });
    }
    inputs.succeed("merge --base base --adapter adapter --out local");
    // the files of a repository are at URLs with a common beginning, as on any web server
    let url = |id: &str| format!("{}/{id}/resolve/main", hub.endpoint());
    let (base, adapter) = (url("google/gemma"), url("ada/lora"));
    inputs.hub = Some("http://127.0.0.1:9".to_owned());
    inputs.succeed(&format!("merge --base {base} --adapter {adapter}/ --out served"));
    assert_eq!(sorted(files(&inputs, "local")), sorted(files(&inputs, "served")));
    // once the files are known, when weights are read
    hub.fail_after(Step::Download, Fault::Status(503), 20, 2);
    let ended = inputs.run(&format!("merge --base {base} --adapter {adapter} --out waited"));
    let error = String::from_utf8(ended.stderr).unwrap();
    let host = hub.endpoint().trim_start_matches("http://");
    assert_eq!(error.matches(&format!("{host} answers 503: trying again\n")).count(), 1, "{error}");
    assert_eq!(sorted(files(&inputs, "local")), sorted(files(&inputs, "waited")));
    inputs.refuse(&format!("inspect {base}/absent"), &["there are no files of a model or an adapter"]);
    inputs.fail(6, &format!("inspect {}", url("google/absent")), &["cannot read", "google/absent"]);
}

#[test]
fn urls_of_no_folder_and_urls_with_secrets_are_refused() {
    let inputs = Inputs::new();
    for (url, part) in [
        ("gs://", "gs:// names no bucket or host"),
        ("gs:///path", "names no bucket or host"),
        ("https://", "the URL cannot be read"),
        ("https://user:hush@host:99999/x", "the URL cannot be read"),
        ("http://example.com/model", "use https://"),
        ("http://127.0.0.1.example.com/model", "use https://"),
        ("https://user:hush@127.0.0.1:9/x", "a user name, a password, a query"),
        ("http://127.0.0.1:9/x?token=hush", "a user name, a password, a query"),
        ("gs://bucket/x#hush", "a query or a fragment"),
    ] {
        let ended = inputs.run(&format!("merge --base {url} --adapter adapter --out merged"));
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(4), "{url}: {error}");
        assert!(error.contains(part) && !error.contains("hush"), "{url}: {error}");
    }
}

fn sorted(mut files: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    files.sort();
    files
}
