//! The requests of a store of objects. The store repeats them without a word, also those for a host that does not exist.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use hub_client::{innermost, is_unknown_host};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use crate::signals;
use crate::terminal::Terminal;

/// Connects to hosts, and says when their answers have to be waited for.
#[derive(Debug)]
pub(super) struct NotingConnector(pub(super) Terminal);

impl HttpConnector for NotingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(NotedRequests { client, terminal: self.0, is_waiting: AtomicBool::new(false) }))
    }
}

#[derive(Debug)]
struct NotedRequests {
    client: HttpClient,
    terminal: Terminal,
    /// Whether the last request is repeated, which is noted once until one is answered.
    is_waiting: AtomicBool,
}

impl NotedRequests {
    fn note(&self, host: &str, problem: &str) {
        if !self.is_waiting.swap(true, Ordering::Relaxed) {
            self.terminal.note(&format!("{host} {problem}: trying again"));
        }
    }
}

#[async_trait]
impl HttpService for NotedRequests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match self.client.execute(request).await {
            Err(error) if is_final(&error) => Err(HttpError::new(HttpErrorKind::Unknown, error)),
            Err(error) => {
                self.note(&host, &format!("does not answer ({})", innermost(&error)));
                Err(error)
            }
            Ok(answer) if is_repeated(answer.status().as_u16()) => {
                self.note(&host, &format!("answers {}", answer.status().as_u16()));
                Ok(answer)
            }
            Ok(answer) => {
                self.is_waiting.store(false, Ordering::Relaxed);
                Ok(answer)
            }
        }
    }
}

/// Whether the store repeats a request with this answer.
fn is_repeated(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Whether the same request would fail again, or is no longer wanted.
fn is_final(error: &HttpError) -> bool {
    let may_pass = !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
    !may_pass || signals::is_interrupted() || is_unknown_host(error)
}
