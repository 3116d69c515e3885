//! What `local run` and `local serve` print: addresses, and commands to paste.

use crate::{stack::LocalStack, terminal};

/// Prints addresses and paths, and commands for another terminal.
pub(crate) fn show(stack: &LocalStack) -> anyhow::Result<()> {
    let origin = stack.origin();
    terminal::heading("The Export Service is running on this machine");
    terminal::field("page", origin);
    terminal::field("API", &format!("{origin}/docs/"));
    terminal::field("data", &stack.dir().root().display().to_string());
    terminal::field("log", &stack.dir().stack_log().display().to_string());

    terminal::heading("Try it (with a token for user ada, valid for an hour)");
    terminal::command(&format!("TOKEN={}", stack.token("ada")?));
    terminal::line("");
    for line in [
        format!("curl {origin}/health"),
        format!("curl {origin}/exports -H \"Authorization: Bearer $TOKEN\""),
        format!(
            "curl {origin}/exports -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
             -d '{{\"job_id\":\"ada-recipes\",\"export_type\":\"gguf\"}}'"
        ),
        format!("curl {origin}/exports/ada-recipes -H \"Authorization: Bearer $TOKEN\""),
    ] {
        terminal::command(&line);
    }
    Ok(())
}

/// Prints that the stack is serving.
pub(crate) fn serving(stack: &LocalStack) {
    terminal::heading(&format!("Serving {} until Ctrl-C", stack.origin()));
}

/// Prints that the stack stops, and what happens to running exports.
pub(crate) fn stopping(stack: &LocalStack) {
    let what = match stack.running_jobs() {
        0 => "Stopping.".to_owned(),
        1 => "Stopping. 1 running export will be marked as failed.".to_owned(),
        n => format!("Stopping. {n} running exports will be marked as failed."),
    };
    terminal::line("");
    terminal::note(&what);
}
