//! `gemma-export inspect`

use std::path::Path;

use engine::{Checkpoint, FolderContent};
use serde_json::Value;

use crate::args::InspectArgs;
use crate::failure::Failure;
use crate::paths::{open_file, open_folder};
use crate::sources::{SourceName, Sources};
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &InspectArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let content = describe(&args.path, terminal)?;
    if matches!(content, FolderContent::ModelAndAdapter { .. }) {
        let path = args.path.display();
        terminal.warn(&format!(
            "{path} has a model and an adapter: --base {path} alone exports the model without the adapter; \
             --adapter {path} with its base model exports both"
        ));
    }
    let description = serde_json::to_value(content)?;
    let mut lines = vec![args.path.display().to_string()];
    lines.extend(facts(&description));
    Ok(Summary { lines, figures: description, ..Summary::default() })
}

fn describe(path: &Path, terminal: Terminal) -> Result<FolderContent, Failure> {
    let name = SourceName::of(path);
    // a file that does not exist is no repository
    let is_file = path.extension().is_some_and(|extension| extension == "gguf");
    let is_source = match &name {
        SourceName::Folder(_) => false,
        SourceName::Hub(_) => !is_file,
        SourceName::Url(_) => true,
    };
    if is_source {
        return Ok(engine::describe(Sources::new(terminal).open("PATH", name, "")?.folder)?);
    }
    if !path.is_dir() {
        return Ok(engine::describe_file(&*open_file(path)?)?);
    }
    let folder = open_folder(path)?;
    let is_adapter = || path.join("adapter_config.json").symlink_metadata().is_ok();
    if !Checkpoint::is_in(&*folder)? && !is_adapter() {
        let missing = "contains neither a model (config.json) nor an adapter (adapter_config.json)";
        return Err(Failure::input(format!("{} {missing}", path.display())));
    }
    Ok(engine::describe(folder)?)
}

/// The kind, the other facts in alphabetical order, and the metadata of a GGUF file in the file's order; of a folder with a
/// model and an adapter, those of both.
fn facts(description: &Value) -> Vec<String> {
    let parts = ["model", "adapter"].map(|part| &description[part]);
    if parts.iter().all(|part| part.is_object()) {
        return parts.into_iter().flat_map(facts).collect();
    }
    let fact = |(key, value): (&String, &Value)| format!("  {key:12} {}", text(value));
    let fields = || description.as_object().into_iter().flatten();
    let mut lines: Vec<String> = fields().filter(|(key, _)| *key == "kind").map(fact).collect();
    lines.extend(fields().filter(|(key, _)| !["kind", "keys"].contains(&key.as_str())).map(fact));
    if let Some(pairs) = description["keys"].as_array() {
        lines.push("  metadata".to_owned());
        lines.extend(pairs.iter().map(metadata));
    }
    lines
}

/// A pair of key and value; of a value with several lines, such as a chat template, the first.
fn metadata(pair: &Value) -> String {
    let [key, value] = [0, 1].map(|i| pair[i].as_str().unwrap_or_default());
    let first = value.lines().next().unwrap_or_default();
    let more = if value.lines().count() > 1 { " \u{2026}" } else { "" };
    format!("    {key:42} {first}{more}")
}

/// A JSON value without quotes and brackets; `[type, count]` as `count type`.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(list) if let [Value::String(kind), Value::Number(count)] = list.as_slice() => {
            format!("{count} {kind}")
        }
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_string(),
    }
}
