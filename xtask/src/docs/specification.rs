//! Every row of a table in SPECIFICATION.md is a promise; its last column is `pending`, or links to the tests that hold it, as
//! `[test](path.rs#name_of_the_function)`. That the function is there is checked with the other links.

use super::markdown::links;

/// `line: why` for each row that names no test.
pub(super) fn check(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut promises = 0;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let is_head = lines.get(index + 1).is_some_and(|next| is_rule(next));
        if is_head || is_rule(line) {
            continue;
        }
        promises += 1;
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        let held = links(last).iter().any(|link| link.target.contains(".rs#"));
        if !held && last != "pending" {
            findings.push(format!("{}: the last column is neither `pending` nor a link to a test", index + 1));
        }
    }
    if promises == 0 {
        findings.push("1: no promise was found".to_owned());
    }
    findings
}

/// `|---|:--|`
fn is_rule(line: &str) -> bool {
    line.starts_with('|') && line.contains('-') && line.chars().all(|character| matches!(character, '|' | '-' | ':' | ' '))
}

/// Whether a source file defines a function of this name.
pub(super) fn has_function(source: &str, name: &str) -> bool {
    let after = |rest: &str| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', '<']));
    source.split("fn ").skip(1).any(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| promise | number | test |\n|---|---:|---|\n";

    #[test]
    fn a_promise_with_a_test_or_pending_passes() {
        let rows =
            format!("{HEAD}| stops | 1 s | [test](tests/e2e/stop.rs#it_stops), [another](a.rs#b) |\n| more | | pending |\n");
        assert_eq!(check(&rows), Vec::<String>::new());
    }

    #[test]
    fn a_promise_without_a_test_fails() {
        for last in ["", "soon", "[test](tests/e2e/stop.rs)", "[page](README.md#stop)"] {
            assert_eq!(check(&format!("{HEAD}| stops | 1 s | {last} |\n")).len(), 1, "{last}");
        }
    }

    #[test]
    fn a_specification_without_promises_fails() {
        assert_eq!(check("# Specification\n").len(), 1);
        assert_eq!(check(HEAD).len(), 1);
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        let source = "#[test]\nfn it_stops() {}\nfn generic<T>(x: T) {}";
        assert!(has_function(source, "it_stops") && has_function(source, "generic"));
        assert!(!has_function(source, "it") && !has_function(source, "stops") && !has_function(source, "absent"));
    }
}
