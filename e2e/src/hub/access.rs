//! What tokens permit.

/// The permissions of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The user, who owns the repositories that the token can write.
    pub user: String,
    /// Whether the token has write access.
    pub write: bool,
    /// Whether the user has accepted the licenses of gated models.
    pub licenses: bool,
}

/// A token, as the Hub knows it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) access: Access,
    /// The scopes of a token that an app got; `None` for one that the user made.
    pub(super) scopes: Option<Vec<String>>,
    /// The organizations that the user lets the app use.
    pub(super) organizations: Vec<String>,
}

impl Token {
    pub(super) fn of_user(access: &Access) -> Self {
        Self { access: access.clone(), scopes: None, organizations: Vec::new() }
    }

    /// Whether the user, or an organization that the token may use, owns the repository.
    pub(super) fn owns(&self, repo: &str) -> bool {
        let owner = repo.split('/').next().unwrap_or_default();
        owner == self.access.user || self.organizations.iter().any(|name| name == owner)
    }

    pub(super) fn may_write(&self, repo: &str) -> bool {
        self.access.write && self.owns(repo) && self.has_scope(["write-repos", "manage-repos"])
    }

    pub(super) fn may_create(&self, repo: &str) -> bool {
        self.access.write && self.owns(repo) && self.has_scope(["contribute-repos", "manage-repos"])
    }

    fn has_scope(&self, either: [&str; 2]) -> bool {
        let of_app = |scopes: &Vec<String>| scopes.iter().any(|scope| either.contains(&scope.as_str()));
        self.scopes.as_ref().is_none_or(of_app)
    }
}
