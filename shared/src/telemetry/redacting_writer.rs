//! Removes secrets from every log line.

use std::io;

use redaction::redact;
use tracing_subscriber::fmt::MakeWriter;

/// Writes lines without secrets. Each event is written as one line.
#[derive(Debug)]
pub struct RedactingWriter<W>(pub W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for RedactingWriter<W> {
    type Writer = RedactedLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedLine(self.0.make_writer())
    }
}

/// The line of an event.
#[derive(Debug)]
pub struct RedactedLine<W>(W);

impl<W: io::Write> io::Write for RedactedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use redaction::register;
    use secrecy::SecretString;

    use super::*;
    use crate::telemetry::{LogFormat, subscriber};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_secret_that_a_remote_server_repeats_is_in_no_log_line() {
        register(&SecretString::from("hf_canary_of_a_line"));
        for format in [LogFormat::Compact, LogFormat::Json { project: None }] {
            let lines = Lines::default();
            let writer = lines.clone();
            let error = io::Error::other("the Hub said: authorization: Bearer hf_canary_of_a_line");
            tracing::subscriber::with_default(subscriber(format, move || writer.clone()), || {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(error, token = "hf_canary_of_a_line", "the upload failed");
            });
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("the Hub said") && text.contains("the upload failed"), "{text}");
            assert!(!text.contains("canary") && text.contains("[redacted]"), "{text}");
        }
    }
}
