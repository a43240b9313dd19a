//! The only place that writes to the terminal.
#![expect(clippy::print_stderr, reason = "a command line tool talks to people")]

use std::io::{IsTerminal, Write};

/// One line, or several, of what was asked for. A reader that has gone away is no error (`lethe records | head`).
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A table, without the blanks that fill its last column.
pub(crate) fn table(table: &comfy_table::Table) {
    table.lines().for_each(|text| line(text.trim_end()));
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
