//! Secrets in files: created once, readable by their owner only, and never partially written.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, anyhow};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The secret in that file. If the file does not exist, `make` provides the secret.
///
/// # Errors
/// If the file cannot be read or created.
pub(crate) fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = make()?;
            write(path, &secret).with_context(|| format!("cannot write {}", path.display()))?;
            // Another process may have created the file first.
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// That many random bytes.
///
/// # Errors
/// If the system has none.
pub(crate) fn random_bytes(count: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("cannot get random bytes"))?;
    Ok(bytes)
}

/// Writes a file of another name and links it to the final one, which fails if that exists.
fn write(path: &Path, secret: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(secret)?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_created_once_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert_eq!(load_or_create(&path, || Ok(b"first".to_vec())).unwrap(), b"first");
        assert_eq!(load_or_create(&path, || Ok(b"second".to_vec())).unwrap(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_concurrent_creators_get_the_same_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let slow = load_or_create(&path, || {
            load_or_create(&path, || Ok(b"fast".to_vec()))?;
            Ok(b"slow".to_vec())
        });
        assert_eq!(slow.unwrap(), b"fast");
    }
}
