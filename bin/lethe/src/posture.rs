//! `lethe posture`: what stands around each running part, and who says so.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lethe_handover::{Outcome, Posture, Role, Wall};
use lethe_supervisor::{ExitCount, FailedStarts, KernelView, PanicCount, PartReport, Report, ReportRequest, of_process};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{failure::Failure, place::SUPERVISOR_SOCKET, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe posture
  lethe posture --probe          every part tries every way out again, now
  lethe posture --json | jq .good

Each claim says who makes it: the kernel (enforced), the process itself (reported), the operator (asserted). Root on this machine
can read the memory of every process; no claim here is about root.")]
pub(crate) struct Args {
    /// State folder of the Lethe on this machine
    #[arg(long, value_name = "DIR", env = "LETHE_STATE", default_value = "./lethe-state")]
    state: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Have every part try its ways out again
    #[arg(long)]
    probe: bool,
}

/// Who makes a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    AssertedByTheOperator,
    EnforcedByTheKernel,
    ReportedByTheProcess,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::AssertedByTheOperator => "operator",
            Self::EnforcedByTheKernel => "kernel",
            Self::ReportedByTheProcess => "process",
        }
    }
}

/// One claim about one part.
#[derive(Debug, Serialize)]
struct Claim {
    claim: &'static str,
    kind: Kind,
    /// `null`: a fact that is neither good nor bad.
    holds: Option<bool>,
    value: String,
}

#[derive(Serialize)]
struct Shown {
    role: Role,
    pid: u32,
    good: bool,
    claims: Vec<Claim>,
    /// What the kernel shows from outside; `null` if the process is gone.
    kernel: Option<KernelView>,
    /// What the process reported.
    reported: Option<Posture>,
}

#[derive(Serialize)]
struct Summary {
    good: bool,
    supervisor: u32,
    parts: Vec<Shown>,
    /// Parts that are being started again.
    missing: Vec<Role>,
    /// What went wrong since the start, by counts: ends, starts that failed, panics.
    exits: Vec<ExitCount>,
    failed_starts: Vec<FailedStarts>,
    panics: Vec<PanicCount>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let report = ask(&args.state, &ReportRequest { probe: args.probe, order: None }).await?;
    let Report { supervisor, parts, missing, exits, failed_starts, panics } = report;
    let parts: Vec<Shown> = parts.into_iter().map(show).collect();
    let good = !parts.is_empty() && missing.is_empty() && parts.iter().all(|part| part.good);
    let summary = Summary { good, supervisor, parts, missing, exits, failed_starts, panics };
    if args.json {
        let text = serde_json::to_string(&summary).map_err(|_| Failure::failed("the posture cannot be written as JSON"))?;
        say::line(&text);
    } else {
        say::table(&table(&summary));
        counts(&summary);
    }
    if summary.good { Ok(()) } else { Err(Failure::failed("a part or a wall is missing, or a way out is open")) }
}

/// What went wrong since the start, where anything did.
fn counts(summary: &Summary) {
    for role in &summary.missing {
        say::line(&format!("the {} is being started again", role.name()));
    }
    for ExitCount { role, exit, count } in &summary.exits {
        say::line(&format!("the {} ended by itself {count} times ({exit})", role.name()));
    }
    for FailedStarts { role, count } in &summary.failed_starts {
        say::line(&format!("the {} could not be started again {count} times", role.name()));
    }
    for PanicCount { role, build, location, line, count } in &summary.panics {
        say::line(&format!("the {} panicked {count} times at {location}:{line}, build {build}", role.name()));
    }
}

/// Asks the supervisor of the Lethe on `folder`.
pub(crate) async fn ask<T: DeserializeOwned>(folder: &Path, request: &ReportRequest) -> Result<T, Failure> {
    let state = folder.display();
    let broken = |_| Failure::failed(format!("the supervisor on {state} did not answer"));
    let path = folder.join(SUPERVISOR_SOCKET);
    let mut stream = UnixStream::connect(path).await.map_err(|_| {
        Failure::failed(format!(
            "no Lethe runs on {state}: start one with `lethe up --state {state}`, or name another with --state"
        ))
    })?;
    let mut question = serde_json::to_vec(request).unwrap_or_default();
    question.push(b'\n');
    stream.write_all(&question).await.map_err(broken)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.map_err(broken)?;
    serde_json::from_str(&line).map_err(|_| Failure::failed(format!("the supervisor on {state} is of another version")))
}

fn show(part: PartReport) -> Shown {
    let kernel = i32::try_from(part.pid).ok().and_then(of_process);
    let mut claims = match &kernel {
        Some(kernel) => from_kernel(part.role, kernel),
        None => {
            vec![Claim { claim: "runs", kind: Kind::EnforcedByTheKernel, holds: Some(false), value: "no such process".into() }]
        }
    };
    match &part.posture {
        Some(posture) => claims.extend(from_process(posture)),
        None if part.role == Role::Control => {}
        None => {
            claims.push(Claim { claim: "posture", kind: Kind::ReportedByTheProcess, holds: Some(false), value: "none".into() })
        }
    }
    if part.silent {
        let value = "no answer to the probe".into();
        claims.push(Claim { claim: "answers a probe", kind: Kind::ReportedByTheProcess, holds: Some(false), value });
    }
    let good = claims.iter().all(|claim| claim.holds != Some(false));
    Shown { role: part.role, pid: part.pid, good, claims, kernel, reported: part.posture }
}

/// What the kernel shows of a process. Control holds no content: no filter and no file limit is claimed for it.
fn from_kernel(role: Role, kernel: &KernelView) -> Vec<Claim> {
    let claim = |claim, holds, value: String| Claim { claim, kind: Kind::EnforcedByTheKernel, holds, value };
    let [inheritable, permitted, effective, _, ambient] = kernel.capabilities;
    let capabilities = inheritable | permitted | effective | ambient;
    let mut claims = vec![
        claim("not root", Some(!kernel.uids.contains(&0)), format!("uid {}", kernel.uids.map(|uid| uid.to_string()).join(" "))),
        claim("no capabilities", Some(capabilities == 0), format!("{capabilities:016x}")),
        claim("no new privileges", Some(kernel.no_new_privileges), kernel.no_new_privileges.to_string()),
        claim("no core dump", Some(kernel.core_limit == Some(0)), limit(kernel.core_limit)),
    ];
    if role != Role::Control {
        let filter = format!("mode {}, {} filter(s)", kernel.seccomp, kernel.seccomp_filters);
        claims.push(claim("system calls filtered", Some(kernel.seccomp == 2), filter));
        claims.push(claim("no file can grow", Some(kernel.file_size_limit == Some(0)), limit(kernel.file_size_limit)));
        claims.push(claim("nothing in swap", Some(kernel.swapped_kb == 0), format!("{} kB", kernel.swapped_kb)));
    }
    claims.push(claim("threads", None, kernel.threads.to_string()));
    claims
}

fn limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes"))
}

/// What a process says of itself. Fewer than two walls is a missing wall.
fn from_process(posture: &Posture) -> Vec<Claim> {
    let claim = |claim, holds, value: String| Claim { claim, kind: Kind::ReportedByTheProcess, holds, value };
    let walls: Vec<&str> = posture.walls.iter().copied().map(wall).collect();
    let open: Vec<&str> = posture
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Succeeded)
        .map(|attempt| attempt.name.as_str())
        .collect();
    let attempts = match open.as_slice() {
        [] => format!("{} of {0} refused", posture.attempts.len()),
        open => format!("open: {}", open.join(", ")),
    };
    let abi = posture.landlock_abi.map_or_else(String::new, |abi| format!(" (Landlock ABI {abi})"));
    let file = posture
        .descriptors
        .iter()
        .any(|descriptor| matches!(descriptor.kind.as_str(), "file" | "directory" | "device" | "unknown"));
    let mut claims = vec![
        claim("two walls", Some(posture.walls.len() >= 2), format!("{}{abi}", walls.join(" + "))),
        claim("every way out refused", Some(!posture.attempts.is_empty() && open.is_empty()), attempts),
        claim("no file open", Some(!file), kinds(posture)),
        claim("own user", None, posture.own_user.to_string()),
        claim("keys in secret memory", None, if posture.secret_memory { "memfd_secret" } else { "locked pages" }.to_owned()),
        claim("memory never swapped", None, if posture.memory_locked { "locked" } else { "no swap on this machine" }.to_owned()),
    ];
    if posture.unconfined {
        let value = "started with --unconfined".to_owned();
        claims.push(Claim { claim: "confined", kind: Kind::AssertedByTheOperator, holds: Some(false), value });
    }
    claims
}

/// The descriptor table in short: how many of each kind. The whole of it is in the JSON.
fn kinds(posture: &Posture) -> String {
    let mut kinds = BTreeMap::new();
    for descriptor in &posture.descriptors {
        *kinds.entry(descriptor.kind.as_str()).or_insert(0) += 1;
    }
    kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

const fn wall(wall: Wall) -> &'static str {
    match wall {
        Wall::EmptyRoot => "empty root",
        Wall::Landlock => "Landlock",
        Wall::Seccomp => "seccomp",
    }
}

fn table(summary: &Summary) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["PART", "CLAIM", "HOLDS", "SAID BY", "VALUE"]);
    for part in &summary.parts {
        for (index, claim) in part.claims.iter().enumerate() {
            let name = if index == 0 { format!("{} ({})", part.role.name(), part.pid) } else { String::new() };
            let holds = match claim.holds {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            table.add_row([name.as_str(), claim.claim, holds, claim.kind.name(), claim.value.as_str()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use lethe_handover::{Attempt, Descriptor, Outcome, Posture, Role, Wall};
    use lethe_supervisor::KernelView;

    use super::{Claim, from_kernel, from_process};

    fn posture() -> Posture {
        Posture {
            role: Role::Gateway,
            unconfined: false,
            walls: vec![Wall::Landlock, Wall::Seccomp],
            landlock_abi: Some(7),
            own_user: true,
            secret_memory: true,
            memory_locked: true,
            descriptors: vec![Descriptor { fd: 3, kind: "socket:unix:seqpacket".into() }],
            attempts: vec![Attempt { name: "create_file".into(), outcome: Outcome::Refused(1) }],
        }
    }

    fn kernel() -> KernelView {
        KernelView {
            pid: 1,
            seccomp: 2,
            seccomp_filters: 1,
            no_new_privileges: true,
            capabilities: [0, 0, 0, u64::MAX, 0],
            uids: [990; 4],
            gids: [990; 4],
            groups: Vec::new(),
            threads: 3,
            resident_kb: 1,
            swapped_kb: 0,
            core_limit: Some(0),
            file_size_limit: Some(0),
        }
    }

    fn broken(claims: &[Claim]) -> Vec<&'static str> {
        claims.iter().filter(|claim| claim.holds == Some(false)).map(|claim| claim.claim).collect()
    }

    #[test]
    fn a_confined_process_has_no_broken_claim() {
        assert!(broken(&from_process(&posture())).is_empty());
        assert!(broken(&from_kernel(Role::Gateway, &kernel())).is_empty());
        let control = KernelView { seccomp: 0, file_size_limit: None, ..kernel() };
        assert!(broken(&from_kernel(Role::Control, &control)).is_empty());
    }

    #[test]
    fn every_missing_wall_is_seen() {
        assert_eq!(broken(&from_process(&Posture { walls: vec![Wall::Seccomp], ..posture() })), ["two walls"]);
        let open = Attempt { name: "create_file".into(), outcome: Outcome::Succeeded };
        assert_eq!(broken(&from_process(&Posture { attempts: vec![open], ..posture() })), ["every way out refused"]);
        assert_eq!(broken(&from_process(&Posture { attempts: Vec::new(), ..posture() })), ["every way out refused"]);
        let file = Descriptor { fd: 9, kind: "file".into() };
        assert_eq!(broken(&from_process(&Posture { descriptors: vec![file], ..posture() })), ["no file open"]);
        assert_eq!(broken(&from_process(&Posture { unconfined: true, ..posture() })), ["confined"]);
        for (view, claim) in [
            (KernelView { seccomp: 0, ..kernel() }, "system calls filtered"),
            (KernelView { no_new_privileges: false, ..kernel() }, "no new privileges"),
            (KernelView { capabilities: [0, 0, 1, 0, 0], ..kernel() }, "no capabilities"),
            (KernelView { uids: [990, 990, 0, 990], ..kernel() }, "not root"),
            (KernelView { core_limit: None, ..kernel() }, "no core dump"),
            (KernelView { file_size_limit: Some(1), ..kernel() }, "no file can grow"),
            (KernelView { swapped_kb: 4, ..kernel() }, "nothing in swap"),
        ] {
            assert_eq!(broken(&from_kernel(Role::Gateway, &view)), [claim]);
        }
    }
}
