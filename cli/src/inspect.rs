//! `gemma-export inspect`

use std::error::Error;
use std::path::Path;

use engine::FolderContent;
use serde_json::Value;

use crate::args::InspectArgs;
use crate::place::{open_file, open_folder};

pub(crate) fn run(args: &InspectArgs) -> Result<(), Box<dyn Error>> {
    let description = serde_json::to_value(describe(&args.path)?)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&description)?);
        return Ok(());
    }
    println!("{}", args.path.display());
    for (key, value) in description.as_object().into_iter().flatten() {
        match value.as_array().filter(|_| key == "keys") {
            Some(entries) => print_pairs(entries),
            None => println!("  {key:12} {}", text(value)),
        }
    }
    Ok(())
}

fn describe(path: &Path) -> Result<FolderContent, Box<dyn Error>> {
    if path.is_dir() {
        return Ok(engine::describe(open_folder(path)?)?);
    }
    Ok(engine::describe_file(&*open_file(path)?)?)
}

fn print_pairs(entries: &[Value]) {
    for pair in entries {
        let at = |i: usize| pair.get(i).and_then(Value::as_str).unwrap_or_default();
        // templates run over many lines
        let first = at(1).lines().next().unwrap_or_default();
        let more = if at(1).lines().count() > 1 { " …" } else { "" };
        println!("  {:42} {first}{more}", at(0));
    }
}

/// A value without JSON's punctuation.
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
