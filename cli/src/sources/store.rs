//! Folders in Cloud Storage (`gs://bucket/path`) and on web servers (`https://host/path`), read by ranges at the versions that
//! were found.

use std::collections::BTreeSet;
use std::sync::Arc;

use bucket_snapshot::BucketSnapshot;
use engine::{Folder, companion_files};
use futures_util::TryStreamExt as _;
use hub_client::innermost;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use url::{Host, Url};

use super::requests::NotingConnector;
use crate::failure::{Failure, FailureKind};
use crate::terminal::Terminal;

/// The files of models and adapters that are not in `companion_files` and are not named by another file.
const FIXED_FILES: [&str; 6] = [
    "config.json",
    "adapter_config.json",
    "model.safetensors",
    "adapter_model.safetensors",
    MODEL_INDEX,
    ADAPTER_INDEX,
];
const MODEL_INDEX: &str = "model.safetensors.index.json";
const ADAPTER_INDEX: &str = "adapter_model.safetensors.index.json";
/// The modules of an embedding model, each in a folder.
const MODULES: &str = "modules.json";

/// Opens the folder at a URL.
pub(crate) fn open(url: &str, runtime: &Runtime, terminal: Terminal) -> Result<Arc<dyn Folder>, Failure> {
    check(url)?;
    let url = url.trim_end_matches('/');
    let found = runtime.block_on(find(url, terminal));
    let FoundFolder { store, prefix, objects } = found.map_err(|error| failure(url, &error))?;
    if objects.is_empty() {
        return Err(Failure::input(format!(
            "there are no files of a model or an adapter at {url}: correct the URL"
        )));
    }
    let handle = runtime.handle().clone();
    Ok(Arc::new(BucketSnapshot::new(store, (prefix, url.to_owned()), objects, handle)))
}

/// A folder in a store, and what is in it.
struct FoundFolder {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    objects: Vec<ObjectMeta>,
}

async fn find(url: &str, terminal: Terminal) -> object_store::Result<FoundFolder> {
    let Some(location) = url.strip_prefix("gs://") else {
        let store = web_store(url, terminal)?;
        let objects = web_files(&store).await?;
        return Ok(FoundFolder { store, prefix: Path::default(), objects });
    };
    let (bucket, path) = location.split_once('/').unwrap_or((location, ""));
    let (store, prefix) = (bucket_store(bucket, terminal)?, Path::parse(path)?);
    let objects = store.list(Some(&prefix)).try_collect().await?;
    Ok(FoundFolder { store, prefix, objects })
}

/// Refuses what is no URL of a folder, and what would put a secret into messages and reports.
fn check(url: &str) -> Result<(), Failure> {
    let refuse = |problem: String| Err(Failure::input(problem));
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        // not shown: it may hold a password
        Err(error) => {
            return refuse(format!(
                "the URL cannot be read ({error}): give gs://bucket/path or https://host/path"
            ));
        }
    };
    if !parsed.username().is_empty()
        || parsed.password().is_some()
        || parsed.query().is_some()
        || parsed.fragment().is_some()
    {
        return refuse(
            "the URL has a user name, a password, a query or a fragment, which messages and reports would repeat: give it without, \
             or download the folder first"
                .to_owned(),
        );
    }
    match (parsed.scheme(), parsed.host_str()) {
        (_, None | Some("")) => {
            refuse(format!("{url} names no bucket or host: give gs://bucket/path or https://host/path"))
        }
        ("http", Some(_)) if !is_loopback(&parsed) => {
            refuse(format!("{url} would be read without encryption: use https://"))
        }
        _ => Ok(()),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A bucket, with a token of `GOOGLE_OAUTH_ACCESS_TOKEN`, else the application default credentials, else as anybody may read it.
fn bucket_store(bucket: &str, terminal: Terminal) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_http_connector(NotingConnector(terminal));
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    if let Some(host) = variable("STORAGE_EMULATOR_HOST") {
        let host = if host.contains("://") { host } else { format!("http://{host}") };
        let options = ClientOptions::new().with_allow_http(true);
        builder = builder.with_base_url(&host).with_client_options(options).with_skip_signature(true);
    } else if let Some(token) = variable("GOOGLE_OAUTH_ACCESS_TOKEN") {
        builder = builder.with_bearer_token(token);
    } else if !has_credentials(&builder) {
        builder = builder.with_skip_signature(true);
    }
    Ok(Arc::new(builder.build()?))
}

/// Whether there are credentials besides those of a machine in Google's cloud.
fn has_credentials(builder: &GoogleCloudStorageBuilder) -> bool {
    let keys = [
        GoogleConfigKey::ServiceAccount,
        GoogleConfigKey::ServiceAccountKey,
        GoogleConfigKey::ApplicationCredentials,
    ];
    let folder = std::env::var_os("APPDATA").map(std::path::PathBuf::from);
    let folder = folder.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let stored = folder.map(|folder| folder.join("gcloud/application_default_credentials.json"));
    keys.iter().any(|key| builder.get_config_value(key).is_some()) || stored.is_some_and(|path| path.exists())
}

fn web_store(url: &str, terminal: Terminal) -> object_store::Result<Arc<dyn ObjectStore>> {
    // those of another machine are refused before
    let options = ClientOptions::new().with_allow_http(true);
    let builder = HttpBuilder::new().with_url(url).with_client_options(options);
    Ok(Arc::new(builder.with_http_connector(NotingConnector(terminal)).build()?))
}

/// The files of a model or an adapter that a web server has. It has no list of them: those that may be there are asked for.
async fn web_files(store: &Arc<dyn ObjectStore>) -> object_store::Result<Vec<ObjectMeta>> {
    let names = FIXED_FILES.into_iter().chain(companion_files()).map(str::to_owned);
    let mut files = existing(store, names.collect()).await?;
    let mut named = BTreeSet::new();
    for file in &files {
        let of_json: fn(&Value) -> Vec<String> = match file.location.as_ref() {
            MODEL_INDEX | ADAPTER_INDEX => shards,
            MODULES => module_files,
            _ => continue,
        };
        let text = store.get(&file.location).await?.bytes().await?;
        // a file that is not JSON is named by the engine
        named.extend(serde_json::from_slice(&text).map(|json| of_json(&json)).unwrap_or_default());
    }
    named.retain(|name| !files.iter().any(|file| file.location.as_ref() == name));
    files.extend(existing(store, named).await?);
    Ok(files)
}

fn shards(index: &Value) -> Vec<String> {
    let map = index["weight_map"].as_object().into_iter().flatten();
    map.filter_map(|(_, shard)| shard.as_str().map(str::to_owned)).collect()
}

fn module_files(modules: &Value) -> Vec<String> {
    let folders = modules.as_array().into_iter().flatten().filter_map(|module| module["path"].as_str());
    let files = |folder: &str| ["config.json", "model.safetensors"].map(|file| format!("{folder}/{file}"));
    folders.filter(|folder| !folder.is_empty()).flat_map(files).collect()
}

/// Those of the files that exist.
async fn existing(
    store: &Arc<dyn ObjectStore>,
    names: BTreeSet<String>,
) -> object_store::Result<Vec<ObjectMeta>> {
    let mut requests = JoinSet::new();
    for name in names {
        let (store, path) = (Arc::clone(store), Path::parse(&name)?);
        requests.spawn(async move { store.head(&path).await });
    }
    let mut files = Vec::new();
    for answer in requests.join_all().await {
        match answer {
            Err(Error::NotFound { .. }) => {}
            file => {
                let file = file?;
                // no range can be asked for by a weak tag
                let e_tag = file.e_tag.filter(|tag| !tag.starts_with("W/"));
                files.push(ObjectMeta { e_tag, ..file });
            }
        }
    }
    Ok(files)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn failure(url: &str, error: &Error) -> Failure {
    let advice = match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } if url.starts_with("gs://") => {
            ": give a token (GOOGLE_OAUTH_ACCESS_TOKEN), or run `gcloud auth application-default login`"
        }
        Error::NotFound { .. } => ": correct the URL",
        Error::Generic { .. } => ": check the address and the connection, and try again",
        _ => "",
    };
    Failure::new(FailureKind::Remote, format!("cannot read {url}{advice} ({})", innermost(error)))
}
