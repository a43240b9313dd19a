//! Looks into the built executables for what must not be in the data plane. They keep their symbol names (`strip = "debuginfo"`),
//! so a search of the bytes finds a linked library by its functions.
//!
//! Every absence has its control in the same run: `lethe` must show the database that the data plane must not have, and the
//! fault-injection build must show the panic.

use memchr::memmem::find;

use crate::house::{Failed, House};

/// What betrays a database.
const DATABASES: &[&str] = &["sqlite3_", "SQLite format 3", "PQconnect", "postgres", "sqlx", "rusqlite", "redis"];
/// What betrays a log backend. (`tracing` and `log` themselves are facades: without one of these they write nothing.)
const LOGS: &[&str] =
    &["tracing_subscriber", "tracing_appender", "env_logger", "log4rs", "simplelog", "flexi_logger", "opentelemetry"];
/// What betrays a second way to speak to the network.
const CLIENTS: &[&str] = &["reqwest", "OPENSSL_init_ssl", "native_tls"];
/// What betrays the test-only panic: its function and its place. (Not the text that triggers it: the compiler compares that in
/// pieces, so it is nowhere in one piece.)
const FAULT_INJECTION: &[&str] = &["panic_if_asked", "crates/gateway/src/fault.rs"];

pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let load = |name: &str| {
        let path = house.built(name);
        std::fs::read(&path)
            .map_err(|error| Failed::new(format!("{}: {error} (run `cargo xtask build --fault-injection`)", path.display())))
    };
    let executables = Executables {
        data_plane: load("lethe-dataplane")?,
        engine: load("lethe-engine")?,
        lethe: load("lethe")?,
        fault_injection: load("fault-injection/lethe-dataplane")?,
    };
    Failed::unless_empty("binary: the executables are not what they must be", &executables.check())?;
    println!("binary: no database, log backend or test-only panic in lethe-dataplane and lethe-engine; the controls were found");
    Ok(())
}

struct Executables {
    data_plane: Vec<u8>,
    engine: Vec<u8>,
    lethe: Vec<u8>,
    fault_injection: Vec<u8>,
}

impl Executables {
    fn check(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let all = [
            ("lethe-dataplane", &self.data_plane),
            ("lethe-engine", &self.engine),
            ("lethe", &self.lethe),
            ("fault-injection/lethe-dataplane", &self.fault_injection),
        ];
        for (name, bytes) in all {
            // Without names of functions the search below would prove nothing.
            for mark in ["\u{7f}ELF", ".symtab", "lethe_types"] {
                if !contains(bytes, mark) {
                    findings.push(format!("{name}: no {mark:?}: not a Lethe executable with symbols"));
                }
            }
        }
        for (name, bytes) in &all[..2] {
            for word in DATABASES.iter().chain(LOGS).chain(CLIENTS).chain(FAULT_INJECTION) {
                if contains(bytes, word) {
                    findings.push(format!("{name} contains {word:?}"));
                }
            }
        }
        for word in ["sqlite3_", "SQLite format 3", "sqlx"] {
            if !contains(&self.lethe, word) {
                findings.push(format!("control: lethe does not contain {word:?}, so the search finds nothing"));
            }
        }
        for word in FAULT_INJECTION {
            if !contains(&self.fault_injection, word) {
                findings
                    .push(format!("control: the fault-injection build does not contain {word:?}, so the search finds nothing"));
            }
        }
        findings
    }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    find(bytes, word.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "\u{7f}ELF .symtab lethe_types ";

    fn sound() -> Executables {
        Executables {
            data_plane: HEAD.into(),
            engine: HEAD.into(),
            lethe: format!("{HEAD} sqlite3_open SQLite format 3 sqlx_core").into(),
            fault_injection: format!("{HEAD} {}", FAULT_INJECTION.join(" ")).into(),
        }
    }

    #[test]
    fn sound_executables_pass() {
        assert_eq!(sound().check(), Vec::<String>::new());
    }

    #[test]
    fn each_forbidden_word_is_found_in_each_confined_executable() {
        for word in DATABASES.iter().chain(LOGS).chain(CLIENTS).chain(FAULT_INJECTION) {
            let mut executables = sound();
            executables.data_plane.extend(word.bytes());
            executables.engine.extend(word.bytes());
            assert!(executables.check().len() >= 2, "{word}");
        }
    }

    #[test]
    fn a_control_that_is_missing_fails() {
        let missing = [Executables { lethe: HEAD.into(), ..sound() }, Executables { fault_injection: HEAD.into(), ..sound() }];
        for executables in missing {
            assert!(executables.check().iter().any(|finding| finding.starts_with("control")));
        }
    }

    #[test]
    fn a_stripped_executable_fails() {
        assert_eq!(Executables { engine: b"\x7fELF".to_vec(), ..sound() }.check().len(), 2);
    }
}
