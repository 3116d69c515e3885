//! `gemma-export completions` and `gemma-export man`: what packages install beside the command.

use std::fs;

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::{CommandLine, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::signals;
use crate::terminal::Summary;

/// The script that completes the command's arguments in a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Summary, Failure> {
    let mut command = CommandLine::command();
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(args.shell, &mut command, &name, &mut script);
    // clap_complete 4.6 writes the hyphen of the name in two ways in the script for bash, which then completes no subcommand
    let script =
        String::from_utf8_lossy(&script).replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    let figures = json!({ "shell": args.shell.to_string(), "script": script });
    Ok(Summary { verbatim: script, figures, ..Summary::default() })
}

/// A page for the command and each of its subcommands.
pub(crate) fn man(args: &ManArgs) -> Result<Summary, Failure> {
    let shown = args.out.display();
    signals::begin_work();
    fs::create_dir_all(&args.out)
        .map_err(|e| Failure::unwritable(format_args!("cannot create {shown}"), &e))?;
    clap_mangen::generate_to(CommandLine::command(), &args.out)
        .map_err(|e| Failure::unwritable(format_args!("cannot write man pages to {shown}"), &e))?;
    let figures = json!({ "path": args.out });
    Ok(Summary { lines: vec![format!("man pages in {shown}")], figures, ..Summary::default() })
}
