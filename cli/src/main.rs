//! The `gemma-export` command: the engine by hand, on local folders.

mod args;
mod gguf;
mod inspect;
mod lora;
mod merge;
mod place;
mod report;
mod verify;
mod watch;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Command::Merge(args) => merge::run(args),
        Command::Gguf(args) => gguf::run(args),
        Command::Lora(args) => lora::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Inspect(args) => inspect::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error with everything that led to it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
