//! One connection that is kept alive.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::result::Result;

/// A request to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) body: String,
    pub(crate) status: StatusCode,
}

/// An open connection.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    /// The body of the answer, which must have the expected status.
    pub(crate) async fn send(&mut self, ask: &Ask) -> Result<Bytes> {
        let mut request =
            Request::builder().method(ask.method).uri(&ask.path).header(header::HOST, &self.host);
        if let Some(token) = &ask.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::from(ask.body.clone()))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != ask.status {
            let Ask { method, path, .. } = ask;
            return Err(format!(
                "{method} {path} of {}: {status}: {}",
                self.host,
                String::from_utf8_lossy(&body)
            )
            .into());
        }
        Ok(body)
    }
}
