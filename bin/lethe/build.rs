//! Writes the names of all source files, so that `lethe diagnose location` can say which one a panic's hash stands for.

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = here.ancestors().nth(2).unwrap_or(&here).to_owned();
    let mut files = Vec::new();
    for folder in ["bin", "crates"] {
        // The folder itself changes when a file comes or goes, but not those below it: cargo looks through all of them.
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), &root, &mut files)?;
    }
    files.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("source-files.txt"), files.join("\n"))
}

/// Names as the compiler is given them: from the root of the workspace.
fn collect(folder: &Path, root: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, root, files)?;
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
        {
            files.push(name.to_owned());
        }
    }
    Ok(())
}
