//! What an artifact was made of, as one hash: equal fingerprints mean equal inputs and options.

use sha2::{Digest, Sha256};

use crate::input_folder::InputFile;

/// Changes whenever the same inputs and options would give other bytes.
const FORMAT: &str = concat!("export-service ", env!("CARGO_PKG_VERSION"), ", with reports");

/// Collects what goes into an artifact.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// For an artifact of that kind.
    pub(crate) fn of(kind: &str) -> Self {
        let mut new = Self(Sha256::new());
        new.line(&[FORMAT, kind]);
        new
    }

    /// An option that shapes the output.
    #[must_use]
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.line(&["option", name, value]);
        self
    }

    /// A folder of inputs: every file's name, size and version.
    #[must_use]
    pub(crate) fn folder(mut self, role: &str, files: &[InputFile]) -> Self {
        for file in files {
            self.line(&["file", role, &file.name, &file.size.to_string(), &file.version]);
        }
        self
    }

    /// The hash, in lower-case hex.
    pub(crate) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }

    fn line(&mut self, fields: &[&str]) {
        for field in fields {
            // the length keeps fields apart
            self.0.update((field.len() as u64).to_le_bytes());
            self.0.update(field);
        }
        self.0.update([0xff]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_run_into_each_other() {
        let a = Fingerprint::of("gguf").option("ab", "c").finish();
        let b = Fingerprint::of("gguf").option("a", "bc").finish();
        assert_ne!(a, b);
        assert_eq!(a, Fingerprint::of("gguf").option("ab", "c").finish());
    }
}
