//! Runs a router: as an HTTP server on `$PORT`, or on AWS Lambda behind the Lambda runtime API.

use std::{fmt, net::Ipv4Addr, time::Duration};

use axum::{Router, middleware::map_request};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::{
    config::{self, ListenConfig, Lookup},
    http::{HYPER_MAX_FIELDS, HYPER_MAX_HEADER, linger},
};

/// The longest that a request's header may take to arrive, and that a connection may be idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most requests that a function works on at once, which is what Cloud Run sends to one instance (`concurrency` in
/// `terraform/main.tf`). Others wait, so that the deadlines of the calls that a request makes start with its turn.
pub const CONCURRENCY: usize = 80;
/// How long requests in flight may take after SIGTERM. Cloud Run sends SIGKILL after 10 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// The error that `main` returns. `main` prints its `Debug`, which is the message and its causes for people.
pub struct FatalError(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for FatalError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for FatalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Serves until SIGTERM or SIGINT, then completes the requests in flight.
///
/// # Errors
/// If a setting is malformed, the port is in use, or this is Lambda and the feature `lambda` is off.
pub async fn run(router: Router, lookup: &Lookup<'_>) -> Result<(), FatalError> {
    if config::optional(lookup, "AWS_LAMBDA_RUNTIME_API").is_some() {
        return run_on_lambda(router).await;
    }
    let ListenConfig { port } = ListenConfig::from(lookup)?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    tracing::info!(port = listener.local_addr()?.port(), "listening");
    let stop = shutdown_signal()?;
    serve(listener, router.layer(GlobalConcurrencyLimitLayer::new(CONCURRENCY)), stop).await;
    Ok(())
}

#[cfg(feature = "lambda")]
async fn run_on_lambda(router: Router) -> Result<(), FatalError> {
    Ok(lambda_http::run(router).await?)
}

#[cfg(not(feature = "lambda"))]
async fn run_on_lambda(_: Router) -> Result<(), FatalError> {
    Err("this binary does not run on AWS Lambda: deploy those of `scripts/package lambda`".into())
}

/// Resolves at SIGTERM or SIGINT.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves connections of `listener` until `stop` resolves, then completes the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let router = router.layer(map_request(linger));
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_connection(stream, router.clone(), &connections),
                Err(error) => {
                    // Probably no file descriptors are left; closing connections frees some.
                    tracing::warn!(%error, "accepting a connection failed");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    tracing::info!("shutting down");
    if timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not complete before the shutdown timeout");
    }
}

fn serve_connection(stream: TcpStream, router: Router, connections: &GracefulShutdown) {
    // Responses are small and written at once: Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HYPER_MAX_HEADER)
        .max_headers(HYPER_MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        // A client that disconnects is not an error of the service.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended with an error");
        }
    });
}
