//! `gemma-export check`

use engine::report::ExportWarning;
use engine::{
    Finding, LeftOut, Model, Severity, Stage, TurnEnd, TurnEndProbability, check_adapter_values,
    check_serving, measure_turn_end,
};
use serde_json::json;

use crate::args::CheckArgs;
use crate::failure::{Failure, FailureKind};
use crate::model::{OpenModel, open_model};
use crate::progress::Run;
use crate::sources::Sources;
use crate::survival::read_prompts;
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &CheckArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let sources = Sources::new(terminal);
    let OpenModel { model, title, .. } = open_model(args.base.as_deref(), args.adapter.as_deref(), &sources)?;
    let run = Run::new(terminal, args.engine, &sources.inputs);
    let (turn_end, left_out) = turn_end(args, &model, run)?;
    let mut findings: Vec<Finding> = turn_end.finding().into_iter().collect();
    if let Some(adapter) = model.adapter() {
        findings.extend(run.show(Stage::Verifying, |run| check_adapter_values(adapter, run))?);
    }
    findings.extend(ExportWarning::of_adapter(&model).into_iter().map(of_adapter));
    findings.extend(check_serving(&model)?);
    let mut lines = vec![title];
    lines.extend(turn_end.probability().as_ref().map(probability));
    lines.extend(left_out.as_ref().map(|left_out| format!("  prompts {left_out}")));
    lines.extend(described(&findings));
    let least = if args.strict { Severity::Warning } else { Severity::Error };
    let count = findings.iter().filter(|finding| finding.severity >= least).count();
    let failure = (count > 0).then(|| {
        let what =
            if count == 1 { "1 finding: correct it" } else { &format!("{count} findings: correct them") };
        let message = format!("{what}, or the model is not served as it was trained");
        Failure::new(FailureKind::Finding, message)
    });
    let figures =
        json!({ "findings": findings, "turn_end": turn_end.probability(), "prompts_left_out": left_out });
    Ok(Summary { lines, figures, failure, ..Summary::default() })
}

/// What exports warn of.
fn of_adapter(ExportWarning { code, message }: ExportWarning) -> Finding {
    let remedy = "compare adapter_config.json with the training, or save the adapter again";
    Finding { code, severity: Severity::Warning, message, remedy }
}

/// The end of the answers to `--prompts`, if there are any, and the prompts that were left out.
fn turn_end(args: &CheckArgs, model: &Model, run: Run<'_>) -> Result<(TurnEnd, Option<LeftOut>), Failure> {
    let Some(path) = &args.prompts else { return Ok((TurnEnd::None, None)) };
    engine::check_comparable(model)?;
    let prompts = read_prompts(path)?;
    run.show(Stage::Verifying, |run| measure_turn_end(model, &prompts, run))
}

fn probability(measured: &TurnEndProbability) -> String {
    let TurnEndProbability { answers, fine_tuned, base } = measured;
    let base = base.map(|base| format!(", {base:.3} in the base")).unwrap_or_default();
    format!("  turn end probability {fine_tuned:.3} after {answers} answers{base}")
}

fn described(findings: &[Finding]) -> Vec<String> {
    if findings.is_empty() {
        return vec!["  \u{2713} no finding".to_owned()];
    }
    let line = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        [
            format!("  {severity:8} {}: {}", finding.code, finding.message),
            format!("  {:8} {}", "", finding.remedy),
        ]
    };
    findings.iter().flat_map(line).collect()
}
