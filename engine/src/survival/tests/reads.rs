//! How often the base is read.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::io::FolderEntry;

/// Counts the reads of each range.
struct CountedFolder {
    folder: LocalFolder,
    reads: Arc<Mutex<HashMap<(String, u64), usize>>>,
}

struct CountedSource {
    source: Arc<dyn Source>,
    reads: Arc<Mutex<HashMap<(String, u64), usize>>>,
}

impl Folder for CountedFolder {
    fn location(&self) -> &str {
        self.folder.location()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        self.folder.list()
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.folder.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(CountedSource { source: self.folder.open(name)?, reads: Arc::clone(&self.reads) }))
    }
}

impl Source for CountedSource {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // embeddings of single tokens are smaller
        if buffer.len() > 4096 && self.location().ends_with(".safetensors") {
            *self.reads.lock().unwrap().entry((self.location().to_owned(), offset)).or_default() += 1;
        }
        self.source.read_at(offset, buffer)
    }
}

#[test]
fn the_base_is_read_once_for_the_predictions_and_once_for_the_changes() {
    let inputs = Inputs::new();
    let reads = Arc::<Mutex<HashMap<_, _>>>::default();
    let folder =
        CountedFolder { folder: LocalFolder::open(inputs.path("base")).unwrap(), reads: Arc::clone(&reads) };
    let base = Checkpoint::open(Arc::new(folder)).unwrap();
    let adapter = Adapter::open(Arc::new(LocalFolder::open(inputs.path("adapter")).unwrap())).unwrap();
    let model = Model::with_adapter(&base, &adapter).unwrap();
    let export = inputs.gguf(&inputs.model(), OutputType::Q4_0);
    let in_file = GgufPlan::new(&Model::new(&base), &GgufOptions::new(OutputType::Q4_0, "x")).unwrap();
    let (prompts, run) = (PromptSet::fixed(), RunOptions::default());
    reads.lock().unwrap().clear();
    let alone = measure_survival(&model, std::slice::from_ref(&export), &prompts, &run).unwrap();
    let read = std::mem::take(&mut *reads.lock().unwrap());
    assert!(read.len() > 20 && read.values().all(|count| *count <= 2), "{read:?}");
    // also where the base in a file with the adapter beside it is measured in the same passes
    let (with_beside, beside) = measure_survival_beside(&model, &[export], in_file, &prompts, &run).unwrap();
    let read = std::mem::take(&mut *reads.lock().unwrap());
    assert!(read.len() > 20 && read.values().all(|count| *count <= 2), "{read:?}");
    assert_eq!(with_beside, alone);
    assert_ne!(beside.unwrap().kl, alone[0].kl_export);
}
