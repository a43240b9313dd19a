//! Every successful call that writes, of running processes and their children, by ptrace(2).
//!
//! A tracee is let go by the end of the thread that traces it: the kernel then detaches without a further stop, and a signal that was about to be
//! delivered is. So nothing has to be done, or can be forgotten, for a target to go on, also when the audit is killed. It is also how a real-time
//! signal gets through, which cannot be named to PTRACE_SYSCALL here: the tracing thread ends and another takes over.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::tracee::{Sent, Written};
use super::tracer::Tracer;

/// For all threads to come to their first stop, and to be let go.
pub(super) const ATTACH: Duration = Duration::from_secs(3);

/// Why nothing is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// There is no such process.
    Gone(u32),
    /// Another user's process, kernel.yama.ptrace_scope, or a debugger has it.
    NotAllowed(u32),
    /// Not on this kind of processor.
    Unsupported,
    /// The number of another error of the system.
    System(i32),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(pid) => write!(f, "there is no process {pid}"),
            Self::NotAllowed(pid) => write!(
                f,
                "process {pid} may not be traced: it is another user's, kernel.yama.ptrace_scope forbids it, or it is traced already"
            ),
            Self::Unsupported => f.write_str("calls are not traced on this kind of processor"),
            Self::System(number) => write!(f, "calls cannot be traced: error {number}"),
        }
    }
}

impl std::error::Error for TraceError {}

/// What was traced.
#[derive(Default)]
pub struct Traced {
    pub written: Vec<Written>,
    pub destinations: Vec<Sent>,
    pub gaps: Vec<String>,
    /// All calls that ended, of every kind: the positive control that something was seen.
    pub calls: u64,
    /// All threads that were traced at any time.
    pub threads: u64,
}

/// Tracing from [`Trace::start`] until [`Trace::finish`].
pub struct Trace {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Traced>>,
}

impl Trace {
    /// Attaches to all threads of these processes; when this returns, each of their calls is seen, and those of their children to come.
    ///
    /// Meanwhile nobody in this process may wait for one of them (`Child::wait`, `Child::try_wait`): the kernel would answer with a stop that is for
    /// the tracer, which looks like an end. Ask [`super::process::is_alive`] and wait when it is not.
    ///
    /// # Errors
    /// [`TraceError`] if none of the processes can be traced.
    pub fn start(pids: &[u32]) -> Result<Self, TraceError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(TraceError::Unsupported);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (told, attached) = mpsc::sync_channel(1);
        let (pids, stopped) = (pids.to_vec(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || generations(pids, &stopped, &told))
            .map_err(|error| TraceError::System(error.raw_os_error().unwrap_or_default()))?;
        let trace = Self { stop, thread: Some(thread) };
        match attached.recv_timeout(ATTACH * 2) {
            Ok(Ok(())) => Ok(trace),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(TraceError::System(libc::ETIMEDOUT)),
        }
    }

    /// Detaches; the processes go on as if nothing had been.
    #[must_use]
    pub fn finish(mut self) -> Traced {
        self.stop.store(true, Ordering::Release);
        let failed = || Traced {
            written: Vec::new(),
            destinations: Vec::new(),
            gaps: vec!["the tracing thread failed".to_owned()],
            calls: 0,
            threads: 0,
        };
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_else(failed)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

type Told = mpsc::SyncSender<Result<(), TraceError>>;

/// One tracing thread after another, until the end is asked for.
fn generations(pids: Vec<u32>, stop: &Arc<AtomicBool>, told: &Told) -> Traced {
    let mut tracer = Tracer::new(pids);
    let mut first = true;
    loop {
        let (stop, told) = (Arc::clone(stop), told.clone());
        let spawned = std::thread::Builder::new().name("tracer".to_owned()).spawn(move || {
            let again = match tracer.attach(&stop) {
                Ok(()) => {
                    let _ = told.try_send(Ok(()));
                    tracer.run(&stop)
                }
                Err(error) => {
                    let _ = told.try_send(Err(error));
                    if !first {
                        tracer.gap("tracing ended early: it could not be taken up again");
                    }
                    false
                }
            };
            (tracer, again)
        });
        let Ok(thread) = spawned else { return Tracer::default().into_traced() };
        let Ok((ended, again)) = thread.join() else { return Tracer::default().into_traced() };
        tracer = ended;
        tracer.released();
        first = false;
        if !again {
            return tracer.into_traced();
        }
    }
}
