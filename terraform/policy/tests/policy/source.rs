//! Rules on the text of `terraform/`, without Terraform: every resource and argument exists in the provider's schema,
//! versions are pinned, every variable and output has a description.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use hcl::{Block, Body, Expression, Structure};

use crate::{
    plugin::schema::{self, Provider},
    rehearsal::root,
};

/// Every `.tf` file, by its path in the repository.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("terraform")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tf") {
                let name = path.strip_prefix(root()).unwrap_or(Path::new("")).display().to_string();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

type Rule = fn(&str, &Body) -> Vec<String>;

fn hold(rule: Rule, files: &BTreeMap<String, String>) -> Vec<String> {
    let found = files.iter().flat_map(|(name, text)| {
        let body: Body = hcl::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        rule(name, &body).into_iter().map(move |wrong| format!("{name}: {wrong}"))
    });
    found.collect()
}

/// The rule holds for the files as they are, and for no mutant: a file, its text, and the replacement.
fn check(rule: Rule, mutants: &[(&str, &str, &str)]) {
    let files = files();
    let wrong = hold(rule, &files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (file, from, to) in mutants {
        let mut mutant = files.clone();
        let text = mutant.get_mut(*file).unwrap_or_else(|| panic!("{file} is not there"));
        assert!(text.contains(from), "{file} must hold {from:?}");
        *text = text.replacen(from, to, 1);
        assert!(!hold(rule, &mutant).is_empty(), "nothing minds {from:?} → {to:?} in {file}");
    }
}

fn label(block: &Block, index: usize) -> &str {
    block.labels.get(index).map_or("", |label| label.as_str())
}

/// The meta-arguments that Terraform accepts in every block of that kind.
const META: [&str; 6] = ["count", "for_each", "provider", "depends_on", "lifecycle", "provisioner"];

/// A resource of Terraform itself, in no provider's schema. `terraform validate` checks it.
const BUILT_IN: &str = "terraform_data";

fn arguments_exist(_: &str, body: &Body) -> Vec<String> {
    let providers = schema::all();
    let mut wrong = Vec::new();
    for block in body.blocks() {
        let find = |of: fn(&Provider) -> &BTreeMap<String, schema::Block>| {
            providers.iter().find_map(|provider| of(provider).get(label(block, 0)))
        };
        let schema = match block.identifier.as_str() {
            "resource" if label(block, 0) == BUILT_IN => continue,
            "resource" => find(|provider| &provider.resource),
            "data" => find(|provider| &provider.data),
            "provider" => {
                let name = format!("hashicorp/{}", label(block, 0));
                providers.iter().find(|provider| provider.source == name).map(|provider| &provider.provider)
            }
            _ => continue,
        };
        let address = format!("{} {} {}", block.identifier.as_str(), label(block, 0), label(block, 1));
        match schema {
            Some(schema) => arguments_of(&address, &block.body, schema, &mut wrong),
            None => wrong.push(format!(
                "{address} is in no schema: does it exist? Then run scripts/renew-provider-schema"
            )),
        }
    }
    wrong
}

fn arguments_of(address: &str, body: &Body, schema: &schema::Block, wrong: &mut Vec<String>) {
    let mut given = Vec::new();
    for structure in body.iter() {
        match structure {
            Structure::Attribute(attribute) => {
                let name = attribute.key();
                given.push(name.to_owned());
                let kind = schema.attributes.get(name);
                if kind.is_some_and(|kind| kind.starts_with("computed")) {
                    wrong.push(format!("{address}: {name} cannot be set"));
                } else if kind.is_none() && !META.contains(&name) {
                    wrong.push(format!("{address}: there is no argument {name}"));
                }
            }
            Structure::Block(block) => {
                let dynamic = block.identifier.as_str() == "dynamic";
                let name = if dynamic { label(block, 0) } else { block.identifier.as_str() };
                given.push(name.to_owned());
                let content =
                    block.body.blocks().find(|inner| dynamic && inner.identifier.as_str() == "content");
                match (schema.blocks.get(name), content) {
                    (Some(nested), Some(content)) => {
                        arguments_of(&format!("{address} {name}"), &content.body, &nested.block, wrong);
                    }
                    (Some(nested), None) => {
                        arguments_of(&format!("{address} {name}"), &block.body, &nested.block, wrong);
                    }
                    (None, _) if META.contains(&name) => {}
                    (None, _) => wrong.push(format!("{address}: there is no block {name}")),
                }
            }
        }
    }
    let required =
        schema.attributes.iter().filter(|(_, kind)| kind.starts_with("required")).map(|(name, _)| name);
    let required =
        required.chain(schema.blocks.iter().filter(|(_, nested)| nested.min > 0).map(|(name, _)| name));
    wrong.extend(
        required.filter(|name| !given.contains(name)).map(|name| format!("{address}: {name} is missing")),
    );
}

#[test]
fn every_argument_is_in_the_providers_schema() {
    let function = "terraform/modules/function/main.tf";
    check(
        arguments_exist,
        &[
            (function, "cpu_idle ", "cpu_idles "),
            (function, "  location            = var.region\n", ""),
            (function, "      startup_probe {", "      start_probe {"),
            (function, "\"google_service_account\"", "\"google_service_user\""),
            (
                function,
                "  name                = \"${var.name_prefix}${var.name}\"\n",
                "  name                = \"${var.name_prefix}${var.name}\"\n  uri = \"x\"\n",
            ),
            ("terraform/modules/function/main.tf", "      dynamic \"env\" {", "      dynamic \"envs\" {"),
            ("terraform/modules/bucket/main.tf", "      type = \"AbortIncompleteMultipartUpload\"\n", ""),
            ("terraform/versions.tf", "user_project_override = true", "user_project = true"),
        ],
    );
}

/// The string value of that key of an object.
fn part<'a>(object: &'a Expression, key: &str) -> Option<&'a String> {
    let Expression::Object(all) = object else { return None };
    let (_, value) = all.iter().find(|(name, _)| name.to_string() == key)?;
    if let Expression::String(text) = value { Some(text) } else { None }
}

fn versions_are_exact(name: &str, body: &Body) -> Vec<String> {
    let providers = schema::all();
    let mut wrong = Vec::new();
    for terraform in body.blocks().filter(|block| block.identifier.as_str() == "terraform") {
        for required in
            terraform.body.blocks().filter(|block| block.identifier.as_str() == "required_providers")
        {
            for attribute in required.body.attributes() {
                let (source, version) = (part(attribute.expr(), "source"), part(attribute.expr(), "version"));
                let known = providers.iter().find(|provider| source == Some(&provider.source));
                let Some(known) = known else {
                    wrong.push(format!("{} is a provider without a schema", attribute.key()));
                    continue;
                };
                // modules name the provider, and the root module its version
                let pinned = version == Some(&known.version);
                let left_open = name.contains("/modules/") && version.is_none();
                if !pinned && !left_open {
                    wrong.push(format!(
                        "{} must be {}, whose schema is checked",
                        attribute.key(),
                        known.version
                    ));
                }
            }
        }
    }
    wrong
}

#[test]
fn providers_are_pinned_to_the_versions_of_the_schemas() {
    check(
        versions_are_exact,
        &[
            ("terraform/versions.tf", "version = \"8.7.0\"", "version = \"~> 8.0\""),
            ("terraform/versions.tf", "      version = \"8.7.0\"\n", ""),
            ("terraform/versions.tf", "hashicorp/google-beta", "example/google-beta"),
            ("terraform/examples/aws/main.tf", "6.69.1", "6.69.0"),
        ],
    );
}

/// Each folder with resources says which Terraform and which providers it needs.
#[test]
fn every_module_names_its_providers() {
    let mut modules: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>, bool)> = BTreeMap::new();
    for (name, text) in files() {
        let body: Body = hcl::from_str(&text).unwrap();
        let folder = name.rsplit_once('/').unwrap().0.to_owned();
        let (used, named, versioned) = modules.entry(folder).or_default();
        for block in body.blocks() {
            match block.identifier.as_str() {
                "resource" | "data" if label(block, 0) != BUILT_IN => {
                    let provider = block.body.attributes().find(|attribute| attribute.key() == "provider");
                    let of_type = || label(block, 0).split('_').next().unwrap_or_default().to_owned();
                    used.insert(provider.map_or_else(of_type, |provider| provider.expr().to_string()));
                }
                "terraform" => {
                    *versioned |=
                        block.body.attributes().any(|attribute| attribute.key() == "required_version");
                    let required = block.body.blocks().flat_map(|block| block.body.attributes());
                    named.extend(required.map(|attribute| attribute.key().to_owned()));
                }
                _ => {}
            }
        }
    }
    assert!(modules.len() > 12, "{:?}", modules.keys());
    for (folder, (used, named, versioned)) in modules {
        assert!(used.is_empty() || versioned, "{folder} names no version of Terraform");
        let missing: Vec<_> = used.difference(&named).collect();
        assert!(missing.is_empty(), "{folder} uses {missing:?}, and names {named:?}");
    }
}

fn variables_and_outputs_are_described(_: &str, body: &Body) -> Vec<String> {
    let text = |block: &Block, name: &str| {
        let found = block.body.attributes().find(|attribute| attribute.key() == name);
        found
            .is_some_and(|attribute| !matches!(attribute.expr(), Expression::String(text) if text.is_empty()))
    };
    let blocks = body.blocks().filter(|block| ["variable", "output"].contains(&block.identifier.as_str()));
    let mut wrong = Vec::new();
    for block in blocks {
        let (kind, name) = (block.identifier.as_str(), label(block, 0));
        if !text(block, "description") {
            wrong.push(format!("{kind} {name} has no description"));
        }
        if kind == "variable" && !text(block, "type") {
            wrong.push(format!("{kind} {name} has no type"));
        }
        let is_switch = block.body.attributes().any(|attribute| {
            attribute.key() == "type"
                && matches!(attribute.expr(), Expression::Variable(kind) if kind.as_str() == "bool")
        });
        let secret = !is_switch
            && ["token", "secret", "password", "private_key"].iter().any(|word| name.contains(word));
        if secret {
            wrong.push(format!(
                "{kind} {name}: secrets do not pass through Terraform, whose state keeps them"
            ));
        }
    }
    wrong
}

#[test]
fn variables_and_outputs_say_what_they_are() {
    check(
        variables_and_outputs_are_described,
        &[
            ("terraform/variables.tf", "  description = \"The Google Cloud and Firebase project.\"\n", ""),
            ("terraform/variables.tf", "  type        = number\n", ""),
            (
                "terraform/outputs.tf",
                "output \"registry\" {\n  description = \"Where images are pushed to.\"",
                "output \"registry\" {\n  description = \"\"",
            ),
            ("terraform/variables.tf", "variable \"job_memory\"", "variable \"hf_token\""),
        ],
    );
}

#[test]
fn terraform_is_formatted() {
    if !crate::rehearsal::rehearses() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let check = |folder: &Path| {
        let mut command = std::process::Command::new("terraform");
        command
            .args(["fmt", "-check", "-recursive", "-list=true"])
            .arg(folder)
            .env_remove("TF_CLI_CONFIG_FILE");
        command.output().unwrap()
    };
    let output = check(&root().join("terraform"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    fs::write(folder.path().join("mutant.tf"), "locals {\n a=1\n}\n").unwrap();
    assert!(!check(folder.path()).status.success(), "terraform fmt minds nothing");
}

/// macOS has bash 3.2: there an empty array is an unset variable (`set -u`), and `mapfile` and associative arrays are missing.
fn too_new_for_macos(script: &str) -> Vec<String> {
    let empty = regex::Regex::new(r"\b(\w+)=\((?:\)|\$)").unwrap();
    let new =
        regex::Regex::new(r"\b(?:mapfile|readarray|declare -A|local -A)\b|\$\{\w+(?:,,|\^\^)\}").unwrap();
    let mut wrong: Vec<_> = new.find_iter(script).map(|found| found.as_str().to_owned()).collect();
    for found in empty.captures_iter(script) {
        let name = &found[1];
        let (expansion, guarded) =
            (format!("\"${{{name}[@]}}\""), format!("${{{name}[@]+\"${{{name}[@]}}\"}}"));
        if script.replace(&guarded, "").contains(&expansion) {
            wrong.push(expansion);
        }
    }
    wrong
}

#[test]
fn scripts_run_with_the_bash_of_macos() {
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(script) = fs::read_to_string(&path) else { continue };
        if script.starts_with("#!/usr/bin/env bash") {
            assert_eq!(too_new_for_macos(&script), Vec::<String>::new(), "{}", path.display());
        }
    }
    for wrong in ["a=()\nf \"${a[@]}\"", "a=(${b[@]+c})\nf \"${a[@]}\"", "mapfile -t a", "echo ${a,,}"] {
        assert_eq!(too_new_for_macos(wrong).len(), 1, "{wrong}");
    }
    assert!(too_new_for_macos("a=()\nf ${a[@]+\"${a[@]}\"}").is_empty());
}

/// Temporary files that stay when a script fails: no trap names their variable.
fn temporary_files_that_stay(script: &str) -> Vec<String> {
    let made = regex::Regex::new(r#"(\w+)=\$\(mktemp( -d)?\)"#).unwrap();
    let names = made.captures_iter(script).map(|found| found[1].to_owned());
    let traps: Vec<&str> = script.lines().filter(|line| line.trim_start().starts_with("trap ")).collect();
    let stops = |name: &str| {
        let uses = format!("rm -rf \"${name}\"");
        traps.iter().any(|trap| trap.contains(&format!("\"${name}\"")))
            || (script.contains(&uses) && traps.iter().any(|trap| trap.starts_with("trap stop ")))
    };
    names.filter(|name| !stops(name)).collect()
}

#[test]
fn scripts_remove_what_they_make_even_when_they_fail() {
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(script) = fs::read_to_string(&path) else { continue };
        assert_eq!(temporary_files_that_stay(&script), Vec::<String>::new(), "{}", path.display());
    }
    assert_eq!(temporary_files_that_stay("log=$(mktemp)\nrm \"$log\"\n"), ["log"]);
    let kept = "a=$(mktemp -d)\ntrap 'rm -rf \"$a\"' EXIT\nb=$(mktemp \"$a/XXXXXX\")\n";
    assert!(temporary_files_that_stay(kept).is_empty());
}

/// Prints each source that Python 3.9 cannot parse. The sources are in a list on standard input.
const PARSE: &str = "
import ast, json, sys
for source in json.load(sys.stdin):
    try:
        ast.parse(source, feature_version=(3, 9))
    except SyntaxError as error:
        print(error)
";

/// macOS has Python 3.9.
fn too_new_for_python_of_macos(sources: &[String]) -> String {
    use std::io::Write;
    let python = std::process::Command::new("python3")
        .args(["-c", PARSE])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut python = python.unwrap();
    python.stdin.take().unwrap().write_all(serde_json::to_string(sources).unwrap().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn scripts_run_with_the_python_of_macos() {
    let inline =
        regex::Regex::new(r"(?s)python3 -c(?: \\\n)?\s*'([^']*)'|python3 - [^\n]*<<'END'\n(.*?)\nEND\n");
    let inline = inline.unwrap();
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let Ok(script) = fs::read_to_string(entry.unwrap().path()) else { continue };
        if script.starts_with("#!/usr/bin/env python3") {
            sources.push(script);
        } else {
            let found = inline.captures_iter(&script);
            sources.extend(found.map(|found| found.get(1).or(found.get(2)).unwrap().as_str().to_owned()));
        }
    }
    assert!(sources.len() > 10, "{}", sources.len());
    assert_eq!(too_new_for_python_of_macos(&sources), "");
    for wrong in ["match 1:\n    case _: pass\n", "try: pass\nexcept* E: pass\n", "f(\n"] {
        assert_ne!(too_new_for_python_of_macos(&[wrong.to_owned()]), "", "{wrong}");
    }
}
