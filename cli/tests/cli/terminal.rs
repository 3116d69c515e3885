//! A terminal to run the command on.

use std::fs::File;
use std::io::{BufReader, Read as _};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What is shown on a terminal.
pub(crate) struct Screen(File);

impl Screen {
    /// What is shown from now on, until this text is among it.
    pub(crate) fn until(mut self, text: &str) -> String {
        let (mut shown, mut bytes) = (String::new(), [0; 4096]);
        while !shown.contains(text) {
            let length = self.0.read(&mut bytes).unwrap();
            shown += &String::from_utf8_lossy(&bytes[..length]);
        }
        shown
    }

    /// All that is shown, until nobody has the terminal open.
    pub(crate) fn all(self) -> String {
        let mut shown = Vec::new();
        // the end is an error: there is no terminal any more
        BufReader::new(self.0).read_to_end(&mut shown).unwrap_err();
        String::from_utf8(shown).unwrap()
    }
}

/// A terminal of 100 columns, and what is shown on it.
pub(crate) fn open_terminal() -> (Screen, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (Screen(screen.into()), terminal.into())
}
