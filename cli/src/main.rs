//! The `gemma-export` command: the engine on local folders.

mod args;
mod base_revision;
mod earlier_export;
mod gguf;
mod inputs;
mod inspect;
mod lora;
mod merge;
mod model;
mod output_folder;
mod outputs;
mod paths;
mod progress;
mod replacement;
mod report;
mod survival;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use args::{CommandLine, ExportCommand};
use clap::Parser;

/// The exit status of an export that is complete and keeps less of the fine-tune than it must.
const BELOW_MINIMUM: u8 = 3;

fn main() -> ExitCode {
    let result = match &CommandLine::parse().command {
        ExportCommand::Merge(args) => merge::run(args),
        ExportCommand::Gguf(args) => gguf::run(args),
        ExportCommand::Lora(args) => lora::run(args),
        ExportCommand::Verify(args) => verify::run(args),
        ExportCommand::Inspect(args) => inspect::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::warn(&format!("error: {}", with_causes(&*error)));
            if error.is::<survival::BelowMinimum>() {
                ExitCode::from(BELOW_MINIMUM)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The error and its causes, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if error.downcast_ref().is_some_and(engine::Error::is_non_finite) {
        text.push_str(" (--allow-non-finite exports it anyway)");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
