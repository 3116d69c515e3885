//! Runs a router: as an HTTP server on `$PORT`, or behind the Lambda runtime API where there is one.

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

use crate::{
    config::{self, Listen, Lookup},
    http::linger,
};

/// How long a connection may take to send a request's head, and may idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head, in bytes: room for a token that is far too long, so that it gets its 401.
const MAX_HEAD: usize = 128 * 1024;
/// The most header fields of one request.
const MAX_FIELDS: usize = 100;
/// How long requests in flight may take after SIGTERM. Cloud Run kills after 10 s.
const DRAIN: Duration = Duration::from_secs(9);

/// Why a process ends. Its `Debug` is for people: that is what `main` prints of it.
pub struct Fatal(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Fatal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Fatal {
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

/// Serves until SIGTERM or SIGINT, then finishes what is in flight.
///
/// # Errors
/// When a setting is malformed or the port is taken.
pub async fn run(router: Router, lookup: &Lookup<'_>) -> Result<(), Fatal> {
    if config::optional(lookup, "AWS_LAMBDA_RUNTIME_API").is_some() {
        return Ok(lambda_http::run(router).await?);
    }
    let Listen { port } = Listen::from(lookup)?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    tracing::info!(port = listener.local_addr()?.port(), "listening");
    let stop = stopped()?;
    serve(listener, router, stop).await;
    Ok(())
}

/// Resolves when the process is told to end, by SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves connections of `listener` until `stop` is ready, then finishes what is in flight.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let router = router.layer(map_request(linger));
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_connection(stream, router.clone(), &connections),
                Err(error) => {
                    // Out of file descriptors, most likely: connections that end give some back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    tracing::info!("stopping");
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

fn serve_connection(stream: TcpStream, router: Router, connections: &GracefulShutdown) {
    // Answers are small and written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        // A peer that went away is not an error of ours.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}
