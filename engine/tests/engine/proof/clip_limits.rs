//! Limits of Gemma 4's encoders that clip nothing: transformers' defaults are infinite.

use std::fs;

use engine::{GgufOptions, GgufPlan, LocalOutput, MergePlan, Model, OutputType, RunOptions};
use serde_json::Value;

use super::support::{checkpoint, fixture};

/// The export of a copy of the fixture, with these bytes of a BF16 for the limit.
fn exports(limit: [u8; 2]) -> [Result<engine::Outcome, String>; 2] {
    const LIMIT: &str = "model.audio_tower.layers.0.feed_forward1.ffw_layer_1.input_max";
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("families/gemma4-towers/base")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = folder.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let data = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..data]).unwrap();
    let at = data + header[LIMIT]["data_offsets"][0].as_u64().unwrap() as usize;
    file[at..at + 2].copy_from_slice(&limit);
    fs::write(&path, file).unwrap();
    let model = Model::new(&checkpoint(folder.path()));
    let (merged, mmproj) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = RunOptions::default();
    let mut output = LocalOutput::create(merged.path()).unwrap();
    let merge = engine::merge(&MergePlan::own_files(&model).unwrap(), &mut output, &run);
    let plan = GgufPlan::mmproj(&model, &GgufOptions::new(OutputType::F16, "m")).unwrap();
    let mut output = LocalOutput::create(mmproj.path()).unwrap();
    let gguf = engine::gguf(&plan, "m.gguf", &mut output, &run);
    [merge, gguf].map(|result| result.map_err(|error| error.to_string()))
}

#[test]
fn an_infinite_limit_is_exported() {
    for limit in [0x7f80_u16, 0xff80] {
        for outcome in exports(limit.to_le_bytes()) {
            let report = outcome.unwrap().report;
            let mut errors = report.tensors.iter().filter_map(|tensor| tensor.stored.as_ref());
            assert!(errors.all(|stored| stored.rmse.is_finite() && stored.largest_error.is_finite()));
        }
    }
}

#[test]
fn a_limit_of_nan_is_refused() {
    for error in exports(0x7fc0_u16.to_le_bytes()) {
        let error = error.unwrap_err();
        assert!(
            error.contains("input_max") && error.contains("element 0") && error.contains("NaN"),
            "{error}"
        );
    }
}
