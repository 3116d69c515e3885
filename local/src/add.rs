//! Adds a training job for a model of one's own: its folders are linked into the buckets, nothing is copied.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use shared::{
    adapters::documents::TRAINING_JOBS,
    clock,
    domain::{HubRepo, JobId, UserId},
    ports::TrainingJobs as _,
};

use crate::{
    data_dir::{Bucket, DataDir},
    store::DocumentStore,
};

/// The most jobs with one name.
const MOST_OF_A_NAME: usize = 1000;

/// The most bytes of a name that become an id, which is the name of a folder, too, or the name of a base, of which the Hub allows 96.
const LONGEST_SLUG: usize = 80;

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The folder of the adapter, as PEFT saves it, or of a full fine-tune
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// The folder of the base model, as on the Hugging Face Hub
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// The base model's name [default: that in adapter_config.json]
    #[arg(long, value_name = "OWNER/NAME")]
    base_name: Option<HubRepo>,
    /// The job's name [default: the name of the adapter's folder]
    #[arg(long, value_parser = job_name)]
    name: Option<String>,
    /// The user whose job it is
    #[arg(long, default_value = "ada", value_parser = user_id)]
    user: UserId,
}

/// A user whose id is also the name of a folder.
fn user_id(text: &str) -> Result<UserId, String> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':');
    if !text.chars().all(is_plain) || text.starts_with('.') {
        return Err(
            "must have letters, digits, '-', '_', '.', '@' and ':', and not begin with '.'".to_owned()
        );
    }
    text.parse().map_err(|why: shared::domain::InvalidId| why.to_string())
}

/// A name that is shown in one line.
fn job_name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    match name.is_empty() || name.chars().any(char::is_control) {
        true => Err("must not be empty, and must not contain control characters"),
        false => Ok(name.to_owned()),
    }
}

/// What `adapter_config.json` says about the base model.
#[derive(Debug, Default, Deserialize)]
struct AdapterConfig {
    base_model_name_or_path: Option<String>,
    revision: Option<String>,
}

/// A training job that was added.
pub(crate) struct AddedJob {
    pub(crate) id: String,
    /// The id that its name stands for, if another job has it.
    pub(crate) taken: Option<String>,
    pub(crate) user: UserId,
    pub(crate) base: Option<HubRepo>,
}

/// Links the folders, and writes the document of the job. Everything is checked before the first link is made.
///
/// # Errors
/// If a folder has no model or adapter, or its name in the buckets is taken by another.
pub(crate) async fn add(dir: &DataDir, args: AddArgs) -> anyhow::Result<AddedJob> {
    let adapter = folder(&args.adapter)?;
    let base = match args.base.as_deref() {
        Some(base) => Some(model_folder(base)?),
        None => None,
    };
    let name = args.name.unwrap_or_else(|| folder_name(&adapter));
    let is_adapter = adapter.join("adapter_config.json").is_file();
    let (base_name, base_link) = if is_adapter {
        let config = adapter_config(&adapter)?;
        let base_name = base_name(args.base_name, &config, base.as_deref())?;
        let link = base_link(dir, &base_name, config.revision.as_deref(), base.as_deref())?;
        (Some(base_name), link)
    } else {
        ensure!(
            adapter.join("config.json").is_file(),
            "{} has neither adapter_config.json nor config.json: --adapter is the folder of an adapter or of a full fine-tune",
            adapter.display()
        );
        ensure!(base.is_none(), "{} is a full model, which needs no --base", adapter.display());
        (None, None)
    };
    let store = DocumentStore::open(&dir.database()).context("cannot open the database")?;
    dir.update_document_urls(&store).await?;
    let slug = slug(&name);
    let id = free_id(dir, &store, &args.user, &slug).await?;
    let path = format!("{}/{id}", args.user);
    let document = json!({
        "user_id": args.user, "job_name": name, "status": "completed", "created_at": clock::now().to_string(),
        "base_model_id": base_name, "adapter_path": format!("{}/{path}", dir.bucket_url(Bucket::Training)?),
    });
    let place = below(&dir.bucket(Bucket::Training), &path)?;
    if let Some((base, place)) = base_link {
        link_base(base, &place)?;
    }
    link(&adapter, &place)?;
    let put = store.put_new(TRAINING_JOBS, &id, &document).await;
    if !matches!(put, Ok(true)) {
        fs::remove_file(&place).with_context(|| format!("cannot remove the link {}", place.display()))?;
    }
    ensure!(put?, "another job with the id {id} was added at the same time: add this one again");
    let taken = (id != slug).then_some(slug);
    Ok(AddedJob { id, taken, user: args.user, base: base_name })
}

fn folder(path: &Path) -> anyhow::Result<PathBuf> {
    let folder = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
    ensure!(folder.is_dir(), "{} is a file: name the folder that it is in", path.display());
    Ok(folder)
}

fn model_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder(path)?;
    ensure!(
        folder.join("config.json").is_file(),
        "{} is no base model: it has no config.json",
        path.display()
    );
    Ok(folder)
}

fn folder_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn adapter_config(adapter: &Path) -> anyhow::Result<AdapterConfig> {
    let path = adapter.join("adapter_config.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not valid", path.display()))
}

/// The name that the option says, else the adapter's configuration, else that of the folder.
fn base_name(
    option: Option<HubRepo>,
    config: &AdapterConfig,
    base: Option<&Path>,
) -> anyhow::Result<HubRepo> {
    let configured = config.base_model_name_or_path.as_deref().and_then(|name| name.parse().ok());
    if let Some(name) = option.or(configured) {
        return Ok(name);
    }
    let Some(base) = base else {
        bail!(
            "adapter_config.json does not name a model of the Hugging Face Hub: give the base model's folder with --base"
        )
    };
    let name = format!("local/{}", slug(&folder_name(base)));
    name.parse().with_context(|| format!("{name} is no name of a base model: give one with --base-name"))
}

/// The folder of the base model, and where the job looks for it; `None` if it is there already.
fn base_link<'a>(
    dir: &DataDir,
    name: &HubRepo,
    revision: Option<&str>,
    base: Option<&'a Path>,
) -> anyhow::Result<Option<(&'a Path, PathBuf)>> {
    let revision = revision.map_or_else(String::new, |revision| format!("@{revision}"));
    let place = below(&dir.bucket(Bucket::BaseModels), &format!("{name}{revision}"))?;
    match base {
        Some(base) if place.canonicalize().is_ok_and(|existing| existing == base) => Ok(None),
        Some(_) if place.exists() => bail!(
            "{name} is another folder already ({}): choose another name with --base-name",
            place.canonicalize().unwrap_or(place).display()
        ),
        Some(base) => Ok(Some((base, place))),
        None if place.exists() => Ok(None),
        None => bail!("the stack does not have the base model {name}{revision}: give its folder with --base"),
    }
}

/// The path below a bucket, which does not leave it.
fn below(bucket: &Path, relative: &str) -> anyhow::Result<PathBuf> {
    let is_below = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(is_below && !relative.is_empty(), "{relative:?} is no path below a bucket: choose another name");
    Ok(bucket.join(relative))
}

/// Links to `folder` at `place`, instead of a link whose folder is gone.
fn link(folder: &Path, place: &Path) -> anyhow::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let made = match symlink(folder, place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !place.exists() => {
            fs::remove_file(place).and_then(|()| symlink(folder, place))
        }
        made => made,
    };
    made.with_context(|| format!("cannot create the link {}", place.display()))
}

/// Links to the folder of a base model at `place`, unless another `add` has done so meanwhile.
fn link_base(folder: &Path, place: &Path) -> anyhow::Result<()> {
    match link(folder, place) {
        Err(_) if place.canonicalize().is_ok_and(|existing| existing == folder) => Ok(()),
        linked => linked,
    }
}

/// An id made of the name, which no job and no folder of the user has yet.
async fn free_id(dir: &DataDir, store: &DocumentStore, user: &UserId, slug: &str) -> anyhow::Result<String> {
    let numbered = (2..MOST_OF_A_NAME).map(|number| format!("{slug}-{number}"));
    for id in std::iter::once(slug.to_owned()).chain(numbered) {
        let place = below(&dir.bucket(Bucket::Training), &format!("{user}/{id}"))?;
        let job: JobId =
            id.parse().with_context(|| format!("{id} is no id of a job: choose another --name"))?;
        if place.symlink_metadata().is_err() && store.find(&job).await?.is_none() {
            return Ok(id);
        }
    }
    bail!("there are too many jobs called {slug}: choose another --name")
}

/// Lower-case letters, digits and single hyphens.
fn slug(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join("-");
    let slug = words[..words.len().min(LONGEST_SLUG)].trim_end_matches('-');
    if slug.is_empty() { "model".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_of_letters_digits_and_hyphens_and_short() {
        let long = format!("{}é {}", "a".repeat(79), "b".repeat(300));
        for (name, expected) in [
            ("Family recipes, v2", "family-recipes-v2"),
            ("食谱", "model"),
            (&long, "a".repeat(79).as_str()),
            ("c".repeat(1000).as_str(), "c".repeat(80).as_str()),
        ] {
            assert_eq!(slug(name), expected);
        }
    }

    #[test]
    fn a_base_that_is_added_twice_at_the_same_time_is_linked_once() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (folder, other, place) = (root.join("gemma"), root.join("other"), root.join("google/gemma"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&other).unwrap();
        std::thread::scope(|scope| {
            let links: Vec<_> = (0..8).map(|_| scope.spawn(|| link_base(&folder, &place))).collect();
            links.into_iter().for_each(|link| link.join().unwrap().unwrap());
        });
        assert_eq!(place.canonicalize().unwrap(), folder);
        assert!(link_base(&other, &place).is_err());
        // in place of a link whose folder is gone
        fs::remove_dir(&folder).unwrap();
        link_base(&other, &place).unwrap();
        assert_eq!(place.canonicalize().unwrap(), other);
    }
}
