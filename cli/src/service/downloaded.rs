//! What a download has written, and the commands that use it.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Checkpoint, GgufPlan, Model, check_serving};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::download::ExportFile;
use super::text;
use crate::args::DownloadArgs;
use crate::next_step::{self, ollama_name, quoted, quoted_word};
use crate::paths::{file_name, open_folder};
use crate::sources::HubName;

/// A file of an export, whose SHA-256 is that of its record.
pub(super) struct DownloadedFile {
    /// Where it is, or the folder that it was unpacked to.
    pub(super) path: PathBuf,
    pub(super) file: ExportFile,
    /// The number of files in that folder.
    pub(super) unpacked: Option<usize>,
}

impl DownloadedFile {
    pub(super) fn lines(&self) -> Vec<String> {
        let ExportFile { name, bytes, sha256, .. } = &self.file;
        let line = format!("  {name}  {}  {sha256}", DecimalBytes(*bytes));
        let folder = self.unpacked.map(|count| {
            let (folder, files) =
                (file_name(&self.path).unwrap_or_default(), if count == 1 { "file" } else { "files" });
            format!("  {folder}  {count} {files} of {name}, which is verified and removed")
        });
        [line].into_iter().chain(folder).collect()
    }

    pub(super) fn figures(&self) -> Value {
        let ExportFile { name, bytes, sha256, .. } = &self.file;
        let mut figures = json!({ "name": name, "bytes": bytes, "sha256": sha256, "path": self.path });
        if let Some(count) = self.unpacked {
            figures["unpacked_files"] = count.into();
        }
        figures
    }
}

/// The commands that use the files of an export: a folder that was unpacked, each model as GGUF, with its encoders, or an adapter as
/// GGUF beside its base. Of a zip file, the command that unpacks it.
pub(super) fn next_steps(args: &DownloadArgs, export: &Value, written: &[DownloadedFile]) -> Vec<String> {
    let paths: Vec<&Path> = written.iter().map(|downloaded| downloaded.path.as_path()).collect();
    let folders = written.iter().filter(|downloaded| downloaded.unpacked.is_some());
    let folders = folders.flat_map(|downloaded| of_folder(&downloaded.path));
    let has_zip = paths.iter().any(|path| path.extension().is_some_and(|extension| extension == "zip"));
    let unpack = has_zip.then(|| unpack_command(args, export));
    folders.chain(unpack).chain(of_gguf(&args.job, export, &paths)).collect()
}

fn unpack_command(args: &DownloadArgs, export: &Value) -> String {
    let (job, id) = (quoted_word(&args.job), text(&export["export_id"]));
    let out =
        if args.out == Path::new(".") { String::new() } else { format!(" --out {}", quoted(&args.out)) };
    format!("gemma-export download {job} {id}{out} --unpack")
}

fn of_folder(folder: &Path) -> Vec<String> {
    if folder.join("config.json").exists() {
        return next_step::merged(folder, converts(folder));
    }
    let config = fs::read(folder.join("adapter_config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    let base = config["base_model_name_or_path"].as_str().and_then(HubName::parse).map(|name| name.repo);
    next_step::adapter(folder, base.as_deref())
}

/// Whether a merged model can be a GGUF file.
fn converts(folder: &Path) -> bool {
    let Ok(checkpoint) = open_folder(folder).and_then(|folder| Checkpoint::open(folder)) else {
        return false;
    };
    let model = Model::new(&checkpoint);
    let has_tokenizer = check_serving(&model)
        .is_ok_and(|findings| !findings.iter().any(|finding| finding.code == "tokenizer_invalid"));
    has_tokenizer && GgufPlan::supports(&model)
}

/// The files of all jobs have the same names, so models of Ollama are named after the job.
fn of_gguf(job: &str, export: &Value, paths: &[&Path]) -> Vec<String> {
    let name = |path: &Path| file_name(path).unwrap_or_default().to_owned();
    let (encoders, models): (Vec<&Path>, Vec<&Path>) = paths
        .iter()
        .filter(|path| name(path).ends_with(".gguf"))
        .partition(|path| name(path).starts_with("mmproj-"));
    let steps = models.into_iter().map(|model| match export["gguf_kind"] == "lora" {
        true => next_step::lora(model),
        false => {
            let modelfile = model.with_extension("Modelfile");
            let modelfile = paths.contains(&modelfile.as_path()).then_some(modelfile);
            let tag = quantization(export, &name(model)).map(|tag| format!(":{tag}")).unwrap_or_default();
            let name = ollama_name(job) + &tag;
            next_step::named_gguf(&name, model, modelfile.as_deref(), encoders.first().copied())
        }
    });
    steps.flatten().collect()
}

/// The type of the GGUF file of that name.
fn quantization(export: &Value, name: &str) -> Option<String> {
    let has_file = |artifact: &&Value| {
        artifact["files"].as_array().is_some_and(|files| files.iter().any(|file| file["name"] == name))
    };
    let artifact = export["artifacts"].as_array()?.iter().find(has_file)?;
    artifact["quantization"].is_string().then(|| text(&artifact["quantization"]))
}
