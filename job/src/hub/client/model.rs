//! A model on the Hub as a folder that the engine reads by ranges, all files at one commit.

use std::sync::Arc;

use hub_client::{HubFolder, RepositoryFile};
use shared::domain::HubRepo;

use super::{Hub, read_error};
use crate::{
    error::JobError,
    input_folder::{InputFile, InputFolder},
};

impl Hub {
    /// The model's files at a commit, branch or tag; without one, at the head of its main branch.
    pub(crate) fn model(&self, repo: &HubRepo, revision: Option<&str>) -> Result<InputFolder, JobError> {
        let failed = |error| read_error::failed(repo, error);
        let info = self.requests.info(repo.as_str(), revision).map_err(failed)?;
        let listed = self.requests.files_of(repo.as_str(), &info).map_err(failed)?;
        let revision = info.sha.unwrap_or_default();
        let folder =
            HubFolder::new(&self.requests, repo.as_str(), &revision, &listed, &read_error::explain(repo));
        let config = folder.file("config.json").map(Arc::clone);
        let file = |file: &RepositoryFile| {
            let (name, version) = (file.name.clone(), file.version().to_owned());
            InputFile { name, size: file.size, version }
        };
        let input = InputFolder { folder: Arc::new(folder), files: listed.iter().map(file).collect() };
        let Some(config) = config.filter(|_| input.has_model()) else {
            return Err(JobError::NoModel(format!(
                "{repo} on the Hugging Face Hub has {}, so it is no base model: set base_model_id to the model that the adapter \
                 was trained on, with its weights as safetensors",
                input.content()
            )));
        };
        // anyone may list the files of a gated model, but not read them: fail now rather than at the first range
        config.check_access().map_err(failed)?;
        Ok(input)
    }
}
