//! Whether memory can be swapped to disk.

use std::io;

/// Whether any swap is in use on this machine (proc_swaps(5)).
pub(crate) fn present() -> io::Result<bool> {
    std::fs::read_to_string("/proc/swaps").map(|text| entries(&text) > 0)
}

fn entries(text: &str) -> usize {
    text.lines().skip(1).filter(|line| !line.trim().is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn the_heading_is_no_swap() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(entries(heading), 0);
        assert_eq!(entries(&format!("{heading}/swapfile file 2097148 0 -2\n")), 1);
        assert_eq!(entries(&format!("{heading}/dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -2\n")), 2);
    }
}
