//! Command-line arguments.

mod push;
mod service;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engine::{NamedType, OutputType, TensorType};
pub(crate) use push::{PushArgs, PushOptions};
pub(crate) use service::{
    CancelArgs, DownloadArgs, FollowArgs, HistoryArgs, JobsArgs, LoginArgs, LogoutArgs, PlanArgs,
    RequestArgs, RequestedType, ServiceArgs, StartArgs,
};
use values::{count, factor_type, output_type, share, size};

/// Export fine-tuned Gemma models: merge LoRA adapters, and write GGUF files for llama.cpp and Ollama
#[derive(Debug, Parser)]
#[command(
    name = "gemma-export",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:

  gemma-export inspect my-adapter

  gemma-export merge \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model

  gemma-export gguf \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model.gguf

  gemma-export lora \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-adapter.gguf

  gemma-export adapter \\
    --adapter my-adapter \\
    --out published-adapter

  gemma-export verify \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model.gguf

login, logout, jobs, plan, start, follow, history, cancel and download use an Export Service; all other commands work on this \
machine.

Exports write a report next to their output: SHA-256 of inputs and outputs; merge and gguf also the change of each tensor, and \
the quantization error. A failed or interrupted command leaves no partial output under its name; merge and gguf keep what is \
finished in hidden files, and go on there with --resume.

Exit status:
  0    success
  1    a failure that is none of these
  2    wrong arguments
  3    the export is complete and keeps
       less of the fine-tune than
       --min-survival
  4    an input is missing, or cannot be
       exported exactly
  5    the output exists or cannot be
       written, or the disk is too small
  6    the Hugging Face Hub, a store or
       a server refused, or could not be
       reached
  7    verify found a difference
  8    check found an error
  9    the export that was followed has
       failed
  10   the export that was followed was
       cancelled
  130  interrupted

NO_COLOR turns colors off. Progress goes to standard error: a bar on a terminal, else a line every ten seconds."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: ExportCommand,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What is printed
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print one JSON object on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print errors only (and with --json the object)
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    Merge(MergeArgs),
    Gguf(GgufArgs),
    Lora(LoraArgs),
    Adapter(AdapterArgs),
    Verify(VerifyArgs),
    Check(CheckArgs),
    Imatrix(ImatrixArgs),
    Inspect(InspectArgs),
    Push(PushArgs),
    Login(LoginArgs),
    Logout(LogoutArgs),
    Jobs(JobsArgs),
    Plan(PlanArgs),
    Start(StartArgs),
    Follow(FollowArgs),
    History(HistoryArgs),
    Cancel(CancelArgs),
    Download(DownloadArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Merge a LoRA adapter into its base model (safetensors, for transformers)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export merge \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model

The output has the shards, configuration and tokenizer of the base model. Merged weights equal PEFT's merge_and_unload bit for \
bit at ranks up to 192.")]
pub(crate) struct MergeArgs {
    /// Folder of the base model, or its name on the Hugging Face Hub (owner/name, owner/name@revision) [default: the one that
    /// the adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the adapter, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: PathBuf,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) push: PushOptions,
    #[command(flatten)]
    pub(crate) survival: SurvivalArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Convert a model, with or without a LoRA adapter, to GGUF
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export gguf \\
    --base my-full-fine-tune \\
    --quant bf16 \\
    --out my-model.gguf

  gemma-export gguf \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --quant q8_0,q4_k_m \\
    --out my-model-{quant}.gguf

  gemma-export gguf \\
    --base gemma-3-27b-it \\
    --adapter my-adapter \\
    --split-max-size 4G \\
    --out my-27b.gguf

  gemma-export gguf \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --quant q4_k_m \\
    --tensor-type attn_v=q8_0 \\
    --dry-run \\
    --out my-model.gguf

bf16 keeps every bit of a bf16 checkpoint; q8_0 takes about half the space of f16. Several types are written in one pass: the \
model is read and merged once.

my-model.Modelfile, for Ollama, and my-model.report.json are written next to my-model.gguf. Split files are named \
my-model-00001-of-00003.gguf and so on, and have no Modelfile; llama.cpp loads all of them from the first.")]
pub(crate) struct GgufArgs {
    /// Folder of the model, or its name on the Hugging Face Hub (owner/name, owner/name@revision) [default: the one that the
    /// adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of an adapter to merge during conversion, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<PathBuf>,
    /// Quantization type, or several separated by commas
    #[arg(long, value_name = "TYPE", default_value = "q8_0", value_delimiter = ',', ignore_case = true, value_parser = output_type())]
    pub(crate) quant: Vec<OutputType>,
    /// Importance matrix of `gemma-export imatrix` or llama.cpp (GGUF or .dat), for types below 8 bits; others are not weighted
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,
    /// Round weights to f16 first, like quantizing an f16 GGUF (for types below 8 bits)
    #[arg(long)]
    pub(crate) through_f16: bool,
    /// Types by tensor for a file of at most this size, such as 4GB: those with the least error, weighted by --imatrix
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with_all = ["quant", "tensor_type", "tensor_type_file", "output_tensor_type", "token_embedding_type", "pure"])]
    pub(crate) max_bytes: Option<u64>,
    /// Whether q4_0 takes the 4-bit grid on which the weights of a quantization-aware base lie
    #[arg(long, value_name = "MODE", value_enum, default_value = "auto")]
    pub(crate) qat: QatMode,
    /// Output file, in which {quant} is replaced by the type; or a folder, for NAME-TYPE.gguf
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Split output with more tensor data than this (4G, 500M; 1000-based, as in llama.cpp)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) split_max_size: Option<u64>,
    /// Also write the vision and audio encoders to this file, like llama.cpp's --mmproj (f16 for types below 8 bits)
    #[arg(long, value_name = "FILE")]
    pub(crate) mmproj: Option<PathBuf>,
    /// Model that a drafter (Gemma4DSparkModel) drafts for: its tokenizer goes into the file
    #[arg(long, value_name = "MODEL")]
    pub(crate) target_model: Option<PathBuf>,
    /// Model name in the metadata [default: name of the adapter's folder, or of the model's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print every tensor with its type, and the exact sizes; write nothing
    #[arg(long, conflicts_with_all = ["survival", "prompts", "min_survival", "push"])]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) types: TensorTypeArgs,
    #[command(flatten)]
    pub(crate) push: PushOptions,
    #[command(flatten)]
    pub(crate) survival: SurvivalArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Convert a LoRA adapter to GGUF, for llama.cpp's --lora
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export lora \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-adapter.gguf

  llama-cli -m gemma-3-1b-it.gguf \\
    --lora my-adapter.gguf

The file is small, and many adapters share one base GGUF. The format represents LoRA on linear layers only: adapters with \
DoRA, modules_to_save, embeddings or biases are refused. Merge these with gemma-export gguf.")]
pub(crate) struct LoraArgs {
    /// Folder of the base model, or its name on the Hugging Face Hub [default: the one that the adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the adapter, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: PathBuf,
    /// Type of the LoRA matrices
    #[arg(long, value_name = "TYPE", default_value = "f32", ignore_case = true, value_parser = factor_type())]
    pub(crate) quant: TensorType,
    /// Output file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Adapter name in the metadata [default: name of its folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace existing output
    #[arg(long)]
    pub(crate) force: bool,
    /// Export NaN and infinity in the adapter, instead of refusing them
    #[arg(long)]
    pub(crate) allow_non_finite: bool,
    #[command(flatten)]
    pub(crate) push: PushOptions,
}

/// Copy an adapter as it is, or push it to the Hugging Face Hub
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("destination").required(true).multiple(true).args(["out", "push"]),
    after_help = "Examples:

  gemma-export adapter \\
    --adapter my-adapter \\
    --push ada/my-adapter

  gemma-export adapter \\
    --adapter my-adapter \\
    --base google/gemma-3-1b-it \\
    --out published-adapter

The files are those that others need: configuration and weights (safetensors), tokenizer, chat templates and processors. What a \
trainer saves beside them stays: optimizer states, pickles, logs and settings. On the Hub they come with a model card."
)]
pub(crate) struct AdapterArgs {
    /// Folder of the adapter, or its name on the Hugging Face Hub (owner/name, owner/name@revision)
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: PathBuf,
    /// Base model on the Hub, for adapter_config.json and the model card [default: the one that the adapter names]
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) base: Option<String>,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing output
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) push: PushOptions,
}

/// Recompute an export from its inputs and compare it, byte for byte
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export verify \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model

  gemma-export verify \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model-q4_k_m.gguf

  gemma-export verify \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --out my-model-q4_k_m.gguf \\
    --prompts questions.txt

Nothing is written. The options of a GGUF export are read from its report, or from the GGUF file if there is no report. \
A difference ends the command with exit status 7.")]
pub(crate) struct VerifyArgs {
    /// Folder of the model, or its name on the Hugging Face Hub [default: the one that the adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the adapter, if the export had one, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<PathBuf>,
    /// Export to verify: a merged folder, a GGUF file (any part of a split one), or the copy of an adapter
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// Importance matrix, if the export had one
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,
    /// Model that a drafter drafts for, if the export had --target-model
    #[arg(long, value_name = "MODEL")]
    pub(crate) target_model: Option<PathBuf>,
    /// Model name, if the export had --name [default: the name in the report or the GGUF file]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Also compare next-token predictions on fixed prompts (KL divergence); reads both models in full
    #[arg(long)]
    pub(crate) logits: bool,
    #[command(flatten)]
    pub(crate) survival: SurvivalArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Types of single tensors, as llama-quantize takes them
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Types of tensors, as in llama-quantize")]
pub(crate) struct TensorTypeArgs {
    /// Type of the tensors whose name a regular expression matches (attn_v=q8_0); may be repeated, the first match counts
    #[arg(long, value_name = "NAME=TYPE")]
    pub(crate) tensor_type: Vec<NamedType>,
    /// File of NAME=TYPE, separated by white space; those of --tensor-type come before them
    #[arg(long, value_name = "FILE")]
    pub(crate) tensor_type_file: Option<PathBuf>,
    /// Type of output.weight, or of the embedding of a model without it
    #[arg(long, value_name = "TYPE")]
    pub(crate) output_tensor_type: Option<TensorType>,
    /// Type of the embedding
    #[arg(long, value_name = "TYPE")]
    pub(crate) token_embedding_type: Option<TensorType>,
    /// All other matrices have the type that --quant is named after
    #[arg(long)]
    pub(crate) pure: bool,
}

/// Check tokenizer, chat template and stop tokens: will programs serve the model as it was trained?
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export check \\
    --base gemma-3-1b-it \\
    --adapter my-adapter

  gemma-export check --strict \\
    --base my-full-fine-tune

Reads the weights of the adapter, and those of the base only for --prompts. Each finding has a code, a severity (error, warning, note) and a remedy. An error, or with \
--strict a warning, ends the command with exit status 8.")]
pub(crate) struct CheckArgs {
    /// Folder of the model, or its name on the Hugging Face Hub [default: the one that the adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the adapter, whose tokenizer files come first, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<PathBuf>,
    /// Prompts, as for survival: how likely does the model end its turn after answers to them?
    #[arg(long, value_name = "FILE")]
    pub(crate) prompts: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Compute an importance matrix of a model with its adapter, for types below 8 bits
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export imatrix \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --text training.jsonl \\
    --out imatrix.gguf

  gemma-export gguf \\
    --base gemma-3-1b-it \\
    --adapter my-adapter \\
    --quant q4_k_m \\
    --imatrix imatrix.gguf \\
    --out my-model.gguf

The numbers are those of llama.cpp's llama-imatrix for an F32 file of the model. A text like what the model will read and write \
is best: the training set, or answers of the model.")]
pub(crate) struct ImatrixArgs {
    /// Folder of the model, or its name on the Hugging Face Hub [default: the one that the adapter names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) base: Option<PathBuf>,
    /// Folder of the adapter, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<PathBuf>,
    /// A text, or a training set in chat form (JSON Lines, as for --prompts)
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Output file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The most chunks of 512 tokens that are used
    #[arg(long, value_name = "N", default_value = "20", value_parser = count)]
    pub(crate) chunks: NonZeroUsize,
    /// Replace an importance matrix at the output
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Describe a model, an adapter or a GGUF file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:

  gemma-export inspect my-adapter

  gemma-export inspect --json \\
    my-model.gguf")]
pub(crate) struct InspectArgs {
    /// Folder, .gguf file, or name on the Hugging Face Hub
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// Print the script that completes arguments in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export completions bash \\
    >gemma-export.bash")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write man pages to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:

  gemma-export man man1")]
pub(crate) struct ManArgs {
    /// Folder of the pages
    #[arg(value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Replace existing output
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on behind the last finished tensor of an interrupted run with the same arguments
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How much of the fine-tune an export keeps
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Survival of the fine-tune")]
pub(crate) struct SurvivalArgs {
    /// Compare the predictions of base, base with adapter, and export (on four fixed texts, if there are no --prompts)
    #[arg(long)]
    pub(crate) survival: bool,
    /// Prompts to compare on: one a line, or JSON Lines of a training set (messages, conversations, instruction, question or prompt)
    #[arg(long, value_name = "FILE")]
    pub(crate) prompts: Option<PathBuf>,
    /// Fail with exit status 3 if an export keeps less of the fine-tune than this share, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) min_survival: Option<f64>,
}

impl SurvivalArgs {
    /// Whether survival is to be measured.
    pub(crate) fn is_asked(&self) -> bool {
        self.survival || self.prompts.is_some() || self.min_survival.is_some()
    }
}

/// How the engine works
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct EngineArgs {
    /// Worker threads [default: one per processor]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Export NaN and infinity in base, adapter or result, instead of refusing them
    #[arg(long)]
    pub(crate) allow_non_finite: bool,
}

/// What is done with bases of quantization-aware training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum QatMode {
    /// If the weights show that there is one
    Auto,
    /// No: the bytes are those of llama-quantize
    Off,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use engine::LoraPlan;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn lora_accepts_every_type() {
        for kind in LoraPlan::TYPES {
            let name = kind.as_str().to_ascii_lowercase();
            let line =
                ["gemma-export", "lora", "--base", "b", "--adapter", "a", "--out", "o", "--quant", &name];
            let ExportCommand::Lora(args) = CommandLine::try_parse_from(line).unwrap().command else {
                panic!("not lora")
            };
            assert_eq!(args.quant, kind);
        }
    }

    #[test]
    fn gguf_accepts_every_output_type() {
        for output in OutputType::ALL {
            let line = ["gemma-export", "gguf", "--base", "b", "--out", "o", "--quant", output.as_str()];
            let ExportCommand::Gguf(args) = CommandLine::try_parse_from(line).unwrap().command else {
                panic!("not gguf")
            };
            assert_eq!(args.quant, [output]);
        }
    }

    #[test]
    fn types_may_have_spaces_around_them() {
        let line = ["gemma-export", "gguf", "--base", "b", "--out", "o", "--quant", "q8_0, Q4_0 "];
        let ExportCommand::Gguf(args) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!("not gguf")
        };
        assert_eq!(args.quant, [OutputType::Q8_0, OutputType::Q4_0]);
    }
}
