//! The supervisor against small children that behave as told. This program is its own child: it must reserve descriptors 3 and
//! 4 before anything is opened, so it has no test harness around it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a failed unwrap is a failed test")]

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use lethe_handover::{BootOptions, Identity, NodeBoot, Role, SecretBytes, Stage, ToChild};
use lethe_supervisor::{
    Answer, Crew, Crewmates, DrainLimits, End, Exit, Failure, Launcher, Notice, Obeyed, Order, Outcome, Part, Pauses, Report,
    Rules, Signals, StartError, Started, supervise,
};
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

#[path = "children/child.rs"]
mod child;

/// What a child does, by the number of connections that its boot message allows.
mod behaviour {
    pub(crate) const SERVES: u32 = 0;
    pub(crate) const STOPS_AT_FILESYSTEM: u32 = 1;
    pub(crate) const FINDS_A_WAY_OUT: u32 = 2;
    pub(crate) const HANGS: u32 = 3;
    pub(crate) const DIES_WHEN_PROBED: u32 = 4;
    pub(crate) const IGNORES_DRAIN: u32 = 5;
}

const PATIENT: DrainLimits = DrainLimits { serving: Duration::from_secs(30), other: Duration::from_secs(30) };
const HASTY: DrainLimits = DrainLimits { serving: Duration::from_millis(200), other: Duration::from_millis(200) };
/// Far longer than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn rules(drain: DrainLimits) -> Rules {
    let pauses = Pauses { first: Duration::from_millis(10), longest: Duration::from_millis(40), well: Duration::from_secs(60) };
    Rules { drain, pauses, recycle_after: Duration::MAX }
}

/// Starts the children that it was told to, one behaviour after the other, and keeps what it is told.
struct Children {
    launcher: Arc<Launcher>,
    behaviours: Mutex<Vec<u32>>,
    told: Mutex<Vec<String>>,
    seen: tokio::sync::Notify,
    running: Mutex<Vec<(Role, u32)>>,
}

impl Children {
    fn new(launcher: &Arc<Launcher>, behaviours: &[u32]) -> Arc<Self> {
        Arc::new(Self {
            launcher: Arc::clone(launcher),
            behaviours: Mutex::new(behaviours.iter().rev().copied().collect()),
            told: Mutex::default(),
            seen: tokio::sync::Notify::new(),
            running: Mutex::default(),
        })
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn pid(&self, role: Role) -> Option<u32> {
        self.running.lock().unwrap().iter().find(|(of, _)| *of == role).map(|(_, pid)| *pid)
    }

    /// Waits until something was told that begins like this.
    async fn hears(&self, beginning: &str) {
        let heard = async {
            while !self.told().iter().any(|said| said.starts_with(beginning)) {
                self.seen.notified().await;
            }
        };
        tokio::time::timeout(LIMIT, heard).await.unwrap_or_else(|_| panic!("{beginning}: {:?}", self.told()));
    }
}

impl Crew for Children {
    async fn start(self: Arc<Self>, role: Role) -> Result<Started, String> {
        assert_eq!(role, Role::Node);
        let behaviour = self.behaviours.lock().unwrap().pop().unwrap();
        let part = start(&self.launcher, behaviour).await.map_err(|error| error.to_string())?;
        Ok(Started { parts: vec![part], errands: Vec::new() })
    }

    async fn obey(self: Arc<Self>, order: Order, _: Crewmates) -> Obeyed {
        let behaviour = self.behaviours.lock().unwrap().pop().unwrap();
        match start(&self.launcher, behaviour).await {
            Ok(part) => Obeyed { started: vec![part], answer: Answer::done(vec![order.name().to_owned()]) },
            Err(error) => Obeyed { started: Vec::new(), answer: Answer::failed(error.to_string()) },
        }
    }

    fn has_new_secrets(&self) -> bool {
        false
    }

    fn heard(&self, _: &SecretBytes, _: &Crewmates) {}

    fn running(&self, parts: &[(Role, u32)]) {
        *self.running.lock().unwrap() = parts.to_vec();
    }

    fn tell(&self, notice: Notice) {
        self.told.lock().unwrap().push(format!("{notice:?}"));
        self.seen.notify_one();
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("node") => child::node(),
        Some("control") => child::control(),
        // What a test runner asks (the protocol of `libtest`'s --list): the scenarios run in order, as one test.
        _ if std::env::args().any(|argument| argument == "--list") => {
            if !std::env::args().any(|argument| argument == "--ignored") {
                println!("scenarios: test");
            }
        }
        // Descriptors that a test runner leaves open must not reach the children.
        _ => {
            lethe_supervisor::shed_inherited_descriptors().unwrap();
            let launcher = Launcher::new().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(tests(launcher));
        }
    }
}

async fn tests(launcher: Launcher) {
    let launcher = Arc::new(launcher);
    let folder = tempfile::tempdir().unwrap();
    println!("a_failed_step_is_explained");
    a_failed_step_is_explained(&launcher).await;
    println!("a_child_gets_two_descriptors_and_no_environment");
    a_child_gets_two_descriptors_and_no_environment(&launcher).await;
    println!("control_says_why_it_does_not_start");
    control_says_why_it_does_not_start(&launcher).await;
    println!("a_request_to_end_drains");
    a_request_to_end_drains(&launcher, folder.path()).await;
    println!("a_part_that_does_not_drain_is_killed");
    a_part_that_does_not_drain_is_killed(&launcher, folder.path()).await;
    println!("a_second_request_kills");
    a_second_request_kills(&launcher, folder.path()).await;
    println!("a_part_that_ends_is_counted_and_started_again");
    a_part_that_ends_is_counted_and_started_again(&launcher, folder.path()).await;
    println!("a_start_that_fails_is_tried_again");
    a_start_that_fails_is_tried_again(&launcher, folder.path()).await;
    println!("an_order_replaces_a_part_or_leaves_it");
    an_order_replaces_a_part_or_leaves_it(&launcher, folder.path()).await;
    println!("an_end_during_a_start_leaves_nothing_behind");
    an_end_during_a_start_leaves_nothing_behind(&launcher, folder.path()).await;
    println!("reports_are_served_and_probes_are_fresh");
    reports_are_served_and_probes_are_fresh(&launcher, folder.path()).await;
    println!("a_step_that_takes_too_long_is_named");
    let launcher = Arc::into_inner(launcher).unwrap();
    a_step_that_takes_too_long_is_named(launcher).await;
    println!("all tests passed");
}

async fn start(launcher: &Arc<Launcher>, behaviour: u32) -> Result<Part, StartError> {
    let identity = Identity { authority: Vec::new(), chain: Vec::new(), key: SecretBytes::new(Vec::new()) };
    let boot = ToChild::Node(Box::new(NodeBoot { identity, max_connections: behaviour }), BootOptions::default());
    launcher.confined(&own_path(), Role::Node, &boot, &[]).await
}

fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn socket(folder: &Path, name: &str) -> (PathBuf, UnixListener) {
    let path = folder.join(name);
    let listener = UnixListener::bind(&path).unwrap();
    (path, listener)
}

fn alive(pid: u32) -> bool {
    Pid::from_raw(i32::try_from(pid).unwrap()).is_some_and(|pid| test_kill_process(pid).is_ok())
}

async fn a_failed_step_is_explained(launcher: &Arc<Launcher>) {
    let error = start(launcher, behaviour::STOPS_AT_FILESYSTEM).await.err().unwrap();
    assert!(matches!(error.failure, Failure::Stage { stage: Some(Stage::Filesystem), .. }));
    assert_eq!(error.status.and_then(|status| status.code()), Some(3));
    let message = error.to_string();
    for part in ["the node did not start", "step filesystem (12 of 16)", "Landlock", "exit status: 3"] {
        assert!(message.contains(part), "{part}: {message}");
    }

    let error = start(launcher, behaviour::FINDS_A_WAY_OUT).await.err().unwrap().to_string();
    assert!(error.contains("step self_test") && error.contains("create_file") && !error.contains("mount"), "{error}");

    let absent = launcher.confined(Path::new("/nonexistent/lethe-dataplane"), Role::Node, &ToChild::Drain, &[]).await;
    assert!(absent.err().unwrap().to_string().contains("its executable cannot be started"));
    let mute = launcher.confined(Path::new("/bin/true"), Role::Node, &ToChild::Drain, &[]).await;
    assert!(mute.err().unwrap().to_string().contains("before its first step"));
}

async fn a_child_gets_two_descriptors_and_no_environment(launcher: &Arc<Launcher>) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    // The child reports what it holds as its descriptor table and its environment as an attempt (see `child::node`).
    let posture = part.posture().unwrap();
    let numbers: Vec<i32> = posture.descriptors.iter().map(|descriptor| descriptor.fd).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(posture.attempts[0].name, "environment:0");
    let pid = part.pid();
    assert!(alive(pid));
    part.stop(Duration::from_secs(30)).await;
    assert!(!alive(pid));
}

async fn control_says_why_it_does_not_start(launcher: &Arc<Launcher>) {
    let good = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap();
    assert_eq!(good.ready, "hello");
    good.part.stop(Duration::from_secs(30)).await;
    let error = launcher.control::<_, String>(&own_path(), &"fail", &[]).await.err().unwrap();
    assert_eq!(error.to_string(), "the control did not start: told to fail [exit status: 1]");
    let error = launcher.control::<_, String>(&own_path(), &"vanish", &[]).await.err().unwrap();
    assert!(matches!(error.failure, Failure::Channel(_)) && error.status.is_some());
}

async fn a_request_to_end_drains(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let pids = [part.pid(), control.pid()];
    let (path, listener) = socket(folder, "drain.sock");
    let crew = Children::new(launcher, &[]);
    let running = watch(&crew, vec![control, part], listener, PATIENT);
    // An answer shows that the parts are being watched.
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert_eq!(crew.told(), ["Draining"]);
    assert!(!pids.into_iter().any(alive));
}

async fn a_part_that_does_not_drain_is_killed(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::IGNORES_DRAIN).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "late.sock");
    let crew = Children::new(launcher, &[]);
    let running = watch(&crew, vec![part], listener, HASTY);
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::INT).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert_eq!(crew.told(), ["Draining", "Late(Node)"]);
    assert!(!alive(pid));
}

async fn a_second_request_kills(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::IGNORES_DRAIN).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "twice.sock");
    let crew = Children::new(launcher, &[]);
    let running = watch(&crew, vec![part], listener, PATIENT);
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::INT).unwrap();
    crew.hears("Draining").await;
    kill_process(getpid(), Signal::INT).unwrap();
    assert!(matches!(running.await.unwrap(), End::Killed));
    assert!(!alive(pid));
}

async fn a_part_that_ends_is_counted_and_started_again(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::DIES_WHEN_PROBED).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let (first, other) = (part.pid(), control.pid());
    let (path, listener) = socket(folder, "death.sock");
    let crew = Children::new(launcher, &[behaviour::SERVES]);
    let running = watch(&crew, vec![part, control], listener, PATIENT);
    // The question makes the child end in the middle of it.
    ask(&path, "{\"probe\":true}").await;
    crew.hears("Replaced(Node)").await;
    let told = crew.told();
    assert!(told[0].starts_with("Panicked(Node"), "{told:?}");
    let abort = Signal::ABORT.as_raw();
    assert_eq!(told[1], format!("Ended {{ role: Node, exit: Signal({abort}), times: 1, pause: 10ms }}"));
    let report = ask(&path, "{}").await;
    let exits: Vec<_> = report.exits.iter().map(|count| (count.role, count.exit, count.count)).collect();
    assert_eq!(exits, [(Role::Node, Exit::Signal(abort), 1)]);
    assert_eq!((report.panics.len(), report.panics[0].line, report.panics[0].count), (1, 3, 1));
    assert!(report.missing.is_empty() && report.failed_starts.is_empty());
    let pids: Vec<u32> = report.parts.iter().map(|part| part.pid).collect();
    assert!(pids.contains(&other) && !pids.contains(&first) && crew.pid(Role::Node).is_some_and(|pid| pids.contains(&pid)));
    assert!(alive(other), "the other part was left alone");
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert!(!pids.into_iter().any(alive));
}

async fn a_start_that_fails_is_tried_again(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "again.sock");
    let fails = behaviour::STOPS_AT_FILESYSTEM;
    let crew = Children::new(launcher, &[fails, fails, fails, behaviour::SERVES]);
    let running = watch(&crew, vec![part], listener, PATIENT);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    crew.hears("Replaced(Node)").await;
    let pauses: Vec<String> =
        crew.told().iter().filter_map(|said| Some(said.split_once("pause: ")?.1.trim_end_matches(" }").to_owned())).collect();
    assert_eq!(pauses, ["10ms", "20ms", "40ms", "40ms"]);
    let report = ask(&path, "{}").await;
    assert_eq!((report.failed_starts[0].role, report.failed_starts[0].count), (Role::Node, 3));
    assert_eq!(report.parts.len(), 1);
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
}

async fn an_order_replaces_a_part_or_leaves_it(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let first = part.pid();
    let (path, listener) = socket(folder, "order.sock");
    let crew = Children::new(launcher, &[behaviour::STOPS_AT_FILESYSTEM, behaviour::SERVES, behaviour::SERVES]);
    let running = watch(&crew, vec![part], listener, PATIENT);
    let order = async || -> Answer { serde_json::from_str(&say(&path, "{\"order\":\"upgrade\"}").await).unwrap() };
    let refused = order().await;
    assert!(refused.outcome == Outcome::Failed && refused.said[0].contains("filesystem"), "{refused:?}");
    assert_eq!(crew.pid(Role::Node), Some(first), "the old one goes on");
    assert_eq!(order().await, Answer::done(vec!["upgrade".to_owned()]));
    let second = crew.pid(Role::Node).unwrap();
    assert_ne!(second, first);
    // The old one ends when it has finished, and its end is no failure.
    let gone = async {
        while alive(first) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
    assert!(ask(&path, "{}").await.exits.is_empty());
    // By signal, nobody waits for the answer: it is told.
    kill_process(getpid(), Signal::USR2).unwrap();
    crew.hears("Answered(Upgrade").await;
    assert_ne!(crew.pid(Role::Node), Some(second));
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
}

async fn an_end_during_a_start_leaves_nothing_behind(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "during.sock");
    let crew = Children::new(launcher, &[behaviour::HANGS]);
    let running = watch(&crew, vec![part], listener, PATIENT);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let child = tokio::time::timeout(LIMIT, async {
        loop {
            // The child that hangs in its start is the only one that there is.
            if let Some(child) = children().into_iter().find(|child| *child != pid) {
                return child;
            }
            tokio::task::yield_now().await;
        }
    });
    let child = child.await.unwrap();
    assert_eq!(ask(&path, "{}").await.missing, [Role::Node]);
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert!(!alive(child));
}

/// Process ids of this process's children (proc_pid_task(5)).
fn children() -> Vec<u32> {
    let path = format!("/proc/self/task/{}/children", rustix::thread::gettid().as_raw_nonzero());
    std::fs::read_to_string(path).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn watch(crew: &Arc<Children>, parts: Vec<Part>, listener: UnixListener, drain: DrainLimits) -> tokio::task::JoinHandle<End> {
    let signals = Signals::new().unwrap();
    tokio::spawn(supervise(Arc::clone(crew), parts, listener, rules(drain), signals, std::future::pending()))
}

async fn reports_are_served_and_probes_are_fresh(launcher: &Arc<Launcher>, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let (path, listener) = socket(folder, "report.sock");
    let crew = Children::new(launcher, &[]);
    let running = watch(&crew, vec![part, control], listener, PATIENT);
    let first = ask(&path, "{}").await;
    assert_eq!(first.parts.len(), 2);
    assert_eq!(first.parts[0].role, Role::Node);
    assert_eq!(first.parts[0].posture.as_ref().unwrap().attempts.len(), 1);
    assert!(first.parts[1].posture.is_none() && !first.parts[1].silent);
    let probed = ask(&path, "{\"probe\":true}").await;
    assert_eq!(probed.parts[0].posture.as_ref().unwrap().attempts.len(), 2, "the child adds one attempt for each self-test");
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
}

async fn a_step_that_takes_too_long_is_named(launcher: Launcher) {
    let launcher = Arc::new(launcher.with_step_limit(Duration::from_secs(1)));
    let error = start(&launcher, behaviour::HANGS).await.err().unwrap();
    assert!(matches!(error.failure, Failure::TimedOut { stage: Some(Stage::SystemCalls), seconds: 1 }), "{error}");
    assert_eq!(error.status.and_then(|status| status.signal()), Some(Signal::KILL.as_raw()));
}

async fn ask(path: &Path, question: &str) -> Report {
    serde_json::from_str(&say(path, question).await).unwrap()
}

async fn say(path: &Path, question: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(format!("{question}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line
}
