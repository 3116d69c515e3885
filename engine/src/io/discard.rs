//! An output of which nothing stays.

use std::io;

use super::Output;

/// Keeps nothing of what is written.
#[derive(Debug, Clone, Copy)]
pub struct Discard;

impl Output for Discard {
    fn begin(&mut self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
