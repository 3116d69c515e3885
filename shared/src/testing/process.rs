//! The functions' real binaries, as processes.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};

use super::{fixtures::PROJECT, mint::FIRST_CERTIFICATE};
use crate::serve::serve;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running binary; it is killed when dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    address: Option<SocketAddr>,
}

impl Process {
    /// Starts a binary with nothing in its environment but `variables`, on a port that is free.
    ///
    /// # Panics
    /// When it does not start to listen.
    pub async fn listening(binary: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Self::start(binary, &[variables, &[("PORT", "0")]].concat());
        let found = async {
            loop {
                if let Some(port) = process.port() {
                    return port;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(port) = timeout(PATIENCE, found).await else {
            panic!("{binary} does not listen: {}", process.log())
        };
        process.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        process
    }

    /// Starts a binary with nothing in its environment but `variables`.
    ///
    /// # Panics
    /// When there is no such binary.
    #[must_use]
    pub fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let log = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let copy = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = copy.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, address: None }
    }

    /// The base URL of one that listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address.expect("it listens"))
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it to stop, as Cloud Run does.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(kill.is_ok_and(|status| status.success()), "SIGTERM is sent");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it has a status");
        let mut complaint = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut complaint).await.expect("its complaint");
        }
        (status, complaint)
    }

    /// The port of the line `listening port=…`, or of its JSON.
    fn port(&self) -> Option<u16> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("listening"))?;
        let (_, rest) = line.split_once("port=").or_else(|| line.split_once("\"port\":"))?;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

/// Serves the first mint's certificate, as Google does. The answer is what `FIREBASE_KEYS_URL` is to be.
///
/// # Panics
/// When there is no free port.
pub async fn serve_keys() -> String {
    let keys = serde_json::json!({"first": FIRST_CERTIFICATE}).to_string();
    let answer = ([("cache-control", "public, max-age=3600")], keys);
    let router = Router::new().route("/keys", get(async move || answer));
    format!("{}/keys", serve_on_loopback(router).await)
}

/// Serves a router on a free port of loopback, for as long as the test runs. The answer is its base URL.
///
/// # Panics
/// When there is no free port.
pub async fn serve_on_loopback(router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, router, std::future::pending()));
    format!("http://{address}")
}

/// The least that a function needs: a project, and keys.
#[must_use]
pub fn settings(keys_url: &str) -> [(&str, &str); 3] {
    [("PROJECT_ID", PROJECT), ("FIREBASE_KEYS_URL", keys_url), ("GCS_EXPORT_FILES_BUCKET_NAME", "files")]
}
