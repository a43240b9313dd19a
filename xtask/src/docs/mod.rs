//! The documents: they are there, their links lead somewhere, and every promise names the test that holds it.

mod markdown;
mod specification;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::house::{Failed, House, files, read};

const REQUIRED: &[&str] =
    &["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "SPECIFICATION.md"];
const SAMPLES: &str = "docs/config";
/// Reads every sample through `lethe_config`.
const SAMPLES_TEST: &str = "crates/config/tests/samples.rs";

pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let mut findings: Vec<String> =
        REQUIRED.iter().filter(|name| !house.root.join(name).is_file()).map(|name| format!("{name} is missing")).collect();
    let mut documents = BTreeMap::new();
    for path in files(&house.root, ".md")? {
        documents.insert(path.strip_prefix(&house.root).unwrap_or(&path).to_owned(), read(&path)?);
    }
    for (name, text) in &documents {
        for link in markdown::links(text) {
            if let Err(why) = follow(&house.root, name, text, &link.target) {
                findings.push(format!("{}:{}: {}: {why}", name.display(), link.line, link.target));
            }
        }
    }
    if let Some(text) = documents.get(Path::new("SPECIFICATION.md")) {
        findings.extend(specification::check(text).into_iter().map(|finding| format!("SPECIFICATION.md:{finding}")));
    }
    if files(&house.root.join(SAMPLES), ".toml")?.is_empty() || !read(&house.root.join(SAMPLES_TEST))?.contains(SAMPLES) {
        findings.push(format!("{SAMPLES_TEST} must read every sample in {SAMPLES}"));
    }
    Failed::unless_empty("docs: what the documents say does not hold", &findings)?;
    println!("docs: {} documents, every link leads somewhere", documents.len());
    Ok(())
}

/// Whether what a link of `document` names is there. `path.rs#name` names the function `name`.
fn follow(root: &Path, document: &Path, text: &str, target: &str) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    if path.is_empty() {
        return anchor_in(text, anchor);
    }
    let inside = inside(document.parent().unwrap_or(Path::new("")), path).ok_or("leads out of the repository")?;
    let found = root.join(inside);
    if !found.exists() {
        return Err("no such file");
    }
    match anchor {
        None => Ok(()),
        Some(function) if path.ends_with(".rs") => {
            let source = std::fs::read_to_string(found).map_err(|_| "not readable")?;
            if specification::has_function(&source, function) { Ok(()) } else { Err("no such function in that file") }
        }
        Some(_) => anchor_in(&std::fs::read_to_string(found).map_err(|_| "an anchor in something that is not text")?, anchor),
    }
}

fn anchor_in(text: &str, anchor: Option<&str>) -> Result<(), &'static str> {
    let found = anchor.is_none_or(|anchor| markdown::anchors(text).iter().any(|known| known == anchor));
    if found { Ok(()) } else { Err("no such heading") }
}

/// `folder/path` without `.` and `..`; nothing if it leaves the repository.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => {
                if !inside.pop() {
                    return None;
                }
            }
            Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(target: &str) -> Result<(), &'static str> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        follow(root, Path::new("src/docs/page.md"), "# Here\n", target)
    }

    #[test]
    fn links_that_lead_somewhere() {
        for target in ["https://example.com/", "#here", "mod.rs", "../main.rs#run", "../../Cargo.toml", "../docs"] {
            assert_eq!(followed(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn links_that_do_not() {
        for target in ["#there", "absent.rs", "../main.rs#absent_function", "../../../Cargo.toml", "/etc/hosts"] {
            assert!(followed(target).is_err(), "{target}");
        }
    }
}
