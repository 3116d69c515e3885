//! Who is measured, and what all of them find around them.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use hyper::StatusCode;
use shared::testing::{TokenSigner, cloud_run::FakeCloudRun, fixtures, process::serve_keys};

use crate::{client::Ask, result::Result, seed, server::Server};

/// A program that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// The functions' release binaries, one process a route.
    Ours,
    /// FastAPI, one process for all routes.
    FastApi,
    /// Our routers over a store in memory: what is left of a request without Firestore.
    Memory,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Route {
    Health,
    List,
    Get,
    History,
    Create,
    Cancel,
    Plan,
}

impl Route {
    pub(crate) const ALL: [Self; 7] =
        [Self::Health, Self::List, Self::Get, Self::History, Self::Create, Self::Cancel, Self::Plan];
    /// Those that the FastAPI service has too.
    pub(crate) const COMPARED: [Self; 4] = [Self::Health, Self::List, Self::Get, Self::Create];
    /// Those of them with work to do.
    pub(crate) const LOADED: [Self; 3] = [Self::List, Self::Get, Self::Create];

    /// Whether that system has it.
    pub(crate) fn is_of(self, system: System) -> bool {
        system == System::Ours || Self::COMPARED.contains(&self)
    }

    /// Whether no route before it in [`Self::ALL`] is of the same function.
    pub(crate) fn is_first_of_its_function(self) -> bool {
        self != Self::History
    }

    /// The function that has it.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::List => "list",
            Self::Get | Self::History => "get",
            Self::Create => "create",
            Self::Cancel => "cancel",
            Self::Plan => "plan",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "GET /health",
            Self::List => "GET /exports",
            Self::Get => "GET /exports/{job_id}",
            Self::History => "GET /exports/{job_id}/history",
            Self::Create => "POST /exports",
            Self::Cancel => "POST /exports/{job_id}/cancel",
            Self::Plan => "POST /plans",
        })
    }
}

/// Emulator, keys, a RunJob server, documents, and a token for them.
pub(crate) struct World {
    python: PathBuf,
    binaries: PathBuf,
    settings: Vec<(&'static str, String)>,
    token: String,
    _cloud_run: FakeCloudRun,
}

impl World {
    /// With the functions' binaries in that folder, or beside this one, where `make build` puts them.
    pub(crate) async fn prepare(python: &Path, binaries: Option<PathBuf>) -> Result<Self> {
        let firestore = std::env::var("FIRESTORE_EMULATOR_HOST").map_err(
            |_| "FIRESTORE_EMULATOR_HOST is not set: run `make bench-service`, which starts the emulator",
        )?;
        let binaries = match binaries {
            Some(binaries) => binaries,
            None => std::env::current_exe()?.with_file_name(""),
        };
        let list = binaries.join("list");
        if !list.exists() {
            return Err(format!(
                "{} is missing: run `make build`, or name the folder with --binaries",
                list.display()
            )
            .into());
        }
        seed::documents(&firestore).await?;
        let cloud_run = FakeCloudRun::start().await;
        let settings = vec![
            ("PROJECT_ID", fixtures::PROJECT.to_owned()),
            ("FIREBASE_KEYS_URL", serve_keys().await),
            ("FIRESTORE_EMULATOR_HOST", firestore),
            ("CLOUD_RUN_ENDPOINT", cloud_run.endpoint()),
            ("GCS_EXPORT_FILES_BUCKET_NAME", "files".to_owned()),
            ("GCS_EXPORT_BUCKET_NAME", "raw".to_owned()),
            // as the service it is compared with
            ("MAX_RUNNING_EXPORTS", "0".to_owned()),
            ("MAX_DAILY_EXPORTS", "0".to_owned()),
            ("STORAGE_EMULATOR_HOST", "127.0.0.1:9".to_owned()),
        ];
        let token = TokenSigner::first().token(fixtures::ADA);
        let python = std::path::absolute(python)?;
        Ok(Self { python, binaries, settings, token, _cloud_run: cloud_run })
    }

    /// Fails if there is no Python.
    pub(crate) fn check_python(&self) -> Result<()> {
        if self.python.exists() {
            return Ok(());
        }
        let python = self.python.display();
        Err(format!("{python} is missing: run `make bench-service`, which makes it").into())
    }

    /// Whether that system has the route, and its binary is there.
    pub(crate) fn has(&self, system: System, route: Route) -> bool {
        route.is_of(system) && (system != System::Ours || self.binaries.join(route.function()).exists())
    }

    /// The size of the function's binary that has that route, in bytes.
    pub(crate) fn size(&self, route: Route) -> Result<u64> {
        Ok(std::fs::metadata(self.binaries.join(route.function()))?.len())
    }

    /// Starts the process that has that route.
    pub(crate) fn start(&self, system: System, route: Route) -> Result<Server> {
        let mut command = match system {
            System::Ours => Command::new(self.binaries.join(route.function())),
            System::FastApi => {
                let mut command = Command::new(&self.python);
                let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fastapi");
                command.args(["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--app-dir"]).arg(app);
                command
            }
            System::Memory => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["memory", route.function()]);
                command
            }
        };
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        let port_by_argument = system == System::FastApi;
        Server::start(command, port_by_argument)
    }

    /// A request of that route, by the owner of the documents. Cancelling ends at an export that does not run, and planning at a
    /// job that is not trained: what they read before is measured.
    pub(crate) fn ask(&self, route: Route) -> Ask {
        let ask = |method, path, body: &str| Ask {
            method,
            path,
            token: Some(self.token.clone()),
            body: body.to_owned(),
            status: StatusCode::OK,
        };
        match route {
            Route::Health => Ask { token: None, ..ask("GET", "/health".to_owned(), "") },
            Route::List => ask("GET", "/exports".to_owned(), ""),
            Route::Get => ask("GET", format!("/exports/{}", seed::READ), ""),
            Route::History => ask("GET", format!("/exports/{}/history", seed::READ), ""),
            Route::Create => ask("POST", "/exports".to_owned(), &gguf_of(seed::EXPORTED)),
            Route::Cancel => {
                let path = format!("/exports/{}/cancel", seed::READ);
                Ask { status: StatusCode::CONFLICT, ..ask("POST", path, "") }
            }
            Route::Plan => {
                let body = gguf_of(seed::UNTRAINED);
                Ask { status: StatusCode::BAD_REQUEST, ..ask("POST", "/plans".to_owned(), &body) }
            }
        }
    }
}

fn gguf_of(job: &str) -> String {
    format!(r#"{{"job_id": "{job}", "export_type": "gguf", "quantization": "q8_0"}}"#)
}
