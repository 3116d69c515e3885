//! The commands that use an export, for its summary.

use std::borrow::Cow;
use std::path::Path;

use crate::paths::file_name;

/// Commands for a GGUF file, of which this is the first part. In Ollama the model has the name of the file.
pub(crate) fn gguf(first: &Path, modelfile: Option<&Path>, mmproj: Option<&Path>) -> Vec<String> {
    let stem = file_name(first).map_or("model", |name| name.strip_suffix(".gguf").unwrap_or(name));
    named_gguf(&ollama_name(stem), first, modelfile, mmproj)
}

/// The same with a name of Ollama's.
pub(crate) fn named_gguf(
    name: &str,
    first: &Path,
    modelfile: Option<&Path>,
    mmproj: Option<&Path>,
) -> Vec<String> {
    let mut serve = format!("llama-server -m {}", quoted(first));
    if let Some(mmproj) = mmproj {
        serve.push_str(&format!(" --mmproj {}", quoted(mmproj)));
    }
    let ollama = modelfile.map(|modelfile| format!("ollama create {name} -f {}", quoted(modelfile)));
    ollama.into_iter().chain([serve]).collect()
}

/// Commands for a merged folder; `converts` if it can be a GGUF file.
pub(crate) fn merged(folder: &Path, converts: bool) -> Vec<String> {
    let folder = quoted(folder);
    let gguf = converts.then(|| format!("gemma-export gguf --base {folder} --out model.gguf"));
    [format!("vllm serve {folder}")].into_iter().chain(gguf).collect()
}

/// Commands for GGUF files of these names in a repository. Encoders alone are no model.
#[cfg(feature = "push")]
pub(crate) fn pushed_gguf<'a>(repo: &str, mut names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let has_model = names.any(|name| name.ends_with(".gguf") && !name.contains("mmproj"));
    has_model.then(|| format!("llama-server -hf {repo}")).into_iter().collect()
}

/// Commands for an adapter at a path or in a repository.
pub(crate) fn adapter(adapter: &Path, base_model: Option<&str>) -> Vec<String> {
    let name = file_name(adapter).unwrap_or("adapter");
    let module = format!("{}={}", quoted_word(name), quoted(adapter));
    let serve = |base: &str| format!("vllm serve {base} --enable-lora --lora-modules {module}");
    base_model.map(serve).into_iter().collect()
}

/// The command that uses an importance matrix.
pub(crate) fn imatrix(base: Option<&Path>, adapter: Option<&Path>, path: &Path) -> Vec<String> {
    let model = [("--base", base), ("--adapter", adapter)];
    let given =
        model.iter().filter_map(|(option, path)| path.map(|path| format!(" {option} {}", quoted(path))));
    let model: String = given.collect();
    vec![format!("gemma-export gguf{model} --quant q4_k_m --imatrix {} --out model.gguf", quoted(path))]
}

/// Commands for an adapter as GGUF.
pub(crate) fn lora(path: &Path) -> Vec<String> {
    vec![format!("llama-cli -m BASE.gguf --lora {}", quoted(path))]
}

/// Commands that make and load a base on a grid of Q4_0 and its adapter as two files, in place of the one at `merged`.
pub(crate) fn pair(base: &Path, adapter: &Path, merged: &Path) -> Vec<String> {
    let (base, adapter) = (quoted(base), quoted(adapter));
    let stem = file_name(merged).map_or("model", |name| name.strip_suffix(".gguf").unwrap_or(name));
    let [base_file, lora_file] =
        ["base", "adapter"].map(|part| quoted(&merged.with_file_name(format!("{stem}-{part}.gguf"))));
    vec![
        format!("gemma-export gguf --base {base} --quant q4_0 --out {base_file}"),
        format!("gemma-export lora --base {base} --adapter {adapter} --out {lora_file}"),
        format!("llama-server -m {base_file} --lora {lora_file}"),
    ]
}

/// A name that Ollama takes: lower-case letters, digits, `.`, `-` and `_`, the first of them a letter or digit.
pub(crate) fn ollama_name(text: &str) -> String {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = text.chars().map(|c| if is_taken(c) { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}

/// An argument as a POSIX shell reads it.
pub(crate) fn quoted_word(text: &str) -> String {
    quoted(Path::new(text))
}

/// A path as a POSIX shell reads it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // a path that begins with a hyphen would be an option
    let text = if text.starts_with('-') { format!("./{text}").into() } else { text };
    shlex::try_quote(&text).unwrap_or(Cow::Borrowed(&text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_ollama_takes() {
        let names = ["My Model (v2)-Q4_K_M", "_x", "模型"];
        assert_eq!(names.map(ollama_name), ["my-model--v2--q4_k_m", "x", "model"]);
    }

    #[cfg(feature = "push")]
    #[test]
    fn a_repository_of_encoders_alone_is_not_served() {
        let steps = |names: &[&'static str]| pushed_gguf("ada/x", names.iter().copied());
        assert_eq!(steps(&["mmproj-m.gguf", "mmproj-m.report.json"]), Vec::<String>::new());
        assert_eq!(steps(&["mmproj-m.gguf", "m.gguf"]), ["llama-server -hf ada/x"]);
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        let [modelfile, mmproj] = ["a b.Modelfile", "p.gguf"].map(Path::new);
        assert_eq!(
            gguf(Path::new("a b.gguf"), Some(modelfile), Some(mmproj)),
            ["ollama create a-b -f 'a b.Modelfile'", "llama-server -m 'a b.gguf' --mmproj p.gguf"]
        );
        assert_eq!(gguf(Path::new("-x.gguf"), None, None), ["llama-server -m ./-x.gguf"]);
    }
}
