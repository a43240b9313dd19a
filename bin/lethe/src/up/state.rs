//! The state folder: one owner, one running Lethe, a folder inside it for control.

use std::{
    ffi::CStr,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{ErrorKind, Read, Seek, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
    process::{Gid, Uid},
};

use crate::{
    failure::Failure,
    place::{CONSOLE_CA, CONTROL_SOCKET, SUPERVISOR_SOCKET},
};

const LOCK: &str = "lock";
const CONTROL: &str = "control";
/// `authority/` is the only folder that control makes.
const DEPTH: usize = 4;

/// A state folder that this process alone uses.
pub(crate) struct State {
    path: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the folder, made if it is not there, and takes its lock. `control` is control's user and group, when started as root.
    pub(crate) fn open(path: &Path, control: Option<(u32, u32)>) -> Result<Self, Failure> {
        let broken =
            |error: std::io::Error| Failure::failed(format!("the state folder {} cannot be used: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(broken)?;
        let path = path.canonicalize().map_err(broken)?;
        let (owner, own) = (path.metadata().map_err(broken)?.uid(), rustix::process::geteuid().as_raw());
        if owner != own {
            return Err(Failure::failed(format!(
                "the state folder {} belongs to user {owner}, and this is user {own}: start lethe as that user, or name another folder with --state",
                path.display()
            )));
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(broken)?;
        let lock = lock(&path)?;
        let state = Self { path, _lock: lock };
        state.give_to_control(control).map_err(|errno| broken(errno.into()))?;
        Ok(state)
    }

    /// The folder's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Control's own folder.
    pub(crate) fn control(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// When the folder was made, in seconds since the epoch; now, where the file system does not know.
    pub(crate) fn made(&self) -> u64 {
        let made = self.path.metadata().and_then(|metadata| metadata.created()).unwrap_or_else(|_| std::time::SystemTime::now());
        made.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Writes the certificate that the console is checked against.
    pub(crate) fn write_console_ca(&self, authority: &[u8]) -> Result<(), Failure> {
        replace(&self.path.join(CONSOLE_CA), pem(authority).as_bytes())
    }

    /// Removes the sockets, whose listeners are gone.
    pub(crate) fn remove_sockets(&self) {
        for name in [CONTROL_SOCKET, SUPERVISOR_SOCKET] {
            // One that is not there need not be removed.
            let _ = std::fs::remove_file(self.path.join(name));
        }
    }

    /// Makes control's folder, and gives it and what is in it to control's user.
    fn give_to_control(&self, control: Option<(u32, u32)>) -> Result<(), Errno> {
        let folder = self.control();
        match rustix::fs::mkdir(&folder, Mode::RWXU) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(errno) => return Err(errno),
        }
        let folder = open_folder(rustix::fs::CWD, &folder)?;
        let Some((uid, gid)) = control else { return Ok(()) };
        // Once it is control's, everything in it is control's own doing, and nobody walks it with root's rights again.
        if rustix::fs::fstat(&folder)?.st_uid != uid {
            give(&folder, uid, gid, DEPTH)?;
            rustix::fs::fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        rustix::fs::fchmod(&folder, Mode::RWXU)
    }
}

fn open_folder<Fd: AsFd>(at: Fd, name: impl rustix::path::Arg) -> Result<rustix::fd::OwnedFd, Errno> {
    rustix::fs::openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Gives everything in `folder` to another user, through descriptors so that nothing can be put in the way.
fn give<Fd: AsFd>(folder: Fd, uid: u32, gid: u32, depth: usize) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::LOOP);
    }
    let mut entries = rustix::fs::Dir::read_from(&folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => give(open_folder(&folder, name)?, uid, gid, depth - 1)?,
            // A file with a second name may be somebody else's.
            FileType::RegularFile if stat.st_nlink == 1 => {}
            _ => return Err(Errno::MLINK),
        }
        rustix::fs::chownat(&folder, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Takes the folder's lock, and writes this process's number into it.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let broken = |error: std::io::Error| Failure::failed(format!("{} cannot be used: {error}", path.display()));
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(broken)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(Failure::failed(format!(
                "another Lethe (process {}) runs on {}: stop it (kill {0}), or give this one a folder of its own with --state",
                pid.trim(),
                folder.display()
            )));
        }
        Err(errno) => return Err(broken(errno.into())),
    }
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(broken)?;
    Ok(file)
}

/// Writes a file of mode 0600, whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", path.display()));
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(broken(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(broken)?;
    file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, path)).map_err(broken)
}

/// A certificate in PEM form (RFC 7468).
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for chunk in der.chunks(3) {
        let number = chunk.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = ALPHABET.get(number >> (18 - 6 * position) & 63).copied().unwrap_or_default();
            base64.push(if position > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustls_pki_types::{CertificateDer, pem::PemObject};

    use super::{State, pem, replace};

    #[test]
    fn a_second_one_is_refused_and_told_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(folder.path(), None).unwrap();
        let refused = State::open(folder.path(), None).err().unwrap();
        assert!(refused.message().contains(&format!("(process {})", std::process::id())), "{refused:?}");
        drop(first);
        State::open(folder.path(), None).unwrap();
    }

    #[test]
    fn folders_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let state = State::open(&path, None).unwrap();
        for folder in [state.path().to_path_buf(), state.control()] {
            assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn control_gets_its_folder_and_nothing_outside_of_it() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        drop(State::open(folder.path(), None).unwrap());
        let inside = folder.path().join("control/authority");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("authority.key"), "x").unwrap();
        let state = State::open(folder.path(), Some((64610, 64611))).unwrap();
        for path in [state.control(), inside.clone(), inside.join("authority.key")] {
            let metadata = path.metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (64610, 64611), "{path:?}");
        }
        assert_eq!(folder.path().metadata().unwrap().uid(), 0);
        drop(state);
        // A file with a second name elsewhere is not given away.
        let other = folder.path().join("somebody-elses");
        std::fs::write(&other, "x").unwrap();
        std::fs::hard_link(&other, inside.join("link")).unwrap();
        assert!(State::open(folder.path(), Some((64612, 64612))).is_err());
        assert_eq!(other.metadata().unwrap().uid(), 0);
    }

    #[test]
    fn replaced_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        for content in ["first", "second"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn pem_reads_back() {
        for len in [1, 2, 3, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            assert_eq!(CertificateDer::from_pem_slice(pem(&der).as_bytes()).unwrap().as_ref(), der);
        }
    }
}
