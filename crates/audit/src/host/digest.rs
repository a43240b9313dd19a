//! Digests of files within a budget of bytes.

use std::fs::File;
use std::io::{self, Read as _};

use aws_lc_rs::digest::{Context, SHA256};

const BLOCK: usize = 256 * 1024;

/// How many bytes may still be read.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub total: u64,
    pub per_file: u64,
}

/// Half of SHA-256: enough to tell a change.
pub type Digest = [u8; 16];

/// The file's digest from where it stands; `None` where the budget does not allow it.
///
/// # Errors
/// Of reading.
pub fn of(file: &mut File, size: u64, budget: &mut Budget) -> io::Result<Option<Digest>> {
    if size > budget.per_file || size > budget.total {
        return Ok(None);
    }
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; BLOCK.min(usize::try_from(size).unwrap_or(BLOCK).max(4096))];
    let mut left = size.saturating_add(1);
    // A file that grows while it is read ends where it was to end.
    while left > 0 {
        let want = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut block[..want])?;
        if read == 0 {
            break;
        }
        context.update(&block[..read]);
        left -= read as u64;
    }
    budget.total = budget.total.saturating_sub(size);
    let mut digest = [0; 16];
    digest.copy_from_slice(&context.finish().as_ref()[..16]);
    Ok(Some(digest))
}
