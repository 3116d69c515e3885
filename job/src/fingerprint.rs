//! One hash over the inputs and options of an artifact, and the revisions of the code that makes it: equal fingerprints
//! mean equal bytes.

use sha2::{Digest, Sha256};

use crate::input_folder::InputFile;

/// Changes when the job itself writes other bytes, such as those of a zip file.
const JOB_REVISION: u32 = 1;

/// The hash of an artifact's inputs and options.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of an artifact of `kind`.
    pub(crate) fn of(kind: &str) -> Self {
        let mut fingerprint = Self(Sha256::new());
        fingerprint.line(&[
            "export-service",
            &JOB_REVISION.to_string(),
            &engine::OUTPUT_REVISION.to_string(),
            kind,
        ]);
        fingerprint
    }

    /// Adds an option that changes the output.
    #[must_use]
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.line(&["option", name, value]);
        self
    }

    /// Adds a folder of inputs: every file's name, size and version.
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
            // the length separates the fields
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
    fn a_different_split_into_fields_gives_a_different_fingerprint() {
        let a = Fingerprint::of("gguf").option("ab", "c").finish();
        let b = Fingerprint::of("gguf").option("a", "bc").finish();
        assert_ne!(a, b);
        assert_eq!(a, Fingerprint::of("gguf").option("ab", "c").finish());
    }
}
