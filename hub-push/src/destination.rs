//! A repository before a push: why it would be refused, and whether the token may write.

use hub_client::HubError;
use reqwest::Method;
use serde::Deserialize;

use crate::client::PushClient;
use crate::error::{HubOperation, PushError};
use crate::request::{PushTarget, parts};

/// A repository that files can be pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryState {
    /// Whether it exists. The push creates one that does not.
    pub exists: bool,
    /// Whether only its owner may read it, or will be.
    pub private: bool,
    /// Whether the token may write to it, which is so unless the Hub does not say: `None`.
    pub may_write: Option<bool>,
}

impl PushClient {
    /// Looks at the repository that the files would be pushed to.
    ///
    /// # Errors
    /// As the push would fail because of what is there, and if the token is rejected or may not write.
    pub fn destination(&self, target: &PushTarget<'_>) -> Result<RepositoryState, PushError> {
        let (operation, repository) = (HubOperation::look(target.repo), self.repository(target.repo));
        let exists = self.request(&operation, || repository.exists().send())?;
        let may_write = self.may_write(target.repo)?;
        let private = if exists { self.check_existing(target)? } else { target.private };
        if may_write == Some(false) {
            return Err(PushError::NoWriteAccess { repo: target.repo.to_owned() });
        }
        Ok(RepositoryState { exists, private, may_write })
    }

    /// Whether the repository, which exists, is private. Without files, what contradicts single ones is not looked for.
    ///
    /// # Errors
    /// If it has what contradicts the files, or cannot be read.
    fn check_existing(&self, target: &PushTarget<'_>) -> Result<bool, PushError> {
        let operation = HubOperation::look(target.repo);
        let mut before = self.contents(target.repo, &operation)?;
        before.check(target)?;
        if !target.files.is_empty() {
            self.read_card(target.repo, &mut before, &operation)?;
            before.check_mmproj(target)?;
        }
        Ok(before.private == Some(true))
    }

    /// Whether the token may write to `repo`; `None` if the Hub does not say.
    fn may_write(&self, repo: &str) -> Result<Option<bool>, PushError> {
        let caller = async || -> Result<TokenOwner, HubError> {
            let url = self.requests.url(["api", "whoami-v2"]);
            Ok(self.requests.send_to_api(self.requests.to_hub(Method::GET, url)).await?.json().await?)
        };
        match self.requests.block_on(self.requests.with_retries(caller)) {
            Ok(caller) => Ok(caller.may_write(repo)),
            Err(HubError::Stopped) => Err(PushError::Stopped),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, repo, "the rights of the Hub token are not known");
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
    fn may_write(&self, repo: &str) -> Option<bool> {
        let (owner, _) = parts(repo);
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
                    scope.entity.name.as_deref().is_some_and(|name| name == owner || name == repo)
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
        serde_json::from_value::<TokenOwner>(answer).unwrap().may_write(repo)
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
        assert_eq!(owner.may_write("ada/x"), None);
    }
}
