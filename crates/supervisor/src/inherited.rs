//! Descriptors that whoever started this process left open.
//!
//! A child must hold exactly what it was given, and a terminal or a script may hand down more than it means to. They cannot be
//! closed here in safe code, but they can be marked to end with this program's image: which is then started anew, in place.

use std::{io, os::unix::process::CommandExt, process::Command};

/// Lowest descriptor that is not one of the standard streams.
const FIRST: i32 = 3;

/// Gets rid of inherited descriptors. Called first thing in `main`, before anything is opened; does not return if there were
/// any, but starts this program anew in the same process (execve(2) keeps the process id) without them.
///
/// # Errors
/// `/proc` is not there, or the program cannot be started anew.
pub fn shed_inherited_descriptors() -> io::Result<()> {
    if count()? == 0 {
        return Ok(());
    }
    close_fds::set_fds_cloexec(FIRST, &[]);
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    Err(Command::new(std::env::current_exe()?).arg0(name).args(arguments).exec())
}

/// Descriptors beyond the standard streams, without the one that counts them.
fn count() -> io::Result<usize> {
    let mut open = 0;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        open += usize::from(number.is_some_and(|number| number >= FIRST));
    }
    Ok(open.saturating_sub(1))
}
