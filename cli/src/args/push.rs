//! Arguments of pushes to the Hugging Face Hub.

use std::path::PathBuf;

/// Push to the Hugging Face Hub
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Hugging Face Hub")]
pub(crate) struct PushOptions {
    /// Push the export to this repository, with the token of HF_TOKEN or `hf auth login`
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) push: Option<String>,
    /// Make the repository public, if it is new
    #[arg(long, requires = "push")]
    pub(crate) public: bool,
}

/// Push exports that are complete to the Hugging Face Hub
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export push my-model \\
    --to ada/my-model

  gemma-export push \\
    my-model-q8_0.gguf \\
    my-model-q4_k_m.gguf \\
    --to ada/my-model-gguf

The files that the reports of the exports name are pushed in one commit, after their SHA-256 was compared with that of the report, \
with the reports and a model card. Files in the repository that contradict them are removed; what you wrote in README.md stays.")]
pub(crate) struct PushArgs {
    /// Merged folder, folder of an adapter, or GGUF files (any part of a split one)
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) to: String,
    /// Base model that the model card names
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) base: Option<String>,
    /// Make the repository public, if it is new
    #[arg(long)]
    pub(crate) public: bool,
}
