//! The command line.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    add::{self, AddArgs},
    banner,
    data_dir::DataDir,
    demo,
    issuer::TokenIssuer,
    job_process, logs,
    stack::{LocalStack, StackOptions},
    terminal,
};

/// Run the whole Export Service on this machine, without an account or a cloud
#[derive(Debug, Parser)]
#[command(name = "local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the stack, run the demo and serve until Ctrl-C
    Run(ServeArgs),
    /// Start the stack on a free port, run the demo and exit with 0 if every check passed
    Demo(ServeArgs),
    /// Start the stack and serve until Ctrl-C
    Serve(ServeArgs),
    /// Print a token that is valid for an hour
    Token {
        /// The user that the token is for
        #[arg(long, default_value = "ada")]
        user: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Add a training job for a model of your own, whose folders are linked and not copied
    Add {
        #[command(flatten)]
        model: AddArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove all data of the stack; folders that were added are kept
    Reset(DataArgs),
    /// Run one export; started by the stack for each export
    #[command(hide = true)]
    Job,
}

#[derive(Debug, Args)]
struct DataArgs {
    /// The folder for all data of the stack
    #[arg(long, env = "LOCAL_DATA_DIR", default_value = ".local")]
    data_dir: PathBuf,
    /// The Firebase project that tokens are issued for
    #[arg(long, env = "PROJECT_ID", default_value = "demo-export")]
    project: String,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The port on 127.0.0.1, or 0 for any free port
    #[arg(long, env = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    data: DataArgs,
}

impl ServeArgs {
    fn options(self, default_port: u16) -> StackOptions {
        let DataArgs { data_dir, project } = self.data;
        StackOptions { port: self.port.unwrap_or(default_port), data_dir, project }
    }
}

/// The default port of `run` and `serve`.
const PORT: u16 = 8080;

/// Runs the command on the command line and returns its exit code.
pub async fn main() -> ExitCode {
    // HTTP clients need one; a library may have installed it
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args.options(PORT)).await,
        Command::Demo(args) => demo(&args.options(0)).await,
        Command::Serve(args) => serve(&args.options(PORT)).await,
        Command::Token { user, data } => token(&user, &data),
        Command::Add { model, data } => add(model, &data).await,
        Command::Reset(data) => reset(&data),
        Command::Job => job_process::run().await,
    };
    done.unwrap_or_else(|error| {
        terminal::failure(&error);
        ExitCode::FAILURE
    })
}

async fn run(options: &StackOptions) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    tokio::pin!(stop);
    let stack = start(options).await?;
    banner::show(&stack)?;
    let finished = tokio::select! {
        shown = demo::run(&stack) => {
            if let Err(error) = shown {
                terminal::failure(&error);
            }
            true
        }
        () = &mut stop => false,
    };
    if finished {
        banner::serving(&stack);
        stop.await;
    }
    banner::stopping(&stack);
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn demo(options: &StackOptions) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let stack = start(options).await?;
    let shown = tokio::select! {
        shown = demo::run(&stack) => shown,
        () = stop => Err(anyhow::anyhow!("the demo was interrupted")),
    };
    stack.stop().await;
    shown.map(|()| ExitCode::SUCCESS)
}

async fn serve(options: &StackOptions) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let stack = start(options).await?;
    banner::show(&stack)?;
    banner::serving(&stack);
    stop.await;
    banner::stopping(&stack);
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn token(user: &str, data: &DataArgs) -> anyhow::Result<ExitCode> {
    let dir = DataDir::existing(&data.data_dir)?;
    let issuer = TokenIssuer::load_or_create(&dir.keys(), &data.project)?;
    terminal::line(&issuer.token(&user.parse().context("--user")?)?);
    Ok(ExitCode::SUCCESS)
}

async fn add(model: AddArgs, data: &DataArgs) -> anyhow::Result<ExitCode> {
    let dir = DataDir::open(&data.data_dir)?;
    let added = add::add(&dir, model).await?;
    terminal::success(&format!("the training job {} of {}", added.id, added.user));
    if let Some(taken) = added.taken {
        terminal::note(&format!("another job has the id {taken}"));
    }
    if let Some(base) = added.base {
        terminal::note(&format!("its base model: {base}"));
    }
    terminal::note("The page lists it: `make run` starts the stack, if it is not running.");
    Ok(ExitCode::SUCCESS)
}

fn reset(data: &DataArgs) -> anyhow::Result<ExitCode> {
    if !data.data_dir.exists() {
        terminal::line(&format!("nothing to remove: {} does not exist", data.data_dir.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let dir = DataDir::existing(&data.data_dir)?;
    dir.reset(|path| terminal::line(&format!("removing {}", path.display())))?;
    Ok(ExitCode::SUCCESS)
}

async fn start(options: &StackOptions) -> anyhow::Result<LocalStack> {
    let dir = DataDir::open(&options.data_dir)?;
    let log = std::fs::File::options().create(true).append(true).open(dir.stack_log())?;
    logs::init(log);
    LocalStack::start(options).await
}

/// Resolves at Ctrl-C and at SIGTERM.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
