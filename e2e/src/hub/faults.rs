//! What goes wrong, on purpose.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// A step of reading or writing a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// `GET /api/models/…`
    Info,
    /// `GET /api/models/…/tree/…`
    Tree,
    /// `GET …/resolve/…`
    Download,
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
    /// `POST /api/models/…/paths-info/…`
    PathsInfo,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with that status.
    Status(u16),
    /// Answers after that time, with 504.
    Slow(Duration),
    /// Offers no Xet (batch only).
    NoXet,
    /// Says that it took the files, and has lost one (commit only).
    LosesFile,
    /// Hands out a write token for a Xet store that is not there (write token only).
    DeadStore,
}

#[derive(Default)]
pub(super) struct Faults(Mutex<Steps>);

#[derive(Default)]
struct Steps {
    faults: HashMap<Step, (Fault, usize)>,
    asked: HashMap<Step, usize>,
}

impl Faults {
    pub(super) fn set(&self, step: Step, fault: Fault, times: usize) {
        self.lock().faults.insert(step, (fault, times));
    }

    pub(super) fn asked(&self, step: Step) -> usize {
        self.lock().asked.get(&step).copied().unwrap_or(0)
    }

    /// Counts a request, and answers the fault that it is to have.
    pub(super) fn next(&self, step: Step) -> Option<Fault> {
        let Steps { faults, asked } = &mut *self.lock();
        *asked.entry(step).or_default() += 1;
        let (fault, left) = faults.get_mut(&step)?;
        *left = left.checked_sub(1)?;
        Some(*fault)
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// The answer that this fault gives in place of the real one, if it is that kind of fault.
    pub(super) async fn answer(self) -> Option<Response> {
        match self {
            Self::Status(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Some((status, "told to fail").into_response())
            }
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Some(StatusCode::GATEWAY_TIMEOUT.into_response())
            }
            Self::NoXet | Self::LosesFile | Self::DeadStore => None,
        }
    }
}
