//! What can be typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engine::{LoraPlan, OutputType, TensorType};

/// Get a fine-tuned Gemma out: merged, or as a GGUF file that llama.cpp loads.
#[derive(Debug, Parser)]
#[command(
    name = "gemma-export",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  gemma-export inspect ./my-adapter
  gemma-export merge --base ./gemma-3-1b-it --adapter ./my-adapter --out ./my-model
  gemma-export gguf  --base ./gemma-3-1b-it --adapter ./my-adapter --quant q8_0 --out my-model.gguf
  gemma-export lora  --base ./gemma-3-1b-it --adapter ./my-adapter --out my-adapter.gguf
  gemma-export verify --base ./gemma-3-1b-it --adapter ./my-adapter --out my-model.gguf

Every export writes a report beside what it makes: inputs and outputs by their hashes, what each part
of the adapter changed, and what quantisation cost.

Exit status: 0 done, 1 failed, 2 wrong usage. A failed or interrupted export leaves no file behind."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Merge(MergeArgs),
    Gguf(GgufArgs),
    Lora(LoraArgs),
    Verify(VerifyArgs),
    Inspect(InspectArgs),
}

/// Merge a LoRA adapter into its base model: a folder of safetensors that transformers loads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gemma-export merge --base ./gemma-3-1b-it --adapter ./my-adapter --out ./my-model

The result has the base's shards, configuration and tokenizer; weights equal PEFT's merge_and_unload bit for bit.")]
pub(crate) struct MergeArgs {
    /// The base model's folder (config.json, *.safetensors, tokenizer)
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    /// The adapter's folder (adapter_config.json, adapter_model.safetensors)
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: PathBuf,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write GGUF files from a model, or from a base model and a LoRA adapter in one step.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemma-export gguf --base ./gemma-3-1b-it --adapter ./my-adapter --quant q8_0 --out my-model.gguf
  gemma-export gguf --base ./my-full-fine-tune --quant bf16 --out my-model.gguf
  gemma-export gguf --base ./gemma-3-1b-it --adapter ./lora --quant q8_0,q4_k_m --out my-model-{quant}.gguf
  gemma-export gguf --base ./gemma-3-27b-it --adapter ./lora --split-max-size 4G --out my-model.gguf

q8_0 is half the size of f16 and as good in practice. bf16 keeps every bit of a bf16 checkpoint.
Several types are made in one pass: the model is read and merged once. Beside my-model.gguf come
my-model.Modelfile, for Ollama, and my-model.report.json. Split files are named
my-model-00001-of-00003.gguf, and so on; llama.cpp takes the first.")]
pub(crate) struct GgufArgs {
    /// The model's folder (config.json, *.safetensors, tokenizer.model or tokenizer.json)
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    /// An adapter's folder, to be merged on the way
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// How weights are stored; several with commas between
    #[arg(long, value_name = "TYPE", default_value = "q8_0", value_delimiter = ',', value_parser = output_type())]
    pub(crate) quant: Vec<OutputType>,
    /// An importance matrix (llama.cpp's, GGUF or .dat), for types of less than 8 bits
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,
    /// Round weights to f16 before quantising, as by way of an f16 file (for types of less than 8 bits)
    #[arg(long)]
    pub(crate) through_f16: bool,
    /// The file to make, where {quant} stands for the type; or a folder, for <name>-<type>.gguf in it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Make several files when one would have more than this of tensors (4G, 500M; 1000-based as in llama.cpp)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) split_max_size: Option<u64>,
    /// Also make this file of a multimodal model's vision and audio towers (llama.cpp's --mmproj); for k-quants it is f16
    #[arg(long, value_name = "FILE")]
    pub(crate) mmproj: Option<PathBuf>,
    /// The model's name in the file's metadata [default: from the adapter's or model's folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write a LoRA adapter as a GGUF file of its own, for llama.cpp's --lora.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemma-export lora --base ./gemma-3-1b-it --adapter ./my-adapter --out my-adapter.gguf
  llama-cli -m gemma-3-1b-it.gguf --lora my-adapter.gguf

The file is small, and one model serves many of them. It holds LoRA on linear layers. What it cannot
say (DoRA, whole modules, embeddings, biases) is refused: merge such an adapter with gemma-export gguf.")]
pub(crate) struct LoraArgs {
    /// The base model's folder (config.json, *.safetensors)
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    /// The adapter's folder (adapter_config.json, adapter_model.safetensors)
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: PathBuf,
    /// How factors are stored
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = factor_type())]
    pub(crate) quant: TensorType,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The adapter's name in the file's metadata [default: from its folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace an existing output
    #[arg(long)]
    pub(crate) force: bool,
}

/// Check a finished export against its inputs: everything is made again and compared, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemma-export verify --base ./gemma-3-1b-it --adapter ./my-adapter --out ./my-model
  gemma-export verify --base ./gemma-3-1b-it --adapter ./my-adapter --out my-model-q4_k_m.gguf

Nothing is written. How a GGUF file was made is read from its report, or without one from the file.
Exit status: 0 all is as it must be, 1 something differs, 2 wrong usage.")]
pub(crate) struct VerifyArgs {
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) base: PathBuf,
    /// The adapter's folder, if there was one
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// What was made: a merged folder, or a GGUF file (of split ones, any)
    #[arg(long, value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// The importance matrix, if there was one
    #[arg(long, value_name = "FILE")]
    pub(crate) imatrix: Option<PathBuf>,
    /// The model's name, as it was given [default: what the report or the file says]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Also read some prompts with both, and say how far their predictions are apart (takes as long as reading
    /// both models twice)
    #[arg(long)]
    pub(crate) logits: bool,
    /// Threads that read and compute [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// Say what a model folder, an adapter folder or a GGUF file holds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gemma-export inspect ./my-adapter
  gemma-export inspect --json my-model.gguf")]
pub(crate) struct InspectArgs {
    /// A folder or a .gguf file
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Replace an existing output
    #[arg(long)]
    pub(crate) force: bool,
    /// Threads that read and compute [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

fn output_type() -> impl clap::builder::TypedValueParser<Value = OutputType> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(OutputType::ALL.map(OutputType::as_str))
        .try_map(|name| name.parse::<OutputType>())
}

/// 4G, 500M, 100K or bytes.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1_000),
        Some((at, 'M' | 'm')) => (&text[..at], 1_000_000),
        Some((at, 'G' | 'g')) => (&text[..at], 1_000_000_000),
        Some(_) | None => (text, 1),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    size.ok_or_else(|| "is no size: give a number and K, M or G, such as 4G".to_owned())
}

fn factor_type() -> impl clap::builder::TypedValueParser<Value = TensorType> {
    use clap::builder::TypedValueParser as _;
    let named = |name: &str| LoraPlan::TYPES.into_iter().find(|t| t.as_str().eq_ignore_ascii_case(name));
    clap::builder::PossibleValuesParser::new(["f32", "f16", "bf16", "q8_0"])
        .try_map(move |name| named(&name).ok_or("no such type"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_adapter_can_be_asked_for_in_each_of_its_types() {
        for (name, kind) in ["f32", "f16", "bf16", "q8_0"].into_iter().zip(LoraPlan::TYPES) {
            let line =
                ["gemma-export", "lora", "--base", "b", "--adapter", "a", "--out", "o", "--quant", name];
            let Command::Lora(args) = Args::try_parse_from(line).unwrap().command else { panic!("not lora") };
            assert_eq!(args.quant, kind);
        }
    }

    #[test]
    fn every_output_type_can_be_asked_for() {
        for output in OutputType::ALL {
            let line = ["gemma-export", "gguf", "--base", "b", "--out", "o", "--quant", output.as_str()];
            let Command::Gguf(args) = Args::try_parse_from(line).unwrap().command else { panic!("not gguf") };
            assert_eq!(args.quant, [output]);
        }
    }

    #[test]
    fn sizes_are_in_thousands() {
        assert_eq!(["4G", "500m", "7"].map(|text| size(text).unwrap()), [4_000_000_000, 500_000_000, 7]);
        assert!(["", "G", "0M", "-1", "4T", "99999999999G"].iter().all(|text| size(text).is_err()));
    }
}
