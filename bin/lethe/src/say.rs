//! The only place that writes to the terminal.
#![expect(clippy::print_stderr, reason = "a command line tool talks to people")]

use std::io::{IsTerminal, Write};

/// One line, or several, of what was asked for. A reader that has gone away is no error (`lethe records | head`).
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What went wrong.
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}

/// What is going on, for somebody who is watching.
pub(crate) fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("lethe: {text}");
    }
}
