//! `gemma-export history` and `gemma-export cancel`, and how an export is shown.

use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::client::ApiRequest;
use super::{fact, text, with_client};
use crate::args::{CancelArgs, HistoryArgs};
use crate::failure::Failure;
use crate::next_step::quoted_word;
use crate::terminal::{Summary, Terminal};

pub(crate) fn history(args: &HistoryArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let page = with_client(&args.service, terminal, "interrupted", async |client| {
        let path = ["exports", &args.job, "history"];
        let mut request = ApiRequest::get(path).query("page_size", args.page.page_size);
        if let Some(token) = &args.page.page_token {
            request = request.query("page_token", token);
        }
        Ok(client.send(&request).await?.body)
    })?;
    let exports = page["exports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = exports.iter().flat_map(describe).collect();
    if lines.is_empty() {
        lines.push(format!("{} has no exports", args.job));
    }
    let (job, size) = (quoted_word(&args.job), args.page.page_size);
    let next_steps = page["next_page_token"].as_str().map(|token| {
        format!("gemma-export history {job} --page-size {size} --page-token {}", quoted_word(token))
    });
    Ok(Summary { lines, next_steps: next_steps.into_iter().collect(), figures: page, ..Summary::default() })
}

pub(crate) fn cancel(args: &CancelArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let message = "interrupted: the export may have been cancelled; `gemma-export history` says so";
    let export = with_client(&args.service, terminal, message, async |client| {
        let body = args.export.export.as_ref().map(|id| json!({ "export_id": id }));
        // without an id, the next export would be cancelled too
        let request = ApiRequest::post(["exports", &args.export.job, "cancel"], body).once();
        client.send(&request).await.map(|answer| answer.body).map_err(|error| match error.refusal() {
            Some(refusal) if refusal.is_of_kind("not-running") => Failure::input(format!(
                "{}: `gemma-export history {}` has the state of each",
                match &args.export.export {
                    Some(id) => format!(
                        "export {id} has ended or is about to be completed, so it cannot be cancelled"
                    ),
                    None => format!("no export of {} is running that could be cancelled", args.export.job),
                },
                quoted_word(&args.export.job)
            )),
            Some(_) | None => error.into(),
        })
    })?;
    Ok(Summary { lines: describe(&export), figures: export, ..Summary::default() })
}

/// The facts of an export, for people.
pub(crate) fn describe(export: &Value) -> Vec<String> {
    let mut kind = text(&export["type"]);
    if export["gguf_kind"] == "lora" {
        kind.push_str(" of the adapter");
    }
    let types: Vec<String> = export["quantizations"].as_array().into_iter().flatten().map(text).collect();
    if !types.is_empty() {
        kind.push_str(&format!(", {}", types.join(", ")));
    }
    let mut lines = vec![
        text(&export["export_id"]),
        fact("export", kind),
        fact("status", text(&export["status"])),
        fact("started", text(&export["started_at"])),
    ];
    for (name, field) in [("finished", "finished_at"), ("hub", "hf_repo_id"), ("message", "message")] {
        if export[field].is_string() {
            lines.push(fact(name, text(&export[field])));
        }
    }
    lines.extend(files(export).map(|file| {
        let size = DecimalBytes(file["bytes"].as_u64().unwrap_or_default());
        fact("file", format!("{}  {size}  {}", text(&file["name"]), text(&file["sha256"])))
    }));
    lines
}

/// The files of an export that can be downloaded.
pub(crate) fn files(export: &Value) -> impl Iterator<Item = &Value> {
    let artifacts = export["artifacts"].as_array().into_iter().flatten();
    let artifacts = artifacts.filter(|artifact| artifact["variant"] == "file");
    artifacts.flat_map(|artifact| artifact["files"].as_array().into_iter().flatten())
}
