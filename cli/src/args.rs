//! Command-line arguments.

mod push;
mod service;

use std::ffi::OsStr;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engine::{LoraPlan, NamedType, OutputType, TensorType};
pub(crate) use push::{PushArgs, PushOptions};
pub(crate) use service::{
    CancelArgs, DownloadArgs, FollowArgs, HistoryArgs, JobsArgs, LoginArgs, LogoutArgs, PlanArgs,
    RequestArgs, RequestedType, ServiceArgs, StartArgs,
};

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
    /// Prompts to compare on: one a line, or JSON Lines of a training set (messages, conversations, instruction or prompt)
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

pub(super) fn output_type() -> impl clap::builder::TypedValueParser<Value = OutputType> {
    use clap::builder::TypedValueParser as _;
    let names = clap::builder::PossibleValuesParser::new(OutputType::ALL.map(OutputType::as_str));
    Trimmed(names.try_map(|name| name.to_lowercase().parse::<OutputType>()))
}

/// A parser that takes values with white space around them, as after a comma.
#[derive(Debug, Clone)]
struct Trimmed<P>(P);

impl<P: clap::builder::TypedValueParser> clap::builder::TypedValueParser for Trimmed<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let trimmed = value.to_str().map_or(value, |text| OsStr::new(text.trim()));
        self.0.parse_ref(command, arg, trimmed)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// Parses `4G`, `7.5GB`, `500M`, `100K`, `4GiB` or a number of bytes. K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024.
fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[number.len()..].to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = unit.strip_suffix('i').map_or((unit, 1000_u64), |prefix| (prefix, 1024));
    let power = match prefix {
        "" if base == 1000 => Some(0),
        "k" => Some(1),
        "m" => Some(2),
        "g" => Some(3),
        "t" => Some(4),
        _ => None,
    };
    let size = power.and_then(|power| bytes(number.trim_end(), base.pow(power))).filter(|bytes| *bytes > 0);
    size.ok_or_else(|| {
        "give a positive number of bytes, or one with K, M, G or T, such as 4G or 7.5GB".to_owned()
    })
}

/// A decimal number of units, rounded down to whole bytes.
fn bytes(number: &str, unit: u64) -> Option<u64> {
    const DIGITS: usize = 9;
    let (whole, fraction) = number.split_once('.').filter(|_| unit > 1).unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let fraction =
        format!("{fraction:0<DIGITS$}").parse::<u128>().ok()? * u128::from(unit) / 10_u128.pow(DIGITS as u32);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

/// Parses a number from 1.
fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|error: ParseIntError| match *error.kind() == IntErrorKind::Zero {
        true => "must be 1 or more".to_owned(),
        false => error.to_string(),
    })
}

/// Parses a share from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "give a number from 0 to 1, such as 0.9".to_owned())
}

fn factor_type() -> impl clap::builder::TypedValueParser<Value = TensorType> {
    use clap::builder::TypedValueParser as _;
    let named = |name: &str| LoraPlan::TYPES.into_iter().find(|t| t.as_str().eq_ignore_ascii_case(name));
    clap::builder::PossibleValuesParser::new(["f32", "f16", "bf16", "q8_0"])
        .try_map(move |name| named(&name).ok_or("unknown type"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
    fn counts_begin_with_1() {
        assert_eq!(count("1").map(NonZeroUsize::get), Ok(1));
        assert_eq!(count("0").unwrap_err(), "must be 1 or more");
        assert_eq!(count("x").unwrap_err(), "invalid digit found in string");
    }

    #[test]
    fn types_may_have_spaces_around_them() {
        let line = ["gemma-export", "gguf", "--base", "b", "--out", "o", "--quant", "q8_0, Q4_0 "];
        let ExportCommand::Gguf(args) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!("not gguf")
        };
        assert_eq!(args.quant, [OutputType::Q8_0, OutputType::Q4_0]);
    }

    #[test]
    fn shares_are_from_0_to_1() {
        assert_eq!(["0", "0.9", "1"].map(|text| share(text).unwrap()), [0.0, 0.9, 1.0]);
        assert!(["", "-0.1", "1.1", "90", "NaN"].iter().all(|text| share(text).is_err()));
    }

    #[test]
    fn sizes_have_units_of_1000_or_1024_and_fractions() {
        let sizes = ["4G", "500m", "7", "7.5GB", "1.5MB", "2 GB", "1TB", "1MiB", "0.5Gi", "1.000000001G"];
        let expected = [
            4_000_000_000,
            500_000_000,
            7,
            7_500_000_000,
            1_500_000,
            2_000_000_000,
            1_000_000_000_000,
            1 << 20,
            1 << 29,
            1_000_000_001,
        ];
        assert_eq!(sizes.map(|text| size(text).unwrap()), expected);
        let wrong = [
            "",
            "G",
            "0M",
            "-1",
            "4X",
            "99999999999G",
            "1.",
            ".5G",
            "1.5.5G",
            "1e9",
            "4i",
            "0.1",
            "1,5G",
            "NaN",
            "1.5",
        ];
        assert!(wrong.iter().all(|text| size(text).is_err()), "{:?}", wrong.map(size));
    }
}
