//! A model on the Hub as a folder that the engine reads by ranges, all files at one commit.

use std::{collections::BTreeMap, io, sync::Arc};

use engine::{Folder, FolderEntry, Source};
use hf_hub::repository::RepoTreeEntry;
use shared::domain::HubRepo;

use super::{Hub, error::HubOperation, file::HubFile};
use crate::{
    error::JobError,
    input_folder::{InputFile, InputFolder},
};

impl Hub {
    /// The model's files at a commit, branch or tag; without one, at the head of its main branch.
    pub(crate) fn model(
        self: &Arc<Self>,
        repo: &HubRepo,
        revision: Option<&str>,
    ) -> Result<InputFolder, JobError> {
        let repository = self.repository(repo);
        let operation = HubOperation::Read(repo.clone());
        let info = self.request(&operation, || repository.info().maybe_revision(revision).send())?;
        let revision = info.sha.unwrap_or_default();
        let tree = match revision.is_empty() {
            true => Vec::new(),
            false => self.tree(repo, &revision, &operation)?,
        };
        let files = tree.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { oid, size, path, lfs, .. } => {
                let version = lfs.and_then(|lfs| lfs.sha256).unwrap_or(oid);
                Some(InputFile { name: path, size, version })
            }
            RepoTreeEntry::Directory { .. } => None,
        });
        let files: Vec<InputFile> = files.collect();
        let entries: Vec<_> =
            files.iter().map(|f| FolderEntry { name: f.name.clone(), size: f.size }).collect();
        let open = |entry: &FolderEntry| {
            let file = HubFile::new(Arc::clone(self), operation.clone(), repo, &revision, entry)?;
            Ok((entry.name.clone(), Arc::new(file)))
        };
        let opened = entries.iter().map(open).collect::<io::Result<BTreeMap<_, Arc<HubFile>>>>();
        let opened = opened.map_err(|error| JobError::Internal(error.to_string()))?;
        let config = opened.get("config.json").map(Arc::clone);
        let folder = HubModel { location: self.url_of(repo), revision, entries, files: opened };
        let input = InputFolder { folder: Arc::new(folder), files };
        let Some(config) = config.filter(|_| input.has_model()) else {
            return Err(JobError::NoModel(format!(
                "{repo} on the Hugging Face Hub has {}, so it is no base model: set base_model_id to the model that the adapter \
                 was trained on, with its weights as safetensors",
                input.content()
            )));
        };
        // anyone may list the files of a gated model, but not read them: fail now rather than at the first range
        config.check_access()?;
        Ok(input)
    }
}

struct HubModel {
    revision: String,
    location: String,
    entries: Vec<FolderEntry>,
    /// By name. The Hub is asked once where each is.
    files: BTreeMap<String, Arc<HubFile>>,
}

impl HubModel {
    fn file(&self, name: &str) -> io::Result<&Arc<HubFile>> {
        self.files.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for HubModel {
    fn location(&self) -> &str {
        &self.location
    }

    fn revision(&self) -> Option<&str> {
        Some(&self.revision)
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        Ok(self.entries.iter().filter(|entry| !entry.name.contains('/')).cloned().collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        let is_in = |name: &str| {
            name.strip_prefix(subfolder)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| !rest.contains('/'))
        };
        Ok(self.entries.iter().map(|entry| entry.name.clone()).filter(|name| is_in(name)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::clone(self.file(name)?) as _)
    }
}
