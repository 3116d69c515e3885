//! The stack: every part of the service, each function on a port of its own as each is deployed on its own, and the
//! gateway in front of them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, middleware::from_fn};
use shared::adapters::storage::Storage;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use crate::{
    banner,
    data_dir::{DataDir, FolderLock},
    demo_data, functions,
    gateway::{self, Gateway, loopback},
    issuer::{self, TokenIssuer},
    launcher::{ProcessLauncher, SharedLauncher},
    links::{self, LocalLinks},
    recovery,
    store::DocumentStore,
};

/// How long requests under way may take when the stack stops.
const GRACE: Duration = Duration::from_secs(3);

/// What a stack is made of.
#[derive(Debug)]
pub(crate) struct StackOptions {
    /// The gateway's port; 0 for any that is free.
    pub(crate) port: u16,
    /// The folder for everything it keeps.
    pub(crate) data_dir: PathBuf,
    /// The project that tokens are for.
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
    /// Starts everything: clears up after an earlier stack, makes the demo's data where it is missing, serves.
    pub(crate) async fn start(options: &StackOptions) -> anyhow::Result<Self> {
        let dir = DataDir::open(&options.data_dir)?;
        let lock = dir.lock_stack()?;
        let entrance = listen(options.port).await.with_context(|| {
            format!("port {} cannot be used: give another one with --port, or 0 for any", options.port)
        })?;
        let origin = format!("http://{}", entrance.local_addr()?);

        let store = ready_store(&dir).await?;
        if demo_data::is_missing(&dir) {
            banner::first_start();
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
            keys_url: format!("http://{issuer_address}/keys").parse()?,
            store: Arc::new(store),
            launcher: Arc::new(SharedLauncher(Arc::clone(&launcher))),
            links: Arc::clone(&links) as _,
        };
        let services = serve_functions(&adapters, &mut servers).await?;
        let gateway = Arc::new(Gateway::new(services, issuer_address)?);
        servers.serve(entrance, gateway::router(gateway, links::router(links)));
        tracing::info!(%origin, "serving");
        Ok(Self { origin, dir, issuer, launcher, servers, _lock: lock })
    }

    /// Where it serves, `http://127.0.0.1:8080`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The folder of everything it keeps.
    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// How many exports are being worked on.
    pub(crate) fn running_jobs(&self) -> usize {
        self.launcher.running_jobs()
    }

    /// A fresh token for that user.
    pub(crate) fn token(&self, user: &str) -> anyhow::Result<String> {
        self.issuer.token(&user.parse().context("the user's name")?)
    }

    /// Stops: no new requests, then no more jobs, each recorded as what became of it.
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

/// The database, with nothing in it that an earlier stack left unfinished.
async fn ready_store(dir: &DataDir) -> anyhow::Result<DocumentStore> {
    let waiting = dir.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_old_jobs()).await??;
    let store = DocumentStore::open(&dir.database())
        .with_context(|| format!("{} cannot be opened", dir.database().display()))?;
    dir.update_document_urls(&store).await?;
    recovery::fail_interrupted_exports(&store, dir).await?;
    Ok(store)
}

/// Each function at an address of its own.
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
