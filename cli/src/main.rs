//! The `gemma-export` command: the engine on folders and on models of the Hugging Face Hub, and an Export Service from a terminal.

mod adapter;
mod args;
mod base_revision;
mod check;
mod disk_space;
mod earlier_export;
mod failure;
mod gguf;
mod imatrix;
mod inputs;
mod inspect;
mod kept;
mod lora;
mod merge;
mod model;
mod next_step;
mod output_folder;
mod outputs;
mod paths;
mod progress;
mod push;
mod replacement;
mod report;
mod runtime;
mod secret_line;
mod service;
mod shell;
mod signals;
mod sources;
mod survival;
mod tensor_types;
mod terminal;
mod usage;
mod verify;

use std::process::ExitCode;

use args::{CommandLine, ExportCommand};
use failure::Failure;
use terminal::{Summary, Terminal};

fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    let CommandLine { command, output } = match usage::parse(terminal::width()) {
        Ok(parsed) => parsed,
        Err(error) => return terminal::end_usage(&error, std::env::args_os()),
    };
    let terminal = Terminal::new(&output);
    let result = signals::handle(terminal).and_then(|()| run(&command, terminal));
    signals::begin_printing();
    terminal.end(result)
}

fn run(command: &ExportCommand, terminal: Terminal) -> Result<Summary, Failure> {
    match command {
        ExportCommand::Merge(args) => merge::run(args, terminal),
        ExportCommand::Gguf(args) => gguf::run(args, terminal),
        ExportCommand::Lora(args) => lora::run(args, terminal),
        ExportCommand::Adapter(args) => adapter::run(args, terminal),
        ExportCommand::Verify(args) => verify::run(args, terminal),
        ExportCommand::Check(args) => check::run(args, terminal),
        ExportCommand::Imatrix(args) => imatrix::run(args, terminal),
        ExportCommand::Inspect(args) => inspect::run(args, terminal),
        ExportCommand::Push(args) => push::run(args, terminal),
        ExportCommand::Login(args) => service::login(args, terminal),
        ExportCommand::Logout(args) => service::logout(args),
        ExportCommand::Jobs(args) => service::jobs(args, terminal),
        ExportCommand::Plan(args) => service::plan(args, terminal),
        ExportCommand::Start(args) => service::start(args, terminal),
        ExportCommand::Follow(args) => service::follow(args, terminal),
        ExportCommand::History(args) => service::history(args, terminal),
        ExportCommand::Cancel(args) => service::cancel(args, terminal),
        ExportCommand::Download(args) => service::download(args, terminal),
        ExportCommand::Completions(args) => shell::completions(args),
        ExportCommand::Man(args) => shell::man(args),
    }
}
