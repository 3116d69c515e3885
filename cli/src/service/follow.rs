//! `gemma-export follow`: the progress of an export until it ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{ApiRequest, ServiceClient};
use super::export_progress::ExportProgress;
use super::exports::{describe, files};
use super::{text, with_client};
use crate::args::FollowArgs;
use crate::failure::{Failure, FailureKind};
use crate::next_step::quoted_word;
use crate::terminal::{Summary, Terminal};

/// Time between two requests; the first come sooner, because a small model is exported in seconds.
const INTERVAL: Duration = Duration::from_secs(10);

pub(crate) fn follow(args: &FollowArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let job = &args.export.job;
    let message =
        format!("interrupted: the export goes on; `gemma-export cancel {}` cancels it", quoted_word(job));
    with_client(&args.service, terminal, &message, async |client| {
        let id = match &args.export.export {
            Some(id) => id.clone(),
            None => running(client, job).await?,
        };
        Ok(summary(job, until_end(client, job, &id).await?))
    })
}

/// The newest export of a job that is running.
async fn running(client: &ServiceClient, job: &str) -> Result<String, Failure> {
    let page = client.send(&ApiRequest::get(["exports", job, "history"])).await?.body;
    let running =
        page["exports"].as_array().into_iter().flatten().find(|export| export["status"] == "running");
    running.map(|export| text(&export["export_id"])).ok_or_else(|| {
        Failure::input(format!(
            "{job} has no running export: `gemma-export history {}` lists its exports",
            quoted_word(job)
        ))
    })
}

/// Shows the progress of an export, and returns it when it has ended. A lost network is waited for.
pub(crate) async fn until_end(client: &ServiceClient, job: &str, id: &str) -> Result<Value, Failure> {
    let mut progress = ExportProgress::new(client.terminal);
    let mut delay = Duration::from_millis(500);
    loop {
        match client.send(&ApiRequest::get(["exports", job, "history", id])).await {
            Ok(answer) if answer.body["status"] != "running" => {
                progress.finish();
                return Ok(answer.body);
            }
            Ok(answer) => progress.show(&answer.body, Instant::now()),
            Err(error) if error.is_transient() => {
                client.terminal.note(&format!("{}: following goes on", Failure::from(error)));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(INTERVAL);
    }
}

/// The result of an export that has ended.
pub(crate) fn summary(job: &str, export: Value) -> Summary {
    let message = || text(&export["failure"]["message"]);
    let failure = match (export["status"].as_str(), export["failure"]["code"].as_str()) {
        (Some("completed"), _) => None,
        (_, Some("cancelled")) => {
            Some(Failure::new(FailureKind::ExportCancelled, "the export was cancelled"))
        }
        _ => Some(Failure::new(FailureKind::ExportFailed, format!("the export has failed: {}", message()))),
    };
    let has_files = files(&export).next().is_some();
    let download =
        || vec![format!("gemma-export download {} {}", quoted_word(job), text(&export["export_id"]))];
    let next_steps = match (&failure, has_files) {
        (Some(_), _) => Vec::new(),
        (None, true) => download(),
        (None, false) => on_the_hub(&export),
    };
    Summary { lines: describe(&export), next_steps, figures: export, failure, ..Summary::default() }
}

/// Commands for an export that is on the Hub only.
fn on_the_hub(export: &Value) -> Vec<String> {
    let repo = text(&export["hf_repo_id"]);
    match (export["type"].as_str(), export["gguf_kind"].as_str()) {
        _ if repo.is_empty() => Vec::new(),
        (Some("gguf"), Some("lora")) => vec![format!("hf download {}", quoted_word(&repo))],
        (Some("gguf"), _) => vec![format!("ollama run hf.co/{repo}"), format!("llama-server -hf {repo}")],
        (Some("merged"), _) => vec![format!("vllm serve {repo}")],
        _ => vec![format!("gemma-export inspect {repo}")],
    }
}
