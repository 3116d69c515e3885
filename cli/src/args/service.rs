//! Arguments of the commands that use an Export Service.

use std::path::PathBuf;

use clap::ValueEnum;
use engine::OutputType;

use super::values::{output_type, size};

/// The service
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceArgs {
    /// Address of the service: scheme, host and port [default: GEMMA_EXPORT_SERVICE, else that of the last login]
    #[arg(long, value_name = "URL")]
    pub(crate) service: Option<String>,
}

/// Sign in to an Export Service
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export login \\
    --service https://e.example.com

A prompt asks for an ID token of Firebase Authentication, which is valid for an hour. With --email, Firebase sends a link, whose \
address is pasted here; that sign-in is renewed until `gemma-export logout`.

The sign-in is kept in a file that only you can read, and is sent to this service only. GEMMA_EXPORT_TOKEN is used instead where \
it is set.")]
pub(crate) struct LoginArgs {
    /// Read the token from standard input
    #[arg(long, conflicts_with = "email")]
    pub(crate) token_stdin: bool,
    /// Sign in with a link that is sent to this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// Remove the stored sign-in of a service
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// List your training jobs
#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    #[command(flatten)]
    pub(crate) page: PageArgs,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// List the exports of a training job
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The training job
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// A page of a list
#[derive(Debug, clap::Args)]
pub(crate) struct PageArgs {
    /// Entries of a page, from 1 to 100
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) page_size: u8,
    /// The page after an earlier one, which named this token
    #[arg(long, value_name = "TOKEN")]
    pub(crate) page_token: Option<String>,
}

/// Show what an export would make, and start nothing
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// Start an export
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export start my-job \\
    --quant q8_0,q4_k_m --follow

A request that gets no answer is repeated with the same key, and starts one export. With --follow, Ctrl-C ends following and not \
the export. An export that fails ends the command with exit status 9, one that was cancelled with 10.")]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// Follow the export until it ends
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// What to export
#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// The training job
    pub(crate) job: String,
    /// What to make of it
    #[arg(long = "type", value_name = "TYPE", default_value = "gguf")]
    pub(crate) kind: RequestedType,
    /// Quantization types of a GGUF, separated by commas [default: q8_0; f32 with --lora]
    #[arg(long, value_name = "TYPE", value_delimiter = ',', ignore_case = true, value_parser = output_type())]
    pub(crate) quant: Vec<OutputType>,
    /// Make a GGUF of the adapter alone, for llama.cpp's --lora
    #[arg(long)]
    pub(crate) lora: bool,
    /// Types by tensor for a GGUF of at most this size, such as 4GB, instead of --quant
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "quant")]
    pub(crate) max_bytes: Option<u64>,
    /// URL of an importance matrix (gs://…, of a local stack file:///…)
    #[arg(long, value_name = "URL")]
    pub(crate) imatrix: Option<String>,
    /// URL (gs://…, file:///…) of a text that an importance matrix is computed from
    #[arg(long, value_name = "URL", conflicts_with = "imatrix")]
    pub(crate) calibration: Option<String>,
    /// URL (gs://…, file:///…) of prompts, with which survival of the fine-tune is measured
    #[arg(long, value_name = "URL")]
    pub(crate) prompts: Option<String>,
    /// Also push to this repository on the Hugging Face Hub, with the token of HF_TOKEN or `hf auth login`
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) push: Option<String>,
    /// Make no files to download
    #[arg(long, requires = "push")]
    pub(crate) push_only: bool,
    /// Make the repository public, if it is new
    #[arg(long, requires = "push")]
    pub(crate) public: bool,
    /// Give the service the token of the Hub for a gated base model, also without --push
    #[arg(long)]
    pub(crate) hub_token: bool,
}

/// The type of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RequestedType {
    /// The adapter as it is
    Adapter,
    /// The adapter merged into its base model
    Merged,
    /// GGUF files
    Gguf,
}

impl RequestedType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "merged",
            Self::Gguf => "gguf",
        }
    }
}

/// Follow an export until it ends
#[derive(Debug, clap::Args)]
pub(crate) struct FollowArgs {
    #[command(flatten)]
    pub(crate) export: ExportArgs,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// Cancel a running export
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) export: ExportArgs,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

/// An export of a training job
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The training job
    pub(crate) job: String,
    /// The export [default: the newest that is running]
    pub(crate) export: Option<String>,
}

/// Download the files of an export
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export download my-job \\
    --out models

An interrupted download goes on where it was when the command runs again. Each file has its name only after its SHA-256 was \
checked.")]
pub(crate) struct DownloadArgs {
    /// The training job
    pub(crate) job: String,
    /// The export [default: the newest that is completed and has files]
    pub(crate) export: Option<String>,
    /// Folder for the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Unpack zip files into folders of their names, and remove them
    #[arg(long)]
    pub(crate) unpack: bool,
    /// Replace existing files of the same names
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}
