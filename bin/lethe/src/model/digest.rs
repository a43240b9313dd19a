//! SHA-256 of files.

use std::{fs::File, io::Read, path::Path};

use aws_lc_rs::digest::{Context, SHA256};

use crate::failure::Failure;

/// SHA-256 of the file at `path`, in lower-case hexadecimal.
pub(crate) fn of_file(path: &Path) -> Result<String, Failure> {
    let unreadable = |error| Failure::failed(format!("{} cannot be read: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            len => context.update(buffer.get(..len).unwrap_or_default()),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
