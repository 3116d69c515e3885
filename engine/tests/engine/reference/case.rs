//! A case: a base, an adapter, and what others made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{Adapter, Checkpoint, LocalFolder, Model};
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) target: Option<Checkpoint>,
    pub(crate) expected: Expected,
}

#[derive(Deserialize)]
pub(crate) struct Expected {
    /// The case whose base it shares, if it has none of its own.
    base: Option<String>,
    /// The case whose base is the model that this one drafts for, if it is a drafter.
    target: Option<String>,
    /// The merged checkpoint's tensors, where there is an adapter.
    #[serde(default)]
    pub(crate) merged: BTreeMap<String, ExpectedTensor>,
    /// GGUF files by type, if the model can be one.
    #[serde(default)]
    pub(crate) gguf: BTreeMap<String, ExpectedGguf>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedTensor {
    #[serde(alias = "type")]
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) sha256: String,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedGguf {
    pub(crate) sha256: String,
    /// What to say when it differs.
    #[serde(flatten)]
    pub(crate) parts: Option<ExpectedParts>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedParts {
    /// Hashes of key, type and value.
    pub(crate) kv: BTreeMap<String, String>,
    pub(crate) order: Vec<String>,
    pub(crate) tensors: BTreeMap<String, ExpectedTensor>,
}

impl Case {
    pub(crate) fn open(folder: PathBuf) -> Self {
        let expected = std::fs::read(folder.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&expected).unwrap();
        let open = |path: PathBuf| Arc::new(LocalFolder::open(path).unwrap());
        let base = match &expected.base {
            Some(name) => folder.join("../..").join(name).join("base"),
            None => folder.join("base"),
        };
        let base = Checkpoint::open(open(base)).unwrap();
        let of_case =
            |name: &String| Checkpoint::open(open(folder.join("../..").join(name).join("base"))).unwrap();
        let target = expected.target.as_ref().map(of_case);
        let model = if folder.join("adapter").exists() {
            let adapter = Adapter::open(open(folder.join("adapter"))).unwrap();
            Model::with_adapter(&base, &adapter).unwrap()
        } else {
            Model::new(&base)
        };
        Self { name: folder.display().to_string(), model, target, expected }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
