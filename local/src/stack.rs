//! The local stack: every part of the service, with each function on its own port, as each is deployed on its own, and
//! the gateway in front of them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, middleware::from_fn};
use job::{Buckets, HubSettings, JobMachine, Locations, Planner};
use shared::{adapters::storage::Storage, config, service::hub_token::SealingLauncher};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};
use url::Url;

use crate::{
    data_dir::{Bucket, DataDir, FolderLock},
    demo_data, functions,
    gateway::{self, Gateway, HubSignIn, loopback},
    issuer::{self, TokenIssuer},
    launcher::{ProcessLauncher, SharedLauncher},
    links::{self, LocalLinks},
    recovery,
    store::DocumentStore,
    terminal, token_key,
};

/// How long requests in progress may take when the stack stops.
const GRACE: Duration = Duration::from_secs(3);

/// The settings of a stack.
#[derive(Debug)]
pub(crate) struct StackOptions {
    /// The port of the gateway, or 0 for any free port.
    pub(crate) port: u16,
    /// The folder for all its data.
    pub(crate) data_dir: PathBuf,
    /// The Firebase project that tokens are issued for.
    pub(crate) project: String,
}

/// A running stack.
pub(crate) struct LocalStack {
    origin: String,
    dir: DataDir,
    issuer: Arc<TokenIssuer>,
    launcher: Arc<ProcessLauncher>,
    servers: HttpServers,
    _lock: FolderLock,
}

#[derive(Default)]
struct HttpServers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl LocalStack {
    /// Starts all parts: cleans up after an earlier stack, creates missing demo data, and serves.
    ///
    /// # Errors
    /// If another stack uses the folder, the port is taken, or a part cannot start.
    pub(crate) async fn start(options: &StackOptions) -> anyhow::Result<Self> {
        let dir = DataDir::open(&options.data_dir)?;
        let lock = dir.lock_stack()?;
        let entrance = listen(options.port).await.with_context(|| {
            format!("cannot use port {}: choose another with --port, or 0 for any free port", options.port)
        })?;
        let origin = format!("http://{}", entrance.local_addr()?);

        let store = ready_store(&dir).await?;
        if demo_data::is_missing(&dir) {
            terminal::line("");
            terminal::note("First start: creating the models for the demo.");
        }
        demo_data::create(&dir, &store).await?;

        let mut servers = HttpServers::default();
        let issuer = Arc::new(TokenIssuer::load_or_create(&dir.keys(), &options.project)?);
        let token_issuer = issuer::router(Arc::clone(&issuer)).layer(from_fn(loopback::require));
        let issuer_address = servers.serve_anywhere(token_issuer).await?;

        let command = vec![std::env::current_exe()?.into(), "job".into()];
        let launcher = ProcessLauncher::new(command, &options.project, dir.clone(), store.clone())?;
        let storage = Arc::new(Storage::folder(&dir.buckets())?);
        let links = Arc::new(LocalLinks::load_or_create(dir.clone(), origin.clone(), storage)?);

        let adapters = functions::LocalAdapters {
            project: options.project.clone(),
            keys_url: keys_url(issuer_address)?,
            store: Arc::new(store),
            limits: config::caller_limits(&config::process)?,
            launcher: Arc::new(SealingLauncher {
                launcher: Arc::new(SharedLauncher(Arc::clone(&launcher))),
                key: Arc::new(token_key::load_or_create(&dir)?),
            }),
            links: Arc::clone(&links) as _,
            planner: Arc::new(planner(&dir)?),
        };
        let services = serve_functions(&adapters, &mut servers).await?;
        let gateway = Arc::new(Gateway::new(services, issuer_address, HubSignIn::from(&config::process))?);
        servers.serve(entrance, gateway::router(gateway, links::router(links)));
        tracing::info!(%origin, "serving");
        Ok(Self { origin, dir, issuer, launcher, servers, _lock: lock })
    }

    /// The address that it serves, such as `http://127.0.0.1:8080`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The folder of all its data.
    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// How many exports are running.
    pub(crate) fn running_jobs(&self) -> usize {
        self.launcher.running_jobs()
    }

    /// A new token for that user.
    pub(crate) fn token(&self, user: &str) -> anyhow::Result<String> {
        self.issuer.token(&user.parse().context("the user's name")?)
    }

    /// Stops accepting requests, ends the running jobs and records their exports as failed.
    pub(crate) async fn stop(mut self) {
        self.servers.stop.send_replace(true);
        let drained = async { while self.servers.tasks.join_next().await.is_some() {} };
        let (drained, ()) = tokio::join!(timeout(GRACE, drained), self.launcher.stop());
        if drained.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        tracing::info!("stopped");
    }
}

/// Opens the database and marks exports that an earlier stack left running as failed.
async fn ready_store(dir: &DataDir) -> anyhow::Result<DocumentStore> {
    let waiting = dir.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_old_jobs()).await??;
    let store = DocumentStore::open(&dir.database())
        .with_context(|| format!("cannot open {}", dir.database().display()))?;
    dir.update_document_urls(&store).await?;
    recovery::fail_interrupted_exports(&store, dir).await?;
    Ok(store)
}

/// Where the functions get the keys of tokens: from the issuer, or nowhere if the Auth emulator issues the tokens.
fn keys_url(issuer: SocketAddr) -> anyhow::Result<Option<Url>> {
    if config::optional(&config::process, "FIREBASE_AUTH_EMULATOR_HOST").is_some() {
        return Ok(None);
    }
    Ok(Some(format!("http://{issuer}/keys").parse()?))
}

/// A planner over the buckets of the export job, and its Hub.
fn planner(dir: &DataDir) -> anyhow::Result<Planner> {
    let endpoint = config::optional(&config::process, "HF_ENDPOINT");
    let locations = Locations {
        storage: Storage::folder(&dir.buckets())?,
        buckets: Buckets { raw: dir.bucket_url(Bucket::Models)?, files: dir.bucket_url(Bucket::Files)? },
        base_models: Some(dir.bucket_url(Bucket::BaseModels)?),
        hub: HubSettings::at(endpoint.as_deref().unwrap_or(HubSettings::DEFAULT_ENDPOINT)),
    };
    Ok(Planner::new(locations, JobMachine::default()))
}

/// Serves each function on its own port and returns the addresses.
async fn serve_functions(
    adapters: &functions::LocalAdapters,
    servers: &mut HttpServers,
) -> anyhow::Result<BTreeMap<&'static str, SocketAddr>> {
    let list = servers.serve_anywhere(functions::list(adapters)).await?;
    let create = functions::create(adapters, format!("http://{list}").parse()?);
    Ok(BTreeMap::from([
        ("health", servers.serve_anywhere(functions::health()).await?),
        ("list", list),
        ("create", servers.serve_anywhere(create).await?),
        ("get", servers.serve_anywhere(functions::get(adapters)).await?),
        ("plan", servers.serve_anywhere(functions::plan(adapters)).await?),
        ("cancel", servers.serve_anywhere(functions::cancel(adapters)).await?),
    ]))
}

impl HttpServers {
    fn serve(&mut self, listener: TcpListener, router: Router) {
        let mut stop = self.stop.subscribe();
        let stopped = async move {
            stop.wait_for(|stop| *stop).await.ok();
        };
        self.tasks.spawn(shared::serve::serve(listener, router, stopped));
    }

    async fn serve_anywhere(&mut self, router: Router) -> anyhow::Result<SocketAddr> {
        let listener = listen(0).await?;
        let address = listener.local_addr()?;
        self.serve(listener, router);
        Ok(address)
    }
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}
