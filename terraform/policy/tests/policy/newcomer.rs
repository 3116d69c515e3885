//! A copy of the repository on the machine of somebody who has never deployed it. Terraform, make and the scripts are the
//! real ones, Terraform's providers are fake, and every tool that needs a cloud is a script that returns or refuses what
//! the cloud would.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    plugin::{self, cloud::Cloud},
    rehearsal::root,
};

/// The tools that are replaced by [`TOOL`]. `docs/DEPLOY.md` has the reason for each; all others are real.
pub(crate) const PLAYED: [&str; 9] =
    ["gcloud", "docker", "podman", "firebase", "curl", "cargo", "rustup", "musl-gcc", "sleep"];

/// Tools that every machine has.
const EVERYWHERE: [&str; 29] = [
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "dirname",
    "env",
    "git",
    "grep",
    "head",
    "install",
    "ls",
    "make",
    "mkdir",
    "mktemp",
    "python3",
    "rm",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "tail",
    "tee",
    "touch",
    "tr",
    "uname",
    "wc",
];

/// The script that replaces them.
const TOOL: &str = include_str!("tool.sh");

pub(crate) struct Newcomer {
    folder: TempDir,
    /// The value of `TF_REATTACH_PROVIDERS`.
    providers: String,
}

impl Newcomer {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let providers = plugin::start(&Cloud::in_folder(folder.path().join("cloud")));
        let newcomer = Self { folder, providers };
        for part in ["terraform", "hosting", "scripts", "packaging", "docs"] {
            copy(&root().join(part), &newcomer.repository().join(part));
        }
        for file in ["Makefile", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
            fs::copy(root().join(file), newcomer.repository().join(file)).unwrap();
        }
        let backend = newcomer.repository().join("terraform/backend_override.tf");
        fs::write(backend, "terraform {\n  backend \"local\" {}\n}\n").unwrap();
        let tools = newcomer.tools();
        fs::create_dir_all(&tools).unwrap();
        fs::write(tools.join("tool"), TOOL).unwrap();
        fs::set_permissions(tools.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in PLAYED.iter().chain(&["terraform"]) {
            symlink("tool", tools.join(name)).unwrap();
        }
        newcomer
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub(crate) fn cloud(&self) -> PathBuf {
        self.folder.path().join("cloud")
    }

    /// A folder with every tool except `missing` (names and spaces), and nothing else, independent of the tools of this
    /// machine.
    pub(crate) fn tools_without(&self, missing: &str) -> PathBuf {
        let folder = self.folder.path().join(format!("without-{}", missing.replace(' ', "-")));
        fs::create_dir_all(&folder).unwrap();
        for name in PLAYED
            .iter()
            .chain(&["terraform"])
            .filter(|name| !missing.split(' ').any(|missing| missing == **name))
        {
            symlink(self.tools().join("tool"), folder.join(name)).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        for name in EVERYWHERE {
            let mut real =
                path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.exists());
            if name == "python3" {
                // what is in the path may be a script that chooses a version
                let itself = Command::new(name).args(["-c", "import sys; print(sys.executable)"]).output();
                real = itself.ok().map(|output| String::from_utf8(output.stdout).unwrap().trim().into());
            }
            symlink(real.unwrap_or_else(|| panic!("{name} is not installed")), folder.join(name)).unwrap();
        }
        folder
    }

    pub(crate) fn tools(&self) -> PathBuf {
        self.folder.path().join("tools")
    }

    /// Runs `script`; `None` removes a variable.
    pub(crate) fn types(&self, script: &str, environment: &[(&str, Option<&str>)]) -> Output {
        self.command(script, environment).output().unwrap()
    }

    /// What `types` runs.
    pub(crate) fn command(&self, script: &str, environment: &[(&str, Option<&str>)]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let real =
            path.split(':').map(|folder| Path::new(folder).join("terraform")).find(|file| file.exists());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(self.repository());
        command.env("PATH", format!("{}:{path}", self.tools().display()));
        command.env("CALLS", self.folder.path().join("calls")).env("CLOUD", self.cloud());
        command.env("TERRAFORM", real.unwrap()).env("TF_REATTACH_PROVIDERS", &self.providers);
        command.env("CARGO_TARGET_DIR", self.repository().join("target")).env("CHECKPOINT_DISABLE", "1");
        command.env_remove("BUILD_PROFILE");
        // Terraform is short-lived: it collects little garbage
        command.env("GOGC", "400");
        command.env("PASSWORD", "correct horse").env("APPROVE", "yes").env("ENGINE", "docker");
        command.env_remove("PROJECT_ID").env_remove("ENVIRONMENT").env_remove("TF_CLI_CONFIG_FILE");
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// The recorded calls of tools, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    pub(crate) fn state(&self) -> Value {
        let state = fs::read_to_string(self.repository().join("terraform/terraform.tfstate")).unwrap();
        serde_json::from_str(&state).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let left = name == ".terraform"
            || name == "node_modules"
            || name.starts_with(".terraform.lock")
            || name.starts_with("terraform.tfstate")
            || name.contains(".tfvars.json");
        if left || name.ends_with(".tfvars") {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
