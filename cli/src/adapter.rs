//! `gemma-export adapter`

use std::path::Path;
use std::time::Instant;

use engine::{AdapterConfig, AdapterPlan, Discard, LocalOutput, Stage};
use serde_json::json;

use crate::args::{AdapterArgs, EngineArgs, RunArgs};
use crate::failure::Failure;
use crate::model::open_adapter;
use crate::output_folder::OutputFolder;
use crate::progress::Run;
use crate::push::{ExportKind, PlannedPush, PreparedPush};
use crate::report::{self, ExportSummary};
use crate::sources::{HubName, Sources};
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &AdapterArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let started = Instant::now();
    args.out.iter().try_for_each(|out| OutputFolder::check_early(out, args.force))?;
    let sources = Sources::new(terminal);
    let (adapter, _) = open_adapter(&args.adapter, &sources)?;
    let base_model = base_model(args, adapter.config(), terminal)?;
    let plan = AdapterPlan::new(&adapter, base_model.as_deref())?;
    let names = plan.files().iter().map(|file| file.name.clone()).collect();
    let planned = PlannedPush { kind: ExportKind::Adapter, names, base_model: base_model.clone() };
    let push = PreparedPush::new(&args.push, planned, &sources)?;
    let run = Run::new(terminal, EngineArgs::default(), &sources.inputs);
    let (exports, copied) = match &args.out {
        Some(out) => {
            let settings = RunArgs { force: args.force, resume: false, engine: run.engine };
            let folder = OutputFolder::prepare(out, plan.files(), &sources.inputs, &settings)?;
            let copied =
                run.show(Stage::Copying, |run| plan.write(&mut LocalOutput::create(folder.staging())?, run))?;
            folder.commit()?;
            let export = ExportSummary::of_adapter(out, &copied, started.elapsed(), base_model.as_deref())?;
            (vec![export], copied)
        }
        // hashes the files, for the card
        None => (Vec::new(), run.show(Stage::Copying, |run| plan.write(&mut Discard, run))?),
    };
    terminal.findings(&copied.findings);
    let mut summary = report::summary(exports, None);
    summary.figures["findings"] = json!(copied.findings);
    match (push, &args.out) {
        (Some(push), Some(out)) => Ok(push.finish(std::slice::from_ref(out), summary)),
        (Some(push), None) => push.finish_adapter(&plan, &copied, summary),
        (None, _) => Ok(summary),
    }
}

/// The repository of the base model. `None` if the adapter names something else, which others cannot load.
fn base_model(
    args: &AdapterArgs,
    config: &AdapterConfig,
    terminal: Terminal,
) -> Result<Option<String>, Failure> {
    let repo = |name: &str| HubName::parse(name).filter(|name| name.revision.is_none()).map(|name| name.repo);
    if let Some(base) = &args.base {
        let unknown = || {
            Failure::usage(format!(
                "--base {base} is no name of a model on the Hugging Face Hub: give owner/name"
            ))
        };
        return repo(base).map(Some).ok_or_else(unknown);
    }
    let named = config.base_model.as_deref().unwrap_or_default();
    let found = repo(named).filter(|_| !Path::new(named).exists());
    if found.is_none() {
        let what = match named {
            "" => "no base model".to_owned(),
            path => format!("the base model {path:?}, which is no name on the Hugging Face Hub"),
        };
        let problem = format!(
            "adapter_config.json names {what}: give --base owner/name, so that others can load the adapter"
        );
        if args.push.push.is_some() {
            return Err(Failure::usage(problem));
        }
        terminal.warn(&problem);
    }
    Ok(found)
}
