//! What the fake gRPC servers have in common.

use std::{convert::Infallible, net::SocketAddr};

use gcloud_sdk::{
    prost::Message,
    tonic::{body::Body, server::Grpc},
};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A server on a loopback port. It stops when dropped.
pub(super) struct GrpcServer {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl GrpcServer {
    /// Starts a server that runs `connection` for each connection.
    pub(super) async fn start<F>(connection: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream));
            }
        });
        Self { address, server }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers the requests of one connection until it ends.
pub(super) async fn serve<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        let response = answer(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.serve_connection(TokioIo::new(stream), service).await.ok();
}

/// A method with requests `Q` and responses `R`.
pub(super) fn method<Q, R>() -> Grpc<tonic_prost::ProstCodec<R, Q>>
where
    Q: Message + Default + Send + 'static,
    R: Message + Send + 'static,
{
    Grpc::new(tonic_prost::ProstCodec::default())
}
