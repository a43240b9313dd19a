//! The files that secrets were read from, and whether they are still the same.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Files in the state in which they were read, or looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles(Vec<(PathBuf, Option<Stamp>)>);

/// What changes with a file's content: whoever replaces it makes another inode or another time (inode(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` for what cannot be looked at. Links are followed: Kubernetes replaces mounted secrets by moving one.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl SecretFiles {
    pub(crate) fn add(&mut self, path: PathBuf) {
        if self.0.iter().all(|(known, _)| *known != path) {
            let stamp = Stamp::of(&path);
            self.0.push((path, stamp));
        }
    }

    /// The same files as they are now, if they are not as they were.
    pub(crate) fn replaced(&self) -> Option<Self> {
        let now = Self(self.0.iter().map(|(path, _)| (path.clone(), Stamp::of(path))).collect());
        (now != *self).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::SecretFiles;

    #[test]
    fn what_is_replaced_written_or_gone_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, new) = (folder.path().join("secret"), folder.path().join("new"));
        std::fs::write(&secret, "one").unwrap();
        let mut files = SecretFiles::default();
        files.add(secret.clone());
        files.add(secret.clone());
        assert_eq!(files.0.len(), 1);
        assert_eq!(files.replaced(), None);
        std::fs::write(&new, "two").unwrap();
        std::fs::rename(&new, &secret).unwrap();
        let replaced = files.replaced().unwrap();
        assert_eq!(replaced.replaced(), None);
        std::fs::write(&secret, "three and more").unwrap();
        let written = replaced.replaced().unwrap();
        std::fs::remove_file(&secret).unwrap();
        assert!(written.replaced().is_some());
    }
}
