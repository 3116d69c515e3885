//! `gemma-export jobs`

use serde_json::{Value, json};

use super::client::ApiRequest;
use super::{fact, text, with_client};
use crate::args::JobsArgs;
use crate::failure::Failure;
use crate::next_step::quoted_word;
use crate::terminal::{Summary, Terminal};

pub(crate) fn jobs(args: &JobsArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let answer = with_client(&args.service, terminal, "interrupted", async |client| {
        let mut request = ApiRequest::get(["exports"]).query("page_size", args.page.page_size);
        if let Some(token) = &args.page.page_token {
            request = request.query("page_token", token);
        }
        Ok(client.send(&request).await?)
    })?;
    let next = answer.next.as_ref().and_then(|next| {
        let token = next.query_pairs().find(|(name, _)| name == "page_token");
        token.map(|(_, token)| token.into_owned())
    });
    let jobs = answer.body.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = jobs.iter().flat_map(describe).collect();
    if lines.is_empty() {
        lines.push("no completed training jobs".to_owned());
    }
    let size = args.page.page_size;
    let next_steps = next
        .iter()
        .map(|token| format!("gemma-export jobs --page-size {size} --page-token {}", quoted_word(token)));
    Ok(Summary {
        lines,
        next_steps: next_steps.collect(),
        figures: json!({ "jobs": answer.body, "next_page_token": next }),
        ..Summary::default()
    })
}

fn describe(job: &Value) -> Vec<String> {
    let mut lines = vec![text(&job["job_id"])];
    for (name, field) in [("name", "job_name"), ("base", "base_model_id"), ("created", "created_at")] {
        if job[field].is_string() {
            lines.push(fact(name, text(&job[field])));
        }
    }
    let made = |variant: &str| {
        let kinds = job["artifacts"][variant].as_object().into_iter().flatten();
        kinds.filter(|(_, path)| path.is_string())
    };
    let files: Vec<&str> = made("file").map(|(kind, _)| kind.as_str()).collect();
    if !files.is_empty() {
        lines.push(fact("files", files.join(", ")));
    }
    lines.extend(made("hf").map(|(_, repo)| fact("hub", text(repo))));
    lines
}
