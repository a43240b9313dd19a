//! The thread that traces: attaching, answering stops, letting go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions};

use super::calls::{self, Call};
use super::process;
use super::trace::{ATTACH, TraceError, Traced};
use super::tracee::Ledger;

/// Threads that are traced at once.
const THREADS: usize = 8192;
/// Waiting actively after the last stop, as the next is near.
const ACTIVE: Duration = Duration::from_micros(300);
const SLEEP: Duration = Duration::from_micros(100);
const LONGEST_SLEEP: Duration = Duration::from_millis(1);
/// How often it is looked for threads that ended without a word, and stopped ones that are to go on.
const SWEEP: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Asked to stop for the first time.
    Attaching,
    Running,
    /// Stopped by a signal (group-stop), until it is continued by one.
    Held,
}

#[derive(Clone, Copy)]
struct Thread {
    process: u32,
    standing: Standing,
}

/// What is known of the traced threads; it goes from one tracing thread to the next.
#[derive(Default)]
pub(super) struct Tracer {
    roots: Vec<u32>,
    threads: BTreeMap<u32, Thread>,
    ledger: Ledger,
    own: u32,
    calls: u64,
    total: u64,
    again: bool,
}

fn pid(tid: u32) -> Pid {
    Pid::from_raw(tid.cast_signed())
}

fn looking() -> WaitIdOptions {
    let own_threads = WaitIdOptions::from_bits_retain((libc::__WALL | libc::__WNOTHREAD).cast_unsigned());
    WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | own_threads
}

fn tracer_of(tid: u32) -> Option<u32> {
    process::status(tid, "TracerPid")?.parse().ok()
}

impl Tracer {
    pub(super) fn new(roots: Vec<u32>) -> Self {
        Self { roots, ..Self::default() }
    }

    pub(super) fn gap(&mut self, what: &str) {
        self.ledger.gaps.add(what);
    }

    /// Makes the calling thread the one that traces.
    pub(super) fn attach(&mut self, stop: &AtomicBool) -> Result<(), TraceError> {
        self.own = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        // Those that the generation before had, too.
        let before = std::mem::take(&mut self.threads);
        let mut failed = None;
        for process in self.roots.iter().copied().chain(before.values().map(|thread| thread.process)).collect::<BTreeSet<_>>() {
            if let Err(error) = self.seize(process)
                && self.roots.contains(&process)
            {
                failed = Some(error);
                self.ledger.gaps.add(error.to_string());
            }
        }
        if self.threads.is_empty() {
            return Err(failed.unwrap_or(TraceError::System(libc::ESRCH)));
        }
        let limit = Instant::now() + ATTACH;
        while self.threads.values().any(|thread| thread.standing == Standing::Attaching) {
            self.pass();
            if Instant::now() > limit {
                self.ledger.gaps.add("a thread did not stop to be traced: its calls are seen from its next stop on");
                break;
            }
            if self.again || stop.load(Ordering::Acquire) {
                break;
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// All threads of a process: listed anew until there is none that is not known.
    fn seize(&mut self, process: u32) -> Result<(), TraceError> {
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_TRACEFORK
            | ptrace::Options::PTRACE_O_TRACEVFORK
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_TRACEEXIT;
        let mut any = false;
        loop {
            let mut new = false;
            let tasks = std::fs::read_dir(format!("/proc/{process}/task")).map_err(|_| TraceError::Gone(process))?;
            for tid in tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok()) {
                if self.threads.contains_key(&tid) {
                    any = true;
                    continue;
                }
                if self.threads.len() >= THREADS {
                    self.ledger.gaps.add(format!("more than {THREADS} threads: the rest is not traced"));
                    return Ok(());
                }
                match ptrace::seize(pid(tid), options) {
                    Ok(()) => {
                        // It fails only for a thread that is gone.
                        let _ = ptrace::interrupt(pid(tid));
                    }
                    Err(Errno::ESRCH) => continue,
                    // Born of a traced thread: it is traced already.
                    Err(Errno::EPERM) if tracer_of(tid) == Some(self.own) => {}
                    Err(Errno::EPERM) if process::stat(tid).is_none_or(|(state, _)| matches!(state, b'Z' | b'X')) => continue,
                    Err(Errno::EPERM | Errno::EACCES) => return Err(TraceError::NotAllowed(process)),
                    Err(errno) => return Err(TraceError::System(errno as i32)),
                }
                new = true;
                self.insert(tid, process, Standing::Attaching);
            }
            if !new {
                return if any { Ok(()) } else { Err(TraceError::Gone(process)) };
            }
            any = true;
        }
    }

    fn insert(&mut self, tid: u32, process: u32, standing: Standing) {
        if self.threads.insert(tid, Thread { process, standing }).is_none() {
            self.total += 1;
        }
    }

    /// Until the end is asked for (`false`) or another thread has to take over (`true`).
    pub(super) fn run(&mut self, stop: &AtomicBool) -> bool {
        let mut last = Instant::now();
        let mut swept = last;
        let mut sleep = SLEEP;
        loop {
            if self.again {
                return std::mem::take(&mut self.again);
            }
            if stop.load(Ordering::Acquire) {
                return false;
            }
            let any = self.pass();
            let now = Instant::now();
            if now.duration_since(swept) >= SWEEP {
                swept = now;
                self.sweep();
            }
            if any {
                last = now;
                sleep = SLEEP;
            } else if now.duration_since(last) < ACTIVE {
                std::thread::yield_now();
            } else {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(LONGEST_SLEEP);
            }
        }
    }

    /// Looks at each thread once and lets go on what has stopped. Nothing is taken from the kernel by looking (WNOWAIT): what is not answered when
    /// this thread ends, a signal above all, is still there for the tracee. Ends of processes are left to their parents.
    fn pass(&mut self) -> bool {
        let mut any = false;
        let mut at = 0;
        while let Some((&tid, &thread)) = self.threads.range(at..).next() {
            at = tid + 1;
            if thread.standing == Standing::Held {
                continue;
            }
            let Some(id) = rustix::process::Pid::from_raw(tid.cast_signed()) else { continue };
            match rustix::process::waitid(WaitId::Pid(id), looking() | WaitIdOptions::NOWAIT) {
                Ok(Some(status)) => {
                    any = true;
                    if let Some(code) = status.trapping_signal().or_else(|| status.stopping_signal()) {
                        self.stopped(tid, thread, code);
                    }
                    if self.again {
                        return true;
                    }
                }
                Ok(None) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => self.vanished(tid, thread),
            }
        }
        any
    }

    /// A thread is no more. If it replaced its process's program (execve(2)), it goes on under the process's number.
    fn vanished(&mut self, tid: u32, thread: Thread) {
        self.threads.remove(&tid);
        if tid != thread.process && !self.threads.contains_key(&thread.process) && tracer_of(thread.process) == Some(self.own) {
            self.insert(thread.process, thread.process, Standing::Running);
        }
    }

    /// Answers one stop. `code` is the signal, and above it the event.
    fn stopped(&mut self, tid: u32, thread: Thread, code: i32) {
        const SYSCALL: i32 = libc::SIGTRAP | 0x80;
        let (signal, event) = (code & 0xff, code >> 8);
        let mut deliver = None;
        match (signal, event) {
            (SYSCALL, 0) => self.call(tid, thread),
            (_, 0) => match Signal::try_from(signal) {
                Ok(signal) => {
                    if signal == Signal::SIGCONT {
                        self.release(thread.process);
                    }
                    deliver = Some(signal);
                }
                // A real-time signal.
                Err(_) => {
                    self.ledger
                        .gaps
                        .add("tracing was taken up anew to let a real-time signal through: writes in between are not seen");
                    self.again = true;
                    return;
                }
            },
            (_, libc::PTRACE_EVENT_STOP) if signal != libc::SIGTRAP => {
                self.insert(tid, thread.process, Standing::Held);
                return;
            }
            (_, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => self.born(tid),
            (_, libc::PTRACE_EVENT_EXIT) => {
                // Its end is not for a tracer to see, which would have to take notice of it before the parent can.
                let _ = ptrace::detach(pid(tid), None);
                self.threads.remove(&tid);
                return;
            }
            // Until this stop is taken notice of, the kernel takes the number for that of the thread which had it before.
            (_, libc::PTRACE_EVENT_EXEC) => {
                if let Some(id) = rustix::process::Pid::from_raw(tid.cast_signed()) {
                    let _ = rustix::process::waitid(WaitId::Pid(id), looking());
                }
            }
            _ => {}
        }
        self.insert(tid, thread.process, Standing::Running);
        if ptrace::syscall(pid(tid), deliver) == Err(Errno::ESRCH) && process::stat(tid).is_none() {
            self.threads.remove(&tid);
        }
    }

    fn born(&mut self, parent: u32) {
        let Some(child) = ptrace::getevent(pid(parent)).ok().and_then(|child| u32::try_from(child).ok()) else { return };
        let process = process::status(child, "Tgid").and_then(|tgid| tgid.parse().ok()).unwrap_or(child);
        if !self.threads.contains_key(&child) {
            self.insert(child, process, Standing::Running);
        }
    }

    /// At a call's beginning the result reads "no such call"; at its end, what it is. The arguments are still there then.
    #[cfg(target_arch = "x86_64")]
    fn call(&mut self, tid: u32, thread: Thread) {
        const OF_32_BITS: u64 = 0x23;
        let Ok(registers) = ptrace::getregs(pid(tid)) else { return };
        let result = registers.rax.cast_signed();
        if result == -i64::from(libc::ENOSYS) {
            return;
        }
        self.calls += 1;
        if registers.cs == OF_32_BITS {
            self.ledger.gaps.add("calls of a 32-bit program are not told apart");
            return;
        }
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        let call = Call { number: registers.orig_rax.cast_signed(), arguments, result };
        if let Some(effect) = calls::effect(&call) {
            self.ledger.add(thread.process, tid, effect);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn call(&mut self, _tid: u32, _thread: Thread) {}

    /// Lets the held threads of a process go on.
    fn release(&mut self, process: u32) {
        for (&tid, thread) in &mut self.threads {
            if thread.process == process && thread.standing == Standing::Held && ptrace::syscall(pid(tid), None).is_ok() {
                thread.standing = Standing::Running;
            }
        }
    }

    fn sweep(&mut self) {
        const CONTINUE: u64 = 1 << (libc::SIGCONT - 1);
        let mut ended = Vec::new();
        let mut continued = BTreeSet::new();
        for (&tid, thread) in &self.threads {
            match process::stat(tid) {
                None => ended.push(tid),
                Some((b'Z' | b'X', parent)) => {
                    // Killed before it could stop at its end. A thread that a tracer does not take notice of keeps its process from ending; of
                    // a child of this process, whoever started it takes notice.
                    let child = tid == thread.process && parent == std::process::id();
                    if !child && let Some(id) = rustix::process::Pid::from_raw(tid.cast_signed()) {
                        let options = WaitOptions::NOHANG
                            | WaitOptions::from_bits_retain((libc::__WALL | libc::__WNOTHREAD).cast_unsigned());
                        let _ = rustix::process::waitpid(Some(id), options);
                    }
                    // A leader waits for its threads as a zombie.
                    if tid != thread.process || process::stat(tid).is_none() {
                        ended.push(tid);
                    }
                }
                Some(_) if thread.standing == Standing::Held => {
                    // A signal to go on waits while the thread is held here; elsewhere it would have woken it.
                    let pending = ["SigPnd", "ShdPnd"].iter().filter_map(|member| process::status(tid, member));
                    if pending.filter_map(|mask| u64::from_str_radix(&mask, 16).ok()).any(|mask| mask & CONTINUE != 0) {
                        continued.insert(thread.process);
                    }
                }
                Some(_) => {}
            }
        }
        for tid in ended {
            self.threads.remove(&tid);
        }
        for process in continued {
            self.release(process);
        }
    }

    /// Waits until the kernel has let all of them go; it does so within the end of the tracing thread.
    pub(super) fn released(&mut self) {
        let limit = Instant::now() + ATTACH;
        for &tid in self.threads.keys() {
            while tracer_of(tid) == Some(self.own) && Instant::now() < limit {
                std::thread::sleep(SLEEP);
            }
        }
    }

    pub(super) fn into_traced(mut self) -> Traced {
        if self.calls == 0 {
            self.gap("no call of the traced processes was seen");
        }
        let (written, destinations, gaps) = self.ledger.into_parts();
        Traced { written, destinations, gaps: gaps.into_list(), calls: self.calls, threads: self.total }
    }
}
