//! `gemma-export plan`

use std::time::Duration;

use indicatif::{DecimalBytes, HumanDuration};
use serde_json::Value;

use super::client::ApiRequest;
use super::{fact, request, text, with_client};
use crate::args::PlanArgs;
use crate::failure::Failure;
use crate::terminal::{Summary, Terminal};

pub(crate) fn plan(args: &PlanArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let body = request::body(&args.request)?;
    let plan = with_client(&args.service, terminal, "interrupted", async |client| {
        Ok(client.send(&ApiRequest::post(["plans"], Some(body))).await?.body)
    })?;
    for warning in plan["warnings"].as_array().into_iter().flatten() {
        terminal.warn(&text(&warning["message"]));
    }
    Ok(Summary { lines: describe(&args.request.job, &plan), figures: plan, ..Summary::default() })
}

fn describe(job: &str, plan: &Value) -> Vec<String> {
    let mut lines = vec![job.to_owned()];
    for file in plan["files"].as_array().into_iter().flatten() {
        let size = file["bytes"].as_u64().map(|bytes| format!("  {}", DecimalBytes(bytes)));
        lines.push(fact("file", text(&file["name"]) + &size.unwrap_or_default()));
    }
    let types = plan["types"].as_array().into_iter().flatten();
    let types: Vec<_> = types.map(|one| format!("{} {}", one["tensors"], text(&one["type"]))).collect();
    if !types.is_empty() {
        lines.push(fact("types", types.join(", ")));
    }
    let bytes = |field: &str| DecimalBytes(plan[field].as_u64().unwrap_or_default());
    lines.push(fact("reads", bytes("bytes_read")));
    lines.push(fact("writes", bytes("bytes_written")));
    let base = &plan["base"];
    if base.is_object() {
        lines.push(fact("base", format!("{} ({})", text(&base["model"]), text(&base["access"]))));
    }
    let hub = &plan["hub"];
    if hub.is_object() {
        let new = if hub["exists"] == true { "" } else { ", new" };
        let seen = if hub["private"] == true { "private" } else { "public" };
        lines.push(fact("hub", format!("{} ({seen}{new})", text(&hub["repo"]))));
    }
    if plan["reused"] == true {
        lines.push(fact("reused", "the files of an earlier export with the same inputs and options"));
    }
    let estimate = &plan["estimate"];
    if let (Some(seconds), Some(usd)) = (estimate["seconds"].as_f64(), estimate["usd"].as_f64()) {
        let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        lines.push(fact("estimate", format!("{}, {}", HumanDuration(seconds), price(usd))));
    }
    lines
}

/// A price in cents; one below a cent with two digits.
fn price(usd: f64) -> String {
    if usd >= 0.01 || usd <= 0.0 {
        return format!("{usd:.2} USD");
    }
    let decimals = (1.0 - usd.log10().floor()) as usize;
    format!("{usd:.decimals$} USD")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_price_is_not_zero() {
        for (usd, shown) in
            [(0.0, "0.00 USD"), (0.00168, "0.0017 USD"), (0.012, "0.01 USD"), (1.5, "1.50 USD")]
        {
            assert_eq!(price(usd), shown);
        }
    }
}
