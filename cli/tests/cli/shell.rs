//! Completions and man pages.

use std::fs;
use std::process::{Command, Output};

fn gemma_export(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gemma-export")).args(args).output().unwrap()
}

#[test]
fn bash_completes_options_and_types() {
    let script = String::from_utf8(gemma_export(&["completions", "bash"]).stdout).unwrap();
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let last = words.len() - 1;
        let typed = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={last}; _gemma__export gemma-export '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            words[last],
            words[last - 1]
        );
        let bash = Command::new("bash").args(["-c", &typed]).output().unwrap();
        assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
        String::from_utf8(bash.stdout).unwrap()
    };
    assert_eq!(complete("gemma-export ver").trim(), "verify");
    assert_eq!(complete("gemma-export gguf --ada").trim(), "--adapter");
    assert_eq!(complete("gemma-export gguf --quant q4_k").trim(), "q4_k_m q4_k_s");
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = gemma_export(&["completions", shell]);
        assert!(printed.status.success());
        assert!(String::from_utf8(printed.stdout).unwrap().contains("through-f16"), "{shell}");
    }
}

#[test]
fn every_subcommand_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    assert!(gemma_export(&["man", out.to_str().unwrap()]).status.success());
    for page in ["gemma-export", "gemma-export-gguf", "gemma-export-merge", "gemma-export-verify"] {
        let text = fs::read_to_string(out.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[cfg(unix)]
#[test]
fn a_limit_of_file_sizes_is_an_error_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    for args in ["man pages", "completions bash >script"] {
        let line = format!("ulimit -f 5; {} {args}", env!("CARGO_BIN_EXE_gemma-export"));
        let ended = Command::new("bash").args(["-c", &line]).current_dir(&folder).output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(5), "{args}: {error}");
        assert!(error.starts_with("error: cannot write") && error.contains("File too large"), "{error}");
    }
}
