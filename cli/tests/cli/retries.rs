//! Requests to hosts that do not answer.

use std::time::{Duration, Instant};

use crate::support::Inputs;

#[test]
fn a_web_server_that_cannot_be_reached_is_named() {
    let message =
        "cannot read http://127.0.0.1:9/model: check the address and the connection, and try again (";
    let note = "127.0.0.1:9 does not answer (";
    Inputs::new().fail(6, "inspect http://127.0.0.1:9/model", &[note, "): trying again\n", message]);
}

#[test]
fn retries_are_not_noted_with_quiet() {
    let quiet = Inputs::new().run("inspect http://127.0.0.1:9/model --quiet");
    let error = String::from_utf8(quiet.stderr).unwrap();
    assert!(error.contains("cannot read http://127.0.0.1:9/model"), "{error}");
    assert!(!error.contains("trying again\n"), "{error}");
}

#[test]
fn a_name_that_does_not_exist_is_refused_at_once() {
    let begun = Instant::now();
    let ended = Inputs::new().run("inspect https://no-such-host.invalid/model");
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("cannot read https://no-such-host.invalid/model: check the address"), "{error}");
    // without a network, the resolver does not know whether the name exists
    let is_unknown = !error.contains("trying again\n");
    assert!(!is_unknown || begun.elapsed() < Duration::from_secs(3), "{error}");
    assert!(is_unknown || error.contains("Temporary failure") || error.contains("Try again"), "{error}");
}

#[test]
fn a_hub_that_does_not_exist_is_not_waited_for() {
    let inputs = Inputs::new();
    let mut command = inputs.command("gguf --base owner/name --out m.gguf");
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", "https://no-such-host.invalid");
    let ended = command.output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    let expected = "failed (the host no-such-host.invalid does not exist): check HF_ENDPOINT and the network";
    // without a network, the resolver does not know whether the name exists
    assert!(error.contains(expected) != error.contains("waiting 1 s for the Hugging Face Hub"), "{error}");
}
