//! What people use instead: PEFT, llama.cpp's converter and `llama-quantize`, where they are installed.

use std::env;
use std::path::{Path, PathBuf};

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    python: PathBuf,
    convert: PathBuf,
}

/// The steps of people's way, each a line for the shell.
impl Peers {
    /// `PEERS_PYTHON` (a Python with PEFT, transformers, torch and llama-cpp-python; by default that of
    /// `make test-peers`) and `LLAMA_CPP_DIR` (llama.cpp's source, of which the converter is used).
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn find() -> Result<Self, String> {
        let python = env::var_os("PEERS_PYTHON").unwrap_or_else(|| ".venv-peers/bin/python".into());
        let llama = env::var_os("LLAMA_CPP_DIR").map(PathBuf::from).ok_or_else(|| {
            "LLAMA_CPP_DIR is not set: a folder with llama.cpp's convert_hf_to_gguf.py".to_owned()
        })?;
        let there = |path: PathBuf, how: &str| {
            if path.exists() { Ok(path) } else { Err(format!("{} is missing: {how}", path.display())) }
        };
        Ok(Self {
            python: there(python.into(), "`make test-peers` makes it")?,
            convert: there(llama.join("convert_hf_to_gguf.py"), "it comes with llama.cpp's source")?,
        })
    }

    /// `merge_and_unload`, saved, the tokenizer copied as people must.
    pub(crate) fn merge(&self, base: &Path, adapter: &Path, out: &Path) -> String {
        let paths = format!("{} {} {}", base.display(), adapter.display(), out.display());
        self.line(&beside("peft_merge.py"), &paths)
    }

    /// `--outtype` is `bf16` or `q8_0`.
    pub(crate) fn convert(&self, model: &Path, out_type: &str, out: &Path) -> String {
        let options = format!("{} --outtype {out_type} --outfile {}", model.display(), out.display());
        self.line(&self.convert, &options)
    }

    /// To Q4_K_M, on as many threads as the machine has processors.
    pub(crate) fn quantize(&self, bf16: &Path, out: &Path) -> String {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.line(&beside("llama_quantize.py"), &format!("{} {} {threads}", bf16.display(), out.display()))
    }

    fn line(&self, script: &Path, arguments: &str) -> String {
        format!("{} {} {arguments}", self.python.display(), script.display())
    }
}

fn beside(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(script)
}
