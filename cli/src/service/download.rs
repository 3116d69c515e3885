//! `gemma-export download`: the files of an export, each checked against the SHA-256 of its record.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use engine::ExportReport;
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::{ApiRequest, ServiceClient};
use super::downloaded::{DownloadedFile, next_steps};
use super::error::ServiceError;
use super::exports::files;
use super::{text, unpack, with_client};
use crate::args::DownloadArgs;
use crate::disk_space::DiskSpace;
use crate::failure::Failure;
use crate::next_step::{quoted, quoted_word};
use crate::outputs::existing_folder;
use crate::paths;
use crate::progress::{Progress, Unit};
use crate::terminal::{Summary, Terminal};

/// How often a download is tried again without a byte more.
const ATTEMPTS: u32 = 6;

/// A file of an export.
pub(super) struct ExportFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    link: Option<String>,
}

/// Where a file is written before it is checked, and what is there already.
struct Draft {
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
}

pub(crate) fn download(args: &DownloadArgs, terminal: Terminal) -> Result<Summary, Failure> {
    existing_folder(&args.out)?;
    let message = "interrupted: the same command goes on with the download";
    let (export, written) = with_client(&args.service, terminal, message, async |client| {
        let export = completed(client, &args.job, args.export.as_deref()).await?;
        let written = Download { client, args, id: text(&export["export_id"]) }.run(&export).await?;
        Ok((export, written))
    })?;
    let mut lines = vec![args.out.display().to_string()];
    lines.extend(written.iter().flat_map(DownloadedFile::lines));
    let next_steps = next_steps(args, &export, &written);
    let figures = written.iter().map(DownloadedFile::figures).collect::<Vec<_>>();
    let figures = json!({ "export_id": export["export_id"], "files": figures });
    Ok(Summary { lines, next_steps, figures, ..Summary::default() })
}

/// The export with this id, else the newest one that is completed and has files.
async fn completed(client: &ServiceClient, job: &str, id: Option<&str>) -> Result<Value, Failure> {
    if let Some(id) = id {
        let export = export(client, job, id).await?;
        return match export["status"].as_str() {
            Some("completed") if files(&export).next().is_some() => Ok(export),
            Some("completed") => {
                Err(Failure::input("the export has no files to download: it was made for the Hub only"))
            }
            Some("running") => {
                Err(Failure::input("the export is still running: `gemma-export follow` waits for its end"))
            }
            _ => Err(Failure::input(format!("the export has failed: {}", text(&export["message"])))),
        };
    }
    let mut page_token = None;
    loop {
        let mut request = ApiRequest::get(["exports", job, "history"]).query("page_size", 100);
        if let Some(token) = page_token {
            request = request.query("page_token", token);
        }
        let page = client.send(&request).await?.body;
        let has_files = |export: &&Value| export["status"] == "completed" && files(export).next().is_some();
        if let Some(found) = page["exports"].as_array().into_iter().flatten().find(has_files) {
            return export(client, job, &text(&found["export_id"])).await;
        }
        page_token = Some(page["next_page_token"].as_str().map(str::to_owned).ok_or_else(|| {
            Failure::input(format!(
                "no export of {job} has files to download: `gemma-export start` makes one"
            ))
        })?);
    }
}

/// An export with new links.
async fn export(client: &ServiceClient, job: &str, id: &str) -> Result<Value, Failure> {
    Ok(client.send(&ApiRequest::get(["exports", job, "history", id])).await?.body)
}

fn export_files(export: &Value) -> Result<Vec<ExportFile>, Failure> {
    let read = |file: &Value| {
        let name = text(&file["name"]);
        let is_plain =
            matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        if !is_plain || name.contains(['\\', ':']) {
            return Err(Failure::remote(format!(
                "the service names a file {name:?}, which is not a file name"
            )));
        }
        let sha256 = text(&file["sha256"]);
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Failure::remote(format!("the service names no SHA-256 of {name}: export it again")));
        }
        Ok(ExportFile {
            name,
            bytes: file["bytes"].as_u64().unwrap_or_default(),
            sha256,
            link: file["link"].as_str().map(str::to_owned),
        })
    };
    files(export).map(read).collect()
}

/// The download of one export.
struct Download<'a> {
    client: &'a ServiceClient,
    args: &'a DownloadArgs,
    id: String,
}

impl Download<'_> {
    async fn run(&self, export: &Value) -> Result<Vec<DownloadedFile>, Failure> {
        let files = export_files(export)?;
        let report = files.iter().find(|file| file.name == ExportReport::FILE);
        let drafts = files.iter().map(|file| self.prepare(file, report)).collect::<Result<Vec<_>, _>>()?;
        let report = report.map(|file| self.target(file));
        let missing = |(file, draft): (&ExportFile, &Option<Draft>)| {
            draft.as_ref().map_or(0, |draft| file.bytes.saturating_sub(draft.length))
        };
        let (total, missing) =
            (files.iter().map(|file| file.bytes).sum(), files.iter().zip(&drafts).map(missing).sum());
        let mut space = DiskSpace::default();
        space.add(&self.args.out, missing);
        // a zip file is removed when all of it is unpacked, and it is not compressed
        let is_packed =
            |file: &&ExportFile| self.unpacked(&self.target(file)).is_some_and(|folder| !folder.exists());
        space.add(&self.args.out, files.iter().filter(is_packed).map(|file| file.bytes).sum());
        space.check()?;
        let progress = Progress::new(self.client.terminal, "downloading", Unit::Bytes);
        let mut done = total - missing;
        progress.begin_at(done, total);
        let mut written = Vec::new();
        for (file, draft) in files.into_iter().zip(drafts) {
            let path = self.target(&file);
            if let Some(mut draft) = draft {
                let begun = draft.length;
                self.fetch(&file, &mut draft, |length| {
                    progress.set((done + length).saturating_sub(begun), total);
                })
                .await?;
                done += file.bytes.saturating_sub(begun);
                draft.publish(&file, &path)?;
            }
            written.push((path, file));
        }
        progress.finish();
        let unpacked = |(path, file): (PathBuf, ExportFile)| match self.unpacked(&path) {
            Some(folder) => {
                let count = match folder.exists() {
                    true => unpack::file_count(&folder).map_err(|error| cannot_read(&folder, &error))?,
                    false => unpack::unpack(&path, &folder, report.as_deref())?,
                };
                Ok(DownloadedFile { path: folder, file, unpacked: Some(count) })
            }
            None => Ok(DownloadedFile { path, file, unpacked: None }),
        };
        written.into_iter().map(unpacked).collect()
    }

    fn target(&self, file: &ExportFile) -> PathBuf {
        paths::join(&self.args.out, &file.name)
    }

    /// A folder for this job alone, as an argument.
    fn own_folder(&self) -> String {
        quoted(&self.args.out.join(&self.args.job))
    }

    /// The folder that a zip file is unpacked to, if it is.
    fn unpacked(&self, path: &Path) -> Option<PathBuf> {
        let is_zip = path.extension().is_some_and(|extension| extension == "zip");
        (self.args.unpack && is_zip).then(|| path.with_extension(""))
    }

    /// What there is of a file already; `None` if it is there, and is the same. A zip file is the same as the folder with the report.
    fn prepare(&self, file: &ExportFile, report: Option<&ExportFile>) -> Result<Option<Draft>, Failure> {
        let path = self.target(file);
        if let Some(folder) = self.unpacked(&path)
            && folder.symlink_metadata().is_ok()
        {
            if report.is_some_and(|report| unpack::is_unpacked(&folder, &report.sha256)) {
                return Ok(None);
            }
            return Err(Failure::output(format!(
                "{} exists and is not this export: choose another --out, such as {}",
                folder.display(),
                self.own_folder()
            )));
        }
        let cannot = |error: io::Error| cannot_read(&path, &error);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
            Ok(about) if !about.is_file() => {
                return Err(Failure::output(format!(
                    "{} is not a file: choose another --out",
                    path.display()
                )));
            }
            Ok(about) => {
                let is_same = about.len() == file.bytes && {
                    let mut hash = Sha256::new();
                    File::open(&path)
                        .and_then(|mut existing| read_into(&mut existing, &mut hash))
                        .map_err(cannot)?;
                    hex::encode(hash.finalize()) == file.sha256
                };
                if is_same {
                    return Ok(None);
                }
                if !self.args.force {
                    let shown = path.display();
                    return Err(Failure::output(format!(
                        "{shown} exists and is another file: choose another --out, such as {}, or replace it with --force",
                        self.own_folder()
                    )));
                }
            }
        }
        Draft::open(&path, file).map(Some)
    }

    /// Fetches what is missing of a file. A lost connection goes on where it was, and a link that has expired is renewed.
    async fn fetch(&self, file: &ExportFile, draft: &mut Draft, show: impl Fn(u64)) -> Result<(), Failure> {
        let (mut link, mut attempt) = (file.link.clone(), 0);
        while draft.length < file.bytes {
            let before = draft.length;
            let result = match &link {
                Some(link) => self.fetch_from(link, file, draft, &show).await,
                None => Ok(()),
            };
            if draft.length >= file.bytes {
                break;
            }
            attempt = if draft.length > before { 1 } else { attempt + 1 };
            match result {
                Err(error @ ServiceError::NotSent(_)) => return Err(error.into()),
                // a link that has expired is refused in another way
                Err(ServiceError::Refused(refusal))
                    if matches!(refusal.status, StatusCode::NOT_FOUND | StatusCode::GONE) =>
                {
                    return Err(self.no_longer_there(&file.name));
                }
                Err(error) if attempt == ATTEMPTS => return Err(error.into()),
                Ok(()) if attempt == ATTEMPTS => {
                    return Err(Failure::remote(format!(
                        "the service gives no link to {}: try again",
                        file.name
                    )));
                }
                Err(ServiceError::NoAnswer { problem, .. }) => {
                    self.client
                        .terminal
                        .note(&format!("the download was interrupted ({problem}): trying again"));
                }
                Err(ServiceError::Refused(_)) | Ok(()) => {}
            }
            tokio::time::sleep(Duration::from_secs(1 << (attempt - 1))).await;
            let export = export(self.client, &self.args.job, &self.id).await?;
            let renewed = export_files(&export)?.into_iter().find(|renewed| renewed.sha256 == file.sha256);
            link = renewed.and_then(|file| file.link);
        }
        Ok(())
    }

    fn no_longer_there(&self, name: &str) -> Failure {
        let job = quoted_word(&self.args.job);
        Failure::input(format!(
            "{name} of this export no longer exists: `gemma-export start {job}` makes a new export"
        ))
    }

    async fn fetch_from(
        &self,
        link: &str,
        file: &ExportFile,
        draft: &mut Draft,
        show: impl Fn(u64),
    ) -> Result<(), ServiceError> {
        let mut response = self.client.download(link, draft.length).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // a server without ranges sends the whole file
            draft.truncate().map_err(|error| ServiceError::NotSent(draft.cannot_write(&error)))?;
        } else if starts_at(&response) != Some(draft.length) {
            let message =
                format!("the server sent another part of {} than was asked for: try again", file.name);
            return Err(ServiceError::NotSent(Failure::remote(message)));
        }
        while let Some(bytes) = response.chunk().await.map_err(ServiceError::no_answer)? {
            draft.write(&bytes).map_err(|error| ServiceError::NotSent(draft.cannot_write(&error)))?;
            if draft.length > file.bytes {
                let message = format!("{} is longer than its record says: download it again", file.name);
                return Err(ServiceError::NotSent(Failure::remote(message)));
            }
            show(draft.length);
        }
        Ok(())
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::output(format!("cannot read {}: {error}", path.display()))
}

/// The first byte of a range that was sent, as in `bytes 3-9/10`.
fn starts_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Reads a file to its end.
fn read_into(file: &mut File, hash: &mut Sha256) -> io::Result<u64> {
    let (mut buffer, mut length) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(length),
            read => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

impl Draft {
    /// Opens the draft of a file, whose name has the hash, so that it is never one of other content.
    fn open(path: &Path, file: &ExportFile) -> Result<Self, Failure> {
        let path = path.with_file_name(format!("{}.{}.part", file.name, &file.sha256[..12]));
        let cannot =
            |error: io::Error| Failure::unwritable(format_args!("cannot write {}", path.display()), &error);
        let mut part = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(cannot)?;
        if part.try_lock().is_err() {
            let message = format!("another download writes {}: wait for its end", path.display());
            return Err(Failure::output(message));
        }
        let mut hash = Sha256::new();
        let length = read_into(&mut part, &mut hash).map_err(cannot)?;
        let mut draft = Self { path, file: part, hash, length };
        if length > file.bytes {
            draft.truncate().map_err(|error| draft.cannot_write(&error))?;
        }
        Ok(draft)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn truncate(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hash.reset();
        self.length = 0;
        Ok(())
    }

    fn cannot_write(&self, error: &io::Error) -> Failure {
        Failure::unwritable(format_args!("cannot write {}", self.path.display()), error)
    }

    /// Gives the file its name, if it has the hash of its record.
    fn publish(self, file: &ExportFile, path: &Path) -> Result<(), Failure> {
        if hex::encode(self.hash.clone().finalize()) != file.sha256 {
            fs::remove_file(&self.path).ok();
            return Err(Failure::remote(format!(
                "what was downloaded of {} has not the SHA-256 of its record, and was removed: download it again",
                file.name
            )));
        }
        let publish = || {
            self.file.sync_all()?;
            fs::rename(&self.path, path)?;
            engine::sync_folder(paths::parent(path))
        };
        publish().map_err(|error| self.cannot_write(&error))
    }
}

/// Nothing stays of a download of which nothing came.
impl Drop for Draft {
    fn drop(&mut self) {
        if self.length == 0 {
            fs::remove_file(&self.path).ok();
        }
    }
}
