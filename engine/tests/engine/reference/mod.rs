//! What PEFT and llama.cpp made of the same inputs, bit for bit.
//!
//! The cases in `tests/fixtures` are always compared, those below `REFERENCE_DIR` too when it is set.

mod case;
mod ggufs;
mod imatrix;
mod loras;
mod merged;
mod tensor_types;
mod tokenizers;

use std::path::{Path, PathBuf};

use case::Case;

#[test]
fn merged_weights_equal_pefts() {
    for case in cases().iter().filter(|case| !case.expected.merged.is_empty()) {
        merged::compare(case);
    }
}

#[test]
fn gguf_files_equal_llama_cpps() {
    let mut uncovered = Vec::new();
    for case in cases() {
        uncovered.extend(ggufs::compare(&case));
    }
    if !uncovered.is_empty() {
        println!("NOT COVERED YET: {} files: {}", uncovered.len(), uncovered.join(", "));
    }
}

#[test]
fn importance_matrices_weigh_as_in_llama_quantize() {
    imatrix::compare(&fixtures());
}

#[test]
fn types_of_tensors_are_selected_as_in_llama_quantize() {
    tensor_types::compare(&fixtures());
}

#[test]
fn a_tokenizer_is_the_same_from_either_of_its_files() {
    tokenizers::compare(&fixtures());
}

#[test]
fn adapters_alone_equal_llama_cpps() {
    loras::compare(&fixtures());
}

#[test]
fn what_an_adapter_file_cannot_say_is_refused_by_name() {
    loras::refuse(&fixtures());
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    find(&fixtures(), &mut found);
    assert!(!found.is_empty(), "the fixtures are gone");
    match std::env::var_os("REFERENCE_DIR") {
        Some(folder) => {
            let own = found.len();
            find(Path::new(&folder), &mut found);
            assert!(found.len() > own, "REFERENCE_DIR has no case");
        }
        None => println!("REFERENCE_DIR is not set: only the fixtures are compared"),
    }
    found.into_iter().map(Case::open).collect()
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("expected.json").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, found);
        }
    }
    found.sort();
}
