//! The rest of a body that nobody reads. A client that is still sending when its connection is closed can lose the
//! answer that was meant for it (RFC 9112, 9.6), so what a refused request goes on to send is read and thrown away.

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

/// The most that is thrown away, in bytes: Cloud Run takes no larger body.
const MOST: usize = 32 << 20;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Makes what a route leaves of its request's body be read in the background.
pub(crate) async fn linger(request: Request) -> Request {
    request.map(|body| if body.is_end_stream() { body } else { Body::new(Lingering(body)) })
}

struct Lingering(Body);

impl HttpBody for Lingering {
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

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.0.is_end_stream(), Handle::try_current()) {
            runtime.spawn(timeout(LONGEST, discard(std::mem::take(&mut self.0))));
        }
    }
}

async fn discard(body: Body) {
    let mut rest = Limited::new(body, MOST);
    while let Some(Ok(_)) = rest.frame().await {}
}
