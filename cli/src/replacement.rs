//! The replacement of an earlier export in a folder: all files or none, by renaming.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use engine::{ExportReport, keep_attributes, rename_new, sync_folder};

use crate::earlier_export::{files_below, outputs_of};
use crate::paths::parent;

/// The subfolder of a staging folder with the files that were replaced.
const REPLACED: &str = ".replaced";
/// The report of a folder that holds files of both exports.
const BOTH: &str = ".both.report.json";
const CONFIG: &str = "config.json";

/// Whether a staging folder holds files of an earlier export, because a process was killed while it replaced them.
pub(crate) fn holds_earlier_files(staging: &Path) -> bool {
    files_below(&staging.join(REPLACED)).is_ok_and(|files| !files.is_empty())
}

/// The files in a staging folder take the place of the `earlier` ones in a folder.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    folder: &'a Path,
    replaced: PathBuf,
    /// From and to, in order.
    renames: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Replacement<'a> {
    /// Orders the renames: at every moment the report in the folder lists every file there, and the folder has no
    /// `config.json` while it holds files of both exports.
    pub(crate) fn plan(folder: &'a Path, staging: &Path, earlier: &[String]) -> io::Result<Self> {
        let replaced = staging.join(REPLACED);
        let staged: HashSet<String> =
            files_below(staging)?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        for name in &staged {
            keep_attributes(&folder.join(name), &staging.join(name))?;
        }
        fs::create_dir(&replaced)?;
        report_both(folder, staging, &replaced)?;
        let report = folder.join(ExportReport::FILE);
        let mut renames = vec![(staging.join(BOTH), report)];
        let is_plain = |name: &&String| ![CONFIG, ExportReport::FILE].contains(&name.as_str());
        let earlier: HashSet<&String> = earlier.iter().collect();
        let set_aside = |name: &String| (folder.join(name), replaced.join(name));
        let put = |name: &String| (staging.join(name), folder.join(name));
        let (config, report) = (CONFIG.to_owned(), ExportReport::FILE.to_owned());
        renames.extend(earlier.get(&config).map(|name| set_aside(name)));
        let is_left = |name: &&&String| is_plain(name) && !staged.contains(**name);
        renames.extend(earlier.iter().filter(is_left).map(|name| set_aside(name)));
        for name in staged.iter().filter(is_plain) {
            renames.extend(earlier.get(name).map(|name| set_aside(name)));
            renames.push(put(name));
        }
        renames.extend([config, report].iter().filter(|name| staged.contains(*name)).map(put));
        Ok(Self { folder, replaced, renames })
    }

    /// Renames. When that fails, everything has its earlier name again.
    pub(crate) fn run(&self) -> io::Result<()> {
        for (done, renaming) in self.renames.iter().enumerate() {
            if let Err(error) = rename(renaming) {
                return Err(match self.undo(done) {
                    Ok(()) => error,
                    Err(undoing) => io::Error::other(format!(
                        "{error}; the files that it replaced are in {}, because they cannot be moved back: {undoing}",
                        self.replaced.display()
                    )),
                });
            }
        }
        sync_folder(self.folder)
    }

    /// Undoes the first `done` renames.
    fn undo(&self, done: usize) -> io::Result<()> {
        for (from, to) in self.renames[..done].iter().skip(1).rev() {
            fs::rename(to, from)?;
        }
        let (earlier, report) =
            (self.replaced.join(ExportReport::FILE), self.folder.join(ExportReport::FILE));
        match earlier.exists() {
            true => fs::rename(earlier, report),
            false if done > 0 => fs::remove_file(report),
            false => Ok(()),
        }
    }
}

fn rename((from, to): &(PathBuf, PathBuf)) -> io::Result<()> {
    fs::create_dir_all(parent(to))?;
    // the report alone is replaced: what others had their names has been set aside
    if to.file_name().is_some_and(|name| name == ExportReport::FILE) {
        fs::rename(from, to)
    } else {
        rename_new(from, to)
    }
}

/// Keeps a copy of the earlier report, and writes one that also lists the files of the new.
fn report_both(folder: &Path, staging: &Path, replaced: &Path) -> io::Result<()> {
    let (earlier, new) = (folder.join(ExportReport::FILE), staging.join(ExportReport::FILE));
    let mut both: serde_json::Value = serde_json::from_slice(&fs::read(new)?)?;
    if let Some(listed) = outputs_of(&earlier) {
        fs::copy(&earlier, replaced.join(ExportReport::FILE))?;
        if let Some(outputs) = both["outputs"].as_array_mut() {
            outputs.extend(listed);
        }
    }
    let mut file = File::create(staging.join(BOTH))?;
    file.write_all(&serde_json::to_vec_pretty(&both)?)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earlier_export::reported_names;

    struct Folders(tempfile::TempDir);

    impl Folders {
        /// An export of `a`, `b` and `config.json`, and a staged one of `b`, `c/c` and `config.json`.
        fn new() -> Self {
            let folders = Self(tempfile::tempdir().unwrap());
            write(&folders.folder(), "earlier", &["a", "b", CONFIG]);
            write(&folders.staging(), "new", &["b", "c/c", CONFIG]);
            folders
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("out")
        }

        fn staging(&self) -> PathBuf {
            self.0.path().join("staging")
        }

        fn contents(&self) -> Vec<(PathBuf, String)> {
            let mut names = files_below(&self.folder()).unwrap();
            names.sort();
            let read = |name: PathBuf| (name.clone(), fs::read_to_string(self.folder().join(name)).unwrap());
            names.into_iter().map(read).collect()
        }
    }

    fn write(folder: &Path, text: &str, names: &[&str]) {
        for name in names {
            fs::create_dir_all(parent(&folder.join(name))).unwrap();
            fs::write(folder.join(name), format!("{text} {name}")).unwrap();
        }
        let outputs: Vec<_> = names.iter().map(|name| serde_json::json!({ "name": name })).collect();
        let report = serde_json::json!({ "made_by": { "engine": "0" }, "outputs": outputs });
        fs::write(folder.join(ExportReport::FILE), report.to_string()).unwrap();
    }

    fn earlier() -> Vec<String> {
        ["a", "b", CONFIG, ExportReport::FILE].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_folder_holds_the_new_files_only() {
        let folders = Folders::new();
        let folder = folders.folder();
        Replacement::plan(&folder, &folders.staging(), &earlier()).unwrap().run().unwrap();
        let names: Vec<_> = folders.contents().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "c/c", CONFIG, ExportReport::FILE].map(PathBuf::from));
        assert_eq!(fs::read_to_string(folder.join("b")).unwrap(), "new b");
        assert_eq!(reported_names(&folder.join(ExportReport::FILE)).unwrap().len(), 3);
    }

    #[test]
    fn a_process_that_is_killed_leaves_only_files_that_a_report_lists_and_no_earlier_one_is_lost() {
        let count = {
            let folders = Folders::new();
            Replacement::plan(&folders.folder(), &folders.staging(), &earlier()).unwrap().renames.len()
        };
        for killed_after in 0..=count {
            let folders = Folders::new();
            let (folder, staging) = (folders.folder(), folders.staging());
            let plan = Replacement::plan(&folder, &staging, &earlier()).unwrap();
            plan.renames[..killed_after].iter().for_each(|renaming| rename(renaming).unwrap());
            let reported = reported_names(&folder.join(ExportReport::FILE)).unwrap();
            for (name, _) in folders.contents() {
                let name = name.to_str().unwrap();
                assert!(name == ExportReport::FILE || reported.contains(name), "{killed_after}: {name}");
            }
            for name in ["a", "b", CONFIG] {
                let paths = [folder.join(name), plan.replaced.join(name)];
                let kept = paths
                    .iter()
                    .any(|path| fs::read_to_string(path).is_ok_and(|text| text == format!("earlier {name}")));
                assert!(kept, "{killed_after}: {name}");
            }
        }
    }

    #[test]
    fn a_file_that_appears_is_not_replaced() {
        let folders = Folders::new();
        let folder = folders.folder();
        let plan = Replacement::plan(&folder, &folders.staging(), &earlier()).unwrap();
        fs::create_dir(folder.join("c")).unwrap();
        fs::write(folder.join("c/c"), "other").unwrap();
        let before = folders.contents();
        let error = plan.run().unwrap_err();
        assert!(error.get_ref().unwrap().is::<engine::FileAppeared>(), "{error}");
        assert_eq!(folders.contents(), before);
    }

    #[test]
    fn a_rename_that_fails_changes_nothing() {
        let count = {
            let folders = Folders::new();
            Replacement::plan(&folders.folder(), &folders.staging(), &earlier()).unwrap().renames.len()
        };
        for failing in 0..count {
            let folders = Folders::new();
            let (before, folder, staging) = (folders.contents(), folders.folder(), folders.staging());
            let mut plan = Replacement::plan(&folder, &staging, &earlier()).unwrap();
            plan.renames[failing].0 = folder.join("absent");
            assert!(plan.run().is_err());
            assert_eq!(folders.contents(), before, "{failing}");
        }
    }
}
