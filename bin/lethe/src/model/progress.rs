//! Progress of copies, on standard error where somebody is watching.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;

const STYLE: &str = "lethe: {msg} [{bar:30}] {bytes}/{total_bytes} {eta}";

/// A bar for `total` bytes; nothing is drawn where standard error is no terminal.
pub(crate) fn bar(message: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(message);
    match ProgressStyle::with_template(STYLE) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// Copies `from` to the new file `to`.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<(), Failure> {
    let unreadable = |error| Failure::failed(format!("{} cannot be read: {error}", from.display()));
    let source = File::open(from).map_err(unreadable)?;
    let total = source.metadata().map_err(unreadable)?.len();
    copy("copying", source, total, to)
}

/// Copies `total` bytes of `source` to the new file `to`.
pub(crate) fn copy(message: &'static str, mut source: impl Read, total: u64, to: &Path) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", to.display()));
    let mut target = File::create_new(to).map_err(broken)?;
    let bar = bar(message, total);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match source.read(&mut buffer).map_err(broken)? {
            0 => break,
            len => {
                target.write_all(buffer.get(..len).unwrap_or_default()).map_err(broken)?;
                bar.inc(len as u64);
            }
        }
    }
    target.sync_all().map_err(broken)?;
    bar.finish_and_clear();
    Ok(())
}
