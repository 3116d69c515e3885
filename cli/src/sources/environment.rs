//! The settings of the Hub's own clients, which `huggingface_hub` reads from the same variables and files.
//!
//! <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hub_client::HubSettings;
use secrecy::SecretString;

/// Endpoint, cache and token.
#[derive(Debug, Clone)]
pub(crate) struct HubEnvironment {
    /// `HF_ENDPOINT`.
    pub(crate) endpoint: String,
    /// `HF_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`; `None` without a home.
    pub(crate) cache: Option<PathBuf>,
    /// `HF_TOKEN`, or the token that `hf auth login` has stored.
    pub(crate) token: Option<SecretString>,
    /// `HF_HUB_OFFLINE`: nothing is requested.
    pub(crate) offline: bool,
}

impl HubEnvironment {
    pub(crate) fn read() -> Self {
        Self::of(&|name| std::env::var_os(name))
    }

    fn of(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| lookup(name)?.into_string().ok().filter(|text| !text.trim().is_empty());
        let user = || lookup("HOME").or_else(|| lookup("USERPROFILE")).map(PathBuf::from);
        let path = |name: &str| {
            let path = PathBuf::from(lookup(name).filter(|path| !path.is_empty())?);
            match path.strip_prefix("~") {
                Ok(below) => Some(user()?.join(below)),
                Err(_) => Some(path),
            }
        };
        let is_set = |name: &str| {
            text(name).is_some_and(|text| matches!(&*text.to_uppercase(), "1" | "ON" | "YES" | "TRUE"))
        };
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(user()?.join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let in_home = |name: &str| Some(home.as_ref()?.join(name));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).or_else(|| in_home("hub"));
        let given = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let stored = || read_token(&path("HF_TOKEN_PATH").or_else(|| in_home("token"))?);
        let token = match is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => given.map(|token| token.trim().to_owned()).or_else(stored),
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| HubSettings::DEFAULT_ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            cache,
            token: token.map(SecretString::from),
            offline: is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE"),
        }
    }
}

fn read_token(path: &Path) -> Option<String> {
    let token = fs::read_to_string(path).ok()?.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> HubEnvironment {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        HubEnvironment::of(&|name| find(name).map(|(_, value)| OsString::from(value)))
    }

    fn cache(variables: &[(&str, &str)]) -> Option<PathBuf> {
        read(variables).cache
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(cache(&[("HOME", "/u")]), expected("/u/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/c")]), expected("/c/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/u"), ("HF_HOME", "~/hf")]), expected("/u/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/models")]), expected("/models"));
        assert_eq!(cache(&[]), None);
    }

    #[test]
    fn the_token_is_that_of_the_variable_else_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let token = |variables: &[(&str, &str)]| {
            let variables = [variables, &[("HF_HOME", home)]].concat();
            read(&variables).token.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(token(&[]), None);
        fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(token(&[]).as_deref(), Some("hf_file"));
        assert_eq!(token(&[("HF_TOKEN", " hf_variable\n")]).as_deref(), Some("hf_variable"));
        assert_eq!(token(&[("HF_TOKEN", "")]).as_deref(), Some("hf_file"));
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
    }

    #[test]
    fn endpoint_and_offline_mode() {
        assert_eq!(read(&[]).endpoint, "https://huggingface.co");
        assert_eq!(read(&[("HF_ENDPOINT", "http://127.0.0.1:8080/")]).endpoint, "http://127.0.0.1:8080");
        let offline = |value| read(&[("HF_HUB_OFFLINE", value)]).offline;
        assert_eq!(["1", "true", "Yes", "ON", "0", ""].map(offline), [true, true, true, true, false, false]);
    }
}
