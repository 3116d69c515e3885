//! Checks of the workspace's structure that clippy has no lint for: `cargo run --package xtask -- structure`.
//!
//! ```text
//! workspace ──► module_tree ─┬► path_uses, root_names ─► module_graph ─► circles ─┐
//! (cargo        (syn)        └► declarations ─┬► type_names ◄── glossary ─────────┼─► structure
//!  metadata)                                  └► retired_names ───────────────────┘
//! ```

mod circles;
mod declarations;
mod glossary;
mod module_graph;
mod module_tree;
mod path_uses;
mod retired_names;
mod root_names;
mod structure;
#[cfg(test)]
mod testing;
mod type_names;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

/// Checks of the workspace's structure
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check module circles, type names and retired names in the source of every crate
    Structure {
        /// Also list the type names of one word
        #[arg(long)]
        list: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Task::Structure { list } = CommandLine::parse().task;
    let report = structure::check(&Workspace::load()?)?;
    println!("{}", report.summary(list));
    for violation in &report.violations {
        eprintln!("\n{violation}");
    }
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
