//! A repository that an export would be pushed to, before the push: why it would be refused, and whether the token may write.

use std::sync::Arc;

use hub_client::{HubError, HubFile};
use reqwest::Method;
use serde::Deserialize;
use shared::domain::{ArtifactKind, HubRepo, RepositorySummary};

use super::{Hub, contents::RepositoryContents, error::HubOperation};
use crate::hub::card::{self, CARD_FILE};
use crate::{error::JobError, manifest::ManifestFile};

/// Largest model card in bytes that is read and written again.
const MAX_CARD_SIZE: u64 = 4 << 20;

impl Hub {
    /// Looks at the repository that `files` would be pushed to. Fails as the push would because of what is there, and if the
    /// token is rejected.
    pub(crate) fn destination(
        self: &Arc<Self>,
        repo: &HubRepo,
        private: bool,
        kind: ArtifactKind,
        files: &[ManifestFile],
    ) -> Result<RepositorySummary, JobError> {
        let (operation, repository) = (HubOperation::Write(repo.clone()), self.repository(repo));
        let exists = self.request(&operation, || repository.exists().send())?;
        let may_write = self.may_write(repo)?;
        let private = if exists { self.check_existing(repo, private, kind, files)? } else { private };
        Ok(RepositorySummary { repo: repo.clone(), exists, private, may_write })
    }

    /// Fails if `files` would be refused because of what is in the repository, before they are made. What else is wrong with
    /// the repository is left to the push.
    pub(crate) fn check_destination(
        self: &Arc<Self>,
        repo: &HubRepo,
        private: bool,
        kind: ArtifactKind,
        files: &[ManifestFile],
    ) -> Result<(), JobError> {
        match self.check_existing(repo, private, kind, files) {
            Ok(_) => Ok(()),
            Err(error @ (JobError::InvalidInput(_) | JobError::Stopped)) => Err(error),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(error, repo = repo.as_str(), "the destination was not read");
                Ok(())
            }
        }
    }

    /// Whether the repository, which exists, is private. Fails if it has what contradicts `files`.
    fn check_existing(
        self: &Arc<Self>,
        repo: &HubRepo,
        private: bool,
        kind: ArtifactKind,
        files: &[ManifestFile],
    ) -> Result<bool, JobError> {
        let operation = HubOperation::Write(repo.clone());
        let mut before = self.contents(repo, &operation)?;
        before.check_privacy(repo, private)?;
        before.check(repo, kind)?;
        if !files.is_empty() {
            self.read_card(repo, &mut before, &operation)?;
            before.check_mmproj(repo, files)?;
        }
        Ok(before.private == Some(true))
    }

    /// Reads the model card, and notes the files that it lists. Empty if there is none, `None` if it is not text or very large.
    pub(super) fn read_card(
        self: &Arc<Self>,
        repo: &HubRepo,
        contents: &mut RepositoryContents,
        operation: &HubOperation,
    ) -> Result<Option<String>, JobError> {
        let Some(size) = contents.size_of(CARD_FILE) else { return Ok(Some(String::new())) };
        if size > MAX_CARD_SIZE {
            return Ok(None);
        }
        let revision = contents.head.as_deref().unwrap_or("main");
        let card = String::from_utf8(self.read_small(repo, (CARD_FILE, size), revision, operation)?).ok();
        contents.exported = card.as_deref().map(card::listed_files).unwrap_or_default();
        Ok(card)
    }

    /// The content of a small file of a repository.
    pub(super) fn read_small(
        self: &Arc<Self>,
        repo: &HubRepo,
        (name, size): (&str, u64),
        revision: &str,
        operation: &HubOperation,
    ) -> Result<Vec<u8>, JobError> {
        let file = HubFile::new(&self.requests, repo.as_str(), revision, (name, size), &operation.explain());
        file.read().map_err(JobError::bucket("read", name))
    }

    /// Whether the token may write to `repo`; `None` if the Hub does not say.
    fn may_write(&self, repo: &HubRepo) -> Result<Option<bool>, JobError> {
        let caller = async || -> Result<TokenOwner, HubError> {
            let url = self.requests.url(["api", "whoami-v2"]);
            Ok(self.requests.send_to_api(self.requests.to_hub(Method::GET, url)).await?.json().await?)
        };
        match self.requests.block_on(self.requests.with_retries(caller)) {
            Ok(caller) => Ok(caller.may_write(repo)),
            Err(HubError::Stopped) => Err(JobError::Stopped),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, repo = repo.as_str(), "the rights of the Hub token are not known");
                Ok(None)
            }
        }
    }
}

/// What the Hub says about a token (`/api/whoami-v2`).
#[derive(Deserialize)]
struct TokenOwner {
    name: String,
    #[serde(default)]
    orgs: Vec<Membership>,
    auth: Option<TokenAuth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    name: String,
    role_in_org: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAuth {
    access_token: Option<AccessToken>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessToken {
    role: String,
    fine_grained: Option<FineGrained>,
}

#[derive(Deserialize)]
struct FineGrained {
    #[serde(default)]
    scoped: Vec<TokenScope>,
}

/// What a fine-grained token may do with a user's, an organization's, or one repository.
#[derive(Deserialize)]
struct TokenScope {
    entity: ScopeEntity,
    #[serde(default)]
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct ScopeEntity {
    name: Option<String>,
}

impl TokenOwner {
    fn may_write(&self, repo: &HubRepo) -> Option<bool> {
        let (owner, _) = repo.parts();
        let token = self.auth.as_ref()?.access_token.as_ref()?;
        let may_only_read = |role: &str| matches!(role, "read" | "no_access");
        match token.role.as_str() {
            "read" => Some(false),
            "write" if owner == self.name => Some(true),
            "write" => {
                let membership = self.orgs.iter().find(|org| org.name == owner);
                Some(membership.is_some_and(|org| !org.role_in_org.as_deref().is_some_and(may_only_read)))
            }
            "fineGrained" => {
                let scopes = &token.fine_grained.as_ref()?.scoped;
                let is_of_repo = |scope: &&TokenScope| {
                    scope.entity.name.as_deref().is_some_and(|name| name == owner || name == repo.as_str())
                };
                let mut of_repo = scopes.iter().filter(is_of_repo);
                Some(of_repo.any(|scope| scope.permissions.iter().any(|one| one == "repo.write")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn may_write(role: &str, orgs: &Value, scoped: &Value, repo: &str) -> Option<bool> {
        let token =
            json!({"displayName": "t", "role": role, "fineGrained": {"global": [], "scoped": scoped}});
        let answer =
            json!({"name": "ada", "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}});
        serde_json::from_value::<TokenOwner>(answer).unwrap().may_write(&repo.parse().unwrap())
    }

    #[test]
    fn a_token_writes_what_its_role_and_scopes_allow() {
        let none = json!([]);
        let orgs =
            json!([{"name": "lab", "roleInOrg": "contributor"}, {"name": "club", "roleInOrg": "read"}]);
        let scope =
            |entity: Value, permission: &str| json!([{"entity": entity, "permissions": [permission]}]);
        let own = scope(json!({"type": "user", "name": "ada"}), "repo.write");
        let one = scope(json!({"type": "model", "name": "lab/one"}), "repo.write");
        let reads = scope(json!({"type": "user", "name": "ada"}), "repo.content.read");
        for (role, orgs, scoped, repo, expected) in [
            ("write", &none, &none, "ada/x", Some(true)),
            ("write", &none, &none, "lab/x", Some(false)),
            ("write", &orgs, &none, "lab/x", Some(true)),
            ("write", &orgs, &none, "club/x", Some(false)),
            ("read", &orgs, &none, "ada/x", Some(false)),
            ("fineGrained", &none, &own, "ada/x", Some(true)),
            ("fineGrained", &none, &reads, "ada/x", Some(false)),
            ("fineGrained", &none, &one, "lab/one", Some(true)),
            ("fineGrained", &none, &one, "lab/two", Some(false)),
            ("god", &none, &none, "ada/x", None),
        ] {
            assert_eq!(may_write(role, orgs, scoped, repo), expected, "{role} {repo} {scoped}");
        }
    }

    #[test]
    fn the_rights_of_a_token_that_are_not_listed_are_unknown() {
        let owner: TokenOwner = serde_json::from_value(json!({"name": "ada"})).unwrap();
        assert_eq!(owner.may_write(&"ada/x".parse().unwrap()), None);
    }
}
