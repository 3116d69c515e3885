//! The built command: exit status, output and files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn gemma_export(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gemma-export")).args(args).output().unwrap()
}

fn fixture(part: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/gemma3-micro");
    fixtures.join(part).to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn a_merge_prints_a_summary_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged");
    let out = out.to_str().unwrap();
    let merged =
        gemma_export(&["merge", "--base", &fixture("base"), "--adapter", &fixture("adapter"), "--out", out]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    assert!(text(&merged.stdout).contains("14 LoRA pairs merged into 14 tensors; 14 tensors unchanged"));
    assert!(
        merged.stderr.is_empty(),
        "there is no terminal, and it takes less than the time between two lines"
    );
    assert_eq!(names(folder.path()), [Path::new(out)]);
}

#[test]
fn an_existing_output_is_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.gguf");
    let base = fixture("base");
    let args = ["gguf", "--base", &base, "--out", out.to_str().unwrap()];
    assert!(gemma_export(&args).status.success());
    let again = gemma_export(&args);
    assert_eq!(again.status.code(), Some(5));
    assert!(text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    assert!(gemma_export(&[&args[..], &["--force"]].concat()).status.success());
}

#[test]
fn the_hint_about_values_that_are_not_finite_names_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    for file in names(Path::new(&fixture("adapter"))) {
        std::fs::copy(&file, adapter.join(file.file_name().unwrap())).unwrap();
    }
    let weights = adapter.join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 64..].fill(0xff);
    std::fs::write(&weights, bytes).unwrap();
    let (adapter, out) = (adapter.to_str().unwrap(), folder.path().join("out"));
    let args = ["merge", "--base", &fixture("base"), "--adapter", adapter, "--out", out.to_str().unwrap()];
    let refused = gemma_export(&args);
    assert_eq!(refused.status.code(), Some(4));
    let error = text(&refused.stderr);
    assert!(error.contains("diverged (--allow-non-finite exports it anyway)"), "{error}");
    let merged = gemma_export(&[&args[..], &["--allow-non-finite"]].concat());
    assert!(merged.status.success(), "{}", text(&merged.stderr));
}

#[test]
fn a_base_of_an_unknown_revision_is_refused_if_the_adapter_names_one() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for file in names(Path::new(&fixture(from))) {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    };
    let adapter = folder.path().join("adapter");
    copy("adapter", &adapter);
    let config = adapter.join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let with_revision = |revision: &str| {
        let text = text.replace(r#""revision": null"#, &format!(r#""revision": {revision}"#));
        std::fs::write(&config, text).unwrap();
    };
    let hub = folder.path().join("models--google--gemma");
    let snapshot = hub.join("snapshots/0123456789abcdef");
    let named = folder.path().join("gemma@v2");
    copy("base", &snapshot);
    copy("base", &named);
    std::fs::create_dir(hub.join("refs")).unwrap();
    std::fs::write(hub.join("refs/v2"), "0123456789abcdef").unwrap();
    let merge = |base: &Path| {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("out");
        let (base, adapter) = (base.to_str().unwrap(), adapter.to_str().unwrap());
        gemma_export(&["merge", "--base", base, "--adapter", adapter, "--out", out.to_str().unwrap()])
    };
    let plain = fixture("base");
    for (revision, unknown, known) in [
        ("\"v2\"", vec![Path::new(&plain)], vec![&snapshot, &named]),
        ("\"0123456789abcdef\"", vec![Path::new(&plain), &named], vec![&snapshot]),
        ("\"v3\"", vec![Path::new(&plain), &named, &snapshot], vec![]),
    ] {
        with_revision(revision);
        for base in unknown {
            let refused = merge(base);
            assert_eq!(refused.status.code(), Some(4), "{revision} {}", base.display());
            assert!(text_of_error(&refused).contains("names the revision"), "{}", text_of_error(&refused));
        }
        for base in known {
            let merged = merge(base);
            assert!(merged.status.success(), "{revision}: {}", text_of_error(&merged));
        }
    }
    for main in ["null", "\"main\""] {
        with_revision(main);
        assert!(merge(Path::new(&plain)).status.success(), "{main}");
    }
}

fn text_of_error(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn a_folder_with_other_files_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "years").unwrap();
    let out = folder.path().to_str().unwrap();
    let args =
        ["merge", "--force", "--base", &fixture("base"), "--adapter", &fixture("adapter"), "--out", out];
    assert_eq!(gemma_export(&args).status.code(), Some(5));
    assert!(folder.path().join("thesis.tex").exists());
}

#[test]
fn a_failure_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged");
    let args =
        ["merge", "--base", &fixture("base"), "--adapter", &fixture("base"), "--out", out.to_str().unwrap()];
    let failed = gemma_export(&args);
    assert_eq!(failed.status.code(), Some(4));
    assert!(text(&failed.stderr).contains("is a full model, not an adapter"), "{}", text(&failed.stderr));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_usage_error_exits_2() {
    assert_eq!(gemma_export(&["gguf", "--base", "x"]).status.code(), Some(2));
    assert_eq!(gemma_export(&["gguf", "--base", "x", "--out", "y", "--quant", "q9"]).status.code(), Some(2));
}

#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::Stdio;
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    inspect.args(["inspect", &fixture("base")]).stdout(writer).stderr(Stdio::piped());
    let inspected = inspect.spawn().unwrap().wait_with_output().unwrap();
    assert!(inspected.status.success() && inspected.stderr.is_empty(), "{}", text(&inspected.stderr));
}

#[test]
fn inspect_names_what_a_folder_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let inspected = gemma_export(&["inspect", folder.path().to_str().unwrap()]);
    assert_eq!(inspected.status.code(), Some(4));
    assert!(text(&inspected.stderr).contains("neither a model (config.json) nor an adapter"));
}

#[test]
fn inspect_describes_a_model_and_the_adapter_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["base", "adapter"] {
        for entry in std::fs::read_dir(fixture(part)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.path().to_str().unwrap();
    let inspected = gemma_export(&["inspect", path]);
    let (printed, warned) = (text(&inspected.stdout), text(&inspected.stderr));
    assert!(warned.contains("has a model and an adapter"), "{warned}");
    assert!(printed.contains("Gemma3ForCausalLM") && printed.contains("targets"), "{printed}");
    let inspected = gemma_export(&["inspect", "--json", path]);
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["kind"], "model_and_adapter");
    assert_eq!((&value["model"]["kind"], &value["adapter"]["modules"]), (&"model".into(), &14.into()));

    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("model") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let inspected = gemma_export(&["inspect", "--json", path]);
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["kind"], "adapter", "a configuration without weights is no model");
}

#[test]
fn inspect_prints_json() {
    let inspected = gemma_export(&["inspect", "--json", &fixture("adapter")]);
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((value["kind"].as_str(), value["modules"].as_u64()), (Some("adapter"), Some(14)));
}

fn merged(out: &str) {
    let args = ["merge", "--base", &fixture("base"), "--adapter", &fixture("adapter"), "--out", out];
    assert!(gemma_export(&args).status.success());
}

#[test]
fn verify_finds_a_flipped_byte() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged");
    merged(out.to_str().unwrap());
    let (base, adapter) = (fixture("base"), fixture("adapter"));
    let verify =
        || gemma_export(&["verify", "--base", &base, "--adapter", &adapter, "--out", out.to_str().unwrap()]);
    let verified = verify();
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("identical to a new export of the same inputs"));

    let shard = out.join("model-00002-of-00002.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let verified = verify();
    assert_eq!(verified.status.code(), Some(7));
    let stdout = text(&verified.stdout);
    assert!(
        stdout.contains("✗ model-00002-of-00002.safetensors: tensor model.") && stdout.contains("1 of"),
        "{stdout}"
    );
    assert!(text(&verified.stderr).contains("verification failed: 1 difference"));

    // an export that cannot be opened differs, too
    for damage in [None, Some(Vec::new()), Some(b"{".to_vec())] {
        match &damage {
            None => std::fs::remove_file(&shard).unwrap(),
            Some(bytes) => std::fs::write(&shard, bytes).unwrap(),
        }
        for options in [&[][..], &["--survival"]] {
            let inputs = ["verify", "--base", &base, "--adapter", &adapter, "--out", out.to_str().unwrap()];
            let verified = gemma_export(&[&inputs[..], options].concat());
            let (stdout, stderr) = (text(&verified.stdout), text(&verified.stderr));
            assert_eq!(verified.status.code(), Some(7), "{damage:?} {stderr}");
            assert!(stdout.contains("✗ model-00002-of-00002.safetensors"), "{damage:?} {stdout}");
            assert_eq!(stderr.contains("predictions cannot be measured"), !options.is_empty(), "{stderr}");
        }
    }
}

#[test]
fn a_gguf_file_without_its_end_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.gguf");
    let (base, adapter) = (fixture("base"), fixture("adapter"));
    let inputs = ["--base", &base, "--adapter", &adapter, "--out", out.to_str().unwrap()];
    assert!(gemma_export(&[&["gguf"], &inputs[..]].concat()).status.success());
    let bytes = std::fs::read(&out).unwrap();
    for length in [bytes.len() - 1, 100, 0] {
        std::fs::write(&out, &bytes[..length]).unwrap();
        let verified = gemma_export(&[&["verify"], &inputs[..]].concat());
        assert_eq!(verified.status.code(), Some(7), "{length}: {}", text(&verified.stderr));
    }
}

#[test]
fn several_types_are_written_in_one_pass_and_verify() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("my-{quant}.gguf");
    let (base, adapter) = (fixture("base"), fixture("adapter"));
    let inputs = ["--base", &base, "--adapter", &adapter];
    let made = ["--quant", "q8_0,q4_k_m", "--split-max-size", "30K", "--out", out.to_str().unwrap()];
    let exported = gemma_export(&[&["gguf"], &inputs[..], &made[..]].concat());
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    for quant in ["q8_0", "q4_k_m"] {
        let first = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&format!("my-{quant}-00001-of-"))
        };
        let files = names(folder.path());
        let path = files.iter().find(first).unwrap();
        let verified = gemma_export(&[&["verify"], &inputs[..], &["--out", path.to_str().unwrap()]].concat());
        assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
        assert!(text(&verified.stdout).contains("report   compared"));
    }
}

#[test]
fn several_types_need_different_names() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.gguf");
    let exported = gemma_export(&[
        "gguf",
        "--base",
        &fixture("base"),
        "--quant",
        "q8_0,f16",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(exported.status.code(), Some(2));
    assert!(text(&exported.stderr).contains("{quant}"), "{}", text(&exported.stderr));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_mmproj_file_is_written_and_verifies() {
    let tuned = fixture("../families/gemma4-towers-tuned/adapter");
    for (family, adapter, key, kind) in [
        ("gemma3-vision", None, "clip.projector_type", "gemma3"),
        ("gemma4-towers", None, "clip.audio.projector_type", "gemma4a"),
        ("gemma4-towers", Some(tuned.as_str()), "clip.vision.projector_type", "gemma4v"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let base = fixture(&format!("../families/{family}/base"));
        let (out, mmproj) = (path("m.gguf"), path("mmproj.gguf"));
        let mut inputs = vec!["--base", base.as_str()];
        inputs.extend(adapter.into_iter().flat_map(|adapter| ["--adapter", adapter]));
        let to = ["gguf", "--quant", "q4_k_m", "--out", out.as_str(), "--mmproj", mmproj.as_str()];
        let made = gemma_export(&[&to[..], &inputs].concat());
        assert!(made.status.success(), "{}", text(&made.stderr));
        for file in [&out, &mmproj] {
            let verified = gemma_export(&[&["verify", "--out", file.as_str()], &inputs[..]].concat());
            assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
        }
        let inspected = text(&gemma_export(&["inspect", &mmproj]).stdout);
        assert!(inspected.contains(key) && inspected.contains(kind), "{inspected}");
    }
}

#[test]
fn adapter_changes_to_encoders_are_not_dropped_silently() {
    let folder = tempfile::tempdir().unwrap();
    let base = fixture("../families/gemma4-towers/base");
    let tuned = fixture("../families/gemma4-towers-tuned/adapter");
    let out = folder.path().join("m.gguf");
    let refused =
        gemma_export(&["gguf", "--base", &base, "--adapter", &tuned, "--out", out.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("make an mmproj file too"), "{}", text(&refused.stderr));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_mmproj_file_needs_a_multimodal_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let base = fixture("base");
    let args = ["gguf", "--base", &base, "--out", &path("m.gguf"), "--mmproj", &path("mmproj.gguf")];
    let refused = gemma_export(&args);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("an mmproj file for Gemma3ForCausalLM"),
        "{}",
        text(&refused.stderr)
    );
    assert!(names(folder.path()).is_empty());
}

#[test]
fn next_steps_name_the_file_of_the_encoders() {
    let folder = tempfile::tempdir().unwrap();
    let base = fixture("../families/gemma3-vision/base");
    let args =
        ["gguf", "--base", &base, "--out", "m-{quant}.gguf", "--mmproj", "v-mmproj-{quant}.gguf", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    let ended = command.args(args).args(["--quant", "f16"]).current_dir(folder.path()).output().unwrap();
    let printed: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(folder.path().join("v-mmproj-f16.gguf").exists());
    let steps = printed["exports"][0]["next_steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap(), "llama-server -m m-f16.gguf --mmproj v-mmproj-f16.gguf");
}
