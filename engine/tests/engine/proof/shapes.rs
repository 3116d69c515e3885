//! Models whose tensors do not have the shapes that config.json gives them: neither merged nor converted.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Adapter, GgufOptions, GgufPlan, LocalFolder, MergePlan, Model, OutputType};
use serde_json::{Value, json};

use super::support::{self, checkpoint, fixture};

/// A fixture, the section and field of its config.json that is changed, and the tensor that fits no more.
struct SpoiledConfig {
    fixture: &'static str,
    section: &'static str,
    field: &'static str,
    /// `None` removes the field.
    value: Option<Value>,
    tensor: &'static str,
}

fn spoiled(
    fixture: &'static str,
    section: &'static str,
    field: &'static str,
    value: Value,
    tensor: &'static str,
) -> SpoiledConfig {
    SpoiledConfig { fixture, section, field, value: Some(value), tensor }
}

fn without(fixture: &'static str, field: &'static str, tensor: &'static str) -> SpoiledConfig {
    SpoiledConfig { fixture, section: "", field, value: None, tensor }
}

/// Copies a fixture's base.
fn copy_base(fixture_name: &str, folder: &Path) {
    let base = fixture(&format!("families/{fixture_name}/base"));
    for entry in fs::read_dir(base).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
}

impl SpoiledConfig {
    fn model(&self, folder: &Path) -> Model {
        copy_base(self.fixture, folder);
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let section = if self.section.is_empty() { &mut config } else { &mut config[self.section] };
        match self.value.clone() {
            Some(value) => section[self.field] = value,
            None => drop(section.as_object_mut().unwrap().remove(self.field)),
        }
        fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        Model::new(&checkpoint(folder))
    }

    fn check(&self, error: engine::Error) {
        let text = error.to_string();
        let says = ["has the shape", "config.json requires", self.tensor];
        assert!(says.iter().all(|part| text.contains(part)), "{} {}: {text}", self.fixture, self.field);
    }
}

fn options() -> GgufOptions {
    GgufOptions::new(OutputType::F16, "m")
}

#[test]
fn no_gguf_of_a_language_model_with_other_shapes() {
    for case in [
        spoiled("gemma4-moe", "", "moe_intermediate_size", json!(16), "experts.down_proj"),
        spoiled("gemma4-moe", "", "num_experts", json!(8), "experts.down_proj"),
        spoiled("gemma4-moe", "", "num_key_value_heads", json!(1), "self_attn.k_proj"),
        spoiled("gemma4-moe", "", "head_dim", json!(16), "self_attn.k_norm"),
        spoiled("gemma4-dense", "", "hidden_size_per_layer_input", json!(16), "embed_tokens_per_layer"),
        spoiled("gemma4-dense", "", "use_double_wide_mlp", json!(false), "mlp.down_proj"),
        spoiled("gemma3n", "", "head_dim", json!(16), "self_attn."),
        spoiled("gemma3n", "", "intermediate_size", json!([128, 64]), "mlp.down_proj"),
        spoiled("gemma3-vision", "text_config", "num_attention_heads", json!(4), "self_attn.o_proj"),
        spoiled("gemma4-assistant", "", "backbone_hidden_size", json!(48), "projection"),
        spoiled("gemma4-dense", "", "vocab_size_per_layer_input", json!(700), "embed_tokens_per_layer"),
        without("gemma4-dense", "vocab_size_per_layer_input", "embed_tokens_per_layer"),
        without("gemma3n", "vocab_size_per_layer_input", "embed_tokens_per_layer"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        case.check(GgufPlan::new(&case.model(folder.path()), &options()).unwrap_err());
    }
}

#[test]
fn no_gguf_of_a_vocabulary_or_head_that_is_not_there() {
    for (case, says) in [
        (spoiled("gemma3-vision", "text_config", "vocab_size", json!(100), "embed_tokens"), "vocab_size"),
        (spoiled("gemma4-dense", "", "vocab_size", json!(100), "embed_tokens"), "vocab_size"),
        (without("gemma4-dense", "vocab_size", "embed_tokens"), "vocab_size, which is 262144 then"),
        (without("gemma3n", "vocab_size", "embed_tokens"), "vocab_size, which is 262400 then"),
        (spoiled("gemma4-moe", "", "pad_token_id", json!(768), "768 rows"), "pad_token_id is 768"),
        (
            spoiled("gemma3-vision", "text_config", "pad_token_id", json!(5000), "768"),
            "text_config.pad_token_id",
        ),
        (spoiled("gemma4-dense", "", "tie_word_embeddings", json!(false), "lm_head.weight"), "no lm_head"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = GgufPlan::new(&case.model(folder.path()), &options()).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains(case.tensor),
            "{} {}: {error}",
            case.fixture,
            case.field
        );
    }
}

#[test]
fn no_gguf_with_tensors_that_transformers_ignores() {
    for (case, setting) in [
        (spoiled("gemma4-dense", "", "attention_k_eq_v", json!(true), "v_proj"), "attention_k_eq_v true"),
        (spoiled("gemma4-moe", "", "enable_moe_block", json!(false), "layers."), "enable_moe_block false"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = GgufPlan::new(&case.model(folder.path()), &options()).unwrap_err().to_string();
        assert!(error.contains(setting) && error.contains(case.tensor), "{}: {error}", case.fixture);
    }
}

#[test]
fn no_gguf_of_experts_that_do_not_fit() {
    for (field, value) in [
        ("top_k_experts", json!(5)),
        ("top_k_experts", json!(0)),
        ("top_k_experts", json!(null)),
        ("num_experts", json!(null)),
        ("moe_intermediate_size", json!(null)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let case = spoiled("gemma4-moe", "", field, value, "");
        let error = GgufPlan::new(&case.model(folder.path()), &options()).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("config.json"), "{field}: {error}");
    }
}

#[test]
fn a_class_of_the_family_with_another_default_needs_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let case = SpoiledConfig { section: "text_config", ..without("gemma4-unified", "sliding_window", "") };
    let error = GgufPlan::new(&case.model(folder.path()), &options()).unwrap_err().to_string();
    assert!(error.contains("has no sliding_window"), "{error}");
}

#[test]
fn no_mmproj_of_encoders_with_other_shapes() {
    for case in [
        spoiled("gemma3-vision", "vision_config", "hidden_size", json!(32), "multi_modal_projector"),
        spoiled("gemma3-vision", "vision_config", "intermediate_size", json!(64), "mlp.fc1"),
        spoiled("gemma3-vision", "vision_config", "image_size", json!(28), "position_embedding"),
        spoiled("gemma3-vision", "text_config", "hidden_size", json!(32), "mm_input_projection"),
        spoiled("gemma4-towers", "vision_config", "head_dim", json!(8), "self_attn."),
        spoiled("gemma4-towers", "vision_config", "position_embedding_size", json!(7), "position_embedding"),
        spoiled("gemma4-towers", "audio_config", "output_proj_dims", json!(7), "output_proj"),
        spoiled("gemma4-unified", "vision_config", "mm_embed_dim", json!(32), "embed_vision"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        case.check(GgufPlan::mmproj(&case.model(folder.path()), &options()).unwrap_err());
    }
}

#[test]
fn no_mmproj_of_encoders_that_llama_cpp_computes_in_another_way() {
    let rope = json!({"rope_theta": 10_000.0, "rope_type": "axial"});
    for (case, says) in [
        (spoiled("gemma3-vision", "vision_config", "hidden_act", json!("silu"), ""), "gelu_pytorch_tanh"),
        (spoiled("gemma3-vision", "", "mm_tokens_per_image", json!(64), ""), "image_seq_length"),
        (spoiled("gemma3n-towers", "vision_config", "architecture", json!("mobilenetv5_base"), ""), "300m"),
        (spoiled("gemma4-towers", "vision_config", "pooling_kernel_size", json!(2), ""), "computes with 3"),
        (spoiled("gemma4-towers", "vision_config", "rope_parameters", rope, ""), "computes with 100"),
        (spoiled("gemma4-towers", "audio_config", "attention_chunk_size", json!(16), ""), "computes with 12"),
        (spoiled("gemma4-towers", "audio_config", "residual_weight", json!(1), ""), "computes with 0.5"),
        (
            spoiled("gemma4-unified", "audio_config", "rms_norm_eps", json!(1e-5), ""),
            "computes with 0.000001",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = GgufPlan::mmproj(&case.model(folder.path()), &options()).map(|plan| plan.size());
        let text = error.unwrap_err().to_string();
        assert!(text.contains(case.field) && text.contains(says), "{} {}: {text}", case.fixture, case.field);
    }
}

#[test]
fn no_merge_of_a_model_with_other_shapes() {
    let experts =
        ("experts", spoiled("gemma4-moe", "", "moe_intermediate_size", json!(16), "experts.down_proj"));
    let image_size = spoiled("gemma3-vision", "vision_config", "image_size", json!(28), "position_embedding");
    for (adapter, case) in [experts, ("vision-names", image_size)] {
        let folder = tempfile::tempdir().unwrap();
        let base = case.model(folder.path()).base().clone();
        let adapter = LocalFolder::open(fixture(&format!("adapters/{adapter}/adapter"))).unwrap();
        let model = Model::with_adapter(&base, &Adapter::open(Arc::new(adapter)).unwrap()).unwrap();
        case.check(MergePlan::new(&model).unwrap_err());
    }
}

/// Replaces a part of a tensor's name wherever the files of a folder have it.
fn rename_tensor(folder: &Path, name: &str, other: &str) {
    assert_eq!(name.len(), other.len());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        while let Some(at) = bytes.windows(name.len()).position(|window| window == name.as_bytes()) {
            bytes[at..at + name.len()].copy_from_slice(other.as_bytes());
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn no_model_that_lacks_a_tensor() {
    let gguf = |model: &Model| GgufPlan::new(model, &options()).err();
    let merged = |model: &Model| MergePlan::own_files(model).err();
    let mmproj = |model: &Model| GgufPlan::mmproj(model, &options()).err();
    let of_language_model: [&dyn Fn(&Model) -> Option<engine::Error>; 2] = [&gguf, &merged];
    let of_encoders: [&dyn Fn(&Model) -> Option<engine::Error>; 2] = [&mmproj, &merged];
    for (fixture, name, other, says, plans) in [
        (
            "gemma4-moe",
            "layers.1.self_attn.q_proj",
            "layers.9.self_attn.q_proj",
            "layers.1.self_attn.q_proj.weight",
            of_language_model,
        ),
        (
            "gemma4-moe",
            "layers.0.experts.down_proj",
            "layers.9.experts.down_proj",
            "layers.0.experts.down_proj",
            of_language_model,
        ),
        (
            "gemma4-dense",
            "embed_tokens_per_layer",
            "embed_tokens_vision_xx",
            "embed_tokens_per_layer.weight",
            of_language_model,
        ),
        (
            "gemma3n",
            "altup_projections.1.",
            "altup_vision_ions.1.",
            "altup_projections.N.weight",
            of_language_model,
        ),
        (
            "gemma3-vision",
            "layers.0.mlp.fc1.weight",
            "layers.9.mlp.fc1.weight",
            "v.blk.0.ffn_up.weight",
            of_encoders,
        ),
    ] {
        for plan in plans {
            let folder = tempfile::tempdir().unwrap();
            copy_base(fixture, folder.path());
            rename_tensor(folder.path(), name, other);
            let error = plan(&Model::new(&checkpoint(folder.path())));
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("has no tensor") && text.contains(says), "{fixture} {name}: {text}");
        }
    }
}

#[test]
fn no_merge_of_an_embedding_with_other_rows_than_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let case = spoiled("gemma4-moe", "", "vocab_size", json!(700), "embed_tokens");
    let base = case.model(folder.path()).base().clone();
    let adapter = LocalFolder::open(fixture("adapters/experts/adapter")).unwrap();
    let model = Model::with_adapter(&base, &Adapter::open(Arc::new(adapter)).unwrap()).unwrap();
    let text = MergePlan::new(&model).unwrap_err().to_string();
    assert!(text.contains("has 768 rows, but vocab_size of config.json is 700"), "{text}");
}

/// An adapter has no rows for new tokens in the per-layer embeddings: transformers cannot run the merged model on them.
#[test]
fn no_merge_of_new_tokens_without_rows_in_the_per_layer_embeddings() {
    for (rows, is_refused) in [(776_u64, true), (760, false)] {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]});
        fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let bytes = rows * 64 * 2;
        let embedding = json!({"dtype": "BF16", "shape": [rows, 64], "data_offsets": [0, bytes]});
        let header = json!({"base_model.model.model.embed_tokens.weight": embedding}).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes().chain((0..bytes).map(|_| 0)));
        fs::write(folder.path().join("adapter_model.safetensors"), file).unwrap();
        let adapter = Adapter::open(Arc::new(LocalFolder::open(folder.path()).unwrap())).unwrap();
        let base = checkpoint(&fixture("families/gemma4-dense/base"));
        let planned = MergePlan::new(&Model::with_adapter(&base, &adapter).unwrap());
        let refused = planned.err().map(|error| error.to_string());
        assert_eq!(
            refused.is_some_and(|text| text.contains("per-layer embedding has 768")),
            is_refused,
            "{rows}"
        );
    }
}

#[test]
fn no_merge_of_a_size_or_factor_that_makes_no_model() {
    let linear = |factor: i32| json!({"full_attention": {"rope_type": "linear", "factor": factor}});
    for (case, says) in [
        (spoiled("gemma4-dense", "", "num_attention_heads", json!(-1), ""), "num_attention_heads is -1"),
        (spoiled("gemma3n", "", "hidden_size", json!(64.0), ""), "hidden_size is 64.0"),
        (spoiled("gemma3-vision", "vision_config", "image_size", json!(0.5), ""), "vision_config.image_size"),
        (spoiled("gemma3-vision", "text_config", "rope_parameters", linear(0), ""), "factor is not positive"),
        (
            spoiled("gemma3-vision", "text_config", "rope_parameters", linear(-8), ""),
            "factor is not positive",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = case.model(folder.path());
        let text = MergePlan::own_files(&model).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn no_merge_of_weights_of_integers() {
    for dtype in ["I16", "U16"] {
        let folder = tempfile::tempdir().unwrap();
        copy_base("gemma4-dense", folder.path());
        let path = folder.path().join("model.safetensors");
        let mut file = fs::read(&path).unwrap();
        let name = b"model.norm.weight\":{\"dtype\":\"BF16\"";
        let at = file.windows(name.len()).position(|part| part == name).unwrap() + name.len() - 5;
        // of the same length: {"dtype":"I16" ,
        let text = format!("{dtype}\" ");
        file[at..at + 5].copy_from_slice(text.as_bytes());
        fs::write(&path, file).unwrap();
        let text = MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).unwrap_err().to_string();
        let says = ["model.norm.weight", dtype, "save the model with float weights"];
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
    }
}

/// A drafter in GGUF needs its target; a merge needs the same shapes and tensors.
#[test]
fn no_drafter_with_other_shapes_or_without_a_tensor() {
    for case in [
        spoiled("gemma4-dspark", "", "target_layer_ids", json!([1, 3, 5]), "fc.weight"),
        spoiled("gemma4-dspark", "", "markov_rank", json!(16), "_head."),
        spoiled("gemma4-unified", "vision_config", "mm_posemb_size", json!(16), "pos_embedding"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        case.check(MergePlan::own_files(&case.model(folder.path())).unwrap_err());
    }
    for (name, other, says) in [
        ("hidden_norm", "hidden_nxxx", "hidden_norm.weight"),
        ("layers.1.self_attn.k_proj", "layers.9.self_attn.k_proj", "layers.1.self_attn.k_proj.weight"),
        ("layers.1.self_attn.k_norm", "layers.9.self_attn.k_norm", "layers.1.self_attn.k_norm.weight"),
        ("markov_head.markov_w2", "markov_head.markov_x2", "markov_w2.weight"),
        ("lm_head.", "xx_head.", "lm_head.weight"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy_base("gemma4-dspark", folder.path());
        rename_tensor(folder.path(), name, other);
        let text = MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).unwrap_err().to_string();
        assert!(text.contains(says), "{name}: {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    copy_base("gemma4-dspark", folder.path());
    MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).unwrap();
}

#[test]
fn no_drafter_whose_confidence_head_has_another_shape() {
    for (right, wrong, says) in [
        (r#""shape":[1,96]"#, r#""shape":[96,1]"#, "confidence_head.proj.weight: has the shape [96, 1]"),
        (r#""shape":[1]"#, r#""shape":[ ]"#, "confidence_head.proj.bias: has the shape []"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy_base("gemma4-dspark", folder.path());
        let path = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let head = bytes.windows(20).position(|window| window == b"confidence_head.proj").unwrap();
        let at =
            |bytes: &[u8]| bytes[head..].windows(right.len()).position(|window| window == right.as_bytes());
        let at = head + at(&bytes).unwrap();
        bytes[at..at + right.len()].copy_from_slice(wrong.as_bytes());
        fs::write(&path, bytes).unwrap();
        let text = MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn no_merge_of_a_classifier_with_other_labels() {
    let base = support::json(&fixture("families/gemma3-vision/base/config.json"));
    let hidden = base["text_config"]["hidden_size"].as_u64().unwrap();
    let labels = |count: usize| (0..count).map(|id| (id.to_string(), json!(format!("LABEL_{id}")))).collect();
    let of = |labels: Value| json!({ "id2label": labels });
    for (class, fields, rows, has_bias, is_refused) in [
        ("Gemma3ForSequenceClassification", of(Value::Object(labels(3))), 3, false, false),
        ("Gemma3ForSequenceClassification", of(Value::Object(labels(3))), 2, false, true),
        ("Gemma3ForSequenceClassification", json!({"num_labels": 5}), 5, false, false),
        ("Gemma3ForSequenceClassification", json!({}), 2, false, false),
        ("Gemma3ForSequenceClassification", json!({}), 5, false, true),
        ("Gemma3ForTokenClassification", of(Value::Object(labels(3))), 3, true, false),
        ("Gemma3ForTokenClassification", of(Value::Object(labels(3))), 4, true, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy_base("gemma3-vision", folder.path());
        let mut config = base.clone();
        config["architectures"] = json!([class]);
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        add_classifier(folder.path(), rows, hidden, has_bias);
        let error = MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).err();
        let text = error.map(|error| error.to_string());
        let says = text.as_ref().is_some_and(|text| text.contains("score.weight: has the shape"));
        assert_eq!((says, text.is_some()), (is_refused, is_refused), "{class} {fields} {rows}: {text:?}");
    }
}

#[test]
fn no_merge_of_a_classifier_without_its_weights() {
    for (class, is_classifier) in
        [("Gemma3ForSequenceClassification", true), ("Gemma3ForConditionalGeneration", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        copy_base("gemma3-vision", folder.path());
        let mut config = support::json(&folder.path().join("config.json"));
        config["architectures"] = json!([class]);
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let error = MergePlan::own_files(&Model::new(&checkpoint(folder.path()))).err();
        let text = error.map(|error| error.to_string());
        let says = text
            .as_ref()
            .is_some_and(|text| text.contains(&format!("no tensor score.weight, which {class}")));
        assert_eq!((says, text.is_some()), (is_classifier, is_classifier), "{class}: {text:?}");
    }
}

/// Adds the tensors of a classifier to the last shard of a model.
fn add_classifier(folder: &Path, rows: u64, hidden: u64, has_bias: bool) {
    let index = folder.join("model.safetensors.index.json");
    let mut shard = "model.safetensors";
    if index.exists() {
        shard = "model-00002-of-00002.safetensors";
        let mut listed = support::json(&index);
        listed["weight_map"]["score.weight"] = json!(shard);
        fs::write(&index, listed.to_string()).unwrap();
    }
    let path = folder.join(shard);
    let bytes = fs::read(&path).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..data]).unwrap();
    let mut end = (bytes.len() - data) as u64;
    let mut add = |name: &str, shape: &[u64]| {
        let size = shape.iter().product::<u64>() * 2;
        header[name] = json!({"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]});
        end += size;
    };
    add("score.weight", &[rows, hidden]);
    if has_bias {
        add("score.bias", &[rows]);
    }
    let text = header.to_string();
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text.as_bytes());
    file.extend(&bytes[data..]);
    file.resize(8 + text.len() + end as usize, 0);
    fs::write(path, file).unwrap();
}

#[test]
fn no_merge_of_a_classifier_whose_language_model_has_other_shapes() {
    for (fixture_name, class) in [
        ("gemma1-micro", "GemmaForSequenceClassification"),
        ("gemma2-micro", "Gemma2ForTokenClassification"),
        ("gemma3-micro", "Gemma3TextForSequenceClassification"),
    ] {
        let spoil = |change: &dyn Fn(&mut Value)| {
            let folder = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(fixture(&format!("{fixture_name}/base"))).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
            let path = folder.path().join("config.json");
            let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            config["architectures"] = json!([class]);
            add_classifier(folder.path(), 2, config["hidden_size"].as_u64().unwrap(), false);
            change(&mut config);
            fs::write(&path, config.to_string()).unwrap();
            let planned = MergePlan::own_files(&Model::new(&checkpoint(folder.path())));
            planned.err().map(|error| error.to_string())
        };
        assert_eq!(spoil(&|_| {}), None, "{class}");
        let error = spoil(&|config| config["intermediate_size"] = json!(8)).unwrap();
        assert!(error.contains("has the shape") && error.contains("mlp."), "{class}: {error}");
        let layers = |config: &mut Value| {
            let layers = config["num_hidden_layers"].as_u64().unwrap() + 1;
            config["num_hidden_layers"] = json!(layers);
            if let Some(types) = config["layer_types"].as_array_mut() {
                types.push(json!("full_attention"));
            }
        };
        let error = spoil(&layers).unwrap();
        assert!(error.contains("has no tensor"), "{class}: {error}");
    }
}
