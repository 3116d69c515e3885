//! The modules of sentence-transformers after an embedding model: what llama.cpp computes in the same way, and refusals of
//! the rest.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{GgufOptions, GgufPlan, LocalOutput, MergePlan, Model, OutputType, RunOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{checkpoint, fixture, write_tensors};

/// A copy of the fixture, with its modules.
struct EmbeddingModel(TempDir);

impl EmbeddingModel {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture("families/gemma-embedding/base"), folder.path());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Sets a field of a module's configuration.
    fn set(self, file: &str, field: &str, value: Value) -> Self {
        let path = self.path(file);
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[field] = value;
        self.write(file, config.to_string().as_bytes())
    }

    fn write(self, file: &str, content: &[u8]) -> Self {
        fs::write(self.path(file), content).unwrap();
        self
    }

    /// Writes modules of these types; each but the first has a folder.
    fn modules(self, modules: &[(&str, &str)]) -> Self {
        let entry = |(path, kind): &(&str, &str)| json!({"path": path, "type": kind});
        let entries: Value = modules.iter().map(entry).collect();
        self.write("modules.json", entries.to_string().as_bytes())
    }

    /// Replaces the weights of a module by tensors of zeros.
    fn tensors(self, module: &str, tensors: &[(&'static str, &'static [usize])]) -> Self {
        let zeros = |(name, shape): &(&'static str, &'static [usize])| {
            (*name, *shape, vec![0.0; shape.iter().product()])
        };
        let tensors: Vec<_> = tensors.iter().map(zeros).collect();
        write_tensors(&self.path(module).join("model.safetensors"), &tensors);
        self
    }

    fn merge_plan(&self) -> Result<MergePlan, String> {
        MergePlan::own_files(&Model::new(&checkpoint(self.0.path()))).map_err(|error| error.to_string())
    }

    fn plan(&self) -> Result<GgufPlan, String> {
        let model = Model::new(&checkpoint(self.0.path()));
        GgufPlan::new(&model, &GgufOptions::new(OutputType::F32, "m")).map_err(|error| error.to_string())
    }
}

fn copy(source: &Path, target: &Path) {
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let target = target.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

const TRANSFORMER: (&str, &str) = ("", "sentence_transformers.models.Transformer");
const POOLING: (&str, &str) = ("1_Pooling", "sentence_transformers.models.Pooling");
const DENSE_2: (&str, &str) = ("2_Dense", "sentence_transformers.models.Dense");
const DENSE_3: (&str, &str) = ("3_Dense", "sentence_transformers.models.Dense");
const NORMALIZE: (&str, &str) = ("4_Normalize", "sentence_transformers.models.Normalize");

#[test]
fn a_dense_module_is_a_matrix_alone() {
    const CONFIG: &str = "2_Dense/config.json";
    let new = EmbeddingModel::new;
    for (model, expected) in [
        (
            new().set(CONFIG, "activation_function", json!("torch.nn.modules.activation.Tanh")),
            "activation_function torch.nn.modules.activation.Tanh",
        ),
        (new().set(CONFIG, "bias", json!(true)), "bias true"),
        (new().set(CONFIG, "bias", json!(null)), "bias true"),
        (new().set(CONFIG, "bias", json!(0)), "bias is 0, not true or false"),
        (new().set(CONFIG, "module_output_name", json!("x")), "module_output_name x"),
        (
            new().set(CONFIG, "in_features", json!(65)),
            "has the shape [128, 64], but config.json requires [128, 65]",
        ),
        (new().set(CONFIG, "out_features", json!(null)), "has no out_features"),
        (new().tensors("2_Dense", &[("linear.weight", &[128, 64]), ("linear.bias", &[128])]), "linear.bias"),
        (new().tensors("2_Dense", &[("weight", &[128, 64])]), "has no linear.weight"),
        (new().tensors("2_Dense", &[]), "has no linear.weight"),
    ] {
        let error = model.plan().unwrap_err();
        assert!(error.contains("2_Dense") && error.contains(expected), "{expected}: {error}");
    }
    new()
        .set(CONFIG, "activation_function", json!("torch.nn.modules.linear.Identity"))
        .set(CONFIG, "module_input_name", json!("sentence_embedding"))
        .plan()
        .unwrap();
}

#[test]
fn the_features_of_dense_modules_chain() {
    let narrow = EmbeddingModel::new().tensors("3_Dense", &[("linear.weight", &[64, 96])]).set(
        "3_Dense/config.json",
        "in_features",
        json!(96),
    );
    let error = narrow.plan().unwrap_err();
    assert!(error.contains("3_Dense") && error.contains("but gets 128 features"), "{error}");
    let other_size = EmbeddingModel::new().tensors("3_Dense", &[("linear.weight", &[32, 128])]).set(
        "3_Dense/config.json",
        "out_features",
        json!(32),
    );
    let error = other_size.plan().unwrap_err();
    assert!(error.contains("embeddings of another size than hidden_size 64"), "{error}");
}

#[test]
fn dense_modules_are_applied_in_the_order_of_modules_json() {
    // 3_Dense takes 128 features, and the model has 64
    let error = EmbeddingModel::new().modules(&[TRANSFORMER, POOLING, DENSE_3, DENSE_2]).plan().unwrap_err();
    assert!(error.contains("3_Dense") && error.contains("but gets 64 features"), "{error}");
    EmbeddingModel::new().modules(&[TRANSFORMER, POOLING, DENSE_2, DENSE_3, NORMALIZE]).plan().unwrap();
    EmbeddingModel::new().modules(&[TRANSFORMER, POOLING, NORMALIZE]).plan().unwrap();
}

#[test]
fn modules_that_llama_cpp_does_not_run_are_refused_by_name() {
    for (modules, expected) in [
        (
            vec![TRANSFORMER, POOLING, ("2_LayerNorm", "sentence_transformers.models.LayerNorm")],
            "models.LayerNorm",
        ),
        (vec![TRANSFORMER, POOLING, ("2_Dense", "mine.Dense")], "mine.Dense"),
        (vec![TRANSFORMER, POOLING, NORMALIZE, DENSE_2, DENSE_3], "models.Dense in \"2_Dense\""),
        (vec![TRANSFORMER, POOLING, POOLING], "models.Pooling"),
        (vec![("0_Transformer", TRANSFORMER.1), POOLING], "0_Transformer"),
        (vec![TRANSFORMER, POOLING, DENSE_2], "1 dense modules"),
    ] {
        let error = EmbeddingModel::new().modules(&modules).plan().unwrap_err();
        assert!(error.contains("modules.json") && error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn one_way_of_pooling_is_used() {
    const CONFIG: &str = "1_Pooling/config.json";
    for (field, expected) in [
        ("pooling_mode_cls_token", "[\"cls\", \"mean\"]"),
        ("pooling_mode_max_tokens", "[\"max\", \"mean\"]"),
    ] {
        let error = EmbeddingModel::new().set(CONFIG, field, json!(true)).plan().unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let by = |mode: &str| EmbeddingModel::new().set(CONFIG, "pooling_mode", json!(mode)).plan();
    by("lasttoken").unwrap();
    assert!(by("weightedmean").unwrap_err().contains("weightedmean"));
    let error = EmbeddingModel::new().set(CONFIG, "include_prompt", json!(false)).plan().unwrap_err();
    assert!(error.contains("include_prompt false"), "{error}");
}

#[test]
fn a_dense_module_with_nan_is_refused_by_its_element() {
    let model = EmbeddingModel::new();
    let path = model.path("2_Dense/model.safetensors");
    let mut weights = fs::read(&path).unwrap();
    let end = weights.len() - 2;
    weights[end..].fill(0xff);
    fs::write(&path, weights).unwrap();
    let merged = model.merge_plan().unwrap();
    let gguf = model.plan().unwrap();
    for allow_non_finite in [false, true] {
        let run = RunOptions { allow_non_finite, ..RunOptions::default() };
        let folder = tempfile::tempdir().unwrap();
        let output = || LocalOutput::create(folder.path()).unwrap();
        for result in
            [engine::merge(&merged, &mut output(), &run), engine::gguf(&gguf, "m.gguf", &mut output(), &run)]
        {
            let text = result.err().map(|error| error.to_string());
            let is_refused = text.as_ref().is_some_and(|text| {
                ["2_Dense/model.safetensors", "linear.weight", "element 8191 is NaN"]
                    .iter()
                    .all(|part| text.contains(part))
            });
            assert_eq!(is_refused, !allow_non_finite, "{text:?}");
        }
    }
}

#[test]
fn a_merge_copies_modules_that_gguf_files_cannot_express() {
    const CONFIG: &str = "2_Dense/config.json";
    let new = EmbeddingModel::new;
    let with_bias = [("linear.weight", &[128, 64][..]), ("linear.bias", &[128])];
    for model in [
        new().modules(&[TRANSFORMER, POOLING, DENSE_2]),
        new().set(CONFIG, "activation_function", json!("torch.nn.modules.activation.Tanh")),
        new().set(CONFIG, "bias", json!(true)).tensors("2_Dense", &with_bias),
        new().modules(&[TRANSFORMER, POOLING, ("2_Dense", "sentence_transformers.models.LayerNorm")]),
        new().set("1_Pooling/config.json", "include_prompt", json!(false)),
    ] {
        assert!(model.plan().is_err());
        let plan = model.merge_plan().unwrap();
        assert!(plan.files().iter().any(|file| file.name == "2_Dense/model.safetensors"));
    }
}

#[test]
fn no_merge_of_modules_that_sentence_transformers_does_not_load() {
    let new = EmbeddingModel::new;
    let without = |file: &str| {
        let model = new();
        fs::remove_file(model.path(file)).unwrap();
        model
    };
    for (model, expected) in [
        (without("1_Pooling/config.json"), "1_Pooling/config.json"),
        (without("2_Dense/config.json"), "2_Dense/config.json"),
        (without("3_Dense/model.safetensors"), "3_Dense/model.safetensors"),
        (
            new().modules(&[TRANSFORMER, POOLING, ("9_LayerNorm", "sentence_transformers.models.LayerNorm")]),
            "9_LayerNorm/config.json",
        ),
        (new().modules(&[TRANSFORMER, POOLING, ("9_Router", "mine.Router")]), "9_Router/config.json"),
        (new().tensors("2_Dense", &[("linear.weight", &[64, 64])]), "config.json requires [128, 64]"),
    ] {
        let error = model.merge_plan().unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    new().modules(&[TRANSFORMER, POOLING, DENSE_2, DENSE_3, NORMALIZE]).merge_plan().unwrap();
}
