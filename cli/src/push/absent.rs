//! In place of what pushes, in a build without it.

use std::path::PathBuf;

use engine::{AdapterPlan, CopiedAdapter};

use super::PlannedPush;
use crate::args::{PushArgs, PushOptions};
use crate::failure::Failure;
use crate::sources::Sources;
use crate::terminal::{Summary, Terminal};

/// Never made: whoever asks for one is told what to do.
pub(crate) enum AbsentPush {}

impl AbsentPush {
    pub(crate) fn new(
        options: &PushOptions,
        _planned: PlannedPush,
        _sources: &Sources,
    ) -> Result<Option<Self>, Failure> {
        if options.push.is_some() { Err(absent()) } else { Ok(None) }
    }

    pub(crate) fn finish_adapter(
        &self,
        _plan: &AdapterPlan,
        _hashed: &CopiedAdapter,
        _summary: Summary,
    ) -> Result<Summary, Failure> {
        match *self {}
    }

    pub(crate) fn finish(&self, _paths: &[PathBuf], _summary: Summary) -> Summary {
        match *self {}
    }
}

pub(crate) fn run(_args: &PushArgs, _terminal: Terminal) -> Result<Summary, Failure> {
    Err(absent())
}

fn absent() -> Failure {
    Failure::usage(
        "this build of gemma-export cannot push: install one with the feature `push`, which releases and \
         `cargo install --locked --path cli` have",
    )
}
