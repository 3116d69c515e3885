//! The folder of all data of the local stack, `.local` by default.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use shared::domain::ExportId;

use crate::store::DocumentStore;

/// How long a stack waits for the export jobs of an earlier stack to end.
const OLD_JOBS_END_WITHIN: Duration = Duration::from_secs(10);

/// The file that marks a folder as the stack's own.
const MARKER: &str = ".export-service-local";

/// What [`MARKER`] contains, for people.
const MARKED: &str = "Data of the Export Service's local stack. `local reset` removes it.\n";

/// The file that holds the URL of the buckets at the last start.
const LOCATION: &str = "location";

/// A bucket, which is a folder in `buckets/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// Merged models that later exports start from.
    Models,
    /// Files to download.
    Files,
    /// Base models, as `owner/name/`.
    BaseModels,
    /// The output of the Training Service: adapters and full fine-tunes.
    Training,
}

impl Bucket {
    /// Every bucket.
    pub(crate) const ALL: [Self; 4] = [Self::Models, Self::Files, Self::BaseModels, Self::Training];

    /// The folder's name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Files => "files",
            Self::BaseModels => "base-models",
            Self::Training => "training",
        }
    }
}

/// The paths of all data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

/// A lock that the operating system releases when the process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl DataDir {
    /// The folder at `path` of a stack that was started before.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn existing(path: &Path) -> anyhow::Result<Self> {
        match path.canonicalize() {
            Ok(path) if path.join(MARKER).exists() => Ok(Self(path)),
            Ok(_) | Err(_) => bail!(
                "{} is not a data folder of the local stack: name the --data-dir that `local serve` was started with",
                path.display()
            ),
        }
    }

    /// The folder at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// If it cannot be created, or contains something else.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        check_own(path)?;
        let make = |path: &Path| {
            fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))
        };
        make(path)?;
        let dir = Self(path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?);
        for bucket in Bucket::ALL {
            make(&dir.bucket(bucket))?;
        }
        make(&dir.logs())?;
        make(&dir.keys())?;
        let marker = dir.0.join(MARKER);
        fs::write(&marker, MARKED).with_context(|| format!("cannot write {}", marker.display()))?;
        Ok(dir)
    }

    /// The absolute path of the folder.
    #[must_use]
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The database of documents.
    #[must_use]
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("documents.db")
    }

    /// The folder of all buckets.
    #[must_use]
    pub(crate) fn buckets(&self) -> PathBuf {
        self.0.join("buckets")
    }

    /// The folder of that bucket.
    #[must_use]
    pub(crate) fn bucket(&self, bucket: Bucket) -> PathBuf {
        self.buckets().join(bucket.name())
    }

    /// The URL of that bucket in documents.
    ///
    /// # Errors
    /// If the path cannot be expressed as a URL.
    pub(crate) fn bucket_url(&self, bucket: Bucket) -> anyhow::Result<String> {
        let path = self.bucket(bucket);
        match url::Url::from_file_path(&path) {
            Ok(url) => Ok(url.to_string()),
            Err(()) => bail!("the path {} cannot be expressed as a URL", path.display()),
        }
    }

    /// The folder of the logs: one file per export, and one of the stack.
    #[must_use]
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The log of the job of that export.
    #[must_use]
    pub(crate) fn export_log(&self, export: ExportId) -> PathBuf {
        self.logs().join(format!("{export}.log"))
    }

    /// The log of the functions and the gateway.
    #[must_use]
    pub(crate) fn stack_log(&self) -> PathBuf {
        self.logs().join("stack.log")
    }

    /// The folder of private keys.
    #[must_use]
    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The folder in which demo data is written before it is moved to its bucket.
    #[must_use]
    pub(crate) fn drafts(&self) -> PathBuf {
        self.0.join("drafts")
    }

    /// The download cache of the job's Hub client.
    #[must_use]
    pub(crate) fn hub_cache(&self) -> PathBuf {
        self.0.join("hub")
    }

    /// Locks the folder for one stack.
    ///
    /// # Errors
    /// If another stack uses it.
    pub(crate) fn lock_stack(&self) -> anyhow::Result<FolderLock> {
        let file = self.lock_file("stack.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another local stack uses {}: stop it first, or choose another folder with --data-dir",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data folder"),
        }
    }

    /// Locks the folder for an export job, of which there can be many.
    ///
    /// # Errors
    /// If the lock file cannot be used.
    pub(crate) fn lock_job(&self) -> anyhow::Result<FolderLock> {
        let file = self.lock_file("jobs.lock")?;
        file.lock_shared().context("cannot lock the data folder")?;
        Ok(FolderLock { _file: file })
    }

    /// Waits until the export jobs of an earlier stack have ended, which they do when their stack exits.
    ///
    /// # Errors
    /// If one is still running after a while.
    pub(crate) fn wait_for_old_jobs(&self) -> anyhow::Result<()> {
        let file = self.lock_file("jobs.lock")?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if start.elapsed() < OLD_JOBS_END_WITHIN => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "an export job of an earlier stack is still running: end that process and start again"
                    )
                }
                Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the data folder"),
            }
        }
    }

    /// What [`reset`](Self::reset) removes.
    #[must_use]
    fn contents(&self) -> Vec<PathBuf> {
        OWN_FOLDERS
            .iter()
            .chain(&OWN_FILES)
            .map(|name| self.0.join(name))
            .filter(|path| path.exists())
            .collect()
    }

    /// Removes all data of the stack, and the folder if nothing else is in it. `removing` is called with each path before that.
    ///
    /// # Errors
    /// If something cannot be removed, or a stack uses the folder.
    pub(crate) fn reset(&self, removing: impl Fn(&Path)) -> anyhow::Result<()> {
        let lock = self.lock_stack()?;
        self.wait_for_old_jobs()?;
        self.contents().iter().for_each(|path| removing(path));
        for name in OWN_FOLDERS {
            ignore_not_found(fs::remove_dir_all(self.0.join(name)))
                .with_context(|| format!("cannot remove {name}"))?;
        }
        for name in OWN_FILES {
            ignore_not_found(fs::remove_file(self.0.join(name)))
                .with_context(|| format!("cannot remove {name}"))?;
        }
        drop(lock);
        match fs::remove_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Updates the URLs of files in documents if the folder has been moved.
    ///
    /// # Errors
    /// If the file with the previous location, or the database, cannot be used.
    pub(crate) async fn update_document_urls(&self, store: &DocumentStore) -> anyhow::Result<()> {
        let file = self.0.join(LOCATION);
        let now = url::Url::from_file_path(self.buckets())
            .map_err(|()| anyhow!("the path {} cannot be expressed as a URL", self.0.display()))?;
        match fs::read_to_string(&file) {
            Ok(before) if before != now.as_str() => {
                let changed = store.relocate(&before, now.as_str()).await?;
                tracing::info!(changed, "updated the URLs in documents after the folder was moved");
            }
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        fs::write(file, now.as_str()).context("cannot write into the data folder")
    }

    fn lock_file(&self, name: &str) -> anyhow::Result<File> {
        let path = self.0.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

/// The folders and files of a stack. The marker is the last to be removed.
const OWN_FOLDERS: [&str; 5] = ["buckets", "logs", "keys", "hub", "drafts"];
const OWN_FILES: [&str; 7] =
    ["documents.db", "documents.db-wal", "documents.db-shm", LOCATION, "jobs.lock", "stack.lock", MARKER];

/// Refuses a folder with other content. A stack of an earlier version has no marker, but its database and keys.
fn check_own(path: &Path) -> anyhow::Result<()> {
    let is_empty = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    let is_earlier = path.join(LOCATION).is_file() && path.join("documents.db").is_file();
    if is_empty || is_earlier || path.join(MARKER).exists() {
        return Ok(());
    }
    bail!("{} contains other files: choose an empty or a new folder with --data-dir", path.display())
}

fn ignore_not_found(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stack_on_the_same_folder_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&temp.path().join("deep/.local")).unwrap();
        let first = dir.lock_stack().unwrap();
        assert!(dir.lock_stack().unwrap_err().to_string().contains("another local stack"));
        drop(first);
        dir.lock_stack().unwrap();
    }

    #[test]
    fn a_stack_waits_for_the_jobs_of_an_earlier_stack() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let (one, two) = (dir.lock_job().unwrap(), dir.lock_job().unwrap());
        let waiting = std::thread::spawn({
            let dir = dir.clone();
            move || dir.wait_for_old_jobs()
        });
        drop(one);
        std::thread::sleep(Duration::from_millis(60));
        assert!(!waiting.is_finished());
        drop(two);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_folder_with_other_content_is_never_used_nor_reset() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("keys")).unwrap();
        fs::write(temp.path().join("keys/id_ed25519"), "x").unwrap();
        assert!(DataDir::open(temp.path()).unwrap_err().to_string().contains("contains other files"));
        assert!(DataDir::existing(temp.path()).unwrap_err().to_string().contains("not a data folder"));
        assert!(temp.path().join("keys/id_ed25519").exists());
        let typo = temp.path().join("typo");
        assert!(DataDir::existing(&typo).is_err());
        assert!(!typo.exists());
    }

    #[test]
    fn reset_keeps_files_that_are_not_the_stacks() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        fs::write(dir.database(), "x").unwrap();
        fs::write(temp.path().join("mine.txt"), "x").unwrap();
        dir.reset(|path| assert!(path.exists())).unwrap();
        let left: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["mine.txt"]);
    }
}
