//! Who is signed in to which service: a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::signals;

/// The services, by their addresses.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SignIns {
    /// The service of the last login.
    pub(crate) default: Option<String>,
    #[serde(default)]
    services: BTreeMap<String, SignIn>,
}

/// A sign-in. It has secrets, so it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum SignIn {
    /// An ID token, which is valid for an hour.
    IdToken { token: String },
    /// A refresh token of Firebase Authentication, which is exchanged for ID tokens.
    Firebase { api_key: String, refresh_token: String },
}

impl SignIns {
    /// Those of the file; none if it does not exist.
    pub(crate) fn read() -> Result<Self, Failure> {
        let path = path()?;
        let cannot = |problem: &dyn std::fmt::Display| {
            Failure::input(format!("cannot read {}: {problem}; remove it, and sign in again", path.display()))
        };
        match fs::read(&path) {
            // the error of a parser repeats what it read
            Ok(text) => serde_json::from_slice(&text).map_err(|_| cannot(&"it is not valid")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(cannot(&error)),
        }
    }

    pub(crate) fn get(&self, service: &str) -> Option<&SignIn> {
        self.services.get(service)
    }

    /// Keeps a sign-in, and makes its service the default.
    pub(crate) fn set(&mut self, service: &str, sign_in: SignIn) -> Result<(), Failure> {
        self.default = Some(service.to_owned());
        self.services.insert(service.to_owned(), sign_in);
        self.write()
    }

    /// Removes the sign-in of a service. Returns whether there was one.
    pub(crate) fn remove(&mut self, service: &str) -> Result<bool, Failure> {
        let was = self.services.remove(service).is_some();
        if self.default.as_deref() == Some(service) {
            self.default = None;
        }
        self.write().map(|()| was)
    }

    fn write(&self) -> Result<(), Failure> {
        let (path, text) = (path()?, serde_json::to_vec_pretty(self)?);
        signals::begin_work();
        write_private(&path, &text)
            .map_err(|error| Failure::output(format!("cannot write {}: {error}", path.display())))
    }
}

/// Replaces a file by one that only its owner can read.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // a temporary file has mode 0600
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// `$XDG_CONFIG_HOME/gemma-export/sign-ins.json`, else in `~/.config`; in `%APPDATA%` on Windows.
fn path() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = folder(if cfg!(windows) { "APPDATA" } else { "XDG_CONFIG_HOME" });
    let config = config.or_else(|| Some(std::env::home_dir()?.join(".config")));
    let config = config.ok_or_else(|| {
        Failure::output("there is no folder for the sign-in: set HOME, or give a token by GEMMA_EXPORT_TOKEN")
    })?;
    Ok(config.join("gemma-export").join("sign-ins.json"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_readable_by_its_owner_only_also_when_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/sign-ins.json");
        for text in ["first", "second"] {
            write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}
