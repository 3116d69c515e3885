//! README.md and the examples of `--help`, typed in bash. Folders with the names that they use hold fixtures.
//!
//! `make` runs as `make --dry-run`, which fails for an unknown target. `cargo install --locked --path P` copies the built
//! command under the name that Cargo would install for the package in `P`, and `PATH` has no other `gemma-export`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const COMMAND: &str = "gemma-export";
const BUILT: &str = env!("CARGO_BIN_EXE_gemma-export");

/// The folders that pages and examples name, and the fixtures in their place.
const FOLDERS: [(&str, &str); 5] = [
    ("gemma-3-1b-it", "base"),
    ("gemma-3-27b-it", "base"),
    ("my-full-fine-tune", "base"),
    ("my-lora", "adapter"),
    ("my-adapter", "adapter"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A folder to type in, with `models/` as the current folder and `bin/` first on `PATH`.
struct Terminal(TempDir);

impl Terminal {
    fn new() -> Self {
        let terminal = Self(tempfile::tempdir().unwrap());
        let fixtures = repository().join("engine/tests/fixtures/gemma3-micro");
        for (name, fixture) in FOLDERS {
            let folder = terminal.path(&format!("models/{name}"));
            fs::create_dir_all(&folder).unwrap();
            for entry in fs::read_dir(fixtures.join(fixture)).unwrap() {
                let file = entry.unwrap().path();
                fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
        fs::write(terminal.path("models/questions.txt"), "What is the capital of France?\n").unwrap();
        fs::create_dir_all(terminal.path("bin")).unwrap();
        terminal
            .script("make", &format!("exec {} --dry-run -C {} \"$@\"", real("make"), repository().display()));
        terminal
    }

    /// A terminal in which the command is installed already.
    fn with_command() -> Self {
        let terminal = Self::new();
        fs::copy(BUILT, terminal.path(&format!("bin/{COMMAND}"))).unwrap();
        terminal
    }

    /// A terminal in which `cargo install` installs the command, and nothing else does.
    fn with_cargo_install() -> Self {
        let terminal = Self::new();
        let bin = terminal.path("bin");
        let install = |(folder, name): &(String, String)| {
            format!("'install --locked --path {folder}') cp {BUILT} {}/{name} ;;\n", bin.display())
        };
        let cases: String = binaries().iter().filter(|(_, name)| name == COMMAND).map(install).collect();
        let unknown = format!("*) echo \"cargo $*: this does not install {COMMAND}\" >&2; exit 1 ;;");
        terminal.script("cargo", &format!("case \"$*\" in\n{cases}{unknown}\nesac"));
        terminal
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/usr/bin/env bash\nset -euo pipefail\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn types(&self, script: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        let other = path.split(':').filter(|folder| !Path::new(folder).join(COMMAND).exists());
        let folders: Vec<String> =
            std::iter::once(self.path("bin").display().to_string()).chain(other.map(str::to_owned)).collect();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(self.path("models"));
        bash.env("PATH", folders.join(":")).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        bash.output().unwrap()
    }

    fn must_type(&self, script: &str) -> String {
        let output = self.types(script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{text}{errors}");
        text
    }
}

/// The path of an installed tool.
fn real(tool: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let found = path.split(':').map(|folder| Path::new(folder).join(tool)).find(|file| file.exists());
    found.unwrap().display().to_string()
}

/// The binaries of the workspace, by the folder of their package, as Cargo would install them.
fn binaries() -> Vec<(String, String)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(repository());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut binaries = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(repository()).unwrap().display().to_string();
        let is_binary = |target: &&Value| target["kind"] == serde_json::json!(["bin"]);
        for target in package["targets"].as_array().unwrap().iter().filter(is_binary) {
            binaries.push((folder.clone(), target["name"].as_str().unwrap().to_owned()));
        }
    }
    binaries
}

/// Language and text of each fenced block.
fn blocks(page: &str) -> Vec<(String, String)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    let block = |fenced: &str| fenced.split_once('\n').map(|(language, text)| (language.into(), text.into()));
    fenced.map(|fenced| block(fenced).unwrap()).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

#[test]
fn every_shell_block_of_the_readme_works() {
    let blocks = blocks(&read("README.md"));
    let unknown = blocks.iter().find(|(language, _)| !["sh", "text"].contains(&language.as_str()));
    assert_eq!(unknown, None, "a block that is neither typed nor text");
    let script: String =
        blocks.into_iter().filter(|(language, _)| language == "sh").map(|(_, t)| t + "\n").collect();
    let terminal = Terminal::with_cargo_install();
    let text = terminal.must_type(&script);
    for part in ["cargo run --package local -- run", "cargo test --workspace", "./scripts/guards"] {
        assert!(text.contains(part), "make no longer runs {part}:\n{text}");
    }
    for file in ["my-model-q8_0.gguf", "my-model-q4_k_m.gguf", "merged/model.safetensors.index.json"] {
        assert!(terminal.path("models").join(file).exists(), "{file} was not written");
    }
}

#[test]
fn a_page_with_a_wrong_command_fails() {
    let options = "--base gemma-3-1b-it --adapter my-lora --out merged";
    let install = "cargo install --locked --path cli";
    for wrong in [
        format!("export merge {options}"),
        format!("gemma-export merge {options}"),
        format!("{install}\nexport merge {options}"),
        format!("{install}\ngemma-export merge {options} --quant q8_0"),
        "cargo install --locked --path engine".to_owned(),
        "make no-such-target".to_owned(),
    ] {
        let output = Terminal::with_cargo_install().types(&format!("{wrong}\ntrue"));
        assert!(!output.status.success(), "{wrong}");
    }
}

#[test]
fn every_make_target_of_the_readme_exists() {
    let mut make = Command::new("make");
    make.arg("help").current_dir(repository()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let help = String::from_utf8(make.output().unwrap().stdout).unwrap();
    let readme = read("README.md");
    let targets = readme.split('`').filter_map(|text| text.strip_prefix("make "));
    let targets: Vec<_> = targets.filter(|target| !target.contains(' ')).collect();
    assert!(!targets.is_empty());
    for target in targets.into_iter().filter(|target| *target != "help") {
        let listed = help.lines().any(|line| line.split_whitespace().nth(1) == Some(target));
        assert!(listed, "make {target} is not in make help:\n{help}");
    }
}

#[test]
fn every_block_of_other_pages_that_calls_the_command_works() {
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".md") {
            continue;
        }
        let page = read(&format!("docs/{name}"));
        let calls = |text: &str| text.lines().any(|line| line.trim_start().starts_with(COMMAND));
        let script: String =
            blocks(&page).into_iter().filter(|(_, text)| calls(text)).map(|(_, text)| text + "\n").collect();
        Terminal::with_command().must_type(&script);
    }
}

/// The lines of `--help` that begin with the command, with their continuations.
fn examples(help: &str) -> String {
    let mut script = String::new();
    for line in help.lines() {
        if script.ends_with("\\\n") || line.starts_with(&format!("  {COMMAND} ")) {
            script.push_str(&format!("{}\n", line.trim_start()));
        }
    }
    script
}

#[test]
fn every_example_of_help_works() {
    let help = |subcommand: &[&str]| {
        let output = Command::new(BUILT).args(subcommand).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(examples(&help(&[])).matches(COMMAND).count(), 6);
    Terminal::with_command().must_type(&examples(&help(&[])));
    // those of the commands that use a service are typed by the tests of `local`
    let subcommands = ["merge", "gguf", "lora", "verify", "check", "inspect", "completions", "man"];
    let script: String = subcommands.iter().map(|subcommand| examples(&help(&[subcommand]))).collect();
    let wide = script.lines().find(|line| line.len() + 4 > 40);
    assert_eq!(wide, None, "a terminal of 40 columns would break it, and it could not be copied");
    assert_eq!(script.matches("gemma-export ").count(), 15);
    Terminal::with_command().must_type(&script);
}
