//! The arguments of this process, with usage lines that fit into the terminal, as all else that clap prints does.

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::args::CommandLine;
use crate::terminal::wrapped;

/// Parses the arguments for a terminal with that many columns.
///
/// # Errors
/// What clap says about them, help among it.
pub(crate) fn parse(width: Option<usize>) -> Result<CommandLine, clap::Error> {
    CommandLine::from_arg_matches(&command(width).try_get_matches()?)
}

fn command(width: Option<usize>) -> Command {
    let mut command = CommandLine::command();
    // gives the subcommands the name of the program
    command.build();
    with_wrapped_usage(command, width).mut_subcommands(|subcommand| with_wrapped_usage(subcommand, width))
}

fn with_wrapped_usage(mut command: Command, width: Option<usize>) -> Command {
    let usage = wrapped(&command.render_usage().to_string(), width);
    match usage.strip_prefix("Usage: ") {
        Some(usage) if usage.contains('\n') => command.override_usage(usage.to_owned()),
        _ => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_have_the_same_lines_in_a_narrow_terminal() {
        let statuses = |width| {
            let help = command(Some(width)).term_width(width).render_help().to_string();
            help.split_once("Exit status:").unwrap().1.split("\n\n").next().unwrap().to_owned()
        };
        assert_eq!(statuses(40), statuses(100));
    }

    #[test]
    fn usage_fits_into_a_narrow_terminal() {
        let width = 40;
        for name in CommandLine::command().get_subcommands().map(Command::get_name) {
            let error =
                command(Some(width)).try_get_matches_from(["gemma-export", name, "--help"]).unwrap_err();
            let help = error.to_string();
            let (_, usage) = help.split_once("Usage: ").unwrap();
            let usage = format!("Usage: {}", usage.split("\n\n").next().unwrap());
            assert!(usage.lines().all(|line| line.len() <= width), "{usage}");
            assert!(usage.starts_with(&format!("Usage: gemma-export {name}")), "{usage}");
        }
    }
}
