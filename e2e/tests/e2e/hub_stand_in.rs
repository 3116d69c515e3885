//! The fake Hub as a program.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn stand_in() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hub-stand-in"))
}

#[test]
fn arguments_are_checked_before_anything_is_served() {
    for (args, status, part) in [
        (["--help"].as_slice(), 0, "Usage: hub-stand-in"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&["--port", "8080"], 2, "unexpected argument '--port'"),
        (&["serve"], 2, "unexpected argument 'serve'"),
    ] {
        let ended = stand_in().args(args).output().unwrap();
        let printed = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert_eq!(ended.status.code(), Some(status), "{args:?}: {printed}");
        assert!(printed.contains(part), "{args:?}: {printed}");
    }
}

#[test]
fn the_first_line_has_the_variables_of_a_local_stack() {
    let mut hub = stand_in().stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let read = BufReader::new(hub.stdout.take().unwrap()).read_line(&mut line);
    hub.kill().unwrap();
    hub.wait().unwrap();
    read.unwrap();
    assert!(
        line.starts_with("HF_ENDPOINT=http://") && line.contains(" HF_OAUTH_CLIENT_ID=local-stack"),
        "{line}"
    );
}
