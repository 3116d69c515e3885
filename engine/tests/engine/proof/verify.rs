//! A finished export is checked against its inputs: untouched it passes, and a byte flipped anywhere is found.

use std::fs;
use std::path::Path;

use engine::{
    ExportReport, Folder as _, GgufFile, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model,
    OutputType, RunOptions, Verification, verify_gguf, verify_merge,
};

use super::support::{gguf, merge, model};

fn check_merged(model: &Model, folder: &Path) -> Verification {
    let plan = MergePlan::new(model).unwrap();
    verify_merge(&plan, &LocalFolder::open(folder).unwrap(), &RunOptions::default()).unwrap()
}

fn check_gguf(model: &Model, folder: &Path, name: &str) -> Verification {
    let folder = LocalFolder::open(folder).unwrap();
    let file = GgufFile::open(&*folder.open(name).unwrap()).unwrap();
    let plan =
        GgufPlan::new(model, &GgufOptions::from_files(&[file], name).unwrap().with_name("merged")).unwrap();
    verify_gguf(&plan, name, &folder, &RunOptions::default()).unwrap()
}

/// Flips a bit and says what a check finds then, as lines; the file is as before afterwards.
fn flipped(path: &Path, at: usize, check: &dyn Fn() -> Verification) -> String {
    let before = fs::read(path).unwrap();
    let mut bytes = before.clone();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    let verdict = check();
    fs::write(path, before).unwrap();
    let line = |d: &engine::Difference| format!("{} {:?} {}", d.file, d.tensor, d.problem);
    verdict.differences.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_flipped_byte_of_a_merged_folder_is_found() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    merge(&model, folder.path(), &RunOptions::default());
    let check = || check_merged(&model, folder.path());
    let verdict = check();
    assert!(verdict.differences.is_empty() && verdict.reported, "{:?}", verdict.differences);
    assert_eq!(verdict.tensors, Some(28));

    let shard = folder.path().join("model-00001-of-00002.safetensors");
    let length = u64::from_le_bytes(fs::read(&shard).unwrap()[..8].try_into().unwrap()) as usize;
    assert!(flipped(&shard, 2, &check).contains("header"), "the length of the header");
    assert!(flipped(&shard, 20, &check).contains("header"), "the header");
    let of_tensor = flipped(&shard, length + 8 + 77, &check);
    assert!(of_tensor.contains("Some(\"model.") && of_tensor.contains("1 of"), "{of_tensor}");
    for name in ["tokenizer.model", "config.json", "model.safetensors.index.json"] {
        assert!(flipped(&folder.path().join(name), 10, &check).starts_with(name), "{name}");
    }
    let text = fs::read_to_string(folder.path().join(ExportReport::FILE)).unwrap();
    let rank = text.find("\"rank\": ").unwrap() + 8;
    assert!(flipped(&folder.path().join(ExportReport::FILE), rank, &check).contains("/pairs/0/rank"));
}

#[test]
fn what_is_missing_short_or_strange_is_found() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    merge(&model, folder.path(), &RunOptions::default());
    let problems = || {
        let verdict = check_merged(&model, folder.path());
        verdict.differences.iter().map(|d| format!("{} {}", d.file, d.problem)).collect::<Vec<_>>().join("\n")
    };
    fs::write(folder.path().join("other.safetensors"), "x").unwrap();
    assert_eq!(problems(), "other.safetensors is not a file of this model");
    fs::remove_file(folder.path().join("other.safetensors")).unwrap();
    fs::remove_file(folder.path().join("tokenizer.model")).unwrap();
    assert_eq!(problems(), "tokenizer.model is missing");
    let shard = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 5]).unwrap();
    let found = problems();
    assert!(found.contains(&format!("is {} bytes, not {}", bytes.len() - 5, bytes.len())), "{found}");
    assert!(found.contains("differs in 5 of"), "{found}");
}

#[test]
fn a_flipped_byte_of_a_gguf_file_is_found() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    gguf(&model, OutputType::Q4_K_M, folder.path(), &RunOptions::default());
    let check = || check_gguf(&model, folder.path(), "m.gguf");
    let verdict = check();
    assert!(verdict.differences.is_empty() && verdict.reported, "{:?}", verdict.differences);

    let path = folder.path().join("m.gguf");
    let file = GgufFile::open(&*LocalFolder::open(folder.path()).unwrap().open("m.gguf").unwrap()).unwrap();
    let key = |name: &str| file.key_values.iter().find(|pair| pair.key == name).unwrap().byte_range.clone();
    // the type is what the check begins with, so the options are those of the file as it was
    let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q4_K_M, "merged")).unwrap();
    let opened = LocalFolder::open(folder.path()).unwrap();
    let check = || verify_gguf(&plan, "m.gguf", &opened, &RunOptions::default()).unwrap();
    assert!(flipped(&path, 0, &check).contains("is not a GGUF file"));
    let name = flipped(&path, key("general.name").end as usize - 1, &check);
    assert!(name.contains("general.name = Mergee, not Merged"), "{name}");
    let layers = flipped(&path, key("gemma3.block_count").end as usize - 4, &check);
    assert!(layers.contains("gemma3.block_count = 3, not 2"), "{layers}");
    let scores = flipped(&path, key("tokenizer.ggml.scores").end as usize - 1, &check);
    assert!(scores.contains("different values for tokenizer.ggml.scores"), "{scores}");
    let first = &file.tensors[0];
    let described = flipped(&path, first.byte_range.start as usize - 32, &check);
    assert!(described.contains("m.gguf"), "{described}");
    for tensor in &file.tensors {
        let found = flipped(&path, tensor.byte_range.end as usize - 1, &check);
        assert!(found.contains(&format!("{:?} differs in 1 of", Some(&tensor.name))), "{found}");
    }
}

#[test]
fn a_file_is_checked_without_its_report_and_under_its_own_name() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    let options = GgufOptions::new(OutputType::Q8_0, "Ada/sonnets-1B-it-v2").with_split_size(20_000);
    let plan = GgufPlan::new(&model, &options).unwrap();
    engine::gguf(&plan, "m.gguf", &mut LocalOutput::create(folder.path()).unwrap(), &RunOptions::default())
        .unwrap();
    fs::remove_file(folder.path().join("m.report.json")).unwrap();
    let opened = LocalFolder::open(folder.path()).unwrap();
    let files = plan.files("m.gguf");
    let files: Vec<GgufFile> =
        files.iter().map(|f| GgufFile::open(&*opened.open(&f.name).unwrap()).unwrap()).collect();
    let plan = GgufPlan::new(&model, &GgufOptions::from_files(&files, "m.gguf").unwrap()).unwrap();
    let verdict = verify_gguf(&plan, "m.gguf", &opened, &RunOptions::default()).unwrap();
    assert!(verdict.differences.is_empty() && !verdict.reported, "{:?}", verdict.differences);
    assert_eq!(verdict.files, files.len());
}
