//! The commands of `gemma-export` that use the service, against the stack.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{StackProcess, folder, sha256};

const JOB: &str = "ada-sonnets-1b";

/// The command of one user, whose home is a folder of its own.
struct GemmaExport {
    home: TempDir,
    service: String,
}

impl GemmaExport {
    fn new(stack: &StackProcess) -> Self {
        Self { home: tempfile::tempdir().unwrap(), service: stack.origin().to_owned() }
    }

    async fn signed_in(stack: &StackProcess, user: &str) -> Self {
        let command = Self::new(stack);
        let login = command.login(&stack.token(user).await);
        assert!(login.status.success(), "{login:?}");
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).args(args);
        command
    }

    /// Types lines in bash, of a page or of `--help`, about the service and the job here.
    fn types(&self, script: &str) -> String {
        let script = script.replace("https://e.example.com", &self.service).replace("my-job", JOB);
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", program().parent().unwrap().display());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script]).env_clear().env("PATH", path);
        let output = bash.env("HOME", self.home.path()).current_dir(self.home.path()).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The object on standard output of a command that succeeds.
    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The message of a command that fails with this exit status.
    fn fail(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
        message
    }

    fn login(&self, token: &str) -> Output {
        let mut command = self.command(&["login", "--service", &self.service, "--token-stdin"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("Bearer {token}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn sign_ins(&self) -> PathBuf {
        self.path(".config/gemma-export/sign-ins.json")
    }
}

/// The command, which a build of the workspace puts beside this test.
fn program() -> PathBuf {
    let target = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let path = target.join("gemma-export");
    assert!(path.exists(), "{} is missing: cargo build --package cli", path.display());
    path
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_model_is_planned_exported_followed_and_downloaded() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;

    let plan = ada.json(&["plan", JOB, "--quant", "q8_0"]);
    assert_eq!(plan["reused"], false, "{plan}");
    let followed = ada.run(&["start", JOB, "--quant", "q8_0", "--follow", "--json"]);
    let error = String::from_utf8(followed.stderr).unwrap();
    assert!(followed.status.success(), "{error}");
    let export: Value = serde_json::from_slice(&followed.stdout).unwrap();
    assert_eq!((&export["status"], &export["quantizations"]), (&json!("completed"), &json!(["q8_0"])));
    let files = export["artifacts"][0]["files"].as_array().unwrap();
    for (planned, made) in plan["files"].as_array().unwrap().iter().zip(files) {
        assert!(planned["bytes"].is_null() || planned["bytes"] == made["bytes"], "{planned} {made}");
    }
    let id = export["export_id"].as_str().unwrap();
    assert!(error.contains(id), "{error}");
    let history = ada.json(&["history", JOB]);
    assert_eq!(history["exports"][0]["export_id"], id, "{history}");

    let model = files.iter().find(|file| file["name"] == "model.gguf").unwrap();
    let (bytes, hash) = (model["bytes"].as_u64().unwrap(), model["sha256"].as_str().unwrap());
    // what an interrupted download has left: the first half of the model
    let part = ada.path(&format!("model.gguf.{}.part", &hash[..12]));
    let exported = crate::kill::exported_path(temp.path(), "model.gguf");
    let whole = fs::read(exported).unwrap();
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let downloaded = ada.json(&["download", JOB]);
    assert_eq!(downloaded["export_id"], id);
    let expected: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(names(ada.home.path()), expected, "no draft is left");
    let got = fs::read(ada.path("model.gguf")).unwrap();
    assert_eq!((got.len() as u64, sha256(&got).as_str()), (bytes, hash));

    // what is there already is kept, and another file of its name is not replaced
    let modified = |name: &str| fs::metadata(ada.path(name)).unwrap().modified().unwrap();
    let before = modified("model.gguf");
    ada.json(&["download", JOB, id]);
    assert_eq!(modified("model.gguf"), before);
    fs::write(ada.path("model.gguf"), b"another").unwrap();
    assert!(ada.fail(5, &["download", JOB]).contains("--force"));
    ada.json(&["download", JOB, "--force"]);
    assert_eq!(sha256(&fs::read(ada.path("model.gguf")).unwrap()), hash);

    // a draft of other content is removed, and is not a model
    fs::remove_file(ada.path("model.gguf")).unwrap();
    fs::write(&part, vec![0; whole.len() / 2]).unwrap();
    assert!(ada.fail(6, &["download", JOB]).contains("SHA-256"));
    assert!(!part.exists() && !ada.path("model.gguf").exists());
}

#[tokio::test]
async fn a_zip_is_unpacked_and_a_merged_model_is_complete() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    ada.json(&["start", JOB, "--type", "merged", "--follow"]);
    fs::create_dir(ada.path("models")).unwrap();
    ada.json(&["download", JOB, "--out", "models", "--unpack"]);
    let unpacked = names(&ada.path("models/merged"));
    assert!(
        unpacked.contains(&"config.json".to_owned())
            && unpacked.iter().any(|name| name.ends_with(".safetensors"))
    );
    assert!(!ada.path("models/merged.zip").exists());
    // the report goes along, so that the folder can be checked and pushed, and the command can be repeated
    let merged = ada.path("models/merged");
    assert!(merged.join("export-report.json").exists());
    let before = names(&merged);
    ada.json(&["download", JOB, "--out", "models", "--unpack"]);
    assert_eq!((names(&merged), merged.with_extension("zip").exists()), (before, false));
    fs::write(merged.join("config.json"), "{}").unwrap();
    assert!(ada.fail(5, &["download", JOB, "--out", "models", "--unpack"]).contains("choose another --out"));
}

#[tokio::test]
async fn a_file_that_is_gone_is_said_to_be_at_once() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    ada.json(&["start", JOB, "--follow"]);
    fs::remove_dir_all(temp.path().join("buckets/files").join(JOB)).unwrap();
    let error = ada.fail(4, &["download", JOB]);
    assert!(error.contains("of this export no longer exists: `gemma-export start"), "{error}");
    assert!(!error.contains("trying again"), "{error}");
    assert!(!names(&ada.path(".")).iter().any(|name| name.ends_with(".part")));
}

#[tokio::test]
async fn the_exit_status_says_how_the_export_ended() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    let failed = ada.fail(9, &["start", "ada-broken", "--follow"]);
    assert!(failed.contains("adapter_model.safetensors"), "{failed}");
    assert!(ada.fail(4, &["download", "ada-broken"]).contains("gemma-export start"));

    // Ctrl-C ends following, and not the export
    let mut following = ada.command(&["start", JOB, "--type", "merged", "--follow"]);
    let mut child = following.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("has started")).unwrap();
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::SIGINT).unwrap();
    let said: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
    assert!(said.iter().any(|line| line.contains("goes on")), "{said:?}");
    assert_eq!(stack.ended(JOB).await["status"], "completed");

    // cancelled while another terminal follows
    fs::remove_dir_all(temp.path().join("buckets/models")).unwrap();
    fs::create_dir(temp.path().join("buckets/models")).unwrap();
    let started = ada.json(&["start", JOB, "--quant", "f32,f16,bf16,q8_0,q6_k,q5_k_m,q4_k_m,q3_k_m"]);
    let export = started["export_id"].as_str().unwrap();
    let cancelled = ada.json(&["cancel", JOB, export]);
    assert_eq!(cancelled["failure"]["code"], "cancelled", "{cancelled}");
    let followed = ada.run(&["follow", JOB, export, "--json"]);
    assert_eq!(followed.status.code(), Some(10));
    let followed: Value = serde_json::from_slice(&followed.stdout).unwrap();
    assert_eq!(
        (&followed["export_id"], &followed["error"]["kind"]),
        (&json!(export), &json!("export_cancelled"))
    );
    assert!(ada.fail(4, &["cancel", JOB, export]).contains("`gemma-export history"));
    assert!(ada.fail(4, &["follow", JOB]).contains("gemma-export history"));
}

#[tokio::test]
async fn jobs_come_in_pages_and_belong_to_their_user() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    let ids = |page: &Value| -> Vec<String> {
        let jobs = page["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&ada.json(&["jobs"]));
    let (mut paged, mut token) = (Vec::new(), None::<String>);
    loop {
        let more: Vec<&str> = token.iter().flat_map(|token| ["--page-token", token]).collect();
        let page = ada.json(&[&["jobs", "--page-size", "3"], &more[..]].concat());
        paged.extend(ids(&page));
        token = page["next_page_token"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), &all), (4, &paged));

    let ben = GemmaExport::signed_in(&stack, "ben").await;
    assert_eq!(ids(&ben.json(&["jobs"])).len(), 1);
    for args in [&["history", JOB][..], &["start", JOB], &["plan", JOB], &["download", JOB], &["cancel", JOB]]
    {
        let refused = ben.fail(6, args);
        assert!(refused.contains("another user"), "{args:?}: {refused}");
    }
    assert!(ada.fail(4, &["history", "no-such-job"]).contains("no-such-job"));
    assert!(ada.fail(2, &["start", JOB, "--type", "merged", "--quant", "q8_0"]).contains("--quant"));
    assert!(ada.fail(2, &["plan", JOB, "--push", "ada/x"]).contains("HF_TOKEN"));
}

#[tokio::test]
async fn texts_reach_the_export() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    let jobs = ada.json(&["jobs"]);
    let job = jobs["jobs"].as_array().unwrap().iter().find(|job| job["job_id"] == JOB).unwrap();
    let folder = job["adapter_path"].as_str().unwrap();
    let text = |name: &str, content: String| {
        fs::write(Path::new(folder.strip_prefix("file://").unwrap()).join(name), content).unwrap();
        format!("{folder}/{name}")
    };
    let prompts = text("questions.txt", "Who wrote it?\nWhen was it?\n".to_owned());
    let calibration = text("text.txt", "shall I compare thee to a summer's day? ".repeat(60));

    let plan = |args: &[&str]| ada.json(&[&["plan", JOB], args].concat());
    let read = |plan: &Value| plan["bytes_read"].as_u64().unwrap();
    let alone = plan(&["--quant", "q4_k_m"]);
    let calibrated = ["--quant", "q4_k_m", "--calibration", &calibration, "--prompts", &prompts];
    assert!(read(&plan(&calibrated)) > read(&alone), "each chunk of the text is a pass over the weights");
    let export = ada.json(&[&["start", JOB, "--follow"], &calibrated[..]].concat());
    assert_eq!(export["calibration_uri"], calibration, "{export}");
    assert_eq!(export["proof"]["survival"]["prompts"]["source"], "file", "{export}");
}

#[tokio::test]
async fn a_size_reaches_the_export() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::signed_in(&stack, "ada").await;
    let fitted = ada.json(&["start", JOB, "--max-bytes", "40000000", "--follow"]);
    let file = &fitted["artifacts"][0]["files"][0];
    assert_eq!(file["name"], "model-fitted.gguf", "{fitted}");
    assert!(file["bytes"].as_u64().unwrap() <= 40_000_000, "{fitted}");
    assert!(ada.fail(2, &["plan", JOB, "--max-bytes", "4GB", "--quant", "q8_0"]).contains("--max-bytes"));
    let refused = ada.fail(4, &["plan", JOB, "--max-bytes", "1000"]);
    assert!(refused.contains("in the smallest types"), "{refused}");
}

#[tokio::test]
async fn a_sign_in_is_private_is_for_one_service_and_is_never_printed() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::new(&stack);
    assert!(ada.fail(2, &["jobs"]).contains("gemma-export login"));
    let token = stack.token("ada").await;
    let refused = ada.login(&format!("{}x", &token[..token.len() - 4]));
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("(malformed): sign in with `gemma-export login`"), "{message}");
    assert!(!ada.sign_ins().exists(), "what the service refuses is not kept");

    let login = ada.login(&token);
    assert!(login.status.success(), "{login:?}");
    assert_eq!(fs::metadata(ada.sign_ins()).unwrap().permissions().mode() & 0o777, 0o600);
    let shown =
        [refused, login, ada.run(&["jobs"]), ada.run(&["history", "absent"]), ada.run(&["jobs", "--json"])];
    for output in shown {
        let text = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&text).contains(&token[..40]));
    }
    // another service does not get it, and neither does a page of this one that is not the API
    let elsewhere = ada.fail(2, &["jobs", "--service", "http://127.0.0.1:9"]);
    assert!(elsewhere.contains("not signed in to http://127.0.0.1:9"), "{elsewhere}");
    assert!(ada.fail(2, &["jobs", "--service", "http://example.com"]).contains("https://"));

    assert!(ada.run(&["logout"]).status.success());
    assert!(!fs::read_to_string(ada.sign_ins()).unwrap().contains(&token[..40]));
    let mut with_variables = ada.command(&["jobs", "--json"]);
    with_variables.env("GEMMA_EXPORT_SERVICE", stack.origin()).env("GEMMA_EXPORT_TOKEN", &token);
    let output = with_variables.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_commands_of_the_page_and_of_help_work() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let ada = GemmaExport::new(&stack);
    fs::write(ada.path("token.txt"), stack.token("ada").await).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMMAND.md")).unwrap();
    let block = page
        .split("## The service")
        .nth(1)
        .unwrap()
        .split("```console\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let script: String =
        block.lines().map(|line| format!("{}\n", line.strip_prefix("$ ").unwrap())).collect();
    let printed = ada.types(&script);
    for part in ["signed in to", "q8_0", "completed", "model.gguf", "llama-server -m models/model.gguf"] {
        assert!(printed.contains(part), "{part:?} is not in: {printed}");
    }
    for subcommand in ["login", "start", "download"] {
        let help = ada.types(&format!("gemma-export {subcommand} --help"));
        let lines = help.lines().skip_while(|line| *line != "Example:").skip(2);
        let example: Vec<&str> = lines.take_while(|line| !line.is_empty()).map(str::trim_start).collect();
        assert!(example.iter().all(|line| line.len() + 4 <= 40), "too wide for 40 columns: {example:?}");
        ada.types(&format!("{} <token.txt", example.join("\n")));
    }
}
