//! The crates of the workspace, as `cargo metadata` lists them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The workspace: its folder and its packages.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub(crate) folder: PathBuf,
    /// In the order of `cargo metadata`.
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name in `Cargo.toml`.
    pub(crate) name: String,
    targets: Vec<CrateTarget>,
}

/// What cargo compiles of a package: a library, a binary, a test.
#[derive(Debug, Deserialize)]
struct CrateTarget {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo; the current folder is in the workspace.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .output()
            .context("cargo metadata cannot be started")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("the output of cargo metadata")
    }
}

impl Package {
    /// The root files of its library and its binaries.
    pub(crate) fn root_files(&self) -> impl Iterator<Item = &PathBuf> {
        let shipped = |target: &&CrateTarget| target.kind.iter().any(|kind| kind == "lib" || kind == "bin");
        self.targets.iter().filter(shipped).map(|target| &target.src_path)
    }
}
