//! A repository on the Hub that exports are pushed to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{AdapterPlan, CopiedAdapter, WrittenFile};
use hub_client::{HubClient, HubError, HubSettings, RetryMonitor};
use hub_push::{ModelCard, PushClient, PushMonitor, PushRequest, PushedCommit, RepositoryState};
use serde_json::json;

use super::destination::{PushDestination, repository};
use super::exported::ExportedFiles;
use super::upload_progress::PushProgress;
use super::{ExportKind, PlannedPush};
use crate::args::PushOptions;
use crate::failure::Failure;
use crate::next_step;
use crate::signals;
use crate::sources::{HubEnvironment, Sources};
use crate::terminal::{Summary, Terminal};

/// A push to a repository that takes the files, as far as can be known before.
pub(crate) struct PreparedPush {
    destination: PushDestination,
    state: RepositoryState,
    /// The names of the base model's files, if no report has them.
    base_files: Vec<String>,
    client: PushClient,
    monitor: Arc<PushProgress>,
    terminal: Terminal,
}

impl PreparedPush {
    /// The push that `options` ask for; `None` if they do not.
    ///
    /// # Errors
    /// When the token may not write to the repository, or what is there contradicts the export.
    pub(crate) fn new(
        options: &PushOptions,
        planned: PlannedPush,
        sources: &Sources,
    ) -> Result<Option<Self>, Failure> {
        let Some(repo) = &options.push else { return Ok(None) };
        let PlannedPush { kind, names, base_model } = planned;
        let destination = PushDestination {
            option: "--push",
            repo: repository("--push", repo)?,
            is_public: options.public,
            base_model,
        };
        let file = |name| WrittenFile { name, size: 0, sha256: String::new() };
        let files: Vec<_> = names.into_iter().map(file).collect();
        Self::open(destination, kind, &files, sources).map(Some)
    }

    pub(super) fn open(
        mut destination: PushDestination,
        kind: ExportKind,
        files: &[WrittenFile],
        sources: &Sources,
    ) -> Result<Self, Failure> {
        signals::begin_work();
        let environment = HubEnvironment::read();
        if environment.offline {
            return Err(Failure::usage("HF_HUB_OFFLINE is set, and a push needs the Hub: unset it"));
        }
        let Some(token) = &environment.token else {
            return Err(Failure::usage(format!(
                "a push to {} needs a token with write access: set HF_TOKEN, or run `hf auth login`",
                destination.repo
            )));
        };
        redaction::register(token);
        let monitor = Arc::new(PushProgress::new(sources.terminal));
        let unusable = |error: HubError| {
            let endpoint = &environment.endpoint;
            Failure::remote(format!("the Hub at {endpoint} cannot be used: {error}; correct HF_ENDPOINT"))
        };
        let settings = HubSettings::at(&environment.endpoint);
        let runtime = sources.runtime()?.handle().clone();
        let retries = Arc::<PushProgress>::clone(&monitor) as Arc<dyn RetryMonitor>;
        let requests = HubClient::new(&settings, Some(token.clone()), retries, runtime).map_err(unusable)?;
        let pushes = Arc::<PushProgress>::clone(&monitor) as Arc<dyn PushMonitor>;
        let client = PushClient::new(&requests, Some(token), pushes).map_err(unusable)?;
        let state = client.destination(&destination.target(kind, files));
        let state = state.map_err(|error| destination.failure(&error))?;
        let mut base_files = Vec::new();
        if let Some(base) = destination.base_model.as_mut().filter(|_| kind == ExportKind::Adapter) {
            (*base, base_files) = sources.published_base(base)?;
        }
        Ok(Self { destination, state, base_files, client, monitor, terminal: sources.terminal })
    }

    /// Pushes the exports at `paths`, which are complete, and adds that to their summary. One that fails because of what was
    /// exported is not pushed.
    pub(crate) fn finish(&self, paths: &[PathBuf], mut summary: Summary) -> Summary {
        let repo = &self.destination.repo;
        let command = self.destination.command(paths);
        if summary.failure.is_some() {
            self.terminal
                .warn(&format!("nothing was pushed to {repo}; this pushes the export as it is: {command}"));
            return summary;
        }
        let send = |exported: ExportedFiles| {
            exported.check(self.terminal)?;
            self.send(&exported)
        };
        match ExportedFiles::read(paths).and_then(send) {
            Ok(pushed) => pushed.add_to(&mut summary),
            Err(failure) => {
                summary.failure = Some(Failure::new(
                    failure.kind,
                    format!(
                        "the export is complete, but was not pushed to {repo}: {failure}; this pushes it without exporting again: \
                         {command}"
                    ),
                ));
            }
        }
        summary
    }

    /// Pushes an adapter from where it is, and adds that to the summary.
    pub(crate) fn finish_adapter(
        &self,
        plan: &AdapterPlan,
        hashed: &CopiedAdapter,
        mut summary: Summary,
    ) -> Result<Summary, Failure> {
        self.send(&ExportedFiles::of_adapter(plan, hashed))?.add_to(&mut summary);
        Ok(summary)
    }

    /// Pushes exports whose files are as their reports say.
    pub(super) fn send(&self, exported: &ExportedFiles) -> Result<SentExport<'_>, Failure> {
        let (files, description) = (exported.written(), exported.description());
        let base_files = exported.base_files.iter().chain(&self.base_files).map(String::as_str);
        let base_files: Vec<_> = base_files.collect();
        let base_model = self.destination.base_model.as_deref();
        let request = PushRequest {
            target: self.destination.target(exported.kind, &files),
            card: ModelCard { base_model, base_files: &base_files, description: &description },
            folder: exported.folder(),
        };
        let commit = self.client.push(&request);
        self.monitor.finish();
        let commit = commit.map_err(|error| self.destination.failure(&error))?;
        let next_steps = match exported.kind {
            ExportKind::Adapter => {
                next_step::adapter(Path::new(&self.destination.repo), self.destination.base_model.as_deref())
            }
            ExportKind::Merged => vec![format!("vllm serve {}", self.destination.repo)],
            ExportKind::Gguf => {
                let names = files.iter().map(|file| file.name.as_str());
                next_step::pushed_gguf(&self.destination.repo, names)
            }
            ExportKind::Lora => Vec::new(),
        };
        Ok(SentExport { push: self, commit, files: files.len(), next_steps })
    }
}

/// Exports that are on the Hub.
pub(super) struct SentExport<'a> {
    push: &'a PreparedPush,
    commit: PushedCommit,
    files: usize,
    /// Commands that use them.
    next_steps: Vec<String>,
}

impl SentExport<'_> {
    pub(super) fn add_to(self, summary: &mut Summary) {
        let PushedCommit { url, revision } = self.commit;
        let (repo, is_private) = (&self.push.destination.repo, self.push.state.private);
        let visibility = if is_private { "private" } else { "public" };
        summary.lines.push(url.clone());
        summary.lines.push(format!("  pushed   {} files and the model card, {visibility}", self.files));
        summary.lines.push(format!("  commit   {revision}"));
        summary.next_steps.extend(self.next_steps);
        let pushed = json!({ "repo": repo, "url": url, "commit": revision, "private": is_private });
        summary.figures["pushed"] = pushed;
    }
}
