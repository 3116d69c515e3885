//! Inputs made to break a reader: each ends in an error that names the file and the tensor, none panics, none
//! makes the engine allocate more than the files have bytes, and none leaves an output.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counting;
mod encoders;
mod folders;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, MergePlan, Model, OutputType,
    RunOptions,
};
use folders::Folders;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The tests take turns, because they share the allocator.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn every_hostile_input_is_an_error_that_names_its_place() {
    let _turn = TURN.lock();
    let mut wrong = Vec::new();
    let cases = table::cases();
    for case in &cases {
        let folders = Folders::new();
        (case.spoil)(&folders);
        counting::reset();
        let ended = catch_unwind(AssertUnwindSafe(|| export(&folders)));
        let largest = counting::largest();
        let size = folders.size();
        match ended {
            Err(_) => wrong.push(format!("{}: panicked", case.name)),
            Ok(Ok(())) => wrong.push(format!("{}: was exported", case.name)),
            Ok(Err(error)) => {
                let text = chain(&error);
                let missing = case.says.iter().filter(|part| !text.contains(**part));
                wrong.extend(missing.map(|part| format!("{}: {text:?} does not say {part:?}", case.name)));
            }
        }
        if largest > size {
            wrong.push(format!("{}: allocated {largest} bytes at once for {size} bytes of files", case.name));
        }
        if folders.has_output() {
            wrong.push(format!("{}: left an output", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_full_model_without_weights_is_named_as_one_of_zero_3() {
    let _turn = TURN.lock();
    let folders = Folders::new();
    let cases = table::cases();
    let case = cases.iter().find(|case| case.name == "a tensor without weights").unwrap();
    (case.spoil)(&folders);
    let model = Model::new(&Checkpoint::open(Arc::new(LocalFolder::open(folders.base()).unwrap())).unwrap());
    let text = MergePlan::own_files(&model).map(drop).unwrap_err().to_string();
    assert!(case.says.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_the_table_starts_from_is_exported() {
    let _turn = TURN.lock();
    let folders = Folders::new();
    export(&folders).unwrap();
    assert!(folders.has_output());
}

fn export(folders: &Folders) -> engine::Result<()> {
    let open = |path: &Path| LocalFolder::open(path).map(Arc::new);
    let base = Checkpoint::open(open(&folders.base())?)?;
    let adapter = Adapter::open(open(&folders.adapter())?)?;
    let model = Model::with_adapter(&base, &adapter)?;
    let merge = MergePlan::new(&model)?;
    let gguf = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "merged"))?;
    let mut out = LocalOutput::create(folders.out())?;
    engine::gguf(&gguf, "model.gguf", &mut out, &RunOptions::default())?;
    engine::merge(&merge, &mut out, &RunOptions::default())?;
    Ok(())
}

fn chain(error: &engine::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
