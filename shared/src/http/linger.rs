//! Drains request bodies that a route leaves unread. If a server closes a connection while the client still sends, the
//! client can lose the response (RFC 9112, section 9.6), so the rest of a rejected request is read and discarded.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::Request,
};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, SizeHint};
use tokio::{runtime::Handle, time::timeout};

/// The most bytes that are discarded: Cloud Run accepts no larger body.
const MAX_DISCARDED: usize = 32 << 20;
/// The longest that discarding may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Middleware: what a route leaves unread of the body is read in the background.
pub(crate) async fn linger(request: Request) -> Request {
    request.map(|body| if body.is_end_stream() { body } else { Body::new(LingeringBody(body)) })
}

struct LingeringBody(Body);

impl HttpBody for LingeringBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.0.is_end_stream(), Handle::try_current()) {
            runtime.spawn(timeout(DISCARD_TIMEOUT, discard(std::mem::take(&mut self.0))));
        }
    }
}

async fn discard(body: Body) {
    let mut rest = Limited::new(body, MAX_DISCARDED);
    while let Some(Ok(_)) = rest.frame().await {}
}
