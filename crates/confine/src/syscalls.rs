//! Wall 1: the system calls that a role may make, as data in `policy/`, compiled at the start.
//!
//! The policy is in seccompiler's JSON form. The rules under `shared` go into every role's filter. Everything else is
//! answered with `EPERM`. In front of the compiled program stand a few instructions that no rule can express: other ABIs of
//! the same machine are killed, and `clone3` is answered with `ENOSYS`, because its arguments lie in memory where a filter
//! cannot see them and the C library then falls back to `clone`.

use std::collections::HashMap;

use lethe_handover::Role;
use rustix::io::Errno;
use seccompiler::{BpfProgram, TargetArch, sock_filter};
use serde_json::Value;

use crate::sys;

const POLICY: &str = include_str!("../policy/x86_64.json");

/// Installs the filter of `role` on this thread and all threads that it will start.
///
/// # Errors
/// A policy that does not compile, or the kernel's refusal.
pub(crate) fn install(role: Role) -> Result<(), Errno> {
    let program = program(role).ok_or(Errno::INVAL)?;
    sys::install_filter(&program)
}

/// The whole program of `role`.
fn program(role: Role) -> Option<BpfProgram> {
    let mut program = prelude().to_vec();
    program.extend(compile(role)?);
    Some(program)
}

/// The policy's rules for `role`, together with the shared ones, compiled.
fn compile(role: Role) -> Option<BpfProgram> {
    let mut policy: HashMap<String, Value> = serde_json::from_str(POLICY).ok()?;
    let shared = policy.remove("shared")?.get_mut("filter")?.take();
    let mut own = policy.remove(role.name())?;
    own.get_mut("filter")?.as_array_mut()?.extend(shared.as_array()?.iter().cloned());
    let text = serde_json::to_vec(&HashMap::from([(role.name(), own)])).ok()?;
    seccompiler::compile_from_json(text.as_slice(), TargetArch::x86_64).ok()?.remove(role.name())
}

/// Offsets in `struct seccomp_data` (seccomp(2)).
const DATA_NUMBER: u32 = 0;
const DATA_ARCH: u32 = 4;
/// `AUDIT_ARCH_X86_64` (linux/audit.h): x86-64, little endian, 64 bits.
const ARCH_X86_64: u32 = 0xc000_003e;
/// `__X32_SYSCALL_BIT` (asm/unistd.h): the same entry as x86-64, with this bit in the number.
const X32_BIT: u32 = 0x4000_0000;
const CLONE3: u32 = 435;

fn prelude() -> [sock_filter; 8] {
    let load = |offset| sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset };
    let jump = |test: u32, k, jt, jf| sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k };
    let answer = |k| sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    [
        load(DATA_ARCH),
        jump(libc::BPF_JEQ, ARCH_X86_64, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(DATA_NUMBER),
        // At or beyond the bit: x32, and numbers that no ABI has.
        jump(libc::BPF_JGE, X32_BIT, 0, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        jump(libc::BPF_JEQ, CLONE3, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::BTreeSet;

    use super::*;

    fn rules(policy: &HashMap<String, Value>, part: &str) -> Vec<Value> {
        policy[part]["filter"].as_array().unwrap().clone()
    }

    #[test]
    fn every_role_compiles_and_fits_the_kernel() {
        for role in Role::CONFINED {
            let program = program(role).unwrap();
            // BPF_MAXINSNS (linux/bpf_common.h).
            assert!(program.len() <= 4096, "{}: {} instructions", role.name(), program.len());
        }
        assert!(program(Role::Control).is_none(), "control is not confined by this policy");
    }

    #[test]
    fn every_rule_says_why_and_none_is_there_twice() {
        let policy: HashMap<String, Value> = serde_json::from_str(POLICY).unwrap();
        let parts: BTreeSet<&str> = policy.keys().map(String::as_str).collect();
        assert_eq!(parts, BTreeSet::from(["shared", "dialer", "engine", "gateway", "node"]));
        for role in Role::CONFINED {
            let mut seen: HashMap<String, Vec<Value>> = HashMap::new();
            for rule in rules(&policy, "shared").into_iter().chain(rules(&policy, role.name())) {
                let name = rule["syscall"].as_str().unwrap().to_owned();
                assert!(rule["comment"].as_str().is_some_and(|why| why.len() > 10), "{name}: why?");
                let args = rule.get("args").cloned().unwrap_or(Value::Null);
                let same = seen.entry(name.clone()).or_default();
                assert!(!same.contains(&args), "{name}: redundant");
                assert!(same.is_empty() || (!args.is_null() && !same.contains(&Value::Null)), "{name}: filtered and unfiltered");
                same.push(args);
            }
        }
        for (part, filter) in &policy {
            assert_eq!(filter["mismatch_action"], serde_json::json!({ "errno": libc::EPERM }), "{part}");
            assert_eq!(filter["match_action"], "allow", "{part}");
        }
    }
}
