//! A base and an adapter to run the command on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Copies of a base and its adapter, in a folder that goes away.
pub(crate) struct Inputs {
    folder: tempfile::TempDir,
    /// The endpoint of a Hub; without one, the command is offline.
    pub(crate) hub: Option<String>,
}

impl Inputs {
    pub(crate) fn new() -> Self {
        Self::of("gemma3-micro")
    }

    pub(crate) fn of(fixture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures");
        let fixture = fixtures.join(fixture);
        for part in ["base", "adapter"] {
            fs::create_dir(folder.path().join(part)).unwrap();
            for entry in fs::read_dir(fixture.join(part)).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
        Self { folder, hub: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// The command in the folder of the inputs, which also has its cache of the Hub.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"] {
            command.env_remove(name);
        }
        match &self.hub {
            Some(endpoint) => command.env("HF_ENDPOINT", endpoint),
            None => command.env("HF_HUB_OFFLINE", "1"),
        };
        command.env("HF_HOME", self.path("hf")).current_dir(self.folder.path()).args(args.split(' '));
        command
    }

    /// Runs what must succeed, and returns its standard error.
    pub(crate) fn succeed(&self, args: &str) -> String {
        let ended = self.run(args);
        assert!(ended.status.success(), "{args}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stderr).unwrap()
    }

    /// Runs what must fail because of an input, with all of these in its message.
    pub(crate) fn refuse(&self, args: &str, parts: &[&str]) {
        self.fail(4, args, parts);
    }

    /// Runs what must fail with this exit status, and with all of these in its message.
    pub(crate) fn fail(&self, status: i32, args: &str, parts: &[&str]) {
        let ended = self.run(args);
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(status), "{args}: {error}");
        for part in parts {
            assert!(error.contains(part), "{args}: {part:?} is not in: {error}");
        }
    }
}
