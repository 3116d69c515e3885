//! An Export Service from a terminal: its training jobs and exports, by its public API (docs/API.md).

mod client;
mod download;
mod downloaded;
mod error;
mod export_progress;
mod exports;
mod firebase;
mod follow;
mod jobs;
mod login;
mod plan;
mod request;
mod session;
mod sign_ins;
mod start;
mod unpack;

use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::args::ServiceArgs;
use crate::failure::{Failure, FailureKind};
use crate::runtime;
use crate::signals;
use crate::terminal::Terminal;
use client::ServiceClient;
use session::Session;

pub(crate) use download::download;
pub(crate) use exports::{cancel, history};
pub(crate) use follow::follow;
pub(crate) use jobs::jobs;
pub(crate) use login::{login, logout};
pub(crate) use plan::plan;
pub(crate) use start::start;

/// Runs requests to the service of the arguments. After SIGINT or SIGTERM they stop with this message.
fn with_client<T>(
    args: &ServiceArgs,
    terminal: Terminal,
    interrupted: &str,
    work: impl AsyncFnOnce(&ServiceClient) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = runtime::start()?;
    let client = ServiceClient::new(Session::open(args)?, terminal)?;
    until_interrupted(&runtime, interrupted, work(&client))
}

fn until_interrupted<T>(
    runtime: &Runtime,
    message: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    signals::begin_work();
    let interrupted = async {
        while !signals::is_interrupted() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = interrupted => Err(Failure::new(FailureKind::Interrupted, message)),
        }
    })
}

/// The text of a field, without control characters, which a terminal would obey.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

/// A fact in an indented line.
fn fact(name: &str, value: impl std::fmt::Display) -> String {
    format!("  {name:9}  {value}")
}
