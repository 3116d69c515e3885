//! What `local run` says about itself, to be read and to be pasted.

use crate::{stack::LocalStack, terminal};

/// Where everything is, and lines for another terminal.
pub(crate) fn show(stack: &LocalStack) -> anyhow::Result<()> {
    let origin = stack.origin();
    terminal::heading("The Export Service, on this machine only");
    terminal::field("page", origin);
    terminal::field("API", &format!("{origin}/docs"));
    terminal::field("data", &stack.dir().root().display().to_string());
    terminal::field("log", &stack.dir().stack_log().display().to_string());

    terminal::heading("Try it (a token for ada, good for an hour)");
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

/// It goes on serving.
pub(crate) fn serving(stack: &LocalStack) {
    terminal::heading(&format!("Serving {} until Ctrl-C", stack.origin()));
}

/// It stops.
pub(crate) fn stopping(stack: &LocalStack) {
    let what = match stack.running_jobs() {
        0 => "Stopping.".to_owned(),
        1 => "Stopping: one running export ends as failed.".to_owned(),
        n => format!("Stopping: {n} running exports end as failed."),
    };
    terminal::line("");
    terminal::note(&what);
}

/// The first start takes longer.
pub(crate) fn first_start() {
    terminal::line("");
    terminal::note("First start: making models for the demo.");
}
