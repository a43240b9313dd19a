//! A file is one idea: over 500 lines it needs an entry with a reason, over 800 it has to be divided.
//!
//! The list of exceptions only shrinks: an entry that nobody needs any more fails, and so does a file that outgrows its entry.

use std::collections::BTreeMap;
use std::path::Path;

use crate::house::{Failed, House, files, read};

const SOFT: usize = 500;
const HARD: usize = 800;
const EXCEPTIONS: &str = "xtask/reviewed/size.txt";

pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let mut lengths = BTreeMap::new();
    for path in files(&house.root, ".rs")? {
        let name = path.strip_prefix(&house.root).unwrap_or(Path::new("")).display().to_string();
        lengths.insert(name, read(&path)?.lines().count());
    }
    let findings = check(&lengths, &read(&house.root.join(EXCEPTIONS))?);
    Failed::unless_empty("size: files that are too long, or exceptions that are not needed", &findings)?;
    println!("size: {} files, none over its limit", lengths.len());
    Ok(())
}

/// `exceptions`: `path lines  # why` a line.
fn check(lengths: &BTreeMap<String, usize>, exceptions: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut allowed = BTreeMap::new();
    for line in exceptions.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let entry =
            line.split_once('#').filter(|(_, why)| !why.trim().is_empty() && !why.contains("TODO")).and_then(|(entry, _)| {
                let (path, limit) = entry.trim().split_once(' ')?;
                Some((path, limit.trim().parse::<usize>().ok()?))
            });
        match entry {
            None => findings.push(format!("{EXCEPTIONS}: `{line}` is not `path lines  # why`")),
            Some((path, _)) if lengths.get(path).is_none_or(|length| *length <= SOFT) => {
                findings.push(format!("{EXCEPTIONS}: {path} needs no exception any more; remove the line"));
            }
            Some((path, limit)) => {
                allowed.insert(path, limit);
            }
        }
    }
    for (path, length) in lengths {
        match allowed.get(path.as_str()) {
            _ if *length > HARD => findings.push(format!("{path}: {length} lines, over the hard limit of {HARD}: divide it")),
            Some(limit) if length > limit => findings.push(format!("{path}: {length} lines, over its exception of {limit}")),
            None if *length > SOFT => findings.push(format!("{path}: {length} lines, over {SOFT}: divide it")),
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(files: &[(&str, usize)]) -> BTreeMap<String, usize> {
        files.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect()
    }

    #[test]
    fn a_short_file_and_a_needed_exception_pass() {
        assert_eq!(check(&lengths(&[("a.rs", SOFT), ("b.rs", 600)]), "# why\nb.rs 620  # one table\n"), Vec::<String>::new());
    }

    #[test]
    fn too_long_without_an_exception_fails() {
        assert_eq!(check(&lengths(&[("a.rs", SOFT + 1)]), "").len(), 1);
    }

    #[test]
    fn no_exception_covers_the_hard_limit() {
        assert_eq!(check(&lengths(&[("a.rs", HARD + 1)]), "a.rs 900  # large\n").len(), 1);
    }

    #[test]
    fn growing_over_the_exception_fails() {
        assert_eq!(check(&lengths(&[("a.rs", 621)]), "a.rs 620  # one table\n").len(), 1);
    }

    #[test]
    fn an_exception_that_is_not_needed_or_gives_no_reason_fails() {
        assert_eq!(check(&lengths(&[("a.rs", 10)]), "a.rs 620  # one table\n").len(), 1);
        assert_eq!(check(&lengths(&[]), "gone.rs 620  # one table\n").len(), 1);
        assert_eq!(check(&lengths(&[("a.rs", 510)]), "a.rs 620\n").len(), 2);
    }
}
