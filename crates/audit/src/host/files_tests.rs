//! Watching files, as the user that the tests run as and as an ordinary one.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{Change, Changes, How, Limits, Method, Watch, WatchRequest};

fn sh(script: &str, folder: &Path) {
    assert!(Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap().success());
}

fn of<'a>(changes: &'a mut Changes, path: &Path) -> Option<&'a mut Change> {
    changes.changed.iter_mut().find(|change| change.path == path)
}

fn content(change: &mut Change) -> String {
    let mut text = String::new();
    std::io::Seek::rewind(change.file.as_mut().unwrap()).unwrap();
    change.file.as_mut().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A map of shared memory whose page is written leaves no notice: a digest shows it.
const MAPPED: &str = r"
import mmap, os, sys
file = open(sys.argv[1], 'r+b')
mapping = mmap.mmap(file.fileno(), 0)
times = os.stat(sys.argv[1])
mapping[0:6] = b'MAPPED'
mapping.flush()
";

fn check(ordinary: bool, scratch: &tempfile::TempDir) {
    let (folder, excluded) = (scratch.path().join("watched"), scratch.path().join("watched/excluded"));
    let outside = scratch.path().join("outside");
    for made in [&folder, &excluded, &outside] {
        std::fs::create_dir(made).unwrap();
    }
    for name in ["untouched", "changed", "mapped"] {
        std::fs::write(folder.join(name), "as before").unwrap();
    }
    let request =
        WatchRequest { folders: vec![folder.clone()], exclude: vec![excluded.clone()], ordinary, ..WatchRequest::default() };
    let watch = Watch::start(request);
    let method = watch.method();
    assert_eq!(method, if ordinary || !is_root() { Method::Folders } else { Method::FileSystems });
    sh(
        "echo new > new; echo more >> changed; mkdir -p deep/er; echo deep > deep/er/file; echo no > excluded/x; echo no > ../outside/x",
        &folder,
    );
    assert!(Command::new("python3").args(["-c", MAPPED]).arg(folder.join("mapped")).status().unwrap().success());
    // As a spool file: without its name as soon as it is open.
    sh("exec 3> spool; echo held > /dev/null; sleep 0.2; rm spool; echo spooled >&3; exec 3>&-", &folder);
    std::fs::write(folder.join("by the audit"), "x").unwrap();
    let mut changes = watch.finish();
    assert_eq!(changes.method, method);

    let new = of(&mut changes, &folder.join("new")).unwrap();
    assert_eq!((new.how, new.size, content(new).as_str()), (How::Created, 4, "new\n"));
    let changed = of(&mut changes, &folder.join("changed")).unwrap();
    assert_eq!((changed.how, content(changed).as_str()), (How::Modified, "as beforemore\n"), "whole");
    assert_eq!(content(of(&mut changes, &folder.join("deep/er/file")).unwrap()), "deep\n");
    assert_eq!(content(of(&mut changes, &folder.join("mapped")).unwrap()), "MAPPEDore");
    let spool = of(&mut changes, &folder.join("spool")).unwrap();
    assert_eq!((spool.how, content(spool).as_str()), (How::Deleted, "spooled\n"));
    for absent in [folder.join("untouched"), excluded.join("x"), outside.join("x")] {
        assert!(of(&mut changes, &absent).is_none());
    }
    if method == Method::FileSystems {
        let writers = &of(&mut changes, &folder.join("new")).unwrap().writers;
        assert!(writers.len() == 1 && (writers[0].name == "sh" || writers[0].name.is_empty()));
    } else if !ordinary {
        assert!(changes.gaps.iter().any(|gap| gap.contains("whole file systems are not watched")), "{:?}", changes.gaps);
    }
}

#[test]
fn with_what_the_user_may() {
    check(false, &tempfile::tempdir().unwrap());
    check(false, &tempfile::tempdir_in("/dev/shm").unwrap());
}

#[test]
fn without_fanotify() {
    check(true, &tempfile::tempdir().unwrap());
    check(true, &tempfile::tempdir_in("/dev/shm").unwrap());
}

/// A program that had the file mapped before, and has it still, leaves no notice when it writes there: the digest tells.
#[test]
fn a_write_through_a_mapping() {
    let script = r"
import mmap, sys
file = open(sys.argv[1], 'r+b')
mapping = mmap.mmap(file.fileno(), 0)
print('ready', flush=True)
sys.stdin.readline()
mapping[0:6] = b'MAPPED'
print('done', flush=True)
sys.stdin.read()
";
    for ordinary in [false, true] {
        for place in ["/dev/shm".into(), std::path::absolute(".").unwrap()] {
            let Ok(scratch) = tempfile::tempdir_in(&place) else { continue };
            let file = scratch.path().join("file");
            std::fs::write(&file, "as before").unwrap();
            let mut command = Command::new("python3");
            command.args(["-c", script]).arg(&file).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
            let mut hear = || std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
            hear();
            let folders = vec![scratch.path().to_path_buf()];
            let watch = Watch::start(WatchRequest { folders, ordinary, ..WatchRequest::default() });
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
            hear();
            let mut changes = watch.finish();
            drop(child.stdin.take());
            child.wait().unwrap();
            assert_eq!(content(of(&mut changes, &file).unwrap()), "MAPPEDore", "in {}", place.display());
        }
    }
}

/// Runs one test of this program as an ordinary user; the test itself must then do what such a one can.
pub(super) fn as_ordinary_user(test: &str) {
    let scratch = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(scratch.path(), Some(65_534), Some(65_534)).unwrap();
    // Where an ordinary user can run it.
    let program = scratch.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .current_dir(scratch.path())
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    if is_root() {
        as_ordinary_user("host::files_tests::with_what_the_user_may");
    }
}

#[test]
fn whole_mounts_and_a_file_that_never_had_time_for_its_name() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let watch = Watch::start(WatchRequest { whole_mounts: true, ..WatchRequest::default() });
    sh("exec 3> spool; rm spool; echo spooled >&3; exec 3>&-; echo kept > kept", scratch.path());
    let mut changes = watch.finish();
    assert_eq!(content(of(&mut changes, &scratch.path().join("kept")).unwrap()), "kept\n");
    let spool = of(&mut changes, &scratch.path().join("spool")).unwrap();
    assert_eq!((spool.how, content(spool).as_str()), (How::Deleted, "spooled\n"));
}

#[test]
fn bounds_are_told() {
    let scratch = tempfile::tempdir().unwrap();
    for number in 0..50 {
        std::fs::write(scratch.path().join(format!("before {number}")), "x").unwrap();
    }
    let limits = Limits { entries: 20, ..Limits::default() };
    let watch =
        Watch::start(WatchRequest { folders: vec![scratch.path().into()], limits, ordinary: true, ..WatchRequest::default() });
    let changes = watch.finish();
    assert!(changes.changed.is_empty(), "what was not seen before is not new");
    assert!(changes.gaps.iter().any(|gap| gap.contains("more than 20 entries")), "{:?}", changes.gaps);

    // In shared memory, where times do not tell.
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::write(scratch.path().join("large"), "0123456789 and more").unwrap();
    let digest = super::digest::Budget { total: 10, per_file: 10 };
    let limits = Limits { digest, held: 5, changes: 30, ..Limits::default() };
    let watch =
        Watch::start(WatchRequest { folders: vec![scratch.path().into()], limits, ordinary: true, ..WatchRequest::default() });
    sh("for i in $(seq 40); do echo $i > after-$i; done", scratch.path());
    let mut changes = watch.finish();
    assert_eq!(changes.changed.len(), 30);
    assert!(changes.changed.iter_mut().all(|change| !content(change).is_empty()), "opened again by name");
    for told in ["more than 30 files changed", "compared by size and times only"] {
        assert!(changes.gaps.iter().any(|gap| gap.contains(told)), "{:?}", changes.gaps);
    }
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = PathBuf::from("/nowhere/at/all");
    let changes = Watch::start(WatchRequest { folders: vec![folder], ordinary: true, ..WatchRequest::default() }).finish();
    assert!(changes.changed.is_empty());
    assert!(changes.gaps.iter().any(|gap| gap.contains("/nowhere/at/all")), "{:?}", changes.gaps);
}
