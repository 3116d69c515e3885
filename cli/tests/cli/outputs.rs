//! What the command writes over, and what it refuses to write over.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::Inputs;

/// Runs what must fail because of an output, with this message, and change nothing.
fn refuse(inputs: &Inputs, args: &str, message: &str) {
    fail(inputs, 5, args, message);
}

fn fail(inputs: &Inputs, status: i32, args: &str, message: &str) {
    let before = contents(&inputs.path(""));
    inputs.fail(status, args, &[message]);
    assert_eq!(contents(&inputs.path("")), before, "{args}");
}

/// Every file below a folder with its content, and every folder.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        files.push((folder.clone(), Vec::new()));
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else {
                files.push((entry.path(), fs::read(entry.path()).unwrap_or_default()));
            }
        }
    }
    files.sort();
    files
}

const MERGE: &str = "merge --base base --adapter adapter";
const SHARD: &str = "base/model-00001-of-00002.safetensors";

#[test]
fn an_output_that_is_an_input_is_refused() {
    let inputs = Inputs::new();
    symlink("base", inputs.path("link")).unwrap();
    fs::hard_link(inputs.path(SHARD), inputs.path("hard.gguf")).unwrap();
    symlink(inputs.path("adapter/adapter_model.safetensors"), inputs.path("soft.gguf")).unwrap();
    for out in ["base", "adapter", "link", "./base/../base"] {
        refuse(&inputs, &format!("{MERGE} --out {out} --force"), "is an input of this export");
    }
    for out in [SHARD, "hard.gguf", "soft.gguf", "link/config.json"] {
        let args = format!("gguf --base base --adapter adapter --out {out} --force");
        refuse(&inputs, &args, "is an input of this export");
    }
    let args = "lora --base base --adapter adapter --out adapter/adapter_model.safetensors --force";
    refuse(&inputs, args, "is an input of this export");
}

#[test]
fn an_output_may_be_in_a_folder_of_inputs() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("base/empty")).unwrap();
    for args in [
        "gguf --base base --out base/m.gguf".to_owned(),
        "gguf --base base --out base".to_owned(),
        "lora --base base --adapter adapter --out adapter/lora.gguf".to_owned(),
        format!("{MERGE} --out adapter/merged"),
        format!("{MERGE} --out base/empty"),
    ] {
        inputs.succeed(&args);
        inputs.succeed(&format!("{args} --force"));
    }
}

#[test]
fn force_replaces_only_what_a_report_lists() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("loras")).unwrap();
    fs::write(inputs.path("loras/style.safetensors"), "hand made").unwrap();
    refuse(&inputs, &format!("{MERGE} --out loras --force"), "which no export report lists");
    inputs.succeed(&format!("{MERGE} --out merged"));
    refuse(&inputs, &format!("{MERGE} --out merged"), "--force");
    inputs.succeed(&format!("{MERGE} --out merged --force"));
    fs::write(inputs.path("merged/notes.txt"), "mine").unwrap();
    refuse(&inputs, &format!("{MERGE} --out merged --force"), "notes.txt");

    fs::write(inputs.path("m.gguf"), "hand made").unwrap();
    refuse(
        &inputs,
        "gguf --base base --out m.gguf --force",
        "no export report of its kind beside it lists it with this content",
    );
    fs::remove_file(inputs.path("m.gguf")).unwrap();
    inputs.succeed("gguf --base base --out m.gguf");
    refuse(&inputs, "gguf --base base --out m.gguf", "--force");
    inputs.succeed("gguf --base base --quant BF16 --out m.gguf --force");

    inputs.succeed("lora --base base --adapter adapter --out l.gguf");
    inputs.succeed("lora --base base --adapter adapter --out l.gguf --force");
    refuse(&inputs, "lora --base base --adapter adapter --out m.gguf --force", "move it away");
    refuse(&inputs, "gguf --base base --out l.gguf --force", "move it away");
    // an adapter that another program wrote
    fs::remove_file(inputs.path("l.report.json")).unwrap();
    refuse(&inputs, "lora --base base --adapter adapter --out l.gguf --force", "move it away");

    fs::create_dir(inputs.path("foreign")).unwrap();
    fs::write(inputs.path("foreign/export-report.json"), r#"{"outputs": []}"#).unwrap();
    refuse(&inputs, &format!("{MERGE} --out foreign --force"), "export-report.json");
}

#[test]
fn an_output_is_refused_before_anything_is_read_where_the_arguments_name_it() {
    let inputs = Inputs::new();
    let model = "--base base --adapter adapter";
    let mmproj = "--mmproj v.gguf";
    fs::write(inputs.path("v.gguf"), "of another program").unwrap();
    fs::write(inputs.path("text.txt"), "of another program").unwrap();
    for made in ["merge --out merged", "gguf --out m.gguf", "lora --out l.gguf"] {
        inputs.succeed(&format!("{made} {model}"));
    }
    inputs.succeed("adapter --adapter adapter --base ada/base --out copy");
    for (args, message) in [
        ("merge --out merged", "merged is not empty: choose another output, or replace it with --force"),
        ("adapter --out copy", "copy is not empty"),
        ("lora --out l.gguf", "l.gguf exists: choose another output, or replace it with --force"),
        ("gguf --out m.gguf", "m.gguf exists: choose another output, or replace it with --force"),
        ("gguf --out m.gguf --max-bytes 1GB", "m.gguf exists"),
        ("gguf --out m.gguf --split-max-size 1G", "m.report.json exists"),
        (&format!("gguf --out new.gguf {mmproj}"), "v.gguf exists and no export report"),
        ("imatrix --text text.txt --out text.txt", "text.txt exists and no export report"),
        ("merge --out absent/merged --force", "the folder absent does not exist"),
        ("gguf --out absent/m.gguf --force", "the folder absent does not exist"),
    ] {
        refuse(&inputs, &format!("{args} --adapter no-such-folder"), message);
    }
    let args = "gguf --quant q8_0,bf16 --out new --adapter no-such-folder";
    fail(&inputs, 2, args, "for a new folder put a slash at its end");
    // the model names the file, or its size does
    for args in ["gguf --out .", "gguf --out m-{quant}.gguf --max-bytes 1GB", "gguf --out m.gguf --force"] {
        fail(&inputs, 4, &format!("{args} --adapter no-such-folder"), "does not exist");
    }
}

#[test]
fn a_folder_in_the_way_of_a_file_is_named_and_nothing_is_lost() {
    let inputs = Inputs::new();
    inputs.succeed(&format!("{MERGE} --out merged"));
    for name in ["tokenizer.json", "export-report.json"] {
        let aside = inputs.path("aside");
        fs::rename(inputs.path("merged").join(name), &aside).unwrap();
        fs::create_dir(inputs.path("merged").join(name)).unwrap();
        refuse(&inputs, &format!("{MERGE} --out merged --force"), name);
        fs::remove_dir(inputs.path("merged").join(name)).unwrap();
        fs::rename(&aside, inputs.path("merged").join(name)).unwrap();
    }
}

#[test]
fn what_a_killed_run_replaced_is_kept_until_the_next_succeeds() {
    let inputs = Inputs::new();
    inputs.succeed(&format!("{MERGE} --out merged"));
    let staging = inputs.path("merged/.gemma-export.4194000.part");
    fs::create_dir_all(staging.join(".replaced")).unwrap();
    fs::rename(inputs.path("merged/config.json"), staging.join(".replaced/config.json")).unwrap();
    inputs.fail(5, "merge --base base --adapter adapter --out merged", &["--force"]);
    assert!(staging.join(".replaced/config.json").exists());
    inputs.succeed(&format!("{MERGE} --out merged --force"));
    assert!(!staging.exists());
    inputs.succeed("verify --base base --adapter adapter --out merged");
}

#[test]
fn two_outputs_have_two_paths() {
    let inputs = Inputs::new();
    fail(&inputs, 2, "gguf --base base --quant q8_0,Q8_0 --out m-{quant}.gguf", "has q8_0 twice");
    fail(&inputs, 2, "gguf --base base --quant q8_0,bf16 --out new", "(new/)");
    inputs.succeed("gguf --base base --name m --quant q8_0,bf16 --out new/");
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode() {
    let inputs = Inputs::new();
    for (command, file) in [
        (format!("{MERGE} --out merged"), "merged/config.json"),
        ("gguf --base base --out m.gguf".to_owned(), "m.gguf"),
    ] {
        inputs.succeed(&command);
        fs::set_permissions(inputs.path(file), fs::Permissions::from_mode(0o640)).unwrap();
        inputs.succeed(&format!("{command} --force"));
        assert_eq!(fs::metadata(inputs.path(file)).unwrap().permissions().mode() & 0o777, 0o640, "{file}");
    }
}

#[test]
fn an_existing_empty_folder_is_filled_and_keeps_its_mode() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("out")).unwrap();
    fs::set_permissions(inputs.path("out"), fs::Permissions::from_mode(0o2775)).unwrap();
    let before = fs::metadata(inputs.path("out")).unwrap();
    symlink("out", inputs.path("link")).unwrap();
    inputs.succeed(&format!("{MERGE} --out link"));
    let after = fs::metadata(inputs.path("out")).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert!(inputs.path("out/config.json").exists());
    assert!(inputs.path("link").symlink_metadata().unwrap().is_symlink());
    inputs.succeed("verify --base base --adapter adapter --out out");
}

#[test]
fn an_empty_volume_can_be_the_output() {
    const NOBODY: u32 = 65534;
    let inputs = Inputs::new();
    let lost = inputs.path("out/lost+found");
    fs::create_dir_all(&lost).unwrap();
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    if fs::metadata(&lost).unwrap().uid() == 0 {
        // root may read every folder
        for folder in ["", "base", "adapter", "out"] {
            chown(inputs.path(folder), Some(NOBODY), None).unwrap();
        }
        command.uid(NOBODY);
    }
    let command = command.current_dir(inputs.path("")).args(MERGE.split(' ')).args(["--out", "out"]);
    for force in ["", "--force"] {
        let ended = command.args(Some(force).filter(|arg| !arg.is_empty())).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert!(lost.exists() && inputs.path("out/config.json").exists());
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_to_has_a_next_step() {
    const NOBODY: u32 = 65534;
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("out")).unwrap();
    fs::set_permissions(inputs.path("out"), fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = fs::metadata(inputs.path("out")).unwrap().uid() == 0;
    if is_root {
        // root may write to every folder
        for folder in ["", "base", "adapter"] {
            chown(inputs.path(folder), Some(NOBODY), None).unwrap();
        }
    }
    for args in [
        "merge --base base --adapter adapter --out out",
        "merge --base base --adapter adapter --out out/new",
        "adapter --adapter adapter --out out",
        "gguf --base base --out out/m.gguf",
        "gguf --base base --out out/new/",
        "lora --base base --adapter adapter --out out/l.gguf",
    ] {
        let mut command = inputs.command(args);
        if is_root {
            command.uid(NOBODY);
        }
        let ended = command.output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(5), "{args}: {error}");
        let remedy = "(os error 13): choose another output, or change the permissions of its folder\n";
        assert!(error.ends_with(remedy), "{args}: {error}");
    }
}

#[test]
fn a_new_folder_may_be_named_with_a_dot_at_its_end() {
    let inputs = Inputs::new();
    for out in ["one/.", "./two/./"] {
        inputs.succeed(&format!("{MERGE} --out {out}"));
        assert!(inputs.path(out).join("config.json").exists(), "{out}");
    }
}

#[test]
fn the_current_folder_can_be_the_output() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("here")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    let args = ["merge", "--base", "../base", "--adapter", "../adapter", "--out", "."];
    let ended = command.current_dir(inputs.path("here")).args(args).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(inputs.path("here/config.json").exists());
}

#[test]
fn the_drafts_of_a_killed_run_are_removed() {
    let inputs = Inputs::new();
    let draft = inputs.path(".gemma-export.merged.4194000.part");
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("model.safetensors"), "half").unwrap();
    let other = inputs.path(".gemma-export.other.4194000.part");
    fs::create_dir(&other).unwrap();
    inputs.succeed(&format!("{MERGE} --out merged"));
    assert!(!draft.exists() && other.exists());
}

#[test]
fn a_gguf_run_that_was_killed_at_its_end_can_be_repeated() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --out m.gguf");
    // the report is the first file under its name
    fs::remove_file(inputs.path("m.Modelfile")).unwrap();
    fs::rename(inputs.path("m.gguf"), inputs.path(".m.gguf.4194000-0.part")).unwrap();
    inputs.succeed("gguf --base base --out m.gguf --force");
    assert!(inputs.path("m.gguf").exists() && inputs.path("m.Modelfile").exists());
    assert!(!inputs.path(".m.gguf.4194000-0.part").exists());
}

#[test]
fn a_named_pipe_is_refused() {
    let inputs = Inputs::new();
    let pipe = |name: &str| {
        assert!(Command::new("mkfifo").arg(inputs.path(name)).status().unwrap().success());
    };
    pipe("m.gguf");
    inputs.fail(5, "gguf --base base --out m.gguf --force", &["m.gguf is not a regular file"]);
    let lora = "lora --base base --adapter adapter --out m.gguf --force";
    inputs.fail(5, lora, &["m.gguf is not a regular file"]);
    pipe("n.report.json");
    inputs.fail(5, "gguf --base base --out n.gguf --force", &["n.report.json is not a regular file"]);
    fs::remove_file(inputs.path("base/tokenizer_config.json")).unwrap();
    pipe("base/tokenizer_config.json");
    inputs.refuse("gguf --base base --out o.gguf", &["base/tokenizer_config.json", "not a regular file"]);
}

#[test]
fn a_file_that_is_mounted_is_refused_at_once() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --out m.gguf");
    fs::write(inputs.path("other"), "other").unwrap();
    let run = format!(
        "mount --bind other m.gguf || exit 77; exec {} gguf --base base --out m.gguf --force",
        env!("CARGO_BIN_EXE_gemma-export")
    );
    let args = ["--map-root-user", "--mount", "sh", "-c", &run];
    let ended = Command::new("unshare").current_dir(inputs.path("")).args(args).output().unwrap();
    let error = String::from_utf8_lossy(&ended.stderr);
    if ended.status.code() == Some(77) || error.starts_with("unshare") {
        // hosted runners forbid user namespaces
        println!("skipped, because this user cannot mount: {error}");
        return;
    }
    assert!(error.contains("m.gguf is a mount point"), "{error}");
}

#[test]
fn an_export_that_does_not_fit_on_its_disk_is_refused_before_anything_is_written() {
    let inputs = Inputs::new();
    // a hole on the disk: far more than is free anywhere
    let tokenizer = fs::File::create(inputs.path("base/tokenizer.json")).unwrap();
    tokenizer.set_len(8 << 40).unwrap();
    for force in ["", " --force"] {
        let ended = inputs.run(&format!("{MERGE} --out merged{force}"));
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(5), "{error}");
        assert!(error.contains(" free, and the export needs 8.80 TB: free some space"), "{error}");
        assert!(!inputs.path("merged").exists());
    }
}

#[test]
fn long_names_and_names_of_folders() {
    let inputs = Inputs::new();
    inputs.succeed(&format!("{MERGE} --out {}", "m".repeat(255)));
    inputs.succeed(&format!("gguf --base base --out {}.gguf", "g".repeat(243)));
    refuse(&inputs, &format!("gguf --base base --out {}.gguf", "g".repeat(250)), "File name too long");
    refuse(&inputs, "lora --base base --adapter adapter --out new/", "give the path of a file");
}

#[test]
fn the_parts_of_an_earlier_split_are_removed() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("out")).unwrap();
    fs::write(inputs.path("out/x-00001-of-00009.gguf"), "mine").unwrap();
    let gguf = "gguf --base base --out out/x.gguf --force";
    let mut counts = Vec::new();
    for size in ["150K", "400K", "", "150K"] {
        let split = if size.is_empty() { String::new() } else { format!(" --split-max-size {size}") };
        inputs.succeed(&format!("{gguf}{split}"));
        let report = fs::read(inputs.path("out/x.report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let listed = report["outputs"].as_array().unwrap();
        let mut expected: Vec<_> =
            listed.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
        counts.push(expected.len());
        expected.extend(["x-00001-of-00009.gguf", "x.report.json"].map(str::to_owned));
        expected.sort();
        let names = fs::read_dir(inputs.path("out")).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, expected, "{size}");
    }
    assert!(counts[0] > counts[1] && counts[1] > 1 && counts[3] == counts[0], "{counts:?}");
}

#[test]
fn a_missing_folder_is_not_created_in_silence() {
    let inputs = Inputs::new();
    refuse(&inputs, &format!("{MERGE} --out nope/merged"), "the folder nope does not exist");
    refuse(&inputs, "gguf --base base --out nope/m.gguf", "the folder nope does not exist");
    inputs.succeed("gguf --base base --out new/");
    assert!(inputs.path("new/base-q8_0.gguf").exists());
}

/// Makes the first value of a tensor of the vision encoder NaN.
fn spoil_vision(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let mut tensors = tensors.as_object().unwrap().iter();
    let (_, tensor) = tensors.find(|(name, _)| name.contains("vision_tower")).unwrap();
    let at = header + usize::try_from(tensor["data_offsets"][0].as_u64().unwrap()).unwrap();
    bytes[at..at + 4].fill(0xff);
    fs::write(file, bytes).unwrap();
}

#[test]
fn model_and_encoders_are_visible_together() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("vision")).unwrap();
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/families/gemma3-vision");
    for entry in fs::read_dir(fixture.join("base")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), inputs.path("vision").join(entry.file_name())).unwrap();
    }
    let args = "gguf --base vision --quant f16 --mmproj v/mmproj.gguf --out m.gguf";
    fs::create_dir(inputs.path("v")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let command = command.current_dir(inputs.path("")).args(args.split(' ')).stdout(Stdio::from(full));
    assert_eq!(command.status().unwrap().code(), Some(5));
    assert!(inputs.path("m.gguf").exists() && inputs.path("v/mmproj.gguf").exists());
    for name in ["m.gguf", "m.report.json", "m.Modelfile", "v/mmproj.gguf", "v/mmproj.report.json"] {
        fs::remove_file(inputs.path(name)).ok();
    }
    spoil_vision(&inputs.path("vision/model.safetensors"));
    fail(&inputs, 4, args, "NaN");
    fail(&inputs, 4, "gguf --base vision --quant f16 --mmproj new/ --out other/", "NaN");
}

#[test]
fn a_base_that_holds_an_adapter_too_is_mentioned() {
    let inputs = Inputs::new();
    fs::copy(inputs.path("adapter/adapter_config.json"), inputs.path("base/adapter_config.json")).unwrap();
    let warning = inputs.succeed("gguf --base base --out m.gguf");
    assert!(warning.contains("base also contains an adapter, which is not applied"), "{warning}");
}

#[test]
fn a_path_that_does_not_exist_is_named_as_typed() {
    let inputs = Inputs::new();
    fail(&inputs, 4, "inspect does/not/exist", "does/not/exist");
    fail(&inputs, 4, "verify --base base --out does/not/exist.gguf", "does/not/exist.gguf");
}

#[test]
fn a_full_standard_output_is_an_error_and_no_panic() {
    let inputs = Inputs::new();
    inputs.succeed("gguf --base base --out m.gguf");
    for (args, says) in [
        ("inspect m.gguf".to_owned(), "cannot write to standard output: No space left"),
        ("verify --base base --out m.gguf".to_owned(), "cannot write to standard output: No space left"),
        (format!("{MERGE} --out merged"), "merged is complete"),
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
        let command = command.current_dir(inputs.path("")).args(args.split(' '));
        let ended = command.stdout(Stdio::from(full)).output().unwrap();
        assert_eq!(ended.status.code(), Some(5));
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(text.contains(says), "{args}: {text}");
    }

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemma-export"));
    let ended = command.args(["inspect", "does/not/exist"]).stderr(Stdio::from(full)).status().unwrap();
    assert_eq!(ended.code(), Some(4));
}

#[test]
fn of_several_runs_to_one_name_one_succeeds_and_nothing_is_lost() {
    let inputs = Inputs::new();
    for out in ["gguf --base base --out m.gguf", "merge --base base --adapter adapter --out merged"] {
        let start = |_| inputs.command(out).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let running: Vec<_> = (0..4).map(start).collect();
        let ended: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let (succeeded, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|ended| ended.status.success());
        assert_eq!(succeeded.len(), 1, "{out}");
        for ended in refused {
            let error = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(5), "{out}: {error}");
            assert!(error.contains("choose another output, or replace it with --force"), "{out}: {error}");
        }
    }
    for name in ["m.gguf", "merged"] {
        let adapter = if name == "merged" { " --adapter adapter" } else { "" };
        inputs.succeed(&format!("verify --base base{adapter} --out {name}"));
    }
}

#[test]
fn force_is_not_proposed_for_what_it_does_not_replace() {
    let inputs = Inputs::new();
    symlink("nowhere", inputs.path("link.gguf")).unwrap();
    fs::write(inputs.path("m.Modelfile"), "FROM other").unwrap();
    for (args, name) in [
        ("lora --base base --adapter adapter --out link.gguf", "link.gguf"),
        ("gguf --base base --out m.gguf", "m.Modelfile"),
    ] {
        for force in ["", " --force"] {
            let message = format!(
                "{name} exists and no export report of its kind beside it lists it with this content: move it away"
            );
            refuse(&inputs, &format!("{args}{force}"), &message);
        }
    }
}

#[test]
fn a_merge_that_cannot_be_a_gguf_file_is_not_proposed_as_one() {
    let inputs = Inputs::new();
    let shown = |inputs: &Inputs, out: &str| {
        String::from_utf8(inputs.run(&format!("{MERGE} --out {out}")).stdout).unwrap()
    };
    assert!(shown(&inputs, "with").contains("gemma-export gguf --base with"));
    for name in ["tokenizer.model", "tokenizer.json"] {
        fs::remove_file(inputs.path("base").join(name)).ok();
        fs::remove_file(inputs.path("adapter").join(name)).ok();
    }
    let without = shown(&inputs, "without");
    assert!(without.contains("vllm serve without") && !without.contains("gemma-export gguf"), "{without}");
}

#[test]
fn a_folder_with_another_export_is_named_with_its_report() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("both")).unwrap();
    inputs.succeed("gguf --base base --quant q8_0 --out both/m.gguf");
    refuse(
        &inputs,
        &format!("{MERGE} --out both"),
        "of the export with \"m.report.json\": choose another output",
    );
}

#[test]
fn a_modelfile_that_was_edited_is_not_replaced() {
    let inputs = Inputs::new();
    let args = "gguf --base base --out m.gguf";
    inputs.succeed(args);
    inputs.succeed(&format!("{args} --force"));
    let edited = fs::read_to_string(inputs.path("m.Modelfile")).unwrap() + "SYSTEM be brief\n";
    fs::write(inputs.path("m.Modelfile"), &edited).unwrap();
    refuse(
        &inputs,
        &format!("{args} --force"),
        "m.Modelfile exists and no export report of its kind beside it lists it",
    );
    fs::remove_file(inputs.path("m.Modelfile")).unwrap();
    inputs.succeed(&format!("{args} --force"));
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_created_is_named_with_its_folder() {
    let inputs = Inputs::new();
    fs::create_dir(inputs.path("rs")).unwrap();
    for (quant, file) in [("q8_0", "rs/m-q8_0.gguf"), ("bf16,q8_0", "rs/m-bf16.gguf")] {
        let command = env!("CARGO_BIN_EXE_gemma-export");
        let line =
            format!("ulimit -f 5; exec {command} gguf --base base --quant {quant} --out rs/m-{{quant}}.gguf");
        let ended = Command::new("bash").args(["-c", &line]).current_dir(inputs.path("")).output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(5), "{error}");
        assert!(error.starts_with(&format!("error: cannot write {file}: File too large")), "{error}");
    }
}
