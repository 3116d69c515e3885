//! A model of 7 GB is merged and made a GGUF file in a process that may not have half a gigabyte of address space.
//!
//! The checkpoint is sparse: its header is real, its weights are holes that read as zeros. What is written is counted
//! and dropped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sparse;

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, Model, Output, OutputType, RunOptions,
};

/// Names the folder in the process with little memory.
const FOLDER: &str = "ENGINE_MEMORY_TEST_FOLDER";
/// Of address space, in KiB.
const LIMIT: u64 = 512 << 10;
/// Of memory in use, in KiB.
const PEAK: u64 = 256 << 10;

#[test]
fn a_7_gb_model_needs_less_than_256_mib() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        export(Path::new(&folder));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let size = sparse::model(folder.path());
    assert!(size > 7_000_000_000, "{size}");
    let this = std::env::current_exe().unwrap();
    let line =
        format!("ulimit -v {LIMIT} && exec {} --exact a_7_gb_model_needs_less_than_256_mib", this.display());
    let status = Command::new("sh").arg("-c").arg(line).env(FOLDER, folder.path()).status().unwrap();
    assert!(status.success());
}

fn export(folder: &Path) {
    let open = |name: &str| Arc::new(LocalFolder::open(folder.join(name)).unwrap());
    let base = Checkpoint::open(open("base")).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(open("adapter")).unwrap()).unwrap();
    let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "sparse")).unwrap();
    let mut dropped = Dropped::default();
    engine::gguf(&plan, "model.gguf", &mut dropped, &RunOptions::default()).unwrap();
    assert_eq!(dropped.of_gguf, plan.size());
    let peak = peak();
    assert!(peak < PEAK, "{peak} KiB at the most");
}

/// The most memory this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Counts bytes of the GGUF file.
#[derive(Default)]
struct Dropped {
    is_gguf: bool,
    of_gguf: u64,
}

impl Output for Dropped {
    fn begin(&mut self, name: &str, _: u64) -> io::Result<()> {
        self.is_gguf = name.ends_with(".gguf");
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.of_gguf += if self.is_gguf { bytes.len() as u64 } else { 0 };
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
