//! Runs the binaries of the functions as processes.

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

use super::{fixtures::PROJECT, tokens::FIRST_CERTIFICATE};
use crate::serve::serve;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A running binary. It is killed when dropped.
pub struct BinaryProcess {
    child: Child,
    log: Arc<Mutex<String>>,
    address: Option<SocketAddr>,
}

impl BinaryProcess {
    /// Starts a binary on a free port and waits until it listens. The environment contains only `variables`.
    ///
    /// # Panics
    /// If it does not listen within the timeout.
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
        let Ok(port) = timeout(TIMEOUT, found).await else {
            panic!("{binary} does not listen: {}", process.log())
        };
        process.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        process
    }

    /// Starts a binary. The environment contains only `variables`.
    ///
    /// # Panics
    /// If the binary cannot be started.
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

    /// The base URL.
    ///
    /// # Panics
    /// If the process was not started with [`BinaryProcess::listening`].
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address.expect("it listens"))
    }

    /// Its log output so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends SIGTERM, as Cloud Run does.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(kill.is_ok_and(|status| status.success()), "SIGTERM is sent");
    }

    /// Waits until it exits and returns its status and its standard error.
    ///
    /// # Panics
    /// If it does not exit within the timeout.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        let status = timeout(TIMEOUT, self.child.wait()).await.expect("it ends").expect("it has a status");
        let mut stderr_text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut stderr_text).await.expect("its standard error");
        }
        (status, stderr_text)
    }

    /// The port in the log line `listening port=…`, or in its JSON form.
    fn port(&self) -> Option<u16> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("listening"))?;
        let (_, rest) = line.split_once("port=").or_else(|| line.split_once("\"port\":"))?;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

/// Serves the certificate of the first signer, as Google does. Returns the value for `FIREBASE_KEYS_URL`.
///
/// # Panics
/// If there is no free port.
pub async fn serve_keys() -> String {
    let keys = serde_json::json!({"first": FIRST_CERTIFICATE}).to_string();
    let response = ([("cache-control", "public, max-age=3600")], keys);
    let router = Router::new().route("/keys", get(async move || response));
    format!("{}/keys", serve_on_loopback(router).await)
}

/// Serves a router on a free loopback port until the test ends. Returns its base URL.
///
/// # Panics
/// If there is no free port.
pub async fn serve_on_loopback(router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, router, std::future::pending()));
    format!("http://{address}")
}

/// The required settings of the functions.
#[must_use]
pub fn settings(keys_url: &str) -> [(&str, &str); 3] {
    [("PROJECT_ID", PROJECT), ("FIREBASE_KEYS_URL", keys_url), ("GCS_EXPORT_FILES_BUCKET_NAME", "files")]
}
