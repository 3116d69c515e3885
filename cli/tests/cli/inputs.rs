//! What the command says about inputs that it does not export.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::Inputs;

const MERGE: &str = "merge --base base --adapter adapter --out out";
const GGUF: &str = "gguf --base base --adapter adapter --out m.gguf";

#[test]
fn links_that_lead_nowhere_do_not_matter_where_the_file_is_not_needed() {
    let inputs = Inputs::new();
    for name in ["base/README.md", "adapter/training_args.bin"] {
        symlink("../../blobs/0123", inputs.path(name)).unwrap();
    }
    for args in
        [MERGE, GGUF, "inspect base", "inspect adapter", "verify --base base --adapter adapter --out out"]
    {
        inputs.succeed(args);
    }
}

#[test]
fn a_link_that_leads_nowhere_is_named_with_its_target_where_the_file_is_needed() {
    let inputs = Inputs::new();
    for (name, args) in [
        ("base/tokenizer.model", GGUF),
        ("base/generation_config.json", MERGE),
        ("base/config.json", "inspect base"),
        ("base/model-00002-of-00002.safetensors", MERGE),
        ("adapter/adapter_config.json", "inspect adapter"),
        ("adapter/adapter_model.safetensors", MERGE),
        ("adapter/tokenizer_config.json", GGUF),
    ] {
        let file = inputs.path(name);
        let before = fs::read(&file).ok();
        fs::remove_file(&file).ok();
        symlink("../../blobs/0123", &file).unwrap();
        inputs.refuse(args, &[name, "a link to ../../blobs/0123"]);
        fs::remove_file(&file).unwrap();
        before.map_or(Ok(()), |bytes| fs::write(&file, bytes)).unwrap();
    }
}

const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

#[test]
fn a_git_lfs_pointer_is_named_as_what_it_is() {
    for (name, args) in [
        ("base/model-00002-of-00002.safetensors", MERGE),
        ("base/config.json", "inspect base"),
        ("base/tokenizer.model", GGUF),
        // only copied
        ("base/tokenizer.json", MERGE),
        ("adapter/adapter_model.safetensors", "inspect adapter"),
        ("adapter/tokenizer.json", GGUF),
        ("x.gguf", "inspect x.gguf"),
        ("i.dat", "gguf --base base --quant q2_k --imatrix i.dat --out m.gguf"),
    ] {
        let inputs = Inputs::new();
        fs::write(inputs.path(name), LFS_POINTER).unwrap();
        inputs.refuse(args, &[name, "is a Git LFS pointer", "git lfs pull"]);
    }
}

#[test]
fn a_file_in_place_of_a_folder_is_named() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --out m.gguf");
    inputs.refuse("gguf --base m.gguf --out n.gguf", &["--base m.gguf is a GGUF file", "config.json"]);
    inputs.refuse("merge --base base --adapter m.gguf --out out", &["--adapter m.gguf is a GGUF file"]);
    let weights = "merge --base base --adapter adapter/adapter_model.safetensors --out out";
    inputs.refuse(weights, &["adapter_model.safetensors is a file", "adapter_config.json"]);
    fs::create_dir(inputs.path("files")).unwrap();
    fs::copy(inputs.path("m.gguf"), inputs.path("files/m.gguf")).unwrap();
    inputs.refuse(
        "gguf --base files --out n.gguf",
        &["files has no config.json", "GGUF files cannot be exported"],
    );
    fs::copy(inputs.path("base/config.json"), inputs.path("files/config.json")).unwrap();
    inputs.refuse(
        "gguf --base files --out n.gguf",
        &["files has no model.safetensors", "GGUF files cannot be exported"],
    );
    fs::copy(inputs.path("m.gguf"), inputs.path("base/model-00002-of-00002.safetensors")).unwrap();
    inputs.refuse(MERGE, &["model-00002-of-00002.safetensors: is a GGUF file"]);
}

#[test]
fn an_adapter_of_mlx_is_refused_with_advice() {
    let inputs = Inputs::new();
    fs::rename(inputs.path("adapter/adapter_model.safetensors"), inputs.path("adapter/adapters.safetensors"))
        .unwrap();
    let config =
        r#"{"fine_tune_type": "lora", "lora_parameters": {"rank": 8, "scale": 20.0}, "num_layers": 16}"#;
    fs::write(inputs.path("adapter/adapter_config.json"), config).unwrap();
    inputs.refuse(MERGE, &["an adapter of MLX is not supported", "mlx_lm.fuse"]);
    inputs.refuse("inspect adapter", &["an adapter of MLX"]);
}

#[test]
fn an_adapters_other_weight_files_are_named_and_not_read() {
    let inputs = Inputs::new();
    inputs.succeed("merge --base base --adapter adapter --out expected");
    let other = inputs.path("adapter/adapter_model_old.safetensors");
    fs::copy(inputs.path("adapter/adapter_model.safetensors"), other).unwrap();
    let index = r#"{"weight_map": {"x": "adapter_model-00001-of-00001.safetensors"}}"#;
    fs::write(inputs.path("adapter/adapter_model.safetensors.index.json"), index).unwrap();
    let warned = inputs.succeed(MERGE);
    for name in ["adapter_model.safetensors.index.json", "adapter_model_old.safetensors"] {
        assert!(warned.contains(name), "{name} is not in: {warned}");
    }
    let shard =
        |folder: &str| fs::read(inputs.path(folder).join("model-00001-of-00002.safetensors")).unwrap();
    assert!(shard("out") == shard("expected"));
}

#[test]
fn a_model_in_one_file_is_read_although_an_index_names_others() {
    let inputs = Inputs::of("gemma1-micro");
    let stale = inputs.path("base/model-00001-of-00002.safetensors");
    join_shards(&inputs.path("base"));
    let warned = inputs.succeed("merge --base base --adapter adapter --out out");
    for name in ["model.safetensors.index.json", "model-00001-of-00002.safetensors"] {
        assert!(warned.contains(name), "{name} is not in: {warned}");
    }
    fs::remove_file(stale).unwrap();
    inputs.succeed("merge --base base --adapter adapter --out again");
    assert!(inputs.path("again/model.safetensors").exists());
}

/// Writes all tensors of two shards to one file.
fn join_shards(base: &Path) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let bytes = fs::read(base.join(shard)).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let entries: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&bytes[8..end]).unwrap();
        for (name, mut entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
            let [first, last] =
                [0, 1].map(|at| entry["data_offsets"][at].as_u64().unwrap() as usize + data.len());
            entry["data_offsets"] = vec![first, last].into();
            header.insert(name, entry);
        }
        data.extend_from_slice(&bytes[end..]);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    fs::write(base.join("model.safetensors"), bytes).unwrap();
}

/// Replaces a part of a text file.
fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn pythons_nan_in_a_configuration_is_named() {
    let inputs = Inputs::new();
    replace(&inputs.path("base/config.json"), "{", "{\"router_aux_loss_coef\": NaN,");
    inputs.refuse(MERGE, &["base/config.json: has NaN at line", "put null or a finite number"]);
    let inputs = Inputs::new();
    replace(&inputs.path("adapter/adapter_config.json"), "{", "{\"lora_dropout\": -Infinity,");
    inputs.refuse(MERGE, &["adapter/adapter_config.json: has -Infinity at line"]);
}

#[test]
fn an_empty_quantization_config_is_none() {
    for value in ["{}", "null"] {
        let inputs = Inputs::new();
        replace(&inputs.path("base/config.json"), "{", &format!("{{\"quantization_config\": {value},"));
        inputs.succeed(MERGE);
        inputs.succeed(GGUF);
    }
}

#[test]
fn a_lora_alpha_of_0_is_refused() {
    let inputs = Inputs::new();
    let path = inputs.path("adapter/adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["lora_alpha"] = 0.into();
    fs::write(&path, config.to_string()).unwrap();
    inputs.refuse(MERGE, &["adapter_config.json: has lora_alpha 0", "changes nothing", "set lora_alpha"]);
    inputs.refuse("inspect adapter", &["lora_alpha 0"]);
}

/// Rewrites the names of the tensors in a safetensors file.
fn rename_tensors(path: &Path, rename: impl Fn(&str) -> String) {
    let bytes = fs::read(path).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes[8..end]).unwrap();
    let renamed: serde_json::Map<_, _> = header
        .into_iter()
        .map(|(name, entry)| (if name == "__metadata__" { name } else { rename(&name) }, entry))
        .collect();
    let header = serde_json::to_vec(&renamed).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], &header, &bytes[end..]].concat()).unwrap();
}

#[test]
fn names_from_torch_compile_are_those_of_the_model() {
    let inputs = Inputs::new();
    inputs.succeed("merge --base base --adapter adapter --out expected");
    let compiled = |name: &str| name.replacen("base_model.model.", "base_model.model._orig_mod.", 1);
    rename_tensors(&inputs.path("adapter/adapter_model.safetensors"), compiled);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        rename_tensors(&inputs.path("base").join(shard), |name| format!("_orig_mod.{name}"));
    }
    let index = inputs.path("base/model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap().replace("\"model.", "\"_orig_mod.model.");
    fs::write(&index, text.replace("\"_orig_mod.model.safetensors", "\"model.safetensors")).unwrap();
    inputs.succeed(MERGE);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let [found, expected] =
            ["out", "expected"].map(|out| fs::read(inputs.path(out).join(shard)).unwrap());
        assert!(found == expected, "{shard}");
    }
}

/// Stores the embedding, whose first value becomes NaN, as the lm_head too.
fn store_lm_head_with_nan(base: &Path) {
    let shard = base.join("model-00001-of-00002.safetensors");
    let bytes = fs::read(&shard).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..end]).unwrap();
    let mut entry = header["model.embed_tokens.weight"].clone();
    let [first, last] = [0, 1].map(|at| entry["data_offsets"][at].as_u64().unwrap() as usize);
    let mut data = bytes[end..].to_vec();
    assert_eq!(entry["dtype"], "BF16");
    data[first..first + 2].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    entry["data_offsets"] = vec![data.len(), data.len() + last - first].into();
    data.extend_from_within(first..last);
    header["lm_head.weight"] = entry;
    let header = serde_json::to_vec(&header).unwrap();
    fs::write(&shard, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).unwrap();
    let index = base.join("model.safetensors.index.json");
    replace(
        &index,
        "\"weight_map\": {",
        "\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00002.safetensors\",",
    );
}

/// Replaces a value of the adapter's first factor B.
fn set_in_factor_b(adapter: &Path, value: f32) {
    let weights = adapter.join("adapter_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes[8..end]).unwrap();
    let (_, entry) = header.iter().find(|(name, _)| name.contains("lora_B")).unwrap();
    assert_eq!(entry["dtype"], "F32");
    let first = end + entry["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[first..first + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
}

#[test]
fn values_that_exceed_the_range_of_the_output_are_exported_only_when_that_is_allowed() {
    for (command, value, quant) in [
        ("lora", 1e5, "f16"),
        // B has rows of less than a block, so its type is f16
        ("lora", 1e5, "q8_0"),
        ("gguf", 1e10, "f16"),
        ("gguf", 1e10, "q8_0"),
        ("gguf", 1e10, "q4_k_m"),
    ] {
        let inputs = Inputs::new();
        set_in_factor_b(&inputs.path("adapter"), value);
        let args = format!("{command} --base base --adapter adapter --force --out m.gguf --quant");
        inputs.succeed(&format!("{args} bf16"));
        inputs.refuse(&format!("{args} {quant}"), &["exceeds the range of", "--allow-non-finite"]);
        inputs.succeed(&format!("{args} {quant} --allow-non-finite"));
    }
}

#[test]
fn values_of_an_adapter_that_are_not_finite_are_a_finding() {
    const CODE: &str = "adapter_not_finite";
    let inputs = Inputs::new();
    let json = |args: &str| -> serde_json::Value {
        let ended = inputs.run(&format!("{args} --json"));
        serde_json::from_slice(&ended.stdout).unwrap()
    };
    let check = "check --base base --adapter adapter";
    assert_eq!(json(check)["findings"].to_string().matches(CODE).count(), 0);
    let lora = "lora --base base --adapter adapter --allow-non-finite --force --out l.gguf";
    assert!(!inputs.succeed(lora).contains(CODE));
    set_in_factor_b(&inputs.path("adapter"), f32::NAN);
    let found = &json(check)["findings"][0];
    assert_eq!((&found["code"], &found["severity"]), (&CODE.into(), &"error".into()));
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("NaN or infinite in 1 of its ") && message.contains("element 0 of "),
        "{message}"
    );
    assert!(message.contains("lora_B"), "{message}");
    inputs.fail(8, check, &["1 finding"]);
    for command in [MERGE, GGUF, "lora --base base --adapter adapter --out l.gguf --force"] {
        inputs.refuse(command, &["lora_B", "element 0 is NaN or infinite", "--allow-non-finite"]);
    }
    let printed = inputs.succeed(lora);
    assert!(printed.contains("warning: the adapter has values ") && printed.contains(CODE), "{printed}");
    assert_eq!(json(lora)["exports"][0]["report"]["findings"][0]["code"], CODE);
}

#[test]
fn values_that_are_not_finite_are_exported_only_when_that_is_allowed() {
    let inputs = Inputs::of("gemma2-micro");
    store_lm_head_with_nan(&inputs.path("base"));
    let args = "gguf --base base --quant f16 --out m.gguf";
    inputs.refuse(args, &["model.embed_tokens.weight", "element 0", "NaN or infinite"]);
    inputs.succeed(&format!("{args} --allow-non-finite"));
    let verify = "verify --base base --out m.gguf --allow-non-finite";
    inputs.succeed(verify);
    inputs.refuse(&format!("{verify} --logits"), &["produces NaN or infinite logits"]);
}

#[test]
fn a_setting_of_no_known_class_is_named_in_a_warning_and_in_the_report() {
    let inputs = Inputs::new();
    replace(&inputs.path("base/config.json"), "{", "{\"attention_sinks\": 4,");
    replace(&inputs.path("adapter/adapter_config.json"), "{", "{\"new_scaling\": 2,");
    let warnings =
        ["warning: config.json has attention_sinks 4", "warning: adapter_config.json has new_scaling 2"];
    for (args, report) in [(GGUF, "m.report.json"), (MERGE, "out/export-report.json")] {
        let done = inputs.run(args);
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success() && warnings.iter().all(|warning| text.contains(warning)), "{text}");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(inputs.path(report)).unwrap()).unwrap();
        let codes = [&report["warnings"][0]["code"], &report["warnings"][1]["code"]];
        assert_eq!(codes, ["unknown_config_field", "unknown_adapter_field"]);
    }
    let done = inputs.run("lora --base base --adapter adapter --out a.gguf");
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && text.contains(warnings[1]), "{text}");
    assert!(!text.contains(warnings[0]), "{text}");
}

#[test]
fn a_path_that_is_no_folder_comes_with_advice() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --out m.gguf");
    inputs.refuse(
        "gguf --base ./gemma-3-1b-it --out n.gguf",
        &["--base ./gemma-3-1b-it does not exist", "the model's folder", "owner/name"],
    );
    inputs.refuse(
        "gguf --base base --target-model m.gguf --out n.gguf",
        &["--target-model m.gguf is a GGUF file", "give the target model's folder"],
    );
}

#[test]
fn what_is_given_in_place_of_an_adapter_or_an_output_is_named() {
    let inputs = Inputs::new();
    let merge = |adapter: &str| format!("merge --base base --adapter {adapter} --out merged");
    inputs.refuse(&merge("base"), &["--adapter base is a full model", "give it as --base"]);
    fs::create_dir_all(inputs.path("runs/logs")).unwrap();
    for step in ["checkpoint-9", "checkpoint-30"] {
        fs::create_dir(inputs.path("runs").join(step)).unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::copy(inputs.path("adapter").join(file), inputs.path("runs").join(step).join(file)).unwrap();
        }
    }
    inputs.refuse(&merge("runs"), &["a trainer's checkpoints", "--adapter runs/checkpoint-30"]);
    inputs.fail(2, "gguf --base base --out -", &["not written to standard output"]);
}

#[test]
fn a_gguf_file_that_does_not_exist_is_no_name_on_the_hub() {
    let inputs = Inputs::new();
    inputs.refuse("inspect absent/typo.gguf", &["cannot read absent/typo.gguf", "No such file"]);
}

#[test]
fn an_empty_reference_in_the_cache_of_the_hub_is_none() {
    let inputs = Inputs::new();
    let refs = inputs.path("hf/hub/models--ada--empty/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::create_dir_all(inputs.path("hf/hub/models--ada--empty/snapshots")).unwrap();
    fs::write(refs.join("main"), "").unwrap();
    let ended = inputs.run("inspect ada/empty");
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && !error.contains("config.json"), "{error}");
}

#[test]
fn a_folder_that_is_no_adapter_is_named_with_what_to_give() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("other")).unwrap();
    let expected = "give the folder that PEFT saved (adapter_config.json, adapter_model.safetensors)";
    for (path, problem) in [("other", "has no adapter_config.json: "), ("./absent", "does not exist: ")] {
        let message = format!("--adapter {path} {problem}{expected}");
        inputs.refuse(&format!("gguf --base base --adapter {path} --out m.gguf"), &[&message]);
    }
    inputs.refuse("merge --base base --adapter ./absent --out out", &["or its name on the Hugging Face Hub"]);
}

#[test]
fn an_adapter_in_place_of_a_base_is_named_with_the_remedy() {
    let inputs = Inputs::new();
    let without = "--base adapter is an adapter, not a model: give it as --adapter";
    inputs.refuse("gguf --base adapter --out m.gguf", &[without]);
    inputs.refuse("check --base adapter", &[without]);
    let both = "merge --base adapter --adapter adapter --out out";
    inputs.refuse(both, &["not a model: give the model that it was trained on"]);
    let target = "gguf --base base --target-model adapter --out m.gguf";
    inputs.refuse(target, &["adapter has no config.json: it is an adapter, not a model"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_folder_as_a_text_is_refused_with_the_remedy() {
    let inputs = Inputs::new();
    assert!(Command::new("mkfifo").arg(inputs.path("pipe")).status().unwrap().success());
    for path in ["pipe", "base", "/dev/null"] {
        let message = format!(
            "cannot read {path}: pipes, devices and folders are not read: write the content to a file, and give that"
        );
        inputs.refuse(&format!("check --base base --prompts {path}"), &[&message]);
        inputs.refuse(&format!("imatrix --base base --text {path} --out i.gguf"), &[&message]);
    }
}

#[test]
fn numbers_of_threads_and_chunks_begin_with_1() {
    let inputs = Inputs::new();
    inputs.fail(2, "gguf --base base --out m.gguf --threads 0", &["must be 1 or more"]);
    inputs.fail(2, "imatrix --base base --text t --out i.gguf --chunks 0", &["must be 1 or more"]);
}
