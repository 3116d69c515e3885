//! What is measured.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use engine::{
    Adapter, Checkpoint, ExportedModel, Folder as _, GgufOptions, GgufPlan, LocalFolder, LocalOutput,
    MergePlan, Model, OutputType, PromptSet, RunOptions,
};

use crate::generate::BASE_WITH_JSON;
use crate::peers::Peers;

/// A finished file below the scratch folder, for `llama-quantize` to start from.
const BF16: &str = "bf16.gguf";

/// The name of a GGUF file.
const FILE: &str = "model.gguf";

/// Prompts without answers, as many as are used of a file.
const QUESTIONS: [&str; 16] = [
    "What is the name of the river in this town?",
    "Which of the two machines was built first?",
    "How many people work in the old library?",
    "Who wrote the letter that was found there?",
    "What do the farmers grow in the valley?",
    "When does the last train leave the station?",
    "Where is the key to the upper garden?",
    "Why was the bridge closed for the winter?",
    "What colour are the doors of the school?",
    "Which month has the most rain on the coast?",
    "How long does the walk to the lake take?",
    "Who keeps the bees behind the mill?",
    "What is sold at the market on Fridays?",
    "How old is the tree beside the church?",
    "Which road leads to the northern villages?",
    "What is the captain of the ferry called?",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Copies the base and waits for the disk, as every export does.
    Cp,
    /// Copies the base into the page cache.
    CpUnsynced,
    Merge,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_k_m")]
    Q4KM,
    /// The same file, and its survival with the fixed texts: what the job does.
    #[value(name = "q4_k_m-survival")]
    Q4KMSurvival,
    /// The same file, and its survival with prompts that the models answer.
    #[value(name = "q4_k_m-answers")]
    Q4KMAnswers,
    /// Plans a GGUF file of a base with a large `tokenizer.json`, and writes none.
    Plan,
    /// PEFT's merge, saved.
    PythonMerge,
    /// PEFT's merge, converted.
    #[value(name = "python-q8_0")]
    PythonQ8_0,
    /// PEFT's merge, converted, quantized.
    #[value(name = "python-q4_k_m")]
    PythonQ4KM,
    /// The last step of that alone, from a finished file.
    LlamaQuantize,
}

impl Work {
    pub(crate) const OURS: [Self; 8] = [
        Self::Cp,
        Self::CpUnsynced,
        Self::Merge,
        Self::Q8_0,
        Self::Q4KM,
        Self::Q4KMSurvival,
        Self::Q4KMAnswers,
        Self::Plan,
    ];
    pub(crate) const THEIRS: [Self; 4] =
        [Self::PythonMerge, Self::PythonQ8_0, Self::PythonQ4KM, Self::LlamaQuantize];

    /// The program that does it.
    pub(crate) fn command(self, scratch: &Path) -> Result<Vec<String>, Box<dyn Error>> {
        let (base, out) = (scratch.join("base"), self.out(scratch));
        let copy = format!("cp -r {} {}", base.display(), out.display());
        Ok(match self {
            Self::Cp => shell(format!("{copy} && sync {}/*", out.display())),
            Self::CpUnsynced => shell(copy),
            Self::Merge | Self::Q8_0 | Self::Q4KM | Self::Q4KMSurvival | Self::Q4KMAnswers | Self::Plan => {
                let program = std::env::current_exe()?.display().to_string();
                let scratch = scratch.display().to_string();
                vec![program, "--scratch".to_owned(), scratch, "run".to_owned(), self.name()]
            }
            Self::PythonMerge | Self::PythonQ8_0 | Self::PythonQ4KM | Self::LlamaQuantize => {
                shell(self.peers_line(&Peers::find()?, scratch))
            }
        })
    }

    /// People's way to the same: each step waits for the one before.
    fn peers_line(self, peers: &Peers, scratch: &Path) -> String {
        let out = self.out(scratch);
        let (merged, bf16, file) = (out.join("merged"), out.join("bf16.gguf"), out.join("model.gguf"));
        let merge = peers.merge(&scratch.join("base"), &scratch.join("adapter"), &merged);
        let steps = match self {
            Self::PythonQ8_0 => vec![merge, peers.convert(&merged, "q8_0", &file)],
            Self::PythonQ4KM => {
                vec![merge, peers.convert(&merged, "bf16", &bf16), peers.quantize(&bf16, &file)]
            }
            Self::LlamaQuantize => vec![peers.quantize(&scratch.join(BF16), &file)],
            Self::PythonMerge
            | Self::Cp
            | Self::CpUnsynced
            | Self::Merge
            | Self::Q8_0
            | Self::Q4KM
            | Self::Q4KMSurvival
            | Self::Q4KMAnswers
            | Self::Plan => vec![merge],
        };
        let quiet: Vec<String> = steps.into_iter().map(|step| format!("{step} >/dev/null 2>&1")).collect();
        format!("mkdir -p {} && {} && sync {}", out.display(), quiet.join(" && "), out.display())
    }

    /// Does it in this process.
    pub(crate) fn run(self, scratch: &Path) -> Result<(), Box<dyn Error>> {
        let open = |name| Ok::<_, engine::Error>(Arc::new(LocalFolder::open(scratch.join(name))?));
        if self == Self::Plan {
            let model = Model::new(&Checkpoint::open(open(BASE_WITH_JSON)?)?);
            GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "bench"))?;
            return Ok(());
        }
        let base = Checkpoint::open(open("base")?)?;
        let model = Model::with_adapter(&base, &Adapter::open(open("adapter")?)?)?;
        let mut out = LocalOutput::create(self.out(scratch))?;
        match self {
            Self::Merge => engine::merge(&MergePlan::new(&model)?, &mut out, &local())?,
            Self::Q8_0 => gguf(&model, OutputType::Q8_0, &mut out)?,
            Self::Q4KM => gguf(&model, OutputType::Q4_K_M, &mut out)?,
            Self::Q4KMSurvival | Self::Q4KMAnswers => {
                let outcome = gguf(&model, OutputType::Q4_K_M, &mut out)?;
                let file = LocalFolder::open(self.out(scratch))?.open(FILE)?;
                let exports = [ExportedModel::Gguf(vec![file])];
                let prompts = if self == Self::Q4KMAnswers {
                    PromptSet::parse("prompts", QUESTIONS.join("\n").as_bytes())?
                } else {
                    PromptSet::fixed()
                };
                engine::measure_survival(&model, &exports, &prompts, &local())?;
                outcome
            }
            // what others quantize
            Self::LlamaQuantize => {
                let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "bench"))?;
                engine::gguf(&plan, BF16, &mut LocalOutput::create(scratch)?, &local())?
            }
            Self::Plan
            | Self::Cp
            | Self::CpUnsynced
            | Self::PythonMerge
            | Self::PythonQ8_0
            | Self::PythonQ4KM => {
                return Err("is a program of its own".into());
            }
        };
        Ok(())
    }

    /// Makes what only this needs, outside of what is measured.
    pub(crate) fn prepare(self, scratch: &Path) -> Result<(), Box<dyn Error>> {
        if self == Self::LlamaQuantize && !scratch.join(BF16).exists() { self.run(scratch) } else { Ok(()) }
    }

    /// Removes what the last run made and lets the disk catch up.
    pub(crate) fn clean(self, scratch: &Path) -> io::Result<()> {
        for work in Self::value_variants() {
            let out = work.out(scratch);
            if out.exists() {
                fs::remove_dir_all(out)?;
            }
        }
        std::process::Command::new("sync").status().map(|_| ())
    }

    fn out(self, scratch: &Path) -> PathBuf {
        scratch.join(format!("out-{}", self.name()))
    }

    fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

fn gguf(model: &Model, output: OutputType, out: &mut LocalOutput) -> engine::Result<engine::Outcome> {
    let plan = GgufPlan::new(model, &GgufOptions::new(output, "bench"))?;
    engine::gguf(&plan, FILE, out, &local())
}

/// As the command line runs it.
fn local() -> RunOptions<'static> {
    RunOptions { chunk_size: RunOptions::LOCAL_CHUNK, ..RunOptions::default() }
}

fn shell(line: String) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), line]
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cp => "cp of the base, synced",
            Self::CpUnsynced => "cp of the base, not synced",
            Self::Merge => "merge (base + adapter)",
            Self::Q8_0 => "q8_0 (base + adapter)",
            Self::Q4KM => "q4_k_m (base + adapter)",
            Self::Q4KMSurvival => "q4_k_m and its survival (base + adapter)",
            Self::Q4KMAnswers => "q4_k_m and its survival with 16 answers",
            Self::Plan => "planning alone, tokenizer.json of 33 MB",
            Self::PythonMerge => "PEFT: merge",
            Self::PythonQ8_0 => "PEFT, converter: q8_0",
            Self::PythonQ4KM => "PEFT, converter, llama-quantize: q4_k_m",
            Self::LlamaQuantize => "llama-quantize alone: bf16 to q4_k_m",
        })
    }
}
