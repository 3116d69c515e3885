//! An export that ends early and goes on later makes the same files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::{
    Error, ExportReport, Folder, FolderEntry, GgufPlan, KeptExport, LocalFolder, LocalOutput, MergePlan,
    Model, OutputType, Progress, ProgressUpdate, ResumeState, RunOptions, Source,
};

use super::support::{checkpoint, fixture, model, plan, run};

/// Stops an export at a share of its bytes, and notes what it is told.
#[derive(Default)]
struct StopAt {
    permille: u64,
    resumed: Mutex<Vec<ResumeState>>,
}

impl StopAt {
    fn permille(permille: u64) -> Self {
        Self { permille, resumed: Mutex::default() }
    }

    fn never() -> Self {
        Self::permille(u64::MAX)
    }

    fn state(&self) -> ResumeState {
        let states = self.resumed.lock().unwrap();
        assert_eq!(states.len(), 1, "{states:?}");
        states[0].clone()
    }
}

/// [`StopAt`] with what was done last.
struct Stopping<'a>(&'a StopAt, AtomicU64);

impl Progress for Stopping<'_> {
    fn report(&self, update: ProgressUpdate) {
        self.1.store(1000 * update.done / update.total, Ordering::Relaxed);
    }

    fn resume(&self, state: &ResumeState) {
        self.0.resumed.lock().unwrap().push(state.clone());
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0.permille
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug)]
enum Export {
    Merge,
    Gguf,
    /// Types whose files have their tensors in two orders.
    TwoTypes,
}

impl Export {
    const ALL: [Self; 3] = [Self::Merge, Self::Gguf, Self::TwoTypes];

    fn report(self) -> String {
        match self {
            Self::Merge => ExportReport::FILE.to_owned(),
            Self::Gguf | Self::TwoTypes => "m-q8_0.report.json".to_owned(),
        }
    }

    fn write(self, model: &Model, output: &mut LocalOutput, run: &RunOptions<'_>) -> engine::Result<()> {
        let ggufs = |types: &[OutputType]| -> Vec<(GgufPlan, String)> {
            types.iter().map(|output| (plan(model, *output), format!("m-{output}.gguf"))).collect()
        };
        match self {
            Self::Merge => engine::merge(&MergePlan::new(model).unwrap(), output, run).map(|_| ()),
            Self::Gguf => {
                let (plan, name) = ggufs(&[OutputType::Q8_0]).swap_remove(0);
                engine::gguf(&plan, &name, output, run).map(|_| ())
            }
            Self::TwoTypes => {
                engine::ggufs(&ggufs(&[OutputType::Q8_0, OutputType::Q4_K_M]), output, run).map(|_| ())
            }
        }
    }

    fn run(self, model: &Model, folder: &Path, resume: bool, stop: &StopAt) -> engine::Result<()> {
        let mut output = LocalOutput::create(folder).unwrap().resumable(resume);
        let progress = Stopping(stop, AtomicU64::new(0));
        self.write(model, &mut output, &RunOptions { progress: &progress, ..run(3, 2000) })
    }

    /// Stops it at this share, and returns how much is kept.
    fn stop(self, model: &Model, folder: &Path, resume: bool, permille: u64) -> u64 {
        let stopped = self.run(model, folder, resume, &StopAt::permille(permille));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{self:?} {permille}: {stopped:?}");
        self.kept(folder).map_or(0, |kept| kept.bytes)
    }

    fn kept(self, folder: &Path) -> Option<KeptExport> {
        KeptExport::find(folder, &self.report())
    }

    /// The files of a run that nothing interrupts.
    fn expected(self, model: &Model) -> BTreeMap<PathBuf, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        self.write(model, &mut LocalOutput::create(folder.path()).unwrap(), &run(2, 5000)).unwrap();
        contents(folder.path())
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        files.insert(PathBuf::from(entry.file_name()), fs::read(entry.path()).unwrap());
    }
    files
}

/// The path of a draft.
fn draft(folder: &Path, prefix: &str) -> PathBuf {
    let names = contents(folder).into_keys();
    let mut found = names.filter(|name| name.to_str().unwrap().starts_with(prefix));
    folder.join(found.next().unwrap())
}

#[test]
fn stopped_and_resumed_exports_equal_those_of_one_run() {
    for case in ["gemma3-micro", "gemma1-micro"] {
        let model = model(case);
        for export in Export::ALL {
            let expected = export.expected(&model);
            for permille in [1, 150, 400, 700, 999] {
                let folder = tempfile::tempdir().unwrap();
                let kept = export.stop(&model, folder.path(), false, permille);
                assert!(kept > 0 || permille < 400, "{case} {export:?} {permille}");
                let rest = StopAt::never();
                export.run(&model, folder.path(), kept > 0, &rest).unwrap();
                assert!(contents(folder.path()) == expected, "{case} {export:?} {permille}");
                if kept > 0 {
                    let ResumeState::Kept { progress, damaged: 0 } = rest.state() else {
                        panic!("{:?}", rest.state())
                    };
                    assert_eq!(progress.done, kept);
                }
            }
        }
    }
}

#[test]
fn an_export_may_be_resumed_many_times() {
    let model = model("gemma3-micro");
    for export in Export::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Vec::new();
        for permille in [200, 350, 500, 650, 800, 950] {
            kept.push(export.stop(&model, folder.path(), true, permille));
        }
        assert!(kept.is_sorted() && kept[0] < kept[5], "{kept:?}");
        // one that ends while it reads back what is kept
        assert_eq!(export.stop(&model, folder.path(), true, 1), kept[5]);
        export.run(&model, folder.path(), true, &StopAt::never()).unwrap();
        assert!(contents(folder.path()) == export.expected(&model), "{export:?}");
    }
}

#[test]
fn nothing_is_kept_of_an_export_that_is_complete_or_has_no_tensor() {
    let model = model("gemma3-micro");
    for export in Export::ALL {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(export.stop(&model, folder.path(), false, 0), 0);
        assert!(contents(folder.path()).is_empty(), "{export:?}");
        let first = StopAt::never();
        export.run(&model, folder.path(), true, &first).unwrap();
        assert_eq!(first.state(), ResumeState::Nothing);
        assert!(export.kept(folder.path()).is_none());
    }
}

#[test]
fn a_run_that_does_not_resume_removes_what_is_kept() {
    let model = model("gemma3-micro");
    for export in Export::ALL {
        let folder = tempfile::tempdir().unwrap();
        export.stop(&model, folder.path(), false, 600);
        assert!(export.kept(folder.path()).unwrap().disk_bytes() > 0);
        export.run(&model, folder.path(), false, &StopAt::never()).unwrap();
        assert!(contents(folder.path()) == export.expected(&model), "{export:?}");
        export.stop(&model, folder.path(), false, 600);
        let kept = export.kept(folder.path()).unwrap();
        kept.remove();
        assert!(contents(folder.path()) == export.expected(&model), "{export:?}: its files and no drafts");
    }
}

#[test]
fn damaged_tensors_are_made_again() {
    let model = model("gemma3-micro");
    for (export, prefix) in [
        (Export::Merge, ".model-00001-of-00002.safetensors."),
        (Export::Gguf, ".m-q8_0.gguf."),
        (Export::TwoTypes, ".m-q4_k_m.gguf."),
    ] {
        let expected = export.expected(&model);
        for at in [0.0, 0.5, 0.7] {
            let folder = tempfile::tempdir().unwrap();
            let before = export.stop(&model, folder.path(), false, 950);
            let path = draft(folder.path(), prefix);
            let mut bytes = fs::read(&path).unwrap();
            let position = (bytes.len() as f64 * at) as usize;
            bytes[position] ^= 1;
            fs::write(&path, bytes).unwrap();
            let rest = StopAt::never();
            export.run(&model, folder.path(), true, &rest).unwrap();
            match rest.state() {
                // headers of files with any position are written again
                ResumeState::Kept { damaged: 0, .. } => {
                    assert!(matches!(export, Export::TwoTypes) && at == 0.0);
                }
                ResumeState::Kept { progress, .. } => assert!(progress.done < before),
                ResumeState::Damaged => assert!(at == 0.0),
                state @ (ResumeState::Nothing | ResumeState::Differs(_)) => {
                    panic!("{export:?} {at}: {state:?}")
                }
            }
            assert!(contents(folder.path()) == expected, "{export:?} {at}");
        }
    }
}

#[test]
fn a_draft_that_is_shorter_than_the_journal_is_written_from_there_on() {
    let model = model("gemma3-micro");
    for (export, prefix) in [(Export::Gguf, ".m-q8_0.gguf."), (Export::TwoTypes, ".m-q8_0.gguf.")] {
        let folder = tempfile::tempdir().unwrap();
        let before = export.stop(&model, folder.path(), false, 900);
        let path = draft(folder.path(), prefix);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let rest = StopAt::never();
        export.run(&model, folder.path(), true, &rest).unwrap();
        let ResumeState::Kept { progress, damaged } = rest.state() else { panic!("{:?}", rest.state()) };
        assert!(damaged > 0 && progress.done < before && progress.done > 0);
        assert!(contents(folder.path()) == export.expected(&model));
        // a draft that is gone
        export.stop(&model, folder.path(), false, 900);
        fs::remove_file(draft(folder.path(), prefix)).unwrap();
        let rest = StopAt::never();
        export.run(&model, folder.path(), true, &rest).unwrap();
        assert_eq!(rest.state(), ResumeState::Damaged);
        assert!(contents(folder.path()) == export.expected(&model));
    }
}

#[test]
fn a_journal_is_read_up_to_its_last_whole_line() {
    let model = model("gemma3-micro");
    let export = Export::Gguf;
    let folder = tempfile::tempdir().unwrap();
    let before = export.stop(&model, folder.path(), false, 900);
    let path = draft(folder.path(), ".journal.");
    let text = fs::read_to_string(&path).unwrap();
    for (cut, expects) in [(text.len() - 1, true), (text.len() - 30, true), (text.find('\n').unwrap(), false)]
    {
        let other = tempfile::tempdir().unwrap();
        for (name, bytes) in contents(folder.path()) {
            fs::write(other.path().join(name), bytes).unwrap();
        }
        let mut bytes = text.as_bytes()[..cut].to_vec();
        // half a character
        bytes.push(0xc3);
        fs::write(other.path().join(path.file_name().unwrap()), bytes).unwrap();
        let rest = StopAt::never();
        export.run(&model, other.path(), true, &rest).unwrap();
        match expects {
            true => {
                let ResumeState::Kept { progress, damaged: 0 } = rest.state() else {
                    panic!("{:?}", rest.state())
                };
                assert!(progress.done < before);
            }
            false => assert_eq!(rest.state(), ResumeState::Nothing),
        }
        assert!(contents(other.path()) == export.expected(&model), "{cut}");
    }
}

#[test]
fn the_draft_of_another_export_is_not_gone_on_with() {
    let (first, other) = (model("gemma3-micro"), model("gemma2-micro"));
    let folder = tempfile::tempdir().unwrap();
    let differs = |export: Export, model: &Model, parts: &[&str]| {
        let rest = StopAt::never();
        export.run(model, folder.path(), true, &rest).unwrap();
        let ResumeState::Differs(names) = rest.state() else { panic!("{:?}", rest.state()) };
        parts.iter().for_each(|part| assert!(names.contains(part), "{part} is not in {names}"));
        assert!(contents(folder.path()) == export.expected(model));
        contents(folder.path())
            .into_keys()
            .for_each(|name| fs::remove_file(folder.path().join(name)).unwrap());
    };
    Export::Gguf.stop(&first, folder.path(), false, 700);
    differs(
        Export::Gguf,
        &other,
        &["the adapter's adapter_config.json", "the adapter's adapter_model.safetensors"],
    );
    Export::TwoTypes.stop(&first, folder.path(), false, 700);
    differs(Export::Gguf, &first, &["the options", "the output m-q4_k_m.Modelfile"]);
    Export::Merge.stop(&first, folder.path(), false, 700);
    // the same weights, in files that were written again
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in contents(&fixture("gemma3-micro/base")) {
        fs::write(copy.path().join(name), bytes).unwrap();
    }
    let adapter = Arc::new(LocalFolder::open(fixture("gemma3-micro/adapter")).unwrap());
    let adapter = engine::Adapter::open(adapter).unwrap();
    let copied = Model::with_adapter(&checkpoint(copy.path()), &adapter).unwrap();
    differs(Export::Merge, &copied, &["the base's model-00001-of-00002.safetensors"]);
}

#[test]
fn an_export_that_fails_by_its_content_keeps_nothing() {
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in contents(&fixture("gemma3-micro/base")) {
        fs::write(copy.path().join(name), bytes).unwrap();
    }
    let shard = copy.path().join("model-00002-of-00002.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let end = bytes.len();
    bytes[end - 2..].fill(0xff);
    fs::write(&shard, bytes).unwrap();
    let model = Model::new(&checkpoint(copy.path()));
    for export in [Export::Gguf, Export::TwoTypes] {
        let folder = tempfile::tempdir().unwrap();
        let kept = export.stop(&model, folder.path(), false, 300);
        assert!(kept > 0);
        let error = export.run(&model, folder.path(), true, &StopAt::never()).unwrap_err();
        assert!(error.is_non_finite(), "{error}");
        assert!(contents(folder.path()).is_empty(), "{export:?}");
    }
}

/// A folder whose files have no version.
struct Versionless(LocalFolder);

struct VersionlessFile(Arc<dyn Source>);

impl Folder for Versionless {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.0.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.0.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(VersionlessFile(self.0.open(name)?)))
    }
}

impl Source for VersionlessFile {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

#[test]
fn an_export_of_weights_that_may_change_unnoticed_keeps_nothing() {
    let base = LocalFolder::open(fixture("gemma3-micro/base")).unwrap();
    let model = Model::new(&engine::Checkpoint::open(Arc::new(Versionless(base))).unwrap());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Export::Gguf.stop(&model, folder.path(), false, 700), 0);
    assert!(contents(folder.path()).is_empty());
}
