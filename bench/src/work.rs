//! What is measured.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, OutputType, Run,
};

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
}

impl Work {
    pub(crate) const ALL: [Self; 5] = [Self::Cp, Self::CpUnsynced, Self::Merge, Self::Q8_0, Self::Q4KM];

    /// The program that does it.
    pub(crate) fn command(self, scratch: &Path) -> Result<Vec<String>, Box<dyn Error>> {
        let (base, out) = (scratch.join("base"), self.out(scratch));
        let copy = format!("cp -r {} {}", base.display(), out.display());
        Ok(match self {
            Self::Cp => shell(format!("{copy} && sync {}/*", out.display())),
            Self::CpUnsynced => shell(copy),
            Self::Merge | Self::Q8_0 | Self::Q4KM => {
                let program = std::env::current_exe()?.display().to_string();
                let scratch = scratch.display().to_string();
                vec![program, "--scratch".to_owned(), scratch, "run".to_owned(), self.name()]
            }
        })
    }

    /// Does it in this process.
    pub(crate) fn run(self, scratch: &Path) -> Result<(), Box<dyn Error>> {
        let open = |name| Ok::<_, engine::Error>(Arc::new(LocalFolder::open(scratch.join(name))?));
        let base = Checkpoint::open(open("base")?)?;
        let model = Model::with_adapter(&base, &Adapter::open(open("adapter")?)?)?;
        let mut out = LocalOutput::create(self.out(scratch))?;
        match self {
            Self::Cp | Self::CpUnsynced => return Err("cp is a program of its own".into()),
            Self::Merge => engine::merge(&MergePlan::new(&model)?, &mut out, &local())?,
            Self::Q8_0 => gguf(&model, OutputType::Q8_0, &mut out)?,
            Self::Q4KM => gguf(&model, OutputType::Q4_K_M, &mut out)?,
        };
        Ok(())
    }

    /// Removes what the last run made and lets the disk catch up.
    pub(crate) fn clean(self, scratch: &Path) -> io::Result<()> {
        for work in Self::ALL {
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
    engine::gguf(&plan, "model.gguf", out, &local())
}

/// As the command line runs it.
fn local() -> Run<'static> {
    Run { block: Run::LOCAL_BLOCK, ..Run::default() }
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
        })
    }
}
