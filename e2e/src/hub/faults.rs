//! Configurable failures.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::Answer;

/// A step in reading or writing a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// `GET /api/models/…`
    Info,
    /// `GET /api/models/…/tree/…`
    Tree,
    /// `HEAD …/resolve/…`
    Resolve,
    /// `GET …/resolve/…`
    Download,
    /// `GET` of a signed link.
    Storage,
    /// `POST /api/repos/create`
    Create,
    /// `POST /api/models/…/preupload/…`
    Preupload,
    /// `POST ….git/info/lfs/objects/batch`
    Batch,
    /// `GET /api/models/…/xet-write-token/…`
    WriteToken,
    /// `GET /api/models/…/xet-read-token/…`
    ReadToken,
    /// `POST /api/models/…/commit/…`
    Commit,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Returns that status, in no words of the Hub.
    Status(u16),
    /// Returns that error response.
    Answer(Answer),
    /// Returns 429 in the Hub's words but without a header; a `HEAD` succeeds, and has that quota in its header.
    QuotaInHead(&'static str),
    /// Returns that error for the first file (batch only).
    FileError(Answer),
    /// Does as asked, and then returns 504 (commit only).
    LosesAnswer,
    /// Does as asked, and then closes the connection without an answer.
    Drops,
    /// Closes the connection in the middle of the answer's body.
    Truncates,
    /// Redirects to itself.
    RedirectLoop,
    /// Redirects to another server.
    RedirectAway,
    /// Somebody else commits `other.txt` first (commit only).
    OtherCommit,
    /// Returns 504 after that time.
    Slow(Duration),
    /// Does not offer Xet (batch only).
    NoXet,
    /// Reports success but loses one of the commit's files (commit only).
    LosesFile,
    /// Returns a write token for an unreachable Xet store (write token only).
    DeadStore,
}

#[derive(Default)]
pub(super) struct Faults(Mutex<StepCounts>);

#[derive(Default)]
struct StepCounts {
    faults: HashMap<Step, PlannedFault>,
    asked: HashMap<Step, usize>,
}

struct PlannedFault {
    fault: Fault,
    /// Requests that succeed before the first that fails.
    after: usize,
    /// Requests that fail.
    times: usize,
}

impl Faults {
    pub(super) fn set(&self, step: Step, fault: Fault, after: usize, times: usize) {
        self.lock().faults.insert(step, PlannedFault { fault, after, times });
    }

    pub(super) fn asked(&self, step: Step) -> usize {
        self.lock().asked.get(&step).copied().unwrap_or(0)
    }

    /// Counts a request and returns its configured failure.
    pub(super) fn next(&self, step: Step) -> Option<Fault> {
        let StepCounts { faults, asked } = &mut *self.lock();
        *asked.entry(step).or_default() += 1;
        let planned = faults.get_mut(&step)?;
        if let Some(after) = planned.after.checked_sub(1) {
            planned.after = after;
            return None;
        }
        planned.times = planned.times.checked_sub(1)?;
        Some(planned.fault)
    }

    fn lock(&self) -> MutexGuard<'_, StepCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// The response that replaces the real one, if the fault replaces it.
    pub(super) async fn response(self) -> Option<Response> {
        match self {
            Self::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Some((status, "configured failure").into_response())
            }
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Some(StatusCode::GATEWAY_TIMEOUT.into_response())
            }
            Self::Answer(answer) => Some(answer.into_response()),
            Self::QuotaInHead(_)
            | Self::FileError(_)
            | Self::NoXet
            | Self::LosesAnswer
            | Self::Drops
            | Self::Truncates
            | Self::RedirectLoop
            | Self::RedirectAway
            | Self::OtherCommit
            | Self::LosesFile
            | Self::DeadStore => None,
        }
    }

    /// What becomes of the real response to the request for `uri`.
    pub(super) async fn spoil(self, response: Response, uri: &str) -> Response {
        match self {
            // unwinding closes the connection
            Self::Drops => std::panic::resume_unwind(Box::new("a configured failure")),
            Self::Truncates => truncated(response).await,
            Self::RedirectLoop => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, uri)]).into_response(),
            Self::RedirectAway => {
                let elsewhere = format!("http://127.0.0.1:9{uri}");
                (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, elsewhere)]).into_response()
            }
            Self::Status(_)
            | Self::Answer(_)
            | Self::Slow(_)
            | Self::QuotaInHead(_)
            | Self::FileError(_)
            | Self::NoXet
            | Self::LosesAnswer
            | Self::OtherCommit
            | Self::LosesFile
            | Self::DeadStore => response,
        }
    }
}

/// Half of the body, and then an error, which closes the connection.
async fn truncated(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let mut body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    body.truncate(body.len() / 2);
    let parts = [Ok(body), Err(io::Error::other("a configured failure"))];
    Response::from_parts(head, Body::from_stream(stream::iter(parts)))
}
