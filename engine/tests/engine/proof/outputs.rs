//! Several files from one pass, and one model in several files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use engine::{
    Folder as _, GgufFile, GgufOptions, GgufPlan, LocalFolder, LocalOutput, Model, Output, OutputType,
    Progress, ProgressUpdate, RunOptions, ggufs, ggufs_to_each,
};

use super::support::{checkpoint, fixture, gguf, model, plan, run};

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn files_to_an_output_each_equal_those_of_single_runs() {
    let types = [OutputType::Q4_K_M, OutputType::Q8_0, OutputType::Q2_K, OutputType::BF16];
    let family = |name: &str| Model::new(&checkpoint(&fixture(&format!("families/{name}/base"))));
    for model in [model("gemma3-micro"), family("gemma3n"), family("gemma4-dense"), family("gemma4-moe")] {
        let plans = types.map(|t| plan(&model, t));
        let folders = types.map(|_| tempfile::tempdir().unwrap());
        let mut outputs: Vec<_> =
            folders.iter().map(|folder| LocalOutput::create(folder.path()).unwrap()).collect();
        let files = plans.iter().zip(&mut outputs);
        let files = files.map(|(plan, output)| (plan, "m.gguf", output as &mut dyn Output)).collect();
        let outcomes = ggufs_to_each(files, &run(3, 5000)).unwrap();
        for ((output, folder), outcome) in types.into_iter().zip(&folders).zip(outcomes) {
            let alone = tempfile::tempdir().unwrap();
            let expected = gguf(&model, output, alone.path(), &RunOptions::default());
            assert_eq!(outcome.files, expected.files, "{output}");
            assert!(contents(folder.path()) == contents(alone.path()), "{output}");
        }
    }
}

/// The progress of a run.
#[derive(Default)]
struct Seen(Mutex<Vec<ProgressUpdate>>);

impl Progress for Seen {
    fn report(&self, update: ProgressUpdate) {
        self.0.lock().unwrap().push(update);
    }
}

#[test]
fn files_of_several_passes_have_one_total_of_progress() {
    let model = model("gemma3-micro");
    // in the converter's order of tensors, and in llama-quantize's
    let plans = [OutputType::BF16, OutputType::Q4_K_M, OutputType::Q8_0].map(|t| plan(&model, t));
    let folder = tempfile::tempdir().unwrap();
    let mut outputs: Vec<_> =
        (0..3).map(|n| LocalOutput::create(folder.path().join(n.to_string())).unwrap()).collect();
    let files = plans.iter().zip(&mut outputs);
    let files = files.map(|(plan, output)| (plan, "m.gguf", output as &mut dyn Output)).collect();
    let seen = Seen::default();
    ggufs_to_each(files, &RunOptions { progress: &seen, ..run(1, 5000) }).unwrap();
    let seen = seen.0.into_inner().unwrap();
    let size: u64 = plans.iter().flat_map(|plan| plan.files("m.gguf")).map(|file| file.size).sum();
    assert!(seen.iter().all(|update| update.total == size), "{size}: {seen:?}");
    assert!(seen.is_sorted_by_key(|update| update.done) && seen.last().unwrap().done == size, "{seen:?}");
}

#[test]
fn files_of_one_pass_equal_those_of_single_runs() {
    let types = [OutputType::Q8_0, OutputType::Q4_K_M, OutputType::BF16];
    for case in ["gemma3-micro", "gemma2-micro", "gemma1-micro"] {
        let model = model(case);
        let together = tempfile::tempdir().unwrap();
        let plans: Vec<_> = types.iter().map(|t| (plan(&model, *t), format!("m-{t}.gguf"))).collect();
        let mut output = LocalOutput::create(together.path()).unwrap();
        let outcomes = ggufs(&plans, &mut output, &run(3, 5000)).unwrap();
        let mut expected = BTreeMap::new();
        for (number, output) in types.into_iter().enumerate() {
            let alone = tempfile::tempdir().unwrap();
            let outcome = gguf(&model, output, alone.path(), &RunOptions::default());
            assert_eq!(outcome.files[0].sha256, outcomes[number].files[0].sha256, "{case} {output}");
            assert_eq!(outcome.report.summary, outcomes[number].report.summary);
            assert_eq!(outcome.report.tensors, outcomes[number].report.tensors);
            let named = contents(alone.path()).into_iter().filter(|(name, _)| name.ends_with(".gguf"));
            expected.extend(named.map(|(_, bytes)| (format!("m-{output}.gguf"), bytes)));
        }
        let made = contents(together.path()).into_iter().filter(|(name, _)| name.ends_with(".gguf"));
        assert!(made.collect::<BTreeMap<_, _>>() == expected, "{case}");
    }
}

#[test]
fn plans_of_two_models_are_not_one_pass() {
    let plans: Vec<_> = ["gemma3-micro", "gemma2-micro"]
        .map(|case| (plan(&model(case), OutputType::Q8_0), format!("{case}.gguf")))
        .into();
    let folder = tempfile::tempdir().unwrap();
    let error =
        ggufs(&plans, &mut LocalOutput::create(folder.path()).unwrap(), &RunOptions::default()).unwrap_err();
    assert!(error.to_string().contains("one pass reads one model"), "{error}");
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn files_of_a_split_hold_the_tensors_of_the_whole() {
    let model = model("gemma3-micro");
    let (whole, split) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    gguf(&model, OutputType::Q8_0, whole.path(), &RunOptions::default());
    let most = 20_000;
    let plan =
        GgufPlan::new(&model, &GgufOptions::new(OutputType::Q8_0, "merged").with_split_size(most)).unwrap();
    let outcome =
        engine::gguf(&plan, "m.gguf", &mut LocalOutput::create(split.path()).unwrap(), &run(2, 3000))
            .unwrap();
    let planned = plan.files("m.gguf");
    assert!(planned.len() > 2, "{planned:?}");
    assert_eq!(planned[0].name, format!("m-00001-of-{:05}.gguf", planned.len()));
    assert_eq!(outcome.files.last().unwrap().name, "m.report.json");
    let open = |folder: &Path, name: &str| {
        let source = LocalFolder::open(folder).unwrap().open(name).unwrap();
        (GgufFile::open(&*source).unwrap(), std::fs::read(folder.join(name)).unwrap())
    };
    let bytes = |(file, bytes): &(GgufFile, Vec<u8>)| -> Vec<(String, Vec<u8>)> {
        let tensor = |t: &engine::GgufTensor| {
            (t.name.clone(), bytes[t.byte_range.start as usize..t.byte_range.end as usize].to_vec())
        };
        file.tensors.iter().map(tensor).collect()
    };
    let whole = open(whole.path(), "m.gguf");
    let mut tensors = Vec::new();
    for (number, file) in planned.iter().enumerate() {
        let part = open(split.path(), &file.name);
        assert_eq!(part.1.len() as u64, file.size);
        assert!(
            part.0.tensors.len() == 1
                || part.0.tensors.iter().all(|t| t.byte_range.end - t.byte_range.start <= most)
        );
        let keys: Vec<(&str, String)> =
            part.0.key_values.iter().rev().take(3).map(|k| (k.key.as_str(), k.text())).collect();
        let count = whole.0.tensors.len().to_string();
        assert_eq!(keys[2], ("split.no", number.to_string()));
        assert_eq!(keys[0], ("split.count", planned.len().to_string()));
        assert_eq!(keys[1], ("split.tensors.count", count));
        assert_eq!(part.0.key_values.len() == 3, number > 0);
        tensors.extend(bytes(&part));
    }
    assert!(tensors == bytes(&whole));
}

/// What `llama-gguf-split --split-max-size 1M` makes of the whole F32 file, by SHA-256.
const OF_THE_TOOL: [&str; 4] = [
    "6aba2495658294aacff272bb32cae52bf7760ed0f35f770cf9cb64b2a4628b3e",
    "3c0364311345c0b4dac8abe80650d972b08680d270cf9a72c384adb97febd9b2",
    "94021c67ab9b09741d8808fc6b1fcc1b3a191f5bebedc80ea911b7c16f969606",
    "135890d4c2aa32aef2d61aef1d184c0fcb41ab14c53a37b424d4ef24204bd9c6",
];

#[test]
fn files_of_a_split_equal_those_of_llama_cpps_tool() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    let options = GgufOptions::new(OutputType::F32, "adapter").with_split_size(1_000_000);
    let plan = GgufPlan::new(&model, &options).unwrap();
    let outcome = engine::gguf(
        &plan,
        "m.gguf",
        &mut LocalOutput::create(folder.path()).unwrap(),
        &RunOptions::default(),
    )
    .unwrap();
    let made: Vec<&str> = outcome.files.iter().map(|file| file.sha256.as_str()).collect();
    assert_eq!(made[..4], OF_THE_TOOL);
    assert_eq!(made.len(), 5, "and the report");
}

#[test]
fn what_fits_in_one_file_is_not_split() {
    let (model, folder) = (model("gemma3-micro"), tempfile::tempdir().unwrap());
    let options = GgufOptions::new(OutputType::Q8_0, "merged").with_split_size(1 << 40);
    let plan = GgufPlan::new(&model, &options).unwrap();
    let outcome = engine::gguf(
        &plan,
        "m.gguf",
        &mut LocalOutput::create(folder.path()).unwrap(),
        &RunOptions::default(),
    )
    .unwrap();
    let alone = tempfile::tempdir().unwrap();
    let whole = gguf(&model, OutputType::Q8_0, alone.path(), &RunOptions::default());
    assert_eq!(outcome.files[0], whole.files[0]);
}
