//! Tracing programs that really run, in threads, under signals, and while they stop and go on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::network::Place;
use super::process;
use super::trace::{Trace, TraceError, Traced};
use super::tracee::TargetKind;

/// A program in Python that says and hears lines.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(script: &str, argument: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-c", script])
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut program = Self { child, input, output };
        program.hear("ready");
        program
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Other lines may come before.
    fn hear(&mut self, wanted: &str) {
        let mut line = String::new();
        while line.trim_end() != wanted {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the program ended before {wanted:?}");
        }
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends by itself, with 0.
    fn finish(mut self) {
        drop(self.input);
        until("the program's end", || !process::is_alive(self.child.id()));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < limit, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn calls(traced: &Traced, call: &str, target: &Path) -> (u64, u64) {
    let lines = traced.written.iter().filter(|line| line.call == call && Path::new(&line.target) == target);
    lines.fold((0, 0), |sum, line| (sum.0 + line.calls, sum.1 + line.bytes))
}

fn is_traced(pid: u32) -> bool {
    process::status(pid, "TracerPid").is_some_and(|tracer| tracer != "0")
}

const THREADS: &str = r"
import ctypes, os, signal, socket, sys, threading
folder = sys.argv[1]
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
go = threading.Event()
def write(number):
    go.wait()
    a, b = socket.socketpair()
    with open(f'{folder}/{number}', 'wb', buffering=0) as file:
        for _ in range(300):
            file.write(b'0123456789')
            a.send(b'hello'); b.recv(5)
threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
print('ready')
sys.stdin.readline()
go.set()
later = threading.Thread(target=write, args=(9,)); later.start()
[thread.join() for thread in threads + [later]]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.sendto(b'question', ('127.0.0.9', 53))
os.rename(f'{folder}/0', f'{folder}/moved'); os.mkdir(f'{folder}/made'); os.chdir(folder); os.unlink('1')
try: os.mkdir(f'{folder}/made')
except FileExistsError: pass
os.write(os.memfd_create('memory'), b'abc')
secret = ctypes.CDLL(None).syscall(447, 0)
if secret >= 0: os.ftruncate(secret, 4096); open(f'{folder}/secret', 'w').close()
if os.fork() == 0:
    open(f'{folder}/of a child', 'w').write('x' * 77)
    os._exit(0)
os.wait()
os.system('dd if=/dev/zero of=of-dd bs=1000 count=7 2>/dev/null')
print('done')
while not heard: signal.pause()
print('heard')
sys.stdin.readline()
";

#[test]
fn all_writes_of_all_threads_and_children_under_signals() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut program = Program::start(THREADS, folder);
    let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
    assert!(is_traced(program.id()));
    program.say("go");
    for _ in 0..50 {
        program.signal(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    program.hear("done");
    program.hear("heard");
    let traced = trace.finish();
    assert!(!is_traced(program.id()), "let go");
    program.say("end");
    program.finish();
    for number in [0, 1, 2, 3, 9] {
        assert_eq!(calls(&traced, "write", &folder.join(number.to_string())), (300, 3000), "of {number}, of what it was then");
        assert_eq!(calls(&traced, "openat", &folder.join(number.to_string())).0, 1);
    }
    assert_eq!(calls(&traced, "write", &folder.join("of a child")), (1, 77));
    assert_eq!(calls(&traced, "write", &folder.join("of-dd")), (7, 7000));
    assert_eq!(calls(&traced, "rename", &folder.join("moved")).0, 1);
    assert_eq!(calls(&traced, "mkdir", &folder.join("made")).0, 1, "the second failed");
    assert_eq!(calls(&traced, "unlink", &folder.join("1")).0, 1, "relative to its folder");
    let sockets = traced.written.iter().filter(|line| line.kind == TargetKind::Socket && line.call == "sendto");
    assert_eq!(sockets.clone().map(|line| line.calls).sum::<u64>(), 5 * 300 + 1);
    assert!(traced.written.iter().any(|line| line.kind == TargetKind::Memory && line.call == "write" && line.bytes == 3));
    let secret: Vec<TargetKind> =
        traced.written.iter().filter(|line| line.target.starts_with("/secretmem")).map(|line| line.kind).collect();
    assert_eq!(secret.is_empty(), !folder.join("secret").exists(), "seen where the kernel has it");
    assert!(secret.iter().all(|kind| *kind == TargetKind::Memory), "no file");
    let dns = traced.destinations.iter().find(|sent| sent.place == Place::Address([127, 0, 0, 9].into(), 53)).unwrap();
    assert!(dns.succeeded && dns.name.starts_with("python"));
    assert!(traced.gaps.is_empty(), "{:?}", traced.gaps);
    assert!(traced.threads >= 8 && traced.calls > 5000, "{} threads, {} calls", traced.threads, traced.calls);
}

const LINES: &str = r"
import signal, sys
signal.signal(signal.SIGRTMIN + 3, lambda *_: print('real-time'))
print('ready')
for line in sys.stdin:
    with open(sys.argv[1] + '/file', 'a') as file: file.write(line)
    print(line.strip())
";

#[test]
fn stopping_and_going_on_works_while_traced() {
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(LINES, scratch.path());
    let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
    for round in 0..5 {
        program.signal(Signal::SIGSTOP);
        until("a stop", || matches!(process::stat(program.id()), Some((b't' | b'T', _))));
        program.say("one");
        program.signal(Signal::SIGCONT);
        program.hear("one");
        assert!(round < 5);
    }
    // Let go while it is stopped, it stays so until it is continued.
    program.signal(Signal::SIGSTOP);
    until("a stop", || matches!(process::stat(program.id()), Some((b't' | b'T', _))));
    let traced = trace.finish();
    until("a stop of its own", || matches!(process::stat(program.id()), Some((b'T', _))));
    program.say("two");
    program.signal(Signal::SIGCONT);
    program.hear("two");
    program.finish();
    assert_eq!(calls(&traced, "write", &scratch.path().join("file")), (5, 20));
}

#[test]
fn real_time_signals_get_through_with_what_they_carry() {
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(LINES, scratch.path());
    let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
    let number = format!("-{}", 34 + 3);
    for _ in 0..3 {
        assert!(Command::new("kill").args([&number, &program.id().to_string()]).status().unwrap().success());
        program.hear("real-time");
        program.say("after");
        program.hear("after");
    }
    let traced = trace.finish();
    program.finish();
    assert!(traced.gaps.iter().any(|gap| gap.contains("real-time")), "{:?}", traced.gaps);
    assert!(traced.calls > 0);
}

#[test]
fn a_killed_target_and_one_that_ends_are_left_to_who_started_them() {
    let scratch = tempfile::tempdir().unwrap();
    let mut killed = Program::start(LINES, scratch.path());
    let ends = Program::start(LINES, scratch.path());
    let trace = Trace::start(&[killed.id(), ends.id()]).unwrap_or_else(|error| panic!("{error}"));
    killed.child.kill().unwrap();
    until("an end", || !process::is_alive(killed.id()));
    assert!(!killed.child.wait().unwrap().success());
    ends.finish();
    let traced = trace.finish();
    assert!(traced.threads >= 2);
    assert_eq!(Trace::start(&[killed.id()]).err(), Some(TraceError::Gone(killed.id())));
}

#[test]
fn a_thread_that_replaces_the_program_is_followed() {
    let script = r"
import os, sys, threading
print('ready')
sys.stdin.readline()
path = sys.argv[1] + '/after'
threading.Thread(target=lambda: os.execvp('sh', ['sh', '-c', 'echo hello > ' + path + '; echo done; cat > /dev/null'])).start()
threading.Event().wait()
";
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(script, scratch.path());
    let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
    program.say("go");
    program.hear("done");
    let traced = trace.finish();
    program.finish();
    assert_eq!(calls(&traced, "write", &scratch.path().join("after")), (1, 6));
}

#[test]
fn dropping_a_trace_lets_go() {
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(LINES, scratch.path());
    drop(Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}")));
    assert!(!is_traced(program.id()));
    program.say("still there");
    program.hear("still there");
    program.finish();
}

#[test]
fn attaching_and_letting_go_again_and_again_under_load() {
    let script = r"
import os, socket, sys, threading
ended = threading.Event()
rounds = [0] * 6
def work(number):
    a, b = socket.socketpair()
    file = os.open(f'{sys.argv[1]}/{number}', os.O_WRONLY | os.O_CREAT)
    while not ended.is_set():
        os.pwrite(file, b'x' * 10, 0); a.sendall(b'hello'); assert b.recv(5) == b'hello'
        rounds[number] += 1
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
[thread.start() for thread in threads]
print('ready')
for line in sys.stdin:
    before = [done + 1 for done in rounds]
    while any(now <= then for now, then in zip(rounds, before)): ended.wait(0.001)
    print('all go on')
ended.set()
[thread.join() for thread in threads]
";
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(script, scratch.path());
    for _ in 0..15 {
        let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
        program.say("?");
        program.hear("all go on");
        let traced = trace.finish();
        assert!((0..6).all(|number| calls(&traced, "pwrite64", &scratch.path().join(number.to_string())).0 > 0));
        assert!(traced.gaps.is_empty(), "{:?}", traced.gaps);
        assert!(!is_traced(program.id()));
        program.say("?");
        program.hear("all go on");
    }
    program.finish();
}

/// Started by the test below, as a program of its own.
#[test]
#[ignore = "it traces until it is killed"]
fn traces_until_it_is_killed() {
    let Ok(pid) = std::env::var("TRACED") else { return };
    let trace = Trace::start(&[pid.parse().unwrap()]).unwrap_or_else(|error| panic!("{error}"));
    std::io::stdout().write_all(b"\nit traces\n").unwrap();
    std::thread::sleep(Duration::from_secs(60));
    drop(trace);
}

#[test]
fn a_killed_audit_lets_go() {
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(LINES, scratch.path());
    let mut audit = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host::trace_tests::traces_until_it_is_killed", "--ignored", "--nocapture"])
        .env("TRACED", program.id().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(audit.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap() == "it traces"));
    assert!(is_traced(program.id()));
    // A signal that the audit has seen and not yet passed on, or has not yet seen, is not lost.
    audit.kill().unwrap();
    program.say("before its end");
    audit.wait().unwrap();
    until("letting go", || !is_traced(program.id()));
    program.hear("before its end");
    program.say("after");
    program.hear("after");
    program.finish();
}

/// What a program without tracing and with it takes for a call: said, not judged, but a program that hardly moves fails.
#[test]
fn a_traced_program_goes_on_at_a_bearable_speed() {
    let script = r"
import os, sys, time
file = os.open(sys.argv[1] + '/file', os.O_WRONLY | os.O_CREAT)
print('ready')
for line in sys.stdin:
    for _ in range(5000): os.pwrite(file, b'x', 0)
    print('done')
";
    let scratch = tempfile::tempdir().unwrap();
    let mut program = Program::start(script, scratch.path());
    let timed = |program: &mut Program| {
        let started = Instant::now();
        program.say("go");
        program.hear("done");
        started.elapsed()
    };
    let alone = timed(&mut program);
    let trace = Trace::start(&[program.id()]).unwrap_or_else(|error| panic!("{error}"));
    let traced = timed(&mut program);
    let found = trace.finish();
    program.finish();
    assert_eq!(calls(&found, "pwrite64", &scratch.path().join("file")), (5000, 5000));
    assert!(traced < Duration::from_secs(10), "{alone:?} alone, {traced:?} traced");
    std::io::stderr().write_all(format!("5000 writes: {alone:?} alone, {traced:?} traced\n").as_bytes()).unwrap();
}

#[test]
fn an_ordinary_user_traces_what_it_started() {
    if rustix::process::geteuid().is_root() {
        super::files_tests::as_ordinary_user("host::trace_tests::all_writes_of_all_threads_and_children_under_signals");
    }
}

#[test]
fn whose_tracing_is_not_allowed() {
    // Nobody may trace a thread of its own process.
    let own = std::process::id();
    assert_eq!(Trace::start(&[own]).err(), Some(TraceError::NotAllowed(own)));
    assert!(TraceError::NotAllowed(own).to_string().contains("ptrace_scope"));
}
