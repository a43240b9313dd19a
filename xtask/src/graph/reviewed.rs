//! The reviewed lists: `name  # why it is needed` a line, sorted. Whoever adds a crate to a confined executable says why.

use std::collections::{BTreeMap, BTreeSet};

const TODO: &str = "TODO reason";

fn parse(list: &str) -> BTreeMap<&str, &str> {
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('#').map_or((line.trim(), ""), |(name, why)| (name.trim(), why.trim()))).collect()
}

/// Differences as `+ name` (linked, not on the list) and `- name` (the other way round), and names without a reason.
pub(super) fn check(list: &str, linked: &BTreeSet<&str>) -> Vec<String> {
    let listed = parse(list);
    let mut findings: Vec<String> = linked
        .iter()
        .filter(|name| !listed.contains_key(**name))
        .map(|name| format!("+ {name}: linked, but not reviewed"))
        .collect();
    for (name, why) in listed {
        if !linked.contains(name) {
            findings.push(format!("- {name}: on the list, but not linked any more"));
        } else if why.is_empty() || why.contains("TODO") {
            findings.push(format!("  {name}: no reason is given"));
        }
    }
    if !findings.is_empty() {
        findings.push("review it, then `cargo xtask graph --bless` and replace each TODO by a reason".to_owned());
    }
    findings
}

/// The list for what is linked now, with the reasons that were there and the comment lines at its head.
pub(super) fn bless(list: &str, linked: &BTreeSet<&str>) -> String {
    let listed = parse(list);
    let head = list.lines().take_while(|line| line.starts_with('#')).map(str::to_owned);
    let lines =
        linked.iter().map(|name| format!("{name}  # {}", listed.get(name).filter(|why| !why.is_empty()).unwrap_or(&TODO)));
    head.chain(lines).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# reviewed\nlibc  # calls\ntokio  # runtime\n";

    #[test]
    fn the_same_crates_with_reasons_pass() {
        assert_eq!(check(LIST, &BTreeSet::from(["libc", "tokio"])), Vec::<String>::new());
    }

    #[test]
    fn a_crate_too_many_or_too_few_fails() {
        let findings = check(LIST, &BTreeSet::from(["libc", "serde"])).join("\n");
        assert!(findings.contains("+ serde") && findings.contains("- tokio"), "{findings}");
    }

    #[test]
    fn blessing_keeps_reasons_and_does_not_invent_any() {
        let linked = BTreeSet::from(["libc", "serde"]);
        let blessed = bless(LIST, &linked);
        assert_eq!(blessed, "# reviewed\nlibc  # calls\nserde  # TODO reason\n");
        assert!(check(&blessed, &linked)[0].contains("serde: no reason"));
    }
}
