//! The commands that use a service, against a stand-in for its API and for Firebase Authentication that loses answers. The tests
//! of `local` use the real service.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::terminal::open_terminal;

const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.";
const STARTED: &str =
    r#"{"success": true, "message": "Export job e1 started successfully", "export_id": "e1"}"#;

/// A request that the stand-in has seen.
#[derive(Clone)]
struct Seen {
    /// Method, path and query.
    line: String,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// The next answers, and what was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

enum Answer {
    /// Status, headers and body.
    Of(StatusCode, Vec<(&'static str, &'static str)>, String),
    /// A file, as a whole.
    File(Vec<u8>),
    /// The connection is closed in the middle of the body.
    Lost,
}

fn ok(body: impl ToString) -> Answer {
    Answer::Of(StatusCode::OK, Vec::new(), body.to_string())
}

fn problem(status: u16, kind: &str, detail: &str) -> Value {
    json!({ "type": format!("urn:export-service:problem:{kind}"), "status": status, "detail": detail, "request_id": "r1" })
}

fn refused(status: u16, kind: &str, detail: &str) -> Answer {
    Answer::Of(StatusCode::from_u16(status).unwrap(), Vec::new(), problem(status, kind, detail).to_string())
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let line = format!("{} {}", parts.method, parts.uri);
    script.seen.lock().unwrap().push(Seen { line, headers: parts.headers, body });
    let answer = script.answers.lock().unwrap().pop_front();
    match answer.unwrap_or_else(|| refused(404, "no-such-path", "the script has no more answers")) {
        Answer::Of(status, headers, body) => {
            let mut response = (status, body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Answer::File(content) => content.into_response(),
        Answer::Lost => {
            let part = stream::once(async { Ok(Bytes::from_static(b"{\"success\"")) });
            let lost = stream::once(async {
                // the part has been sent by then
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(std::io::Error::other("lost"))
            });
            axum::body::Body::from_stream(part.chain(lost)).into_response()
        }
    }
}

/// A service whose answers are written down, and a home for the command.
struct Service {
    script: Script,
    address: String,
    home: TempDir,
}

impl Service {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script::default();
        script.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, address, home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).args(args);
        command.env("GEMMA_EXPORT_SERVICE", format!("http://{}", self.address));
        command.env("FIREBASE_AUTH_EMULATOR_HOST", &self.address);
        command
    }

    /// Runs the command on a thread of its own, because the service runs on this one.
    async fn run(&self, args: &[&str], input: &str, with_token: bool) -> Output {
        let mut command = self.command(args);
        if with_token {
            command.env("GEMMA_EXPORT_TOKEN", TOKEN);
        }
        let input = input.to_owned();
        tokio::task::spawn_blocking(move || {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        })
        .await
        .unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_is_lost_is_repeated_with_the_same_key() {
    let busy = Answer::Of(StatusCode::SERVICE_UNAVAILABLE, vec![("Retry-After", "2")], "busy".to_owned());
    let service = Service::start([Answer::Lost, busy, ok(STARTED)]).await;
    let started = std::time::Instant::now();
    let output = service.run(&["start", "job", "--json"], "", true).await;
    assert!(output.status.success(), "{}", error(&output));
    assert!(started.elapsed().as_secs() >= 3, "Retry-After was not waited for");
    let seen = service.seen();
    let keys: Vec<&str> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert!(keys.len() == 3 && keys[0].len() == 36 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(
        seen.iter()
            .all(|one| one.body == seen[0].body && one.header("authorization") == format!("Bearer {TOKEN}"))
    );

    // another start has another key, and an answer that would be the same again is not asked for
    let service = Service::start([refused(500, "internal", "internal error")]).await;
    let output = service.run(&["start", "job"], "", true).await;
    assert_eq!(output.status.code(), Some(6));
    assert!(error(&output).contains("request id r1"), "{}", error(&output));
    assert_eq!(service.seen().len(), 1);
    assert_ne!(service.seen()[0].header("idempotency-key"), keys[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_told_and_a_cancellation_is_sent_once() {
    let detail = "you have started 50 exports within 24 hours, as many as allowed: start the next in 2 hours";
    let body = problem(429, "too-many-exports", detail).to_string();
    let status = StatusCode::TOO_MANY_REQUESTS;
    let limited = Answer::Of(status, vec![("Retry-After", "7200")], body);
    let service = Service::start([limited, Answer::Lost]).await;
    let output = service.run(&["start", "job"], "", true).await;
    let message = error(&output);
    assert_eq!((output.status.code(), service.seen().len()), (Some(6), 1), "{message}");
    assert_eq!(message, format!("error: {detail}\n"));

    assert_eq!(service.run(&["cancel", "job"], "", true).await.status.code(), Some(6));
    assert_eq!(service.lines()[1..], ["POST /exports/job/cancel"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_limit_says_which_one() {
    let detail = "3 of your exports are running, as many as allowed: wait until one ends, or cancel one";
    let body = problem(429, "too-many-exports", detail).to_string();
    let limited = Answer::Of(StatusCode::TOO_MANY_REQUESTS, vec![("Retry-After", "1")], body);
    let service = Service::start([limited, ok(STARTED)]).await;
    let output = service.run(&["start", "job"], "", true).await;
    let notes = error(&output);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains(&format!("{detail}; trying again in 1 s")), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_running_is_looked_up_by_a_command() {
    let answer = || refused(409, "not-running", "GET /exports/{job_id} has the state");
    let service = Service::start([answer(), answer()]).await;
    let named = error(&service.run(&["cancel", "job", "e1"], "", true).await);
    assert!(named.contains("export e1 has ended or is about to be completed"), "{named}");
    let output = service.run(&["cancel", "job"], "", true).await;
    let message = error(&output);
    assert_eq!((output.status.code(), service.seen().len()), (Some(4), 2), "{message}");
    assert!(message.contains("`gemma-export history job`") && !message.contains("GET"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_sign_ins_are_read_only_where_no_token_is_given() {
    let service = Service::start([ok("[]"), ok("[]")]).await;
    let folder = service.home.path().join(".config/gemma-export");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sign-ins.json"), "{").unwrap();
    let with_token = service.run(&["jobs", "--json"], "", true).await;
    assert!(with_token.status.success(), "{}", error(&with_token));
    let without = error(&service.run(&["jobs", "--json"], "", false).await);
    assert!(without.contains("remove it, and sign in again"), "{without}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_rejected_is_renewed_by_a_command() {
    let why = r#"Bearer realm="export", error="invalid_token", error_description="expired""#;
    let detail = "a valid Firebase ID token is required: send `Authorization: Bearer <token>`";
    let rejected = || {
        let body = problem(401, "unauthenticated", detail).to_string();
        Answer::Of(StatusCode::UNAUTHORIZED, vec![("WWW-Authenticate", why)], body)
    };
    let service = Service::start([rejected(), rejected()]).await;
    for (with_token, remedy) in
        [(true, "set GEMMA_EXPORT_TOKEN to a new one, or unset it and sign in"), (false, "sign in")]
    {
        let output = service.run(&["login", "--token-stdin"], TOKEN, with_token).await;
        let expected = format!(
            "error: the service rejected the ID token (expired): {remedy} with `gemma-export login`\n"
        );
        assert_eq!((output.status.code(), error(&output)), (Some(6), expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_on_this_machine_is_wrong_usage() {
    let service = Service::start([]).await;
    let signed_out = service.run(&["jobs"], "", false).await;
    assert_eq!(signed_out.status.code(), Some(2));
    assert!(error(&signed_out).contains("`gemma-export login"), "{}", error(&signed_out));
    let without_token = service.run(&["start", "job", "--push", "ada/x"], "", true).await;
    assert_eq!(without_token.status.code(), Some(2));
    assert!(error(&without_token).contains("set HF_TOKEN"), "{}", error(&without_token));
    assert!(service.lines().is_empty(), "{:?}", service.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_no_segment_of_a_path_is_not_sent() {
    let service = Service::start([]).await;
    for (args, rule) in [
        (["history", "."].as_slice(), "job_id: must not be . or .."),
        (&["cancel", ".."], "job_id: must not be . or .."),
        (&["follow", "."], "job_id: must not be . or .."),
        (&["download", ".."], "job_id: must not be . or .."),
        (&["download", "job", "."], "export_id: must not be . or .."),
        (&["history", ""], "job_id: must not be empty"),
    ] {
        let output = service.run(args, "", true).await;
        assert!(error(&output).contains(rule), "{args:?}: {}", error(&output));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    assert!(service.lines().is_empty(), "{:?}", service.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_available_is_not_asked_for_again_and_again() {
    let service =
        Service::start([refused(503, "hub-unavailable", "the Hugging Face Hub cannot be reached")]).await;
    let output = service.run(&["plan", "job"], "", true).await;
    let message = error(&output);
    assert_eq!((output.status.code(), service.seen().len()), (Some(6), 1), "{message}");
    assert!(message.contains("the Hugging Face Hub cannot be reached"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_survives_answers_that_are_lost() {
    let running = json!({
        "export_id": "e1", "status": "running", "message": "Writing model.gguf", "eta_seconds": 30,
        "progress": { "stage": "export", "bytes_done": 1_000_000, "bytes_total": 4_000_000 },
    });
    let ended =
        json!({ "export_id": "e1", "type": "gguf", "status": "completed", "failure": null, "artifacts": [] });
    let broken = || refused(502, "bad-gateway", "bad gateway");
    let service = Service::start([ok(STARTED), ok(&running), Answer::Lost, broken(), ok(&ended)]).await;
    let output = service.run(&["start", "a job", "--follow", "--json"], "", true).await;
    let message = error(&output);
    assert!(output.status.success(), "{message}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), ended, "the object of the API");
    for part in ["export: Writing model.gguf  1.00 MB of 4.00 MB", "30s left", "the service answers 502"] {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert_eq!(service.lines()[4], "GET /exports/a%20job/history/e1");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_printed_above_the_bar() {
    let progress = json!({ "stage": "export", "bytes_done": 1_000_000, "bytes_total": 2_000_000 });
    let running = json!({ "status": "running", "message": "Writing m.gguf", "progress": progress });
    let busy = Answer::Of(StatusCode::SERVICE_UNAVAILABLE, Vec::new(), "busy".to_owned());
    let service = Service::start([ok(&running), busy, ok(json!({ "status": "completed" }))]).await;
    let (screen, terminal) = open_terminal();
    let mut command = service.command(&["follow", "job", "e1"]);
    command.env("TERM", "xterm").env("GEMMA_EXPORT_TOKEN", TOKEN);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal);
    let ended = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
    let note = "the service answers 503; trying again in 1 s\r\n";
    let shown = screen.until(note);
    assert!(ended.success() && shown.contains("1.00 MB of 2.00 MB"), "{shown:?}");
    assert!(shown.contains(&format!("\r\u{1b}[2K\u{1b}[1A{note}")), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_prompt_leaves_a_terminal_that_shows_what_is_typed() {
    let init = ok(json!({ "apiKey": "key-1", "projectId": "p" }));
    let service = Service::start([init, ok(json!({ "email": "ada@example.com" }))]).await;
    for args in [["login"].as_slice(), &["login", "--email", "ada@example.com"]] {
        let (screen, terminal) = open_terminal();
        let shows = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(shows());
        let mut command = service.command(args);
        command.stdin(terminal.try_clone().unwrap()).stderr(terminal.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        while shows() {
            assert!(child.try_wait().unwrap().is_none(), "{args:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert_eq!((ended.code(), shows()), (Some(130), true), "{args:?}");
        let shown = screen.until("interrupted: you are not signed in");
        assert!(
            shown.contains(": \r\n") && shown.contains("interrupted: you are not signed in"),
            "{shown:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_a_link_is_renewed_and_ends_with_logout() {
    let page = ok("[]");
    let renewed =
        |token: &str| ok(json!({ "id_token": token, "refresh_token": "refresh-1", "expires_in": "3600" }));
    let service = Service::start([
        ok(json!({ "apiKey": "key-1", "projectId": "p" })),
        ok(json!({ "email": "ada@example.com" })),
        ok(json!({ "idToken": "unused", "refreshToken": "refresh-1" })),
        renewed("first.id.token"),
        page,
        // in the next command, the token that was renewed has been revoked
        renewed("second.id.token"),
        refused(401, "unauthenticated", "the token has expired"),
        renewed("third.id.token"),
        ok("[]"),
    ])
    .await;
    let link = "https://p.firebaseapp.com/__/auth/action?mode=signIn&oobCode=code-1";
    let login = service.run(&["login", "--email", "ada@example.com"], link, false).await;
    assert!(login.status.success(), "{}", error(&login));
    let jobs = service.run(&["jobs"], "", false).await;
    assert!(jobs.status.success(), "{}", error(&jobs));

    let seen = service.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /__/firebase/init.json",
            "POST /identitytoolkit.googleapis.com/v1/accounts:sendOobCode?key=key-1",
            "POST /identitytoolkit.googleapis.com/v1/accounts:signInWithEmailLink?key=key-1",
            "POST /securetoken.googleapis.com/v1/token?key=key-1",
            "GET /exports?page_size=1",
            "POST /securetoken.googleapis.com/v1/token?key=key-1",
            "GET /exports?page_size=20",
            "POST /securetoken.googleapis.com/v1/token?key=key-1",
            "GET /exports?page_size=20",
        ]
    );
    let sent: Value = serde_json::from_str(&seen[1].body).unwrap();
    let expected = json!({
        "requestType": "EMAIL_SIGNIN", "email": "ada@example.com",
        "continueUrl": format!("http://{}/", service.address), "canHandleCodeInApp": true,
    });
    assert_eq!(sent, expected);
    let sent: Value = serde_json::from_str(&seen[2].body).unwrap();
    assert_eq!(sent, json!({ "email": "ada@example.com", "oobCode": "code-1" }));
    assert_eq!(seen[3].body, "grant_type=refresh_token&refresh_token=refresh-1");
    assert_eq!(seen[8].header("authorization"), "Bearer third.id.token");
    // no secret is sent to where it does not belong, and none is printed
    assert!(seen[..3].iter().all(|seen| seen.header("authorization").is_empty()));
    let printed = [login.stdout, login.stderr, jobs.stdout, jobs.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    for secret in ["refresh-1", "code-1", "first.id", "third.id"] {
        assert!(!printed.contains(secret), "{printed}");
    }

    assert!(service.run(&["logout"], "", false).await.status.success());
    assert_eq!(service.run(&["jobs"], "", false).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_firebase_refuses_says_what_to_do() {
    let service = Service::start([
        ok(json!({ "apiKey": "key-1" })),
        ok(json!({})),
        Answer::Of(
            StatusCode::BAD_REQUEST,
            Vec::new(),
            json!({ "error": { "message": "INVALID_OOB_CODE" } }).to_string(),
        ),
    ])
    .await;
    let login = ["login", "--email", "ada@example.com"];
    let refused = service.run(&login, "https://p.firebaseapp.com/?oobCode=x", false).await;
    assert!(
        error(&refused).contains("sign in again for a new one (INVALID_OOB_CODE)"),
        "{}",
        error(&refused)
    );
    // a service without Firebase Hosting has no sign-in by e-mail
    let none = service.run(&login, "", false).await;
    assert!(error(&none).contains("without --email"), "{}", error(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_files_that_lead_elsewhere_are_refused() {
    for name in ["../x", "/etc/x", "a/b", "..", "a\\b", ""] {
        let file =
            json!({ "name": name, "bytes": 1, "sha256": "0".repeat(64), "link": "http://127.0.0.1:9/x" });
        let artifact = json!({ "type": "gguf", "variant": "file", "files": [file] });
        let export = json!({ "export_id": "e1", "status": "completed", "artifacts": [artifact] });
        let service = Service::start([ok(&export)]).await;
        let output = service.run(&["download", "job", "e1"], "", true).await;
        assert_eq!(output.status.code(), Some(6), "{name}");
        assert!(error(&output).contains("not a file name"), "{name}: {}", error(&output));
        assert_eq!(std::fs::read_dir(service.home.path()).unwrap().count(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_was_lost_with_a_new_link() {
    let content = r#"{"success": 1234567}"#;
    let (lost, rest) = content.split_at(r#"{"success""#.len());
    let service = Service::start([]).await;
    let file = |link: &str| {
        json!({
            "name": "model.gguf", "bytes": content.len(), "sha256": hex::encode(Sha256::digest(content)),
            "link": format!("http://{}/{link}?signature=secret", service.address),
        })
    };
    let export = |link: &str| {
        let artifact = json!({ "type": "gguf", "variant": "file", "files": [file(link)] });
        ok(json!({ "export_id": "e1", "status": "completed", "artifacts": [artifact] }))
    };
    let expired = Answer::Of(StatusCode::FORBIDDEN, Vec::new(), "expired".to_owned());
    let range = vec![("Content-Range", "bytes 10-19/20")];
    let partial = Answer::Of(StatusCode::PARTIAL_CONTENT, range, rest.to_owned());
    let answers = [export("1"), Answer::Lost, export("2"), expired, export("3"), partial];
    service.script.answers.lock().unwrap().extend(answers);
    let output = service.run(&["download", "job", "e1"], "", true).await;
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(std::fs::read_to_string(service.home.path().join("model.gguf")).unwrap(), content);
    let links: Vec<Seen> =
        service.seen().into_iter().filter(|seen| seen.line.contains("signature")).collect();
    let ranges: Vec<&str> = links.iter().map(|seen| seen.header("range")).collect();
    assert_eq!(ranges, ["bytes=0-", &format!("bytes={}-", lost.len()), "bytes=10-"]);
    assert!(links.iter().all(|seen| seen.header("authorization").is_empty()), "a link gets no token");
    assert!(!error(&output).contains("secret"), "{}", error(&output));
}

/// A zip file of a folder of the engine's fixtures.
fn zipped(part: &str) -> Vec<u8> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/gemma3-micro").join(part);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(path.file_name().unwrap().to_str().unwrap(), options).unwrap();
        archive.write_all(&std::fs::read(&path).unwrap()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_unpacked_is_told_from_its_zip_and_can_be_used() {
    let commands_of_merged =
        "  next     vllm serve out/merged\n           gemma-export gguf --base out/merged --out model.gguf\n";
    let command_of_adapter =
        "  next     vllm serve google/gemma-3-1b-it --enable-lora --lora-modules adapter=out/adapter\n";
    for (part, kind, next) in
        [("base", "merged", commands_of_merged), ("adapter", "adapter", command_of_adapter)]
    {
        let (content, name) = (zipped(part), format!("{kind}.zip"));
        let (bytes, sha256) = (content.len(), hex::encode(Sha256::digest(&content)));
        let service = Service::start([]).await;
        std::fs::create_dir(service.home.path().join("out")).unwrap();
        let link = format!("http://{}/1?signature=secret", service.address);
        let file = json!({ "name": name, "bytes": bytes, "sha256": sha256, "link": link });
        let artifact = json!({ "type": kind, "variant": "file", "files": [file] });
        let export =
            || ok(json!({ "export_id": "e1", "type": kind, "status": "completed", "artifacts": [artifact] }));
        service.script.answers.lock().unwrap().extend([export(), Answer::File(content), export(), export()]);
        let command = ["download", "a job", "e1", "--out", "out"];
        let packed = service.run(&command, "", true).await;
        let packed = String::from_utf8(packed.stdout).unwrap();
        let size = indicatif::DecimalBytes(bytes as u64);
        let of_zip = format!("out\n  {name}  {size}  {sha256}\n");
        let unpack = "  next     gemma-export download 'a job' e1 --out out --unpack\n";
        assert_eq!(packed, format!("{of_zip}{unpack}"));

        // what is there is not downloaded again
        let unpacked = service.run(&[&command[..], &["--unpack"]].concat(), "", true).await;
        let unpacked = String::from_utf8(unpacked.stdout).unwrap();
        let folder = service.home.path().join("out").join(kind);
        let count = std::fs::read_dir(&folder).unwrap().count();
        let of_folder = format!("  {kind}  {count} files of {name}, which is verified and removed\n");
        assert_eq!(unpacked, format!("{of_zip}{of_folder}{next}"));
        assert!(!folder.with_extension("zip").exists());
    }
}
