//! The program as a process, used over HTTP.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A new folder for a stack, with hard links to demo models that are created once per test run, because creating
/// them takes most of the time of a start.
pub(crate) fn folder() -> TempDir {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo-data");
        fs::remove_dir_all(&made).ok();
        fs::create_dir_all(&made).unwrap();
        assert!(StackProcess::serve(&made).terminate().success());
        made
    });
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let base_models = Path::new("buckets/base-models");
    link(&made.join(base_models), &folder.path().join(base_models));
    // without it the stack refuses a folder that has content
    let marker = ".export-service-local";
    fs::copy(made.join(marker), folder.path().join(marker)).unwrap();
    folder
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { link(&from, &to) } else { fs::hard_link(from, to).unwrap() }
    }
}

/// The program with that data folder and none of this process's environment variables.
pub(crate) fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command.env_clear().env("LOCAL_DATA_DIR", data_dir).current_dir(data_dir);
    command.envs([("MAX_RUNNING_EXPORTS", "0"), ("MAX_DAILY_EXPORTS", "0")]);
    command
}

/// `local serve`.
pub(crate) struct StackProcess {
    child: Child,
    origin: String,
    client: Client,
}

impl StackProcess {
    /// Starts it on a free port and waits until it serves.
    pub(crate) fn serve(data_dir: &Path) -> Self {
        Self::serve_with(data_dir, &[], Stdio::inherit())
    }

    /// The same with more variables, and its log elsewhere.
    pub(crate) fn serve_with(data_dir: &Path, variables: &[(&str, &str)], log: Stdio) -> Self {
        let mut command = program(data_dir);
        command.args(["serve", "--port", "0"]).envs(variables.iter().copied()).stderr(log);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = Vec::new();
        let mut origin = None;
        for line in lines {
            if let Some(url) = line.trim().strip_prefix("page") {
                origin = Some(url.trim().to_owned());
            }
            if line.contains("until Ctrl-C") {
                break;
            }
            seen.push(line);
        }
        let origin = origin.unwrap_or_else(|| panic!("the stack did not start: {seen:#?}"));
        Self { child, origin, client: Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) async fn token(&self, user: &str) -> String {
        let url = format!("{}/__/local/token?user={user}", self.origin);
        let answer: Value = self.client.post(url).send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.origin)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Starts an export as ada and returns its id.
    pub(crate) async fn export(&self, job: &str, kind: &str) -> String {
        let request = json!({"job_id": job, "export_type": kind});
        let token = self.token("ada").await;
        let (status, answer) = self.ask(Method::POST, "/exports", &token, Some(&request)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["export_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the latest export of that job has ended and returns it.
    pub(crate) async fn ended(&self, job: &str) -> Value {
        let token = self.token("ada").await;
        let start = Instant::now();
        loop {
            let (_, answer) = self.ask(Method::GET, &format!("/exports/{job}"), &token, None).await;
            let latest = &answer["latest_export"];
            if latest["status"] != "running" {
                return latest.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(120), "still running: {latest}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -9` of the export jobs that are running, found by their parent.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_jobs(&self) {
        for entry in fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // "id (command) state parent …"; a process can end in between
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).unwrap();
            if parent == self.child.id().to_string() {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGKILL).ok();
            }
        }
    }

    /// `kill`; returns the exit status.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for StackProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
