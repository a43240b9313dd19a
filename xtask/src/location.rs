//! Which source file a panic's hash stands for. `lethe diagnose location` knows our own; this also looks through the libraries and
//! the standard library, under the names that the compiler gives them.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::house::{Failed, House, files, output};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: std::path::PathBuf,
}

pub(crate) fn run(house: &House, hash: &str) -> Result<(), Failed> {
    let wanted = u64::from_str_radix(hash, 16).map_err(|_| Failed::new("a location has up to 16 hexadecimal digits"))?;
    let text = output(&mut house.cargo(&["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| Failed::new(format!("cargo metadata: {error}")))?;
    let folders = metadata.packages.iter().filter_map(|package| package.manifest_path.parent());
    for folder in folders {
        for file in files(folder, ".rs")? {
            // Our own from the root of the workspace, libraries by their whole path.
            let name = file.strip_prefix(&house.root).unwrap_or(&file).to_string_lossy().into_owned();
            if fnv1a(&name) == wanted {
                println!("{name}");
                return Ok(());
            }
        }
    }
    standard(wanted)
}

/// The standard library's files are called `/rustc/COMMIT/library/…`; they are there with the component `rust-src`.
fn standard(wanted: u64) -> Result<(), Failed> {
    let root = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = output(Command::new("rustc").arg("-vV"))?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or_default();
    let source = Path::new(root.trim()).join("lib/rustlib/src/rust");
    for file in files(&source.join("library"), ".rs").unwrap_or_default() {
        let name = file.strip_prefix(&source).unwrap_or(&file).to_string_lossy().into_owned();
        if fnv1a(&format!("/rustc/{commit}/{name}")) == wanted {
            println!("{name} of the standard library");
            return Ok(());
        }
    }
    Err(Failed::new("no source file of this build has this hash (the standard library needs `rustup component add rust-src`)"))
}

/// As `lethe-confine` computes it (draft-eastlake-fnv, 64 bits).
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    /// draft-eastlake-fnv, appendix C.
    #[test]
    fn hashes_are_fnv_1a() {
        assert_eq!((fnv1a(""), fnv1a("foobar")), (0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8));
    }
}
