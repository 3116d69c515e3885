//! A good base and adapter, and ways to spoil them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub(crate) const SHARD: &str = "model-00001-of-00002.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
pub(crate) const A: &str = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight";
pub(crate) const B: &str = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight";

pub(crate) struct Folders(tempfile::TempDir);

impl Folders {
    pub(crate) fn new() -> Self {
        Self::of("gemma1-micro", &["base", "adapter"])
    }

    /// Copies of these folders of a fixture.
    pub(crate) fn of(fixture: &str, parts: &[&str]) -> Self {
        let new = Self(tempfile::tempdir().unwrap());
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        for part in parts {
            fs::create_dir(new.0.path().join(part)).unwrap();
            for entry in fs::read_dir(fixture.join(part)).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, new.0.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
        new
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.0.path().join("base")
    }

    pub(crate) fn adapter(&self) -> PathBuf {
        self.0.path().join("adapter")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    pub(crate) fn has_output(&self) -> bool {
        fs::read_dir(self.out()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Bytes of all input files.
    pub(crate) fn size(&self) -> u64 {
        let files = [self.base(), self.adapter()].map(|folder| fs::read_dir(folder).unwrap());
        files.into_iter().flatten().map(|e| fs::metadata(e.unwrap().path()).unwrap().len()).sum()
    }

    pub(crate) fn bytes(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.0.path().join(path);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn json(&self, path: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        self.bytes(path, |bytes| {
            let mut value: Map<String, Value> = serde_json::from_slice(bytes).unwrap();
            change(&mut value);
            *bytes = serde_json::to_vec(&value).unwrap();
        });
    }

    /// Changes a safetensors header; the data after it stays.
    pub(crate) fn header(&self, path: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        self.bytes(path, |bytes| {
            let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..data]).unwrap();
            change(&mut header);
            let text = serde_json::to_vec(&header).unwrap();
            let mut new = (text.len() as u64).to_le_bytes().to_vec();
            new.extend(text);
            new.extend(&bytes[data..]);
            *bytes = new;
        });
    }

    /// Sets a value of a tensor in F32 or BF16.
    pub(crate) fn value(&self, path: &str, tensor: &str, element: usize, value: f32) {
        self.bytes(path, |bytes| {
            let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header: Value = serde_json::from_slice(&bytes[8..data]).unwrap();
            let start = data + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
            match header[tensor]["dtype"].as_str().unwrap() {
                "F32" => bytes[start + 4 * element..][..4].copy_from_slice(&value.to_le_bytes()),
                _ => bytes[start + 2 * element..][..2].copy_from_slice(&value.to_le_bytes()[2..]),
            }
        });
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.0.path().join(from), self.0.path().join(to)).unwrap();
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.0.path().join(from), self.0.path().join(to)).unwrap();
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(path), bytes).unwrap();
    }
}
