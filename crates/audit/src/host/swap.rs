//! Swap areas, readable as they are by a privileged user.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::detect::Source;

/// One line of `/proc/swaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapArea {
    pub path: PathBuf,
    pub bytes: u64,
    pub used: u64,
}

impl SwapArea {
    /// Whether it is compressed memory: what is there is in no storage, and not readable as it was written.
    #[must_use]
    pub fn is_zram(&self) -> bool {
        self.path.to_string_lossy().starts_with("/dev/zram")
    }

    /// Its content, up to `limit` bytes.
    ///
    /// # Errors
    /// Of the system: for an ordinary user, that it is not allowed.
    pub fn open(&self, limit: u64) -> io::Result<Swap> {
        Ok(Swap { file: File::open(&self.path)?, end: self.bytes.min(limit) })
    }
}

/// An opened swap area.
pub struct Swap {
    file: File,
    end: u64,
}

impl Source for Swap {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX));
        FileExt::read_at(&self.file, &mut buffer[..length], offset)
    }
}

fn parse(table: &str) -> Vec<SwapArea> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let path = PathBuf::from(fields.next()?.replace("\\040", " "));
        let bytes = fields.nth(1)?.parse::<u64>().ok()?.saturating_mul(1024);
        let used = fields.next()?.parse::<u64>().ok()?.saturating_mul(1024);
        Some(SwapArea { path, bytes, used })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// The swap areas in use.
///
/// # Errors
/// Of the system.
pub fn areas() -> io::Result<Vec<SwapArea>> {
    Ok(parse(&std::fs::read_to_string("/proc/swaps")?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_table_and_a_bounded_area() {
        let table = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/swap\\040file   file\t\t2048\t\t4\t\t-2\n/dev/zram0 partition\t8\t0\t100\n";
        let areas = parse(table);
        assert_eq!(areas[0], SwapArea { path: "/swap file".into(), bytes: 2 << 20, used: 4096 });
        assert!(areas[1].is_zram() && !areas[0].is_zram());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let area = SwapArea { path: file.path().into(), bytes: 8192, used: 0 };
        let mut buffer = [0; 16_384];
        assert_eq!(area.open(1 << 20).unwrap().read_at(&mut buffer, 0).unwrap(), 8192);
        assert_eq!(area.open(5000).unwrap().read_at(&mut buffer, 4096).unwrap(), 904);
        assert_eq!(area.open(5000).unwrap().read_at(&mut buffer, 9000).unwrap(), 0);
    }
}
